import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import net from "node:net";
import path from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { serveControl } from "../../test/support/control-server.ts";
import { exampleStatus } from "../../test/support/example-status.ts";
import { makeFolder } from "../../test/support/folder.ts";
import { makeWorld } from "../../test/support/world.ts";
import { dispatch } from "./dispatch.ts";

const READY = { event: "ready", message: "worker 0 is ready" };
const DONE = { done: true, ok: true, message: "generation 2 serves" };

function runtimeDir(t: TestContext): string {
  return makeFolder(t, {});
}

function environment(directory: string): Record<string, string> {
  return { HOLDFAST_RUNTIME_DIR: directory };
}

test("the only service needs no name; several are named in the refusal", async (t) => {
  const directory = runtimeDir(t);
  const answers = { "GET /v1/status": { lines: [exampleStatus()] } };
  await serveControl(t, directory, "shop", answers);
  const one = makeWorld(environment(directory));
  assert.equal(await dispatch(["status"], one), 0, one.errors());
  assert.match(one.output(), /^shop {2}running/);
  await serveControl(t, directory, "mail", answers);
  const two = makeWorld(environment(directory));
  assert.equal(await dispatch(["status"], two), 64);
  assert.match(two.errors(), /mail, shop are running\. Name one: --name mail/);
  assert.equal(await dispatch(["status", "--name", "shop"], makeWorld(environment(directory))), 0);
  const wrong = makeWorld(environment(directory));
  assert.equal(await dispatch(["status", "--name", "shpo"], wrong), 69);
  assert.match(wrong.errors(), /no service named shpo is running; there is mail, shop\. Did you/);
});

test("a socket that nobody serves any more is no service", async (t) => {
  const directory = runtimeDir(t);
  await serveControl(t, directory, "shop", { "GET /v1/status": { lines: [exampleStatus()] } });
  writeFileSync(path.join(directory, "dead.sock"), "");
  writeFileSync(path.join(directory, "shop.log"), "");
  const world = makeWorld(environment(directory));
  assert.equal(await dispatch(["status"], world), 0, world.errors());
});

test("status --json is what the service says", async (t) => {
  const directory = runtimeDir(t);
  await serveControl(t, directory, "shop", { "GET /v1/status": { lines: [exampleStatus()] } });
  const world = makeWorld(environment(directory));
  assert.equal(await dispatch(["status", "--json"], world), 0);
  assert.deepEqual(JSON.parse(world.output()), exampleStatus());
});

test("an answer of another shape is refused, not shown", async (t) => {
  const directory = runtimeDir(t);
  await serveControl(t, directory, "shop", { "GET /v1/status": { lines: [{ hello: 1 }] } });
  const world = makeWorld(environment(directory));
  assert.equal(await dispatch(["status"], world), 69);
  assert.match(world.errors(), /the answer has another shape/);
});

