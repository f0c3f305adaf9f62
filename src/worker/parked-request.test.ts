import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type http from "node:http";
import { describe, it } from "node:test";
import type { TestContext } from "node:test";
import fc from "fast-check";
import { guardServer } from "../flow/mod.ts";
import type { Permit, ServerGuard } from "../flow/mod.ts";
import { isPlainRequest } from "../flow/parked-request.ts";
import { STATE, scanRequests } from "../ledger/mod.ts";
import { AccountBench } from "./account-bench.test.ts";
import type { HttpSocket } from "./node-internals.ts";

const GET = "GET /a HTTP/1.1\r\nhost: t\r\n\r\n";
const AGAIN = "GET /b HTTP/1.1\r\nhost: t\r\nConnection: keep-alive\r\n\r\n";

interface Scene {
  readonly bench: AccountBench;
  readonly guard: ServerGuard;
  /** The only place behind the gate. */
  readonly permit: Permit;
  /** What the application was asked for. */
  readonly seen: string[];
}

/** A connection on which Node has answered once, before a gate that is full. */
async function fullGate(t: TestContext, answer: http.RequestListener): Promise<Scene> {
  const seen: string[] = [];
  const bench = await AccountBench.start(t, (request, response) => {
    seen.push(request.url ?? "");
    answer(request, response);
  });
  const { server } = bench.socket as unknown as { server: http.Server }; // the bench's
  Object.defineProperty(server, "listening", { value: true });
  bench.send("GET /first HTTP/1.1\r\nhost: t\r\n\r\n");
  await bench.idle();
  const limit = { kind: "fixed", max: 1 } as const;
  const guard = guardServer(server, { limit, slowPeers: false, isAccounted: false });
  t.after(() => guard[Symbol.dispose]());
  bench.context.park = (_socket, head, waitedMs, bytes) => guard.park(head, waitedMs, bytes);
  const permit = guard.gate.enter() as Permit; // there is room for one
  return { bench, guard, permit, seen };
}

/** Node has made a request and a response of what was sent. */
function isParsed({ socket }: AccountBench): boolean {
  return Boolean((socket as HttpSocket)._httpMessage); // of an http server
}

/** Sends what has to wait, and sees that it does, unparsed. */
async function park({ bench, guard }: Scene, text: string): Promise<void> {
  bench.send(text);
  await bench.until("it waits", () => guard.gate.queued === 1);
  assert.equal(isParsed(bench), false);
  assert.equal(bench.snapshot.state, STATE.busy);
  const verdict = bench.verdict();
  assert.equal(verdict.kind === "replay" && verdict.bytes.toString("latin1"), text);
  assert.equal(bench.context.ledger.workers.int(0, "inFlight"), 1);
}

/** Everything is as it was before anybody came. */
async function isOver({ bench, guard }: Scene, requests: number): Promise<void> {
  await bench.idle();
  assert.deepEqual(bench.verdict(), { kind: "move" });
  assert.equal(bench.snapshot.journalBytes, 0);
  assert.deepEqual(bench.needlessAborts, []);
  const { workers } = bench.context.ledger;
  assert.deepEqual([workers.int(0, "inFlight"), workers.float(0, "requests")], [0, requests]);
  await bench.until("nobody in the gate", () => guard.gate.inFlight + guard.gate.queued === 0);
}

