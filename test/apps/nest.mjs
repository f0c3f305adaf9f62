// NestJS without a compile step: its decorators are functions, called here by hand.
import "reflect-metadata";
import { Controller, Get, Module, Post, Put, Req, Res } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { pipeline, Readable } from "node:stream";
import work from "./shared/work.cjs";

class AppController {
  root(req, res) {
    res.type("text").send(work.pid);
  }
  async slow(req, res) {
    res
      .status(200)
      .type("text")
      .send(await work.slow(req.query.ms));
  }
  async recorded(req, res) {
    work.record(req.get("x-id"));
    res
      .status(200)
      .type("text")
      .send(await work.slow(req.query.ms));
  }
  async recordedPut(req, res) {
    return this.recorded(req, res);
  }
  json(req, res) {
    res.status(200).json(req.body);
  }
  echo(req, res) {
    res.status(200);
    pipeline(req, res, () => {});
  }
  chunked(req, res) {
    pipeline(Readable.from(work.lines(req.query.n)), res, () => {});
  }
  big(req, res) {
    res.send(work.bytes(req.query.bytes));
  }
  sse(req, res) {
    res.type("text/event-stream");
    pipeline(Readable.from(work.events()), res, () => {});
  }
}

function route(decorator, method) {
  const prototype = AppController.prototype;
  decorator(prototype, method, Object.getOwnPropertyDescriptor(prototype, method));
  Req()(prototype, method, 0);
  Res()(prototype, method, 1);
}
route(Get("/"), "root");
route(Get("/slow"), "slow");
route(Post("/slow"), "recorded");
route(Put("/slow"), "recordedPut");
route(Post("/json"), "json");
route(Post("/echo"), "echo");
route(Get("/chunked"), "chunked");
route(Get("/big"), "big");
route(Get("/sse"), "sse");
for (const [name, fault] of Object.entries(work.faults)) {
  AppController.prototype[name] = (req) => fault(req.query.ms);
  route(Get(`/${name}`), name);
}
Controller()(AppController);

class AppModule {}
Module({ controllers: [AppController] })(AppModule);

const app = await NestFactory.create(AppModule, { logger: ["error", "warn"] });
app.getHttpServer().keepAliveTimeout = work.keepAliveTimeoutMs;
await app.listen(work.port, work.host);
