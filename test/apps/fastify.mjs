import Fastify from "fastify";
import { Readable } from "node:stream";
import work from "./shared/work.cjs";

const app = Fastify({ keepAliveTimeout: work.keepAliveTimeoutMs });
app.addContentTypeParser("application/octet-stream", (request, payload, done) => {
  done(null, payload);
});
app.get("/", async () => work.pid);
app.get("/slow", async (request) => work.slow(request.query.ms));
app.route({
  method: ["POST", "PUT"],
  url: "/slow",
  handler: async (request) => {
    work.record(request.headers["x-id"]);
    return work.slow(request.query.ms);
  },
});
app.post("/json", async (request) => request.body);
app.post("/echo", (request, reply) => reply.send(request.body));
app.get("/chunked", (request, reply) => reply.send(Readable.from(work.lines(request.query.n))));
app.get("/big", async (request) => work.bytes(request.query.bytes));
app.get("/sse", (request, reply) => {
  reply.type("text/event-stream").send(Readable.from(work.events()));
});
for (const [name, fault] of Object.entries(work.faults)) {
  app.get(`/${name}`, (request, reply) => {
    reply.hijack();
    fault(request.query.ms);
  });
}
await app.listen({ port: work.port, host: work.host });
