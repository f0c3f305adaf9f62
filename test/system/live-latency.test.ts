/** How long requests took: counted by route and outcome, shown by `holdfast latency`. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import os from "node:os";
import path from "node:path";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { LatencyReport } from "../../src/supervision/mod.ts";
import { get } from "./support/load.ts";
import { app } from "./support/paths.ts";
import { RawConnection } from "./support/raw-client.ts";
import { startService } from "./support/service.ts";
import type { Service } from "./support/service.ts";
import { controlRequest } from "./support/status.ts";
import { waitFor } from "./support/wait.ts";

const entry = app("live/routes.cjs");

/** A row of `holdfast latency --route --json`. */
interface Row {
  readonly route: string;
  readonly count: number;
  readonly maxUs: number;
  readonly waitedUs: number;
  readonly status: Readonly<Record<string, number>>;
  readonly exemplar: { readonly traceId: string } | null;
}

async function rows(service: Service): Promise<readonly Row[]> {
  const result = await service.control("latency", "--route", "--json");
  assert.equal(result.code, 0, result.stderr.toString());
  return (JSON.parse(result.stdout.toString()) as { rows: Row[] }).rows; // what is tested
}

/** The row of a route, once it is there with so many requests. */
function row(service: Service, route: string, count = 1): Promise<Row> {
  return waitFor(`${count} of ${route}`, async () => {
    return (await rows(service)).find((each) => each.route === route && each.count >= count);
  });
}

