/** What is seen of the work of an application that knows nothing of Holdfast, and done about it. */
import assert from "node:assert/strict";
import net from "node:net";
import { describe, it } from "node:test";
import type { WorkItem, WorkReport } from "../../src/supervision/mod.ts";
import { dropAll } from "../support/drop-all.ts";
import { get } from "./support/load.ts";
import { app } from "./support/paths.ts";
import { startService } from "./support/service.ts";
import type { Service, Target } from "./support/service.ts";
import { controlRequest } from "./support/status.ts";
import { waitFor } from "./support/wait.ts";

const entry = app("flow/unmodified.cjs");

async function report(service: Service): Promise<WorkReport> {
  const { body } = await controlRequest(service.socketPath, "GET", "/v1/work");
  return JSON.parse(body) as WorkReport; // what is tested
}

async function items(service: Service, kind: string): Promise<readonly WorkItem[]> {
  return (await report(service)).items.filter((item) => item.kind === kind);
}

/** A client that asks for a response without end and reads nothing of it. */
function deafClient(target: Target): net.Socket {
  const socket = net.connect(target);
  socket.on("error", () => undefined); // it is told when the response is destroyed
  socket.on("connect", () => {
    socket.pause();
    socket.write("GET /zeros HTTP/1.1\r\nHost: a\r\n\r\n");
  });
  return socket;
}

/** One whose machine is gone once the response has begun. */
function deadClient(target: Target): net.Socket {
  const socket = net.connect(target, () => {
    socket.write("GET /zeros?dead HTTP/1.1\r\nHost: a\r\n\r\n");
  });
  socket.on("error", () => undefined); // as above
  socket.once("data", () => dropAll(socket));
  return socket;
}