test("something else behind the socket is reported", async (t) => {
  const directory = runtimeDir(t);
  const server = net.createServer((socket) => {
    socket.on("error", () => {}); // It hangs up on an answer that is none.
    socket.end("hello\r\n");
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(path.join(directory, "odd.sock"), resolve);
  await promise;
  t.after(() => server.close());
  const world = makeWorld(environment(directory));
  assert.equal(await dispatch(["status"], world), 69);
  assert.match(world.errors(), /Cannot talk to odd/);
});

test("reload shows its progress and ends with 0", async (t) => {
  const directory = runtimeDir(t);
  const answers = { "POST /v1/reload": { lines: [READY, DONE] } };
  const seen = await serveControl(t, directory, "shop", answers);
  const world = makeWorld({ ...environment(directory), COLOR: "blue" });
  assert.equal(await dispatch(["reload"], world), 0, world.errors());
  assert.equal(world.output(), "  worker 0 is ready\nholdfast: generation 2 serves\n");
  assert.equal(await dispatch(["reload", "--update-env", "--json"], world), 0);
  assert.deepEqual(
    seen.map(({ body }) => body),
    [{}, { updateEnv: { HOLDFAST_RUNTIME_DIR: directory, COLOR: "blue" } }],
  );
  assert.match(world.output(), /\n\{"done":true,"ok":true,/);
});

test("reload of a broken version ends with 1 and shows what it wrote", async (t) => {
  const directory = runtimeDir(t);
  const failed = { done: true, ok: false, message: "worker 0 ended", output: "Error: no\n at x" };
  await serveControl(t, directory, "shop", { "POST /v1/reload": { lines: [failed] } });
  const world = makeWorld(environment(directory));
  assert.equal(await dispatch(["reload"], world), 1);
  assert.match(
    world.errors(),
    /reload failed: worker 0 ended\nwhat the new worker wrote last:\n {2}Error: no/,
  );
});

test("an answer that ends in the middle is a failure", async (t) => {
  const directory = runtimeDir(t);
  const answers = { "POST /v1/reload": { lines: [READY], breaks: true } };
  await serveControl(t, directory, "shop", answers);
  const world = makeWorld(environment(directory));
  assert.equal(await dispatch(["reload"], world), 1);
  assert.match(world.errors(), /did not say how it ended/);
});

test("a refusal of the service ends with 1 and its reason", async (t) => {
  const directory = runtimeDir(t);
  const refused = { code: "ERR_HOLDFAST_CONTROL_REQUEST", message: "a reload is going on" };
  await serveControl(t, directory, "shop", {
    "POST /v1/restart": { status: 409, lines: [refused] },
  });
  const world = makeWorld(environment(directory));
  assert.equal(await dispatch(["restart"], world), 1);
  assert.match(world.errors(), /a reload is going on\. Nothing was changed/);
});

test("restart and scale send what was asked", async (t) => {
  const directory = runtimeDir(t);
  const answer = { lines: [DONE] };
  const answers = { "POST /v1/restart": answer, "POST /v1/scale": answer };
  const seen = await serveControl(t, directory, "shop", answers);
  for (const args of [["restart"], ["restart", "1"], ["scale", "4"]]) {
    const world = makeWorld(environment(directory));
    assert.equal(await dispatch(args, world), 0, world.errors());
  }
  assert.deepEqual(
    seen.map(({ body }) => body),
    [{}, { worker: 1 }, { workers: 4 }],
  );
  for (const args of [
    ["scale"],
    ["scale", "0"],
    ["scale", "x"],
    ["restart", "-1"],
    ["restart", "a"],
  ]) {
    assert.equal(await dispatch(args, makeWorld(environment(directory))), 64, args.join(" "));
  }
});

test("stop ends when the service is gone, also when it did not say so", async (t) => {
  for (const lines of [[{ done: true, ok: true, message: "shop has stopped" }], []]) {
    const directory = runtimeDir(t);
    const answers = { "POST /v1/stop": { lines, closes: true } };
    const seen = await serveControl(t, directory, "shop", answers);
    const world = makeWorld(environment(directory));
    assert.equal(await dispatch(["stop", "--now"], world), 0, world.errors());
    assert.match(world.output(), /holdfast: shop has stopped/);
    assert.deepEqual(seen[0]?.body, { now: true });
  }
});

test("logs: for people and for programs; control characters are shown, not sent", async (t) => {
  const directory = runtimeDir(t);
  const records = [
    {
      time: "2026-01-02T03:04:05.678Z",
      source: "worker",
      worker: 1,
      stream: "stdout",
      line: "a\u001B[2J",
    },
    { time: "2026-01-02T03:04:05.679Z", source: "keeper", stream: "stderr", line: "holdfast: b" },
    { odd: true },
  ];
  const answers = {
    "GET /v1/logs?lines=2&follow=0": { lines: records },
    "GET /v1/logs?lines=100&follow=1": { lines: records },
  };
  await serveControl(t, directory, "shop", answers);
  const world = makeWorld(environment(directory));
  assert.equal(await dispatch(["logs", "-n", "2"], world), 0, world.errors());
  const [first = "", second = "", ...rest] = world.output().split("\n");
  assert.match(first, /^\d\d:04:05\.678 worker 1 \| a\\u001b\[2J$/);
  assert.match(second, /^\d\d:04:05\.679 holdfast \| b$/);
  assert.deepEqual(rest, [""]);
  const json = makeWorld(environment(directory));
  assert.equal(await dispatch(["logs", "--follow", "--json"], json), 0);
  const read = json.output().trimEnd().split("\n");
  assert.deepEqual(
    read.map((line) => JSON.parse(line) as unknown),
    records,
  );
  assert.equal(await dispatch(["logs", "-n", "x"], makeWorld(environment(directory))), 64);
});

test("logs of a service that has ended are read from its file", async (t) => {
  const record = {
    time: "2026-01-02T03:04:05.678Z",
    source: "worker",
    worker: 0,
    line: "last words",
  };
  const directory = makeFolder(t, { "shop.log": `${JSON.stringify(record)}\n{"cut` });
  const world = makeWorld(environment(directory));
  assert.equal(await dispatch(["logs", "--name", "shop"], world), 0, world.errors());
  assert.match(world.output(), /worker 0 \| last words\n$/);
  assert.equal(await dispatch(["logs", "--name", "none"], makeWorld(environment(directory))), 69);
});