describe("latencies", () => {
  it("are counted by route and outcome, of every worker, and outlive it", async (t) => {
    const service = await startService(t, { entry });
    const target = await service.target();
    for (let id = 0; id < 20; id += 1) await get(target, `/items/${id}?x=${id}`);
    await get(target, "/fail");
    assert.deepEqual((await row(service, "GET /items/:id", 20)).status, { "2xx": 20 });
    assert.deepEqual((await row(service, "GET /fail")).status, { "5xx": 1 });
    for (const { pid } of (await service.status()).workers) process.kill(pid, "SIGKILL");
    await service.waitForStatus("both are restarted", ({ totals, state }) => {
      return totals["restarts"] === 2 && state === "running";
    });
    await get(target, "/items/21");
    const after = await row(service, "GET /items/:id", 21);
    assert.deepEqual(after.status, { "2xx": 21 });
    const byWorker = await service.control("latency", "--worker");
    assert.match(byWorker.stdout.toString(), /^gone +21 /m);
    const page = await service.control("latency", "--route=/items");
    assert.match(page.stdout.toString(), /^GET \/items\/:id +21 /m);
    assert.ok(!page.stdout.toString().includes("/fail"));
    const hdr = await service.control("latency", "--hdr");
    assert.match(hdr.stdout.toString(), /^Tag=2xx,0\.000,[\d.]+,[\d.]+,HISTF[\w+/=]+$/m);
    const wrong = await service.control("latency", "--for", "soon");
    assert.equal(wrong.code, 64);
    const none = await service.control("latency", "--for", "50ms");
    assert.match(none.stdout.toString(), /^no request was answered$/m);
  });

  it("are known to a percent, to the last byte, and for clients that leave", async (t) => {
    const service = await startService(t, { entry, workers: 1 });
    const target = await service.target();
    await get(target, "/wait/a?ms=300");
    await get(target, "/stream/a?ms=200");
    await get(target, "/early/a?ms=100");
    const least = async (route: string, ms: number): Promise<void> => {
      const { count, maxUs } = await row(service, route);
      assert.equal(count, 1);
      assert.ok(maxUs >= 990 * ms, `${route} took ${maxUs} us`);
    };
    await least("GET /wait/a", 300);
    await least("GET /stream/a", 200);
    await least("GET /early/a", 100);
    const slow = await RawConnection.open(target);
    slow.socket.pause();
    slow.sendRequest("GET", "/big");
    const report = async (): Promise<LatencyReport> => {
      const { body } = await controlRequest(service.socketPath, "GET", "/v1/latency");
      return JSON.parse(body) as LatencyReport; // our own answer
    };
    await service.waitForStatus("in flight", ({ workers }) => workers[0]?.inFlight === 1);
    const pausedAt = performance.now();
    for (let beats = 0; beats < 3; beats += 1) {
      const lastMs = (await report()).workers[0]?.loopActiveMs;
      await waitFor("a heartbeat", async () => {
        return (await report()).workers[0]?.loopActiveMs !== lastMs;
      });
    }
    const pausedMs = performance.now() - pausedAt;
    slow.socket.resume();
    await slow.readResponse();
    await least("GET /big", pausedMs);
    const leaving = await RawConnection.open(target);
    leaving.sendRequest("GET", "/hang");
    await service.waitForStatus("in flight", ({ workers }) => workers[0]?.inFlight === 1);
    leaving.close();
    assert.deepEqual((await row(service, "GET /hang")).status, { left: 1 });
    slow.close();
  });

  it("have the time that a connection waited to be accepted", async (t) => {
    const service = await startService(t, { entry, workers: 1 });
    const target = await service.target();
    const busy = await Promise.all(Array.from({ length: 4 }, () => RawConnection.open(target)));
    const over = new AbortController();
    // so that the worker knows of no pause of its own
    const loops = busy.map(async (connection) => {
      while (!over.signal.aborted) await connection.request("GET", "/busy");
    });
    const { reactorPid } = await service.status();
    process.kill(reactorPid, "SIGSTOP");
    const late = await RawConnection.open(target);
    late.sendRequest("GET", "/late");
    await sleep(400);
    process.kill(reactorPid, "SIGCONT");
    await late.readResponse();
    const { waitedUs } = await row(service, "GET /late");
    assert.ok(waitedUs >= 300_000, `${waitedUs} us of 400 ms`); // in ticks of up to 10 ms
    over.abort();
    await Promise.all(loops);
    for (const connection of [...busy, late]) connection.close();
  });

  for (const node of [22, 24, 26] as const) {
    it(`have the time that a request lay in the kernel, Node ${node}`, async (t) => {
      const service = await startService(t, { entry, workers: 1, node });
      const target = await service.target();
      const [spinning, waiting] = [
        await RawConnection.open(target),
        await RawConnection.open(target),
      ];
      await waiting.request("GET", "/first");
      spinning.sendRequest("GET", "/spin?ms=1500");
      await service.waitForStatus("it spins", ({ workers }) => {
        return workers[0]?.oldest?.path.startsWith("/spin") === true;
      });
      waiting.sendRequest("GET", "/second");
      const sentAt = performance.now();
      await spinning.readResponse();
      const spunMs = performance.now() - sentAt;
      await waiting.readResponse();
      const { maxUs, waitedUs } = await row(service, "GET /second");
      // the kernel counts in ticks of up to 10 ms, and the clients are on their way
      assert.ok(waitedUs >= 1000 * (spunMs - 100), `${waitedUs} us of ${spunMs} ms`);
      assert.ok(maxUs >= waitedUs);
      const first = await row(service, "GET /first");
      assert.ok(first.waitedUs < 1000 * 1000);
      for (let count = 0; count < 3; count += 1) await waiting.request("GET", "/third");
      assert.ok((await row(service, "GET /third", 3)).waitedUs < 100_000, "the pause is over");
      spinning.close();
      waiting.close();
    });
  }

  it("have the time that requests of one turn of the loop waited for each other", async (t) => {
    const service = await startService(t, { entry, workers: 1 });
    const target = await service.target();
    const clients = Array.from({ length: 40 }, async () => {
      const client = await RawConnection.open(target);
      for (let count = 0; count < 10; count += 1) await client.request("GET", "/spin?ms=3");
      client.close();
    });
    await Promise.all(clients);
    const { count, waitedUs } = await row(service, "GET /spin", 400);
    // each waits for most of the 39 others; no pause between two reads is longer than one of them
    assert.ok(waitedUs / count > 60_000, `${waitedUs / count} us each`);
  });

  it("name a trace that can be looked up", async (t) => {
    const service = await startService(t, { entry, workers: 1 });
    const connection = await RawConnection.open(await service.target());
    const traceId = "0af7651916cd43dd8448eb211c80319c";
    const headers = { traceparent: `00-${traceId}-b7ad6b7169203331-01` };
    await connection.request("GET", "/traced", { headers });
    assert.equal((await row(service, "GET /traced")).exemplar?.traceId, traceId);
    connection.close();
  });

  it("are not to be had in portable mode, which is said", async (t) => {
    const service = await startService(t, { entry, workers: 1, flags: ["--portable"] });
    for (const verb of ["latency", "top"]) {
      const { code, stderr } = await service.control(verb);
      assert.equal(code, 1);
      assert.match(stderr.toString(), /portable mode has no ledger.*ERR_HOLDFAST_REFUSED/);
    }
  });
});