describe("work of an unmodified application", () => {
  for (const node of [22, 24, 26] as const) {
    it(`what it asks of others, and for whom, until it is answered, on Node ${node}`, async (t) => {
      const service = await startService(t, { entry, workers: 1, node });
      const target = await service.target();
      // whose a call is, is known from the second on
      await get(target, "/told");
      const asked = ["/http", "/fetch", "/path", "/h2"].map((path) => get(target, path));
      const out = await waitFor("all calls", async () => {
        const found = await items(service, "http.out");
        return found.length === 4 && found.every(({ state }) => state === "sent") && found;
      });
      const names = out.map(({ name }) => name).filter((name) => name !== "GET http://localhost");
      for (const name of names) assert.match(name, /^GET http:\/\/127\.0\.0\.1:\d+$/);
      const callers = ["GET /fetch", "GET /http", "GET /path", "GET /stream"];
      const requests = new Map((await items(service, "http.in")).map((each) => [each.id, each]));
      const parents = out.map(({ parent }) => requests.get(parent ?? 0)?.name);
      assert.deepEqual(parents.map(String).toSorted(), callers);
      // its upstream is in the same process; what is /local came by a unix socket, /stream by http2
      const wanted = ["/fetch", "/h2", "/held", "/held", "/held", "/http", "/local", "/path"];
      await waitFor("all requests", async () => {
        const found = (await items(service, "http.in")).map(({ name }) => name);
        const all = [...wanted, "/stream"].map((each) => `GET ${each}`);
        return found.toSorted().join() === all.join();
      });
      await get(target, "/release");
      for (const { status } of await Promise.all(asked)) assert.equal(status, 200);
      const left = await waitFor("their end", async () => {
        const { workers } = await report(service);
        const kind = workers[0]?.kinds.find((each) => each.kind === "http.out");
        return kind?.inFlight === 0 && kind;
      });
      assert.equal(left.outcomes.ok, 5);
      await waitFor("the end of all requests", async () => {
        const [inbound] = (await report(service)).workers[0]?.kinds ?? [];
        return inbound?.inFlight === 0 && inbound.outcomes.ok === 12;
      });
    });
  }

  it("many calls of one origin are judged, and none is refused", async (t) => {
    const service = await startService(t, { entry, workers: 1 });
    const target = await service.target();
    const asked = Array.from({ length: 60 }, () => get(target, "/fetch"));
    await waitFor("all calls", async () => (await items(service, "http.out")).length === 60);
    const [worker] = (await report(service)).workers;
    const gate = worker?.gates.find(({ name }) => name.startsWith("http://127.0.0.1:"));
    assert.ok(gate?.observes, "an observing gate");
    assert.ok(gate.inFlight > gate.limit, `${gate.inFlight} of ${gate.limit}`);
    await get(target, "/release");
    for (const { status } of await Promise.all(asked)) assert.equal(status, 200);
  });

  it("a client that reads nothing, or is gone, is named while the worker spins", async (t) => {
    const service = await startService(t, { entry, workers: 1, flags: ["--stall-limit", "0"] });
    const target = await service.target();
    const clients = [deafClient(target), deadClient(target)];
    t.after(() => clients.forEach((each) => each.resetAndDestroy()));
    await waitFor("bytes that wait", async () => {
      return (await items(service, "http.in")).filter(({ buffered }) => buffered > 0).length === 2;
    });
    const spin = get(target, "/spin?ms=3000");
    await waitFor("the spin", async () => {
      return (await items(service, "http.in")).some(({ state }) => state === "executing");
    });
    await waitFor("the reason", async () => {
      const found = await items(service, "http.in");
      const state = (of: string): unknown => found.find(({ name }) => name === of)?.state;
      const isDead = state("GET /zeros?dead") === "peer-not-acking";
      return isDead && state("GET /zeros") === "peer-window-closed";
    });
    const page = (await service.control("work")).stdout.toString();
    assert.match(page, /^ *\S+ +http\.in +GET \/zeros +peer-window-closed +\S+ +\S+iB +0$/m);
    await spin;
    clients.forEach((each) => each.resetAndDestroy()); // or the service waits for them
  });

  it("--pipe-stall tells of a pipe that stands still, --pipe-destroy ends it", async (t) => {
    const flags = ["--pipe-stall", "300ms", "--pipe-destroy", "1500ms"];
    const service = await startService(t, { entry, workers: 1, flags });
    const target = await service.target();
    const client = deafClient(target);
    t.after(() => client.destroy());
    await waitFor("the log", () => service.stderr.includes("has not moved for"));
    const ends = "ReadStream /dev/zero -> ServerResponse GET /zeros 127\\.0\\.0\\.1:\\d+";
    const why = "has not moved for \\d+\\.\\d s: peer-window-closed";
    assert.match(service.stderr, new RegExp(`warn: the pipe ${ends} ${why}`));
    assert.match(service.stderr, /unmodified\.cjs:\d+:\d+/);
    const end = await waitFor("the pipe's end", async () => {
      const text = (await get(target, "/pipe-end")).body.toString();
      return text !== "null" && text;
    });
    assert.equal(end, "ERR_HOLDFAST_PIPE_STALLED");
  });

  it("--deadline ends what it asks of others when nobody waits any more", async (t) => {
    const service = await startService(t, { entry, workers: 1, flags: ["--deadline", "1500ms"] });
    const target = await service.target();
    // of undici the second waits for the connection of the first
    const paths = ["/http", "/fetch", "/undici", "/undici"];
    for (const { status, body } of await Promise.all(paths.map((path) => get(target, path)))) {
      assert.equal(status, 504, body.toString());
      assert.match(body.toString(), /ERR_HOLDFAST_DEADLINE/);
    }
    await waitFor("nothing in flight", async () => (await report(service)).items.length === 0);
  });

  for (const node of [22, 24, 26] as const) {
    it(`in portable mode too it is bounded, on Node ${node}`, async (t) => {
      const flags = ["--portable", "--gate", "1", "--deadline", "3s"];
      const service = await startService(t, { entry, workers: 1, flags, node });
      const target = await service.target();
      const asked = Array.from({ length: 3 }, () => get(target, "/http"));
      const responses = await Promise.all(asked);
      const statuses = responses.map(({ status }) => status);
      assert.deepEqual(
        statuses.toSorted((a, b) => a - b),
        [503, 503, 504],
      );
    });
  }
});
