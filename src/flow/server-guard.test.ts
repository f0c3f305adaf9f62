import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import net from "node:net";
import type { AddressInfo } from "node:net";
import { afterEach, describe, it } from "node:test";
import type { TestContext } from "node:test";
import tls from "node:tls";
import { waitUntil } from "../../test/support/wait-until.ts";
import { shutdownWrite } from "../os/mod.ts";
import { nowMs } from "./clock.ts";
import { deadline } from "./deadline.ts";
import { guardServer } from "./server-guard.ts";
import type { ServerGuard, ServerGuardOptions } from "./server-guard.ts";
import { account, inFlight } from "./work.ts";

interface Scene {
  readonly server: http.Server;
  readonly guard: ServerGuard;
  readonly port: number;
  /** What the application was asked for, and has not answered. */
  readonly entered: { readonly url: string; readonly response: http.ServerResponse }[];
}

/** A server whose application holds what it is asked for, behind a gate. */
async function guarded(t: TestContext, options: ServerGuardOptions): Promise<Scene> {
  const entered: Scene["entered"] = [];
  const server = http.createServer((request, response) => {
    entered.push({ url: request.url ?? "", response });
  });
  const guard = guardServer(server, options);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    guard[Symbol.dispose]();
    server.close();
    server.closeAllConnections();
  });
  return { server, guard, port: (server.address() as AddressInfo).port, entered }; // of a port
}

const PATIENT = { targetMs: 60_000, maxWaitMs: 60_000 };
const ONE: ServerGuardOptions = { limit: { kind: "fixed", max: 1 }, queue: PATIENT };

interface Answer {
  readonly status: number;
  readonly retryAfter: string | null;
  readonly text: string;
}

async function ask(
  { port }: Scene,
  path: string,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers });
  const text = await response.text();
  return { status: response.status, retryAfter: response.headers.get("retry-after"), text };
}

async function hasEntered({ entered }: Scene, url: string): Promise<http.ServerResponse> {
  await waitUntil(`${url} to be let in`, () => entered.some((each) => each.url === url));
  return entered.find((each) => each.url === url)?.response ?? assert.fail();
}

function queued({ guard }: Scene, count: number): Promise<void> {
  return waitUntil(`${count} to wait`, () => guard.gate.queued === count);
}

/** In each suite, not in the file: there it would be for every test of the process. */
function accountsAreEmpty(): void {
  const left = inFlight();
  assert.equal(left.length, 0, `accounts return to zero: ${JSON.stringify(left.slice(0, 3))}`);
}

