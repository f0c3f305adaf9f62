import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import fc from "fast-check";
import {
  BODY_BYTES_MAX,
  ControlRequestError,
  HEAD_BYTES_MAX,
  RequestReader,
  parseHead,
} from "./control-http.ts";
import { CONTROL_LIMITS, ControlServer } from "./control.ts";
import type { ControlLimits, ControlRoutes } from "./control.ts";

interface Served {
  readonly path: string;
  readonly server: ControlServer;
  readonly faults: unknown[];
}

async function serve(
  t: TestContext,
  routes: ControlRoutes,
  limits: Partial<ControlLimits> = {},
): Promise<Served> {
  const directory = mkdtempSync(join(tmpdir(), "holdfast-control-"));
  const path = join(directory, "c.sock");
  const faults: unknown[] = [];
  const server = new ControlServer(routes, (error) => faults.push(error), {
    ...CONTROL_LIMITS,
    ...limits,
  });
  await server.listen({ path });
  t.after(() => {
    server.destroy();
    rmSync(directory, { recursive: true });
  });
  return { path, server, faults };
}

/** Sends bytes, ends its half unless told not to, and gives everything that comes back. */
async function exchange(path: string, bytes: string, ends = true): Promise<string> {
  const socket = connect({ path, allowHalfOpen: ends });
  if (ends) socket.end(bytes);
  else socket.write(bytes);
  const parts: Buffer[] = [];
  socket.on("data", (part: Buffer) => parts.push(part));
  socket.on("error", () => undefined); // a refused request may not have been read to its end
  await new Promise((resolve) => void socket.on("close", resolve));
  return Buffer.concat(parts).toString();
}

const HELLO: ControlRoutes = {
  "GET /hello": ({ query }) => ({ status: 200, json: { hello: query.get("name") } }),
  "POST /echo": ({ body }) => ({ status: 200, json: { body: body ?? null } }),
  "GET /broken": () => {
    throw new Error("out of cheese");
  },
};

const statusOf = (answer: string): number => Number(answer.slice(9, 12));
const bodyOf = (answer: string): unknown =>
  JSON.parse(answer.slice(answer.indexOf("\r\n\r\n") + 4));

test("answers as curl asks", async (t) => {
  const { path } = await serve(t, HELLO);
  const head = "GET /hello?name=w%20d HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n";
  const answer = await exchange(path, head, false);
  assert.match(answer, /^HTTP\/1\.1 200 OK\r\nContent-Type: application\/json\r\n/);
  assert.deepEqual(bodyOf(answer), { hello: "w d" });
});

test("takes a body, in pieces, and says 100 Continue when asked to", async (t) => {
  const { path } = await serve(t, HELLO);
  const socket = connect({ path });
  socket.write("POST /echo HTTP/1.1\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n");
  const [first] = (await once(socket, "data")) as [Buffer];
  assert.equal(first.toString(), "HTTP/1.1 100 Continue\r\n\r\n");
  socket.write('{"a":');
  socket.write("[1]}");
  const [second] = (await once(socket, "data")) as [Buffer];
  assert.deepEqual(bodyOf(second.toString()), { body: { a: [1] } });
  socket.destroy();
});

