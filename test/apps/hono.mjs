import { serve } from "@hono/node-server";
import { Hono } from "hono";
import { stream } from "hono/streaming";
import work from "./shared/work.cjs";

const app = new Hono();
app.get("/", (c) => c.text(work.pid));
app.get("/slow", async (c) => c.text(await work.slow(c.req.query("ms"))));
app.on(["POST", "PUT"], "/slow", async (c) => {
  work.record(c.req.header("x-id"));
  return c.text(await work.slow(c.req.query("ms")));
});
app.post("/json", async (c) => c.json(await c.req.json()));
app.post("/echo", (c) => c.body(c.req.raw.body));
const streamed = (items) => (c) =>
  stream(c, async (out) => {
    for await (const item of items(c)) {
      if (out.aborted) return;
      await out.write(item);
    }
  });
app.get(
  "/chunked",
  streamed((c) => work.lines(c.req.query("n"))),
);
app.get("/big", (c) => c.body(work.bytes(c.req.query("bytes"))));
app.get(
  "/sse",
  streamed(() => work.events()),
);
for (const [name, fault] of Object.entries(work.faults)) {
  app.get(`/${name}`, (c) => {
    fault(c.req.query("ms"));
    return new Promise(() => {});
  });
}
const server = serve({ fetch: app.fetch, port: work.port, hostname: work.host });
server.keepAliveTimeout = work.keepAliveTimeoutMs;