describe("routes", () => {
  it("are the patterns of Express, with where its routers are", async (t) => {
    const service = await startService(t, { entry: app("live/routes-express.cjs") });
    const target = await service.target();
    for (const id of ["1", "two", "3"]) await get(target, `/api/orders/${id}?x`);
    for (const url of ["/api/orders/9/late", "/files/a/b", "/fail"]) await get(target, url);
    for (const url of ["/wp-login.php", "/.env", "/a/b"]) await get(target, url);
    await row(service, "GET (no route)", 3);
    const found = (await rows(service)).map(({ route, count }) => `${route} ${count}`);
    assert.deepEqual(found.toSorted(), [
      "GET (no route) 3",
      "GET /^\\/files\\/.*/ 1",
      "GET /api/orders/:id 3",
      "GET /api/orders/:id/late 1",
      "GET /fail 1",
    ]);
  });

  for (const name of ["koa", "hono"]) {
    it(`are those that an application says: ${name}`, async (t) => {
      const service = await startService(t, { entry: app(`live/routes-${name}.mjs`), workers: 1 });
      const target = await service.target();
      for (const id of ["pen", "ink", "two-words"]) await get(target, `/api/orders/${id}`);
      await get(target, "/nowhere");
      const found = await row(service, "GET /api/orders/:order", 3);
      assert.equal(found.count, 3);
      assert.ok(!(await rows(service)).some(({ route }) => route.includes("pen")));
    });
  }

  it("are the patterns of Fastify, once it has told them", async (t) => {
    const service = await startService(t, { entry: app("live/routes-fastify.mjs"), workers: 1 });
    const target = await service.target();
    const learned = async (url: string, route: string): Promise<Row> =>
      waitFor(route, async () => {
        await get(target, url);
        return (await rows(service)).find((each) => each.route === route);
      });
    await learned("/shops/north/items/pen", "GET /shops/:shop/items/:item");
    await learned("/shops/north", "GET /shops/:shop");
    const before = await row(service, "GET /shops/:shop/items/:item");
    await get(target, "/shops/south/items/ink");
    await row(service, "GET /shops/:shop/items/:item", before.count + 1);
  });

  it("of https and of unix sockets are counted, those of plain http once", async (t) => {
    const folder = mkdtempSync(path.join(os.tmpdir(), "hf-lat-"));
    t.after(() => rmSync(folder, { recursive: true }));
    const socketPath = path.join(folder, "app.socket");
    const env = { SOCKET: socketPath };
    const options = { entry: app("live/routes-tls.cjs"), workers: 1, env };
    const service = await startService(t, options);
    const status = await service.waitForStatus("three listeners", ({ listeners }) => {
      return listeners.length === 3;
    });
    const ports = status.listeners
      .filter(({ kind }) => kind === "tcp")
      .map(({ address }) => {
        return Number(address.split(":").at(-1));
      });
    const end = (response: http.IncomingMessage): Promise<void> =>
      new Promise((resolve) => response.resume().on("end", () => resolve()));
    const ask = (send: (on: (response: http.IncomingMessage) => void) => http.ClientRequest) =>
      new Promise<void>((resolve, reject) => {
        send((response) => void end(response).then(resolve)).on("error", reject);
      });
    const host = "127.0.0.1";
    const [first = 0, second = 0] = ports;
    const tls = { host, rejectUnauthorized: false, agent: false, path: "/tls/1" };
    const plain = { host, agent: false, path: "/plain/1" };
    const tlsPort = await ask((on) => https.get({ ...tls, port: first }, on)).then(
      () => first,
      () => second,
    );
    const plainPort = tlsPort === first ? second : first;
    if (tlsPort === second) await ask((on) => https.get({ ...tls, port: second }, on));
    await ask((on) => http.get({ ...plain, port: plainPort }, on));
    await ask((on) => http.get({ socketPath, path: "/local/1", agent: false }, on));
    for (const route of ["GET /tls/:id", "GET /plain/:id", "GET /local/:id"]) {
      assert.equal((await row(service, route)).count, 1, route);
    }
  });
});