describe("guardServer", () => {
  afterEach(accountsAreEmpty);

  it("refuses what its queue has no room for, unseen by the application", async (t) => {
    const scene = await guarded(t, { ...ONE, queue: { ...PATIENT, max: 1 } });
    const first = ask(scene, "/first");
    const response = await hasEntered(scene, "/first");
    const second = ask(scene, "/second");
    await queued(scene, 1);
    const third = await ask(scene, "/third");
    assert.deepEqual(third, {
      status: 503,
      retryAfter: "1",
      text: "Too much to do (queue-full). Try again later.\n",
    });
    const healthy = ask(scene, "/healthz");
    (await hasEntered(scene, "/healthz")).end("well");
    assert.equal((await healthy).text, "well", "health checks pass");
    response.end("1");
    (await hasEntered(scene, "/second")).end("2");
    assert.deepEqual([(await first).text, (await second).text], ["1", "2"]);
    assert.equal(scene.entered.length, 3);
  });

  it("gives up what matters least, and says when its queue is high", async (t) => {
    const scene = await guarded(t, {
      ...ONE,
      queue: { ...PATIENT, max: 1 },
      criticality: ({ url }) => (url === "/buy" ? "critical-plus" : "sheddable"),
    });
    const events: string[] = [];
    scene.guard.gate.on("high", () => events.push("high"));
    scene.guard.gate.on("low", () => events.push("low"));
    const first = ask(scene, "/look");
    const response = await hasEntered(scene, "/look");
    const second = ask(scene, "/look/again");
    await queued(scene, 1);
    const third = ask(scene, "/buy");
    assert.equal((await second).status, 503);
    response.end();
    (await hasEntered(scene, "/buy")).end();
    assert.equal((await third).status, 200);
    await first;
    assert.deepEqual(events, ["high", "low", "high", "low"]);
  });

  it("never starts what its client has left, as the kernel knows", async (t) => {
    const scene = await guarded(t, ONE);
    const first = ask(scene, "/first");
    const response = await hasEntered(scene, "/first");
    const client = net.connect(scene.port, "127.0.0.1");
    client.write("GET /gone HTTP/1.1\r\nHost: a\r\n\r\n");
    await queued(scene, 1);
    // at once, unlike client.end()
    shutdownWrite((client as unknown as { _handle: { fd: number } })._handle.fd); // lib/net.js
    response.end();
    await waitUntil("the refusal", () => scene.guard.gate.stats().refused["client-gone"] === 1);
    await first;
    client.destroy();
    assert.equal(scene.entered.length, 1);
  });

  it("what is done for a request is part of it, and ends when its client leaves", async (t) => {
    const scene = await guarded(t, { ...ONE, deadlineMs: 60_000 });
    const reasons: string[] = [];
    const queries = account("sql");
    scene.server.removeAllListeners("request");
    scene.server.on("request", (_request, response: http.ServerResponse) => {
      scene.entered.push({ url: "/orders", response });
      const work = queries.begin("orders");
      deadline.current()?.onAbort((reason) => {
        queries.end(work, "cancelled");
        reasons.push((reason as { code?: string }).code ?? "");
      });
    });
    const controller = new AbortController();
    const url = `http://127.0.0.1:${scene.port}/orders/17?x=1`;
    const asking = fetch(url, { signal: controller.signal }).catch(() => undefined);
    await hasEntered(scene, "/orders");
    const [request, query] = inFlight();
    assert.deepEqual([request?.kind, request?.name], ["http.in", "GET /orders"]);
    assert.ok((request?.deadlineMs ?? 0) > nowMs());
    assert.deepEqual([query?.kind, query?.parent], ["sql", request?.work]);
    controller.abort();
    await asking;
    await waitUntil("the end of both", () => inFlight().length === 0);
    assert.deepEqual(reasons, ["ERR_HOLDFAST_CLIENT_GONE"]);
  });

  it("a request whose time is over in the queue is refused at once", async (t) => {
    const scene = await guarded(t, ONE);
    const first = ask(scene, "/first");
    const response = await hasEntered(scene, "/first");
    const late = await ask(scene, "/late", { "grpc-timeout": "30m" });
    assert.equal(late.status, 503);
    assert.match(late.text, /expired/);
    const past = await ask(scene, "/past", { "X-Request-Deadline-Ms": "0" });
    assert.equal(past.status, 503);
    response.end();
    await first;
    assert.equal(scene.entered.length, 1);
  });

  it("ends what reads nothing, and what sends no head, and counts both", async (t) => {
    t.mock.timers.enable({ apis: ["setInterval"] });
    const slowPeers = { connectionBytes: 65_536 };
    const scene = await guarded(t, { slowPeers });
    const counts = (): readonly number[] =>
      ["connection-bytes", "request-timeout"].map(
        (kind) => account(kind).totals().outcomes.refused,
      );
    const before = counts();
    const deaf = net.connect(scene.port, "127.0.0.1");
    deaf.on("error", () => undefined); // RST: what the test does
    deaf.write("GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
    deaf.pause();
    (await hasEntered(scene, "/big")).end(Buffer.alloc(50_000_000));
    t.mock.timers.tick(1000);
    // Node looks for heads that do not come every 30 s: here as it says them then
    const mute = net.connect(scene.port, "127.0.0.1");
    await new Promise((resolve) => mute.once("connect", resolve));
    const timeout = Object.assign(new Error("late"), { code: "ERR_HTTP_REQUEST_TIMEOUT" });
    scene.server.on("clientError", () => undefined);
    scene.server.emit("clientError", timeout, mute);
    mute.destroy();
    await waitUntil("both", () => counts().every((count, index) => count > (before[index] ?? 0)));
    await waitUntil("its end", () => inFlight().length === 0);
  });

  it("bounds what reads nothing behind TLS as well", async (t) => {
    t.mock.timers.enable({ apis: ["setInterval"] });
    const pem = (name: string): Buffer =>
      readFileSync(new URL(`../../test/apps/shared/${name}`, import.meta.url));
    const identity = { key: pem("localhost.key"), cert: pem("localhost.crt") };
    let isAsked = false;
    const server = https.createServer(identity, (_request, response) => {
      isAsked = true;
      response.end(Buffer.alloc(50_000_000));
    });
    const guard = guardServer(server, { slowPeers: { connectionBytes: 65_536 } });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    t.after(() => {
      guard[Symbol.dispose]();
      server.close();
      server.closeAllConnections();
    });
    const { refused } = account("connection-bytes").totals().outcomes;
    const { port } = server.address() as AddressInfo; // of a port
    const deaf = tls.connect({ port, host: "127.0.0.1", rejectUnauthorized: false });
    deaf.on("error", () => undefined); // closed in the middle: what the test does
    deaf.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    deaf.pause();
    await waitUntil("the request", () => isAsked);
    t.mock.timers.tick(1000);
    assert.equal(account("connection-bytes").totals().outcomes.refused, refused + 1);
    await waitUntil("its end", () => inFlight().length === 0);
    deaf.destroy();
  });

  it("is gone once it is disposed of", async (t) => {
    const scene = await guarded(t, ONE);
    const first = ask(scene, "/first");
    const response = await hasEntered(scene, "/first");
    const waiting = ask(scene, "/second");
    await queued(scene, 1);
    scene.guard[Symbol.dispose]();
    assert.equal((await waiting).status, 503);
    const third = ask(scene, "/third");
    (await hasEntered(scene, "/third")).end("served");
    assert.equal((await third).text, "served");
    response.end();
    await first;
    assert.equal(Object.hasOwn(scene.server, "emit"), false);
  });

  for (const wrong of [{ limit: { kind: "fixed", max: Number.NaN } }, { queue: { max: -1 } }]) {
    it(`says what is wrong in ${JSON.stringify(wrong)}`, () => {
      const options = wrong as ServerGuardOptions; // NaN is a number
      assert.throws(() => guardServer(http.createServer(), options), /must be a number/);
    });
  }

  it("says so of what is no server", () => {
    // what JavaScript does not hinder
    assert.throws(
      () => guardServer({} as never),
      /option server is undefined; it must be a server/,
    );
  });
});
