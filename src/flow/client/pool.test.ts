import assert from "node:assert/strict";
import http from "node:http";
import net from "node:net";
import type { AddressInfo } from "node:net";
import { afterEach, describe, it } from "node:test";
import type { TestContext } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import * as undici from "undici";
import { waitUntil } from "../../../test/support/wait-until.ts";
import { deadline } from "../deadline.ts";
import { DeadlineExceeded, Overloaded } from "../errors.ts";
import { account, inFlight } from "../work.ts";
import { UpstreamTimeout } from "./exchange.ts";
import { pool } from "./pool.ts";
import type { Pool, PoolOptions } from "./pool.ts";

/** A server on the loopback, until the test ends. */
async function serve(t: TestContext, server: net.Server): Promise<string> {
  const sockets = new Set<net.Socket>();
  server.on("connection", (socket: net.Socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined); // reset by the client: what the test does
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`; // it listens on a port
}

function answering(
  t: TestContext,
  listener: (request: http.IncomingMessage, response: http.ServerResponse) => void,
): Promise<string> {
  return serve(t, http.createServer(listener));
}

/** One that says what it likes to whoever connects. */
function saying(t: TestContext, say: (socket: net.Socket) => void): Promise<string> {
  return serve(
    t,
    net.createServer((socket) => socket.once("data", () => say(socket))),
  );
}

function made(t: TestContext, origins: string | string[] | null, options: PoolOptions = {}): Pool {
  const made = pool(origins, options);
  t.after(() => made.destroy());
  return made;
}

/** Whether the only origin of a pool is left out. */
function isEjected(one: Pool): boolean {
  return one.stats().origins[0]?.isEjected === true;
}

/** Why a `fetch` failed. */
async function causeOf(fetching: Promise<Response>): Promise<unknown> {
  try {
    await (await fetching).text();
  } catch (error) {
    const { cause } = error as Error;
    return cause ?? error;
  }
  return assert.fail("it was answered");
}

/** In each suite, not in the file: there it would be for every test of the process. */
function accountsAreEmpty(): void {
  const left = inFlight();
  // of thousands a difference would take gigabytes
  assert.equal(left.length, 0, `accounts return to zero: ${JSON.stringify(left.slice(0, 3))}`);
}

describe("a pool", () => {
  afterEach(accountsAreEmpty);

  it("is a dispatcher of Node's fetch, with its work in the accounts", async (t) => {
    const url = await answering(t, (request, response) => {
      let text = "";
      request.on("data", (chunk: Buffer) => (text += chunk.toString()));
      request.on("end", () => response.end(`${request.method} ${request.url} ${text}`));
    });
    const orders = made(t, url);
    const response = await orders.fetch(`${url}/today?x=1`, { method: "POST", body: "hello" });
    assert.equal(await response.text(), "POST /today?x=1 hello");
    const other = await fetch(`${url}/plain`, { dispatcher: orders } as unknown as RequestInit);
    assert.equal(await other.text(), "GET /plain ");
    assert.equal(orders.stats().origins[0]?.gate.admitted, 2);
    assert.ok(account("http.out").totals().outcomes.ok >= 2);
  });

  it("hands over what its limit allows, and takes an aborted one out at once", async (t) => {
    const held: http.ServerResponse[] = [];
    const url = await answering(t, (_request, response) => held.push(response));
    const one = made(t, url, { limit: { kind: "fixed", max: 1 } });
    const first = one.fetch(url);
    await waitUntil("the first to arrive", () => held.length === 1);
    const controller = new AbortController();
    const many = Array.from({ length: 50 }, () => one.fetch(url, { signal: controller.signal }));
    const settled = Promise.allSettled(many);
    assert.equal(one.stats().origins[0]?.gate.queued, 50);
    controller.abort();
    assert.equal(one.stats().origins[0]?.gate.queued, 0);
    assert.ok((await settled).every(({ status }) => status === "rejected"));
    assert.equal(held.length, 1);
    held[0]?.end("done");
    assert.equal(await (await first).text(), "done");
  });

  it("refuses with a reason when its queue is full", async (t) => {
    const held: http.ServerResponse[] = [];
    const url = await answering(t, (_request, response) => held.push(response));
    const one = made(t, url, { limit: { kind: "fixed", max: 1 }, queue: { max: 1 } });
    const first = one.fetch(url);
    const second = one.fetch(url);
    const third = await causeOf(one.fetch(url));
    assert.ok(third instanceof Overloaded && third.reason === "queue-full", String(third));
    await waitUntil("the first to arrive", () => held.length === 1);
    held[0]?.end();
    await (await first).text();
    await waitUntil("the second to arrive", () => held.length === 2);
    held[1]?.end();
    await (await second).text();
  });

  it("sends the time that is left, and ends with the deadline around it", async (t) => {
    const told: (string | undefined)[] = [];
    const url = await answering(t, (request) => {
      told.push(request.headers["x-request-deadline-ms"]?.toString());
    });
    const one = made(t, url);
    // on a busy machine the time may be over before it is sent
    for (let leftMs = 60; told.length === 0 && leftMs < 60_000; leftMs *= 10) {
      const cause = await causeOf(deadline.run(leftMs, () => one.fetch(url)));
      assert.ok(cause instanceof DeadlineExceeded, String(cause));
      const [said = leftMs / 2] = told;
      assert.ok(Number(said) > 0 && Number(said) < leftMs, String(said));
    }
    assert.ok(told.length > 0, "it was sent at last");
  });

  it("a time that is over speaks against the origin, a caller that leaves does not", async (t) => {
    const url = await answering(t, () => undefined);
    const options: PoolOptions = { totalMs: 20, eject: { failures: 3 }, retry: false };
    const one = made(t, url, { ...options, limit: { kind: "gradient", initial: 16 } });
    const patient = made(t, url, { ...options, totalMs: 0 });
    for (let count = 0; count < 3; count += 1) {
      assert.ok((await causeOf(one.fetch(url))) instanceof DeadlineExceeded);
      const controller = new AbortController();
      const left = causeOf(patient.fetch(url, { signal: controller.signal }));
      const isSent = (): boolean => inFlight().some(({ state }) => state === "sent");
      await waitUntil("it to be sent", isSent);
      controller.abort();
      await left;
    }
    assert.ok((one.stats().origins[0]?.gate.limit ?? 16) < 16);
    assert.equal(isEjected(one), true);
    assert.equal(isEjected(patient), false);
    await one.destroy();
  });

  it("is what undici takes for a dispatcher", async (t) => {
    const url = await answering(t, (request, response) => response.end(request.headers["x-y"]));
    const one = made(t, url);
    const plain = await undici.request(url, { dispatcher: one, headers: { "x-y": "request" } });
    assert.equal(await plain.body.text(), "request");
    const adding: undici.Dispatcher.DispatcherComposeInterceptor =
      (dispatch) =>
      (options, handler): boolean =>
        dispatch({ ...options, headers: { "x-y": "composed" } }, handler);
    const composed = one.compose(adding);
    const response = await composed.request({ origin: url, path: "/", method: "GET" });
    assert.equal(await response.body.text(), "composed");
    const former = undici.getGlobalDispatcher();
    undici.setGlobalDispatcher(one);
    try {
      assert.equal(await (await undici.fetch(url, { headers: { "x-y": "u" } })).text(), "u");
      assert.equal(await (await fetch(url, { headers: { "x-y": "Node's" } })).text(), "Node's");
    } finally {
      undici.setGlobalDispatcher(former);
    }
    assert.equal(one.stats().origins[0]?.gate.admitted, 4);
    await new Promise<void>((resolve) => composed.close(resolve));
    assert.throws(() => one.dispatch({ origin: url, path: "/", method: "GET" }, {}), /is "closed"/);
  });

  it("uses no connection for longer than it may", async (t) => {
    const connections = new Set<unknown>();
    const url = await answering(t, (request, response) => {
      connections.add(request.socket);
      response.end();
    });
    const old = made(t, url);
    const fresh = made(t, url, { connectionAgeMs: 10 });
    for (const one of [old, fresh]) {
      connections.clear();
      for (let count = 0; count < 3; count += 1) {
        await (await one.fetch(url)).text();
        await delay(15);
      }
      assert.equal(connections.size, one === old ? 1 : 3);
    }
  });

  it("tries again what may be repeated, within its budget, and nothing else", async (t) => {
    let asked = 0;
    const url = await serve(
      t,
      net.createServer((socket) => {
        socket.once("data", () => {
          asked += 1;
          socket.destroy();
        });
      }),
    );
    const one = made(t, url, { retry: { max: 2, ratio: 0, perSecond: 0.001 }, eject: false });
    const other = made(t, url, { retry: { max: 2, perSecond: 100 }, eject: false });
    const { opened } = account("http.retry").totals();
    await causeOf(other.fetch(url));
    assert.equal(asked, 3);
    assert.equal(account("http.retry").totals().opened, opened + 2);
    await causeOf(other.fetch(url, { method: "POST", body: "x" }));
    assert.equal(asked, 4, "a POST is not repeated");
    await causeOf(one.fetch(url));
    assert.equal(asked, 5, "there is no budget");
  });

  it("goes elsewhere with what one instance cannot do, and leaves that one out", async (t) => {
    let bad = 0;
    const failing = await answering(t, (_request, response) => {
      bad += 1;
      response.writeHead(503).end("no");
    });
    const well = await answering(t, (_request, response) => response.end("yes"));
    const both = made(t, [failing, well], {
      retry: { max: 1, ratio: 1, perSecond: 1000 },
      eject: { failures: 3, baseMs: 60_000 },
    });
    for (let count = 0; count < 40; count += 1) {
      assert.equal(await (await both.fetch("http://service/")).text(), "yes");
    }
    assert.equal(bad, 3);
    const left = both.stats().origins.filter(({ isEjected }) => isEjected);
    assert.deepEqual(
      left.map(({ origin }) => origin),
      [failing],
    );
    await both.destroy();
  });

  it("asks one that was left out again, one request at a time", async (t) => {
    let isWell = false;
    const url = await answering(t, (_request, response) => {
      response.writeHead(isWell ? 200 : 500).end();
    });
    const one = made(t, url, { eject: { failures: 2, baseMs: 20 }, retry: false });
    for (let count = 0; count < 2; count += 1) await (await one.fetch(url)).text();
    assert.equal(one.stats().origins[0]?.isEjected, true);
    isWell = true;
    assert.deepEqual(
      inFlight().map(({ kind, name }) => [kind, name]),
      [["ejected", url]],
    );
    await (await one.fetch(url)).text(); // the only one there is
    assert.equal(one.stats().origins[0]?.isEjected, false);
    assert.equal(one.stats().origins[0]?.ejected, 1);
  });

  it("gives one that is back a part of the requests, which grows", async (t) => {
    const asked = [0, 0];
    let isWell = false;
    const urls = await Promise.all(
      [0, 1].map((index) =>
        answering(t, (_request, response) => {
          asked[index] = (asked[index] ?? 0) + 1;
          response.writeHead(index === 1 || isWell ? 200 : 500).end();
        }),
      ),
    );
    const eject = { failures: 2, baseMs: 20, reentryMs: 3_600_000 };
    const both = made(t, urls, { eject, retry: false });
    const ask = async (): Promise<string> => (await both.fetch("http://service/")).text();
    const isOut = (): boolean => both.stats().origins.some(({ isEjected }) => isEjected);
    while (!isOut()) await ask();
    isWell = true;
    while (isOut()) await ask();
    let state = 1; // chance that is the same in each run (Lehmer's generator)
    t.mock.method(Math, "random", () => (state = (state * 16_807) % 2_147_483_647) / 2_147_483_647);
    asked.fill(0);
    for (let request = 0; request < 400; request += 1) await ask();
    const [part = 0] = asked;
    assert.ok(part > 0 && part < 80, `${part} of 400`);
  });

  it("chooses the one with least to do", async (t) => {
    const held: http.ServerResponse[] = [];
    const urls = await Promise.all(
      Array.from({ length: 4 }, () =>
        answering(t, (_request, response) => {
          held.push(response);
          if (held.length > 8) response.end();
        }),
      ),
    );
    const four = made(t, urls);
    const all = Array.from({ length: 8 }, async () => (await four.fetch("http://service/")).text());
    await waitUntil("all to arrive", () => held.length === 8);
    assert.deepEqual(
      four.stats().origins.map(({ pending }) => pending),
      [2, 2, 2, 2],
    );
    held.forEach((response) => response.end());
    await Promise.all(all);
  });

  it("asks twice when the first takes long, and aborts the one that is not needed", async (t) => {
    let arrived = 0;
    let aborted = 0;
    const slow = await answering(t, (_request, response) => {
      arrived += 1;
      response.once("close", () => (aborted += 1));
    });
    const fast = await answering(t, (_request, response) => response.end("fast"));
    const both = made(t, [slow, fast], { hedge: { afterMs: 20, perSecond: 100 }, retry: false });
    for (let count = 0; count < 8; count += 1) {
      assert.equal(await (await both.fetch("http://service/")).text(), "fast");
    }
    const sent = both.stats().origins.find(({ origin }) => origin === slow)?.gate.admitted ?? 0;
    assert.ok(sent > 0, "some were asked of the slow one first");
    // one may be aborted before it has left
    const isOver = (): boolean => aborted === arrived && inFlight().length === 0;
    await waitUntil("what is not needed to be aborted", isOver);
    assert.ok(arrived <= sent);
  });

  it("asks twice after the time in which nearly all were answered", async (t) => {
    let isSlow = false;
    const held: http.ServerResponse[] = [];
    const url = await answering(t, (_request, response) => {
      if (isSlow) held.push(response);
      else response.end("fast");
    });
    const one = made(t, url, { hedge: { perSecond: 100 }, retry: false });
    for (let count = 0; count < 40; count += 1) await (await one.fetch(url)).text();
    const { ok } = account("http.hedge").totals().outcomes;
    isSlow = true;
    const asking = one.fetch(url);
    await waitUntil("both to arrive", () => held.length === 2);
    held[1]?.end("the second");
    assert.equal(await (await asking).text(), "the second");
    assert.equal(account("http.hedge").totals().outcomes.ok, ok + 1);
    await waitUntil("the first to be aborted", () => inFlight().length === 0);
  });

  it("leaves out one that fails most of the time; only a probe brings it back", async (t) => {
    let count = 0;
    const url = await answering(t, (_request, response) => {
      count += 1;
      response.writeHead(count % 4 === 0 ? 200 : 500).end();
    });
    const one = made(t, url, { eject: { failures: 50, baseMs: 60_000 }, retry: false });
    for (let asked = 0; asked < 80 && !isEjected(one); asked += 1)
      await (await one.fetch(url)).text();
    assert.equal(isEjected(one), true);
    await one.destroy();
    const held: http.ServerResponse[] = [];
    const many = await answering(t, (_request, response) => held.push(response));
    const other = made(t, many, { eject: { failures: 3, baseMs: 1 }, retry: false });
    const all = Array.from({ length: 8 }, async () => (await other.fetch(many)).text());
    await waitUntil("all to arrive", () => held.length === 8);
    held.slice(0, 7).forEach((response) => response.writeHead(500).end());
    await waitUntil("it to be left out", () => isEjected(other));
    held[7]?.end(); // was sent before
    await Promise.all(all);
    assert.equal(isEjected(other), true, "only a probe brings it back");
    const probe = other.fetch(many);
    await waitUntil("the probe to arrive", () => held.length === 9);
    held[8]?.end();
    await (await probe).text();
    assert.equal(isEjected(other), false);
  });

  it("what waits for an instance that leaves the list is still sent", async (t) => {
    const held: http.ServerResponse[] = [];
    const old = await answering(t, (_request, response) => held.push(response));
    const fresh = await answering(t, (_request, response) => response.end("fresh"));
    let tell: (origins: readonly string[]) => void = () => undefined;
    const source = {
      subscribe: (listener: typeof tell) => {
        tell = listener;
        listener([old]);
        return () => undefined;
      },
    };
    const service = pool(source, { limit: { kind: "fixed", max: 1 } });
    t.after(() => service.destroy());
    const texts = Array.from({ length: 3 }, async () => (await service.fetch("http://x/")).text());
    await waitUntil("the first to arrive", () => held.length === 1);
    tell([fresh]);
    assert.equal(await (await service.fetch("http://x/")).text(), "fresh");
    for (let count = 0; count < 3; count += 1) {
      await waitUntil("the next to arrive", () => held.length > count);
      held[count]?.end("old");
    }
    assert.deepEqual(await Promise.all(texts), ["old", "old", "old"]);
  });

  it("follows a list of instances that changes", async (t) => {
    const [one, two] = await Promise.all([
      answering(t, (_request, response) => response.end("one")),
      answering(t, (_request, response) => response.end("two")),
    ]);
    let tell: (origins: readonly string[]) => void = () => undefined;
    const source = {
      subscribe: (listener: typeof tell) => {
        tell = listener;
        listener([one]);
        return () => undefined;
      },
    };
    const service = pool(source);
    t.after(() => service.destroy());
    assert.equal(await (await service.fetch("http://service/")).text(), "one");
    tell([two]);
    assert.equal(await (await service.fetch("http://service/")).text(), "two");
    assert.equal(service.stats().origins.length, 1);
    tell([]);
    assert.match(String(await causeOf(service.fetch("http://service/"))), /list is empty/);
  });

  it("without a list goes where a request says", async (t) => {
    const [one, two] = await Promise.all([
      answering(t, (_request, response) => response.end("one")),
      answering(t, (_request, response) => response.end("two")),
    ]);
    const any = made(t, null);
    assert.equal(await (await any.fetch(one)).text(), "one");
    assert.equal(await (await any.fetch(two)).text(), "two");
    assert.equal(any.stats().origins.length, 2);
  });
});

describe("a pool and an upstream that", () => {
  afterEach(accountsAreEmpty);

  it("accepts and never answers", async (t) => {
    const url = await saying(t, () => undefined);
    const cause = await causeOf(made(t, url, { headMs: 30, retry: false }).fetch(url));
    assert.ok(cause instanceof UpstreamTimeout, String(cause));
    assert.match(cause.message, /its head within 30 ms/);
  });

  it("answers half", async (t) => {
    const url = await saying(t, (socket) => {
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    });
    const cause = await causeOf(made(t, url, { bodyMs: 30, retry: false }).fetch(url));
    assert.ok(cause instanceof UpstreamTimeout, String(cause));
  });

  it("closes in the middle", async (t) => {
    const url = await saying(t, (socket) => {
      socket.end("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    });
    assert.ok((await causeOf(made(t, url).fetch(url))) instanceof Error);
  });

  it("sends more than it said", async (t) => {
    const url = await saying(t, (socket) => {
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfour and more");
    });
    const one = made(t, url);
    const text = await (await one.fetch(url)).text().catch((error: unknown) => String(error));
    assert.ok(text === "four" || text.includes("Error"), text);
  });

  it("does any of this at random: each request ends, and nothing is left", async (t) => {
    const seed = Date.now() % 2_147_483_646;
    t.diagnostic(`seed ${seed}`);
    let state = seed + 1; // Lehmer's generator
    const deeds: readonly ((socket: net.Socket) => void)[] = [
      () => undefined,
      (socket) => socket.destroy(),
      (socket) => socket.resetAndDestroy(),
      (socket) => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"),
      (socket) => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"),
      (socket) => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
      (socket) => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok, and more"),
      (socket) => socket.write("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"),
      (socket) => socket.write("no HTTP at all\r\n\r\n"),
    ];
    const any = (socket: net.Socket): void => {
      state = (state * 16_807) % 2_147_483_647;
      deeds[state % deeds.length]?.(socket);
    };
    const urls = await Promise.all([0, 1, 2].map(() => saying(t, any)));
    const three = made(t, urls, {
      limit: { kind: "gradient", initial: 5 },
      totalMs: 150,
      headMs: 50,
      bodyMs: 50,
      retry: { max: 2, ratio: 1, perSecond: 1000 },
      hedge: { afterMs: 10, ratio: 1, perSecond: 1000 },
      eject: { failures: 2, baseMs: 10 },
    });
    const ask = async (): Promise<string> => (await three.fetch("http://any/")).text();
    const results = await Promise.allSettled(Array.from({ length: 100 }, ask));
    assert.equal(results.length, 100);
    await waitUntil("nothing to be pending", () =>
      three.stats().origins.every(({ gate, pending }) => gate.inFlight + pending === 0),
    );
    await three.destroy();
  });

  it("is not there", async (t) => {
    const url = await saying(t, () => undefined);
    const gone = url.replace(/:\d+$/, ":1");
    assert.ok(
      (await causeOf(made(t, null, { retry: false }).fetch(gone.replace(":1", ":9")))) instanceof
        Error,
    );
  });
});

describe("options of a pool", () => {
  afterEach(accountsAreEmpty);

  const wrong: readonly [string, () => unknown][] = [
    ["origins", () => pool([])],
    ["origins", () => pool("ftp://x")],
    ["origins", () => pool("http://x/orders")],
    ["origins", () => pool(undefined as never)], // what JavaScript does not hinder
    ["headMs", () => pool("http://x", { headMs: Number.NaN })],
    ["totalMs", () => pool("http://x", { totalMs: -1 })],
    ["limit.max", () => pool("http://x", { limit: { kind: "fixed", max: 0 } })],
    ["retry.max", () => pool("http://x", { retry: { max: -1 } })],
    ["hedge.afterMs", () => pool("http://x", { hedge: { afterMs: Number.NaN } })],
    ["hedge.ratio", () => pool("http://x", { hedge: { ratio: -1 } })],
    ["connectionAgeMs", () => pool("http://x", { connectionAgeMs: -1 })],
    ["eject.failures", () => pool("http://x", { eject: { failures: 0 } })],
    ["eject.reentryMs", () => pool("http://x", { eject: { reentryMs: Number.NaN } })],
  ];
  for (const [name, make] of wrong) {
    it(`${name}: says what is wrong in ${String(make).slice(6)}`, () => {
      assert.throws(make, (error) => (error as Error).message.includes(`option ${name} is`));
    });
  }
});