for (const [what, bytes, status] of [
  ["an unknown path", "GET /nothing HTTP/1.1\r\n\r\n", 404],
  ["another method", "POST /hello HTTP/1.1\r\n\r\n", 405],
  ["a prototype's member", "GET __proto__ HTTP/1.1\r\n\r\n", 400],
  ["garbage", "\x16\x03\x01\x02\x00\x01\r\n\r\n", 400],
  ["HTTP/2", "PRI * HTTP/2.0\r\n\r\n", 400],
  ["another version", "GET / HTTP/2.0\r\n\r\n", 505],
  ["a head without an end", `GET /${"a".repeat(HEAD_BYTES_MAX)}`, 431],
  ["a chunked body", "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 501],
  ["two lengths", "POST /echo HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400],
  ["a negative length", "POST /echo HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400],
  ["too long a body", `POST /echo HTTP/1.1\r\nContent-Length: ${BODY_BYTES_MAX + 1}\r\n\r\n`, 413],
  ["a folded header", "GET /hello HTTP/1.1\r\nA: b\r\n c\r\n\r\n", 400],
  ["a body that is not JSON", "POST /echo HTTP/1.1\r\nContent-Length: 2\r\n\r\n{]", 400],
  ["half a request", "GET /hel", 400],
  ["half a body", "POST /echo HTTP/1.1\r\nContent-Length: 9\r\n\r\n{", 400],
] as const) {
  test(`refuses ${what} with ${status}`, async (t) => {
    const { path, faults } = await serve(t, HELLO);
    const answer = await exchange(path, bytes);
    assert.equal(statusOf(answer), status);
    assert.match(
      JSON.stringify(bodyOf(answer)),
      /"code":"ERR_HOLDFAST_CONTROL_REQUEST","message":"/,
    );
    assert.deepEqual(faults, [], "the client's mistake is not our fault");
  });
}

test("a handler that throws is a 500, told to the log, and the server goes on", async (t) => {
  const { path, faults } = await serve(t, HELLO);
  const answer = await exchange(path, "GET /broken HTTP/1.1\r\n\r\n");
  assert.equal(statusOf(answer), 500);
  assert.deepEqual(bodyOf(answer), { code: "ERR_HOLDFAST_INTERNAL", message: "out of cheese" });
  assert.equal(faults.length, 1);
  assert.equal(statusOf(await exchange(path, "GET /hello HTTP/1.1\r\n\r\n")), 200);
});

test("a client that never finishes its request is told so and dropped", async (t) => {
  const { path } = await serve(t, HELLO, { requestTimeoutMs: 30 });
  const answer = await exchange(path, "GET /hello HTTP/1.1\r\n", false);
  assert.equal(statusOf(answer), 408);
});

test("too many connections at once are refused, and served again later", async (t) => {
  const { path } = await serve(t, HELLO, { connectionsMax: 1 });
  const first = connect(path);
  await once(first, "connect");
  assert.equal(statusOf(await exchange(path, "GET /hello HTTP/1.1\r\n\r\n")), 503);
  first.destroy();
  await once(first, "close");
  const deadline = Date.now() + 5000;
  for (;;) {
    if (statusOf(await exchange(path, "GET /hello HTTP/1.1\r\n\r\n")) === 200) break;
    assert.ok(Date.now() < deadline, "served again");
  }
});

test("lines are streamed with back pressure, to the end", async (t) => {
  let made = 0;
  const { path } = await serve(t, {
    "GET /lines": () => ({
      lines: (async function* () {
        for (; made < 2000; made += 1) yield { made, filler: "x".repeat(1000) };
      })(),
      isEndless: false,
    }),
  });
  const socket = connect({ path });
  socket.pause();
  socket.write("GET /lines HTTP/1.1\r\n\r\n");
  await once(socket, "connect");
  await settles(() => made);
  assert.ok(made < 2000, "nobody reads, so the maker waits");
  const parts: Buffer[] = [];
  socket.on("data", (part: Buffer) => parts.push(part));
  socket.resume();
  await once(socket, "close");
  const lines = Buffer.concat(parts).toString().split("\r\n\r\n")[1]?.trim().split("\n") ?? [];
  assert.equal(lines.length, 2000);
  assert.equal(JSON.parse(lines[1999] ?? "").made, 1999);
});

test("a stream whose client leaves is told by its signal", async (t) => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const { path } = await serve(t, {
    "GET /lines": ({ signal }) => ({
      lines: (async function* () {
        yield 1;
        await once(signal, "abort");
        resolve();
      })(),
      isEndless: true,
    }),
  });
  const socket = connect({ path });
  socket.write("GET /lines HTTP/1.1\r\n\r\n");
  await once(socket, "data");
  socket.destroy();
  await promise;
});

test("close waits for the answers under way", async (t) => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const asked = Promise.withResolvers<void>();
  const { path, server } = await serve(t, {
    "GET /slow": async () => {
      asked.resolve();
      await promise;
      return { status: 200, json: "done" };
    },
  });
  const answer = exchange(path, "GET /slow HTTP/1.1\r\n\r\n", false);
  await asked.promise;
  const closed = server.close();
  resolve();
  assert.equal(bodyOf(await answer), "done");
  await closed;
});

test("no bytes, in whatever pieces, break the reader", () => {
  const line = fc.constantFrom(
    "GET / HTTP/1.1\r\n",
    "POST /a?b HTTP/1.0\r\n",
    "Host: x\r\n",
    "\r\n",
    "Content-Length: 3\r\n",
    "Content-Length: 99999999999999999\r\n",
    "abc",
  );
  const bytes = fc.oneof(
    fc.uint8Array().map((array) => Buffer.from(array)),
    line.map((text) => Buffer.from(text)),
  );
  fc.assert(
    fc.property(fc.array(bytes, { maxLength: 12 }), (chunks) => {
      const read = (parts: readonly Buffer[]): string => {
        const reader = new RequestReader();
        try {
          for (const part of parts) {
            const body = reader.push(part);
            if (body !== null) return `${reader.head?.path} ${body.length}`;
          }
          return "more";
        } catch (error) {
          assert.ok(error instanceof ControlRequestError);
          return String(error.status);
        }
      };
      assert.equal(
        read(chunks),
        read(chunks.flatMap((chunk) => [...chunk].map((b) => Buffer.of(b)))),
      );
    }),
  );
});

test("a head says what was asked", () => {
  const head = parseHead(
    "POST /v1/scale?x=1 HTTP/1.1\r\nContent-Length: 14\r\nX-Y:\t z \r\nHost: a",
  );
  assert.deepEqual(
    { ...head, query: head.query.get("x") },
    { method: "POST", path: "/v1/scale", query: "1", bodyBytes: 14, expectsContinue: false },
  );
});

/** Waits until a figure has come and does not change any more. */
async function settles(figure: () => number): Promise<void> {
  for (let before = -1; before !== figure() || before === 0;) {
    before = figure();
    await new Promise((resolve) => void setTimeout(resolve, 20));
  }
}