describe("a request that waits as bytes", () => {
  it("is parsed when it is let in", async (t) => {
    const scene = await fullGate(t, (_, response) => response.end("served"));
    await park(scene, GET);
    scene.permit.release();
    await isOver(scene, 2);
    assert.deepEqual(scene.seen, ["/first", "/a"]);
    const answers = /served.*served$/s;
    await scene.bench.until("both answers", () => answers.test(scene.bench.client.text));
  });

  it("gets its 503 unparsed, and the connection goes on", async (t) => {
    const scene = await fullGate(t, (_, response) => response.end("served"));
    await park(scene, GET);
    scene.guard.gate.close();
    scene.permit.release();
    await isOver(scene, 2);
    await scene.bench.until("the refusal", () => scene.bench.client.text.endsWith("later.\n"));
    const [, , refusal = ""] = scene.bench.client.text.split("HTTP/1.1 ");
    assert.match(refusal, /^503 Service Unavailable\r\nRetry-After: 1\r\n/);
    assert.match(
      refusal,
      /\r\nDate: .* GMT\r\nConnection: keep-alive\r\nKeep-Alive: timeout=60\r\n/,
    );
    assert.match(refusal, /Too much to do \(closed\)\. Try again later\.\n$/);
    scene.bench.context.park = null;
    scene.guard[Symbol.dispose]();
    scene.bench.send(AGAIN);
    await isOver(scene, 3);
    assert.deepEqual(scene.seen, ["/first", "/b"]);
  });

  it("is counted by its route and status", async (t) => {
    const scene = await fullGate(t, (_, response) => response.end("served"));
    await park(scene, GET);
    scene.guard.gate.close();
    scene.permit.release();
    await isOver(scene, 2);
    const series = scene.bench.context.ledger.latency(0).read();
    const found = series.map(({ name, status, counts }) => [
      name,
      status,
      counts.reduce((sum, count) => sum + count),
    ]);
    assert.deepEqual(found, [
      ["GET /first", 2, 1],
      ["GET /a", 5, 1],
    ]);
  });

  it("waits on as a request when more bytes follow", async (t) => {
    const scene = await fullGate(t, (request, response) => response.end(request.url));
    await park(scene, GET);
    scene.bench.send(AGAIN);
    await scene.bench.until("the second waits too", () => scene.guard.gate.queued === 2);
    assert.deepEqual(scene.seen, ["/first"]);
    scene.permit.release();
    await isOver(scene, 3);
    assert.deepEqual(scene.seen, ["/first", "/a", "/b"]);
    await scene.bench.until("both, in order", () => /\/a.*\/b$/s.test(scene.bench.client.text));
  });

  it("runs in the async context of its connection", async (t) => {
    const storage = new AsyncLocalStorage<string>();
    const contexts: (string | undefined)[] = [];
    const scene = await fullGate(t, (_, response) => {
      contexts.push(storage.getStore());
      response.end();
    });
    await park(scene, GET);
    storage.run("of somebody else", () => scene.permit.release());
    await isOver(scene, 2);
    assert.deepEqual(contexts, [undefined, undefined]);
  });

  it("gets a 503 when its connection is closed from this side", async (t) => {
    const scene = await fullGate(t, (_, response) => response.end("served"));
    await park(scene, GET);
    scene.bench.socket.destroy();
    await scene.bench.client.endsWith("fin");
    assert.match(scene.bench.client.text, /503 Service Unavailable.*Connection: close\r\n/s);
    assert.equal(scene.bench.snapshot.state, STATE.closed);
    assert.equal(scene.bench.context.ledger.workers.int(0, "inFlight"), 0);
    scene.permit.release();
    assert.deepEqual([scene.guard.gate.inFlight, scene.guard.gate.queued], [0, 0]);
    assert.deepEqual(scene.seen, ["/first"]);
  });

  it("is not served when its client has left", async (t) => {
    const scene = await fullGate(t, (_, response) => response.end("served"));
    await park(scene, GET);
    scene.bench.client.socket.resetAndDestroy();
    await scene.bench.until("the end", () => scene.bench.snapshot.state === STATE.closed);
    scene.permit.release();
    assert.deepEqual([scene.guard.gate.inFlight, scene.guard.gate.queued], [0, 0]);
    assert.equal(scene.bench.context.ledger.workers.int(0, "inFlight"), 0);
    assert.deepEqual(scene.seen, ["/first"]);
  });

  const parsed: Record<string, string> = {
    "a body": "GET /a HTTP/1.1\r\nhost: t\r\nContent-Length: 1\r\n\r\nx",
    "a deadline": "GET /a HTTP/1.1\r\nhost: t\r\nX-Request-Deadline-Ms: 90000\r\n\r\n",
    "another method": "DELETE /a HTTP/1.1\r\nhost: t\r\n\r\n",
    "the last of its connection": "GET /a HTTP/1.1\r\nhost: t\r\nConnection: close\r\n\r\n",
    "a long head": `GET /a HTTP/1.1\r\nhost: t\r\nx: ${"x".repeat(2048)}\r\n\r\n`,
  };
  for (const [name, text] of Object.entries(parsed)) {
    it(`is none with ${name}`, async (t) => {
      const scene = await fullGate(t, (_, response) => response.end("served"));
      scene.bench.send(text);
      await scene.bench.until("it waits", () => scene.guard.gate.queued === 1);
      assert.equal(isParsed(scene.bench), true);
      scene.permit.release();
      await scene.bench.until("its answer", () => scene.seen.length === 2);
    });
  }

  it("is none for health checks, nor while somebody hears of every request", async (t) => {
    const scene = await fullGate(t, (_, response) => response.end("served"));
    scene.bench.send("GET /healthz HTTP/1.1\r\nhost: t\r\n\r\n");
    await scene.bench.idle();
    scene.bench.send("GET /c HTTP/1.1\r\nhost: t\r\nUser-Agent: kube-probe/1.30\r\n\r\n");
    await scene.bench.idle();
    assert.deepEqual(scene.seen, ["/first", "/healthz", "/c"]);
    const heard: unknown[] = [];
    const listener = (message: unknown): void => void heard.push(message);
    subscribe("http.server.request.start", listener);
    t.after(() => unsubscribe("http.server.request.start", listener));
    scene.bench.send(GET);
    await scene.bench.until("it waits", () => scene.guard.gate.queued === 1);
    assert.equal(heard.length, 1);
    scene.permit.release();
    await isOver(scene, 4);
  });
});

describe("what may wait as bytes", () => {
  const pieces = fc.array(
    fc.oneof(
      fc.constantFrom("GET ", "/a", " HTTP/1.1\r\n", "Host: t\r\n", "\r\n", "\n", " ", ":", "\0"),
      fc.constantFrom("Content-Length: 0\r\n", "transfer-encoding:chunked\r\n", "x:\r\n"),
      fc.constantFrom("CONNECTION: Keep-Alive\r\n", "connection: close, x\r\n", "é: ü\r\n"),
      fc.constantFrom("Upgrade: h2c\r\n", "x: y\r\n", " folded\r\n", "GET /b HTTP/1.1\r\n\r\n"),
    ),
    { maxLength: 8 },
  );
  const heads = fc.oneof(
    pieces.map((all) => all.join("")),
    pieces.map((all) => `GET /a HTTP/1.1\r\nhost: t\r\n${all.join("")}\r\n`),
  );

  it("is one whole request without a body, as our parser sees it too", () => {
    let plain = 0;
    fc.assert(
      fc.property(heads, (head) => {
        if (!isPlainRequest(head)) return;
        plain += 1;
        const { requests, isClear } = scanRequests(Buffer.from(head, "latin1"));
        assert.equal(isClear, true);
        assert.deepEqual(
          requests.map(({ method, end }) => [method, end]),
          [["GET", head.length]],
        );
        assert.doesNotMatch(head, /content-length|transfer-encoding|upgrade|close/i);
      }),
      { numRuns: 3000 },
    );
    assert.ok(plain > 100, `${plain} of 3,000`);
  });
});
