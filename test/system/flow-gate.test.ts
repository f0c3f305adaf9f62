/** Overload of unmodified applications, and the work in flight as it is seen from outside. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { WorkView } from "../../src/ledger/mod.ts";
import type { WorkItem, WorkReport } from "../../src/supervision/mod.ts";
import { get } from "./support/load.ts";
import { app } from "./support/paths.ts";

import { RawConnection } from "./support/raw-client.ts";
import type { Response } from "./support/raw-client.ts";
import { startService } from "./support/service.ts";
import type { Service, Target } from "./support/service.ts";
import { controlRequest } from "./support/status.ts";
import { waitFor } from "./support/wait.ts";

const entry = app("flow/work.cjs");

async function report(service: Service): Promise<WorkReport> {
  const { body } = await controlRequest(service.socketPath, "GET", "/v1/work");
  return JSON.parse(body) as WorkReport; // what is tested
}

/** One request with headers of its own. */
async function ask(
  target: Target,
  path: string,
  headers: Record<string, string>,
): Promise<Response> {
  const connection = await RawConnection.open(target);
  try {
    return await connection.request("GET", path, { headers });
  } finally {
    connection.close();
  }
}

/**
 * One request on each of `count` connections, all at once. What waits on a connection that was used
 * before is not parsed yet.
 */
async function together(target: Target, count: number, path: string): Promise<Response[]> {
  const all = await Promise.all(Array.from({ length: count }, () => RawConnection.open(target)));
  try {
    for (const each of all) await each.request("GET", "/healthz");
    return await Promise.all(all.map((each) => each.request("GET", path)));
  } finally {
    for (const each of all) each.close();
  }
}

async function counts(target: Target): Promise<{ entered: number; aborted: number }> {
  const { body } = await get(target, "/counts");
  return JSON.parse(body.toString()) as { entered: number; aborted: number }; // the application's
}

describe("run --gate", () => {
  it("refuses what waits for too long, unseen by the application; health passes", async (t) => {
    const service = await startService(t, { entry, workers: 1, flags: ["--gate", "2"] });
    const target = await service.target();
    const slow = together(target, 12, "/wait?ms=1500");
    await waitFor("the queue", async () => {
      const [gate] = (await report(service)).workers.flatMap(({ gates }) => gates);
      return gate?.inFlight === 2 && gate.queued === 10;
    });
    assert.equal((await get(target, "/healthz")).status, 200);
    const responses = await slow;
    const refused = responses.filter(({ status }) => status === 503);
    assert.equal(responses.filter(({ status }) => status === 200).length, 2);
    assert.equal(refused.length, 10);
    for (const { headers, body } of refused) {
      assert.match(headers["retry-after"] ?? "", /^[1-9]\d*$/);
      assert.match(body.toString(), /^Too much to do \(wait\)/);
    }
    assert.equal((await counts(target)).entered, 2);
    const page = (await service.control("work")).stdout.toString();
    assert.match(page, /^http\.in +0 +2 +0 +0 +\d+ +10 wait$/m);
  });

  it("what waits as bytes when its worker dies is replayed in the next", async (t) => {
    // room for all that waits in the next worker: there they are older than a gate lets them wait
    const service = await startService(t, { entry, workers: 1, flags: ["--gate", "3"] });
    const target = await service.target();
    const opened = [1, 2, 3, 4, 5, 6].map(() => RawConnection.open(target));
    const [a, b, c, ...posts] = await Promise.all(opened);
    const waiting = [a, b, c] as RawConnection[]; // of six
    t.after(() => [...waiting, ...posts].forEach((each) => each.close()));
    for (const each of waiting) await each.request("GET", "/healthz");
    // sooner than any queue is a standing one
    const fatal = posts.map((each) => each.request("POST", "/die?ms=60"));
    await delay(10);
    const responses = await Promise.all(waiting.map((each) => each.request("GET", "/counts")));
    assert.deepEqual(
      responses.map(({ status }) => status),
      [200, 200, 200],
    );
    for (const each of fatal) assert.equal((await each).status, 503, "a POST is not repeated");
    const { replayed = -1, moved = -1 } = (await service.status()).totals;
    t.diagnostic(`${replayed} replayed, ${moved} moved`);
    assert.equal(replayed + moved, 3);
  });

  it("auto: an overloaded loop answers the newest in time and refuses the rest", async (t) => {
    const service = await startService(t, { entry, workers: 1, flags: ["--gate", "auto"] });
    const target = await service.target();
    const statuses: number[] = [];
    for (let round = 0; round < 3; round += 1) {
      const responses = await together(target, 150, "/block?ms=10");
      statuses.push(...responses.map(({ status }) => status));
    }
    const served = statuses.filter((status) => status === 200).length;
    assert.ok(served > 10, `${served} served`);
    assert.ok(served < statuses.length, "none was refused");
    assert.deepEqual(
      [...new Set(statuses)].toSorted((a, b) => a - b),
      [200, 503],
    );
    assert.equal((await counts(target)).entered, served);
  });

  it("observe, the default: refuses nothing, and counts what it would have refused", async (t) => {
    const service = await startService(t, { entry, workers: 1 });
    const target = await service.target();
    for (let round = 0; round < 3; round += 1) {
      const responses = await together(target, 150, "/block?ms=8");
      assert.ok(responses.every(({ status }) => status === 200));
    }
    await waitFor("the gate's row", async () => {
      const [gate] = (await report(service)).workers.flatMap(({ gates }) => gates);
      return gate !== undefined && gate.observes && gate.admitted >= 450;
    });
  });

  for (const node of [22, 26] as const) {
    it(`a limit on Node ${node}`, async (t) => {
      const service = await startService(t, { entry, workers: 1, flags: ["--gate", "1"], node });
      const responses = await together(await service.target(), 4, "/wait?ms=1300");
      const statuses = responses.map(({ status }) => status);
      assert.deepEqual(
        statuses.toSorted((a, b) => a - b),
        [200, 503, 503, 503],
      );
    });
  }

  it("a deadline travels to what the request waits for, and on to others", async (t) => {
    const service = await startService(t, { entry, workers: 1, flags: ["--gate", "100"] });
    const target = await service.target();
    const { body } = await ask(target, "/deadline", { "X-Request-Deadline-Ms": "30000" });
    const told = JSON.parse(body.toString()) as { leftMs: number; byFetch: string; byHttp: string };
    assert.ok(told.leftMs > 0 && told.leftMs <= 30_000);
    for (const ms of [Number(told.byFetch), Number(told.byHttp)]) {
      assert.ok(ms > 0 && ms < told.leftMs + 1, JSON.stringify(told));
    }
    // who does not say a deadline is told apart all the same, now that somebody has asked
    for (const headers of [{ "X-Request-Deadline-Ms": "30000" }, {}]) {
      const inside = await ask(target, "/inside?x=1", headers);
      const seen = JSON.parse(inside.body.toString()) as { inFlight: readonly WorkView[] };
      const [request, query] = seen.inFlight;
      assert.deepEqual([request?.kind, request?.name], ["http.in", "GET /inside?x=1"]);
      assert.deepEqual([query?.kind, query?.parent], ["sql", request?.work]);
    }
    await ask(target, "/wait?ms=400", { "grpc-timeout": "100m" });
    assert.deepEqual(await counts(target), { entered: 1, aborted: 1 });
    const late = await ask(target, "/wait?ms=1", { "X-Request-Deadline-Ms": "0" });
    assert.equal(late.status, 503);
    assert.equal((await counts(target)).entered, 1);
  });
});

describe("holdfast work", () => {
  for (const gate of ["observe", "100"]) {
    it(`what outlives its request is not the next one's, with --gate ${gate}`, async (t) => {
      const service = await startService(t, { entry, workers: 1, flags: ["--gate", gate] });
      const connection = await RawConnection.open(await service.target());
      await connection.request("GET", "/inside"); // whose work it is, is known from now on
      await connection.request("GET", "/afterwards?ms=60000");
      const waiting = connection.request("GET", "/wait?ms=2000");
      const items = await waitFor("both queries and the request", async () => {
        const { items: found } = await report(service);
        const count = (wanted: string): number =>
          found.filter(({ kind }) => kind === wanted).length;
        return count("sql") === 2 && count("http.in") === 1 && found;
      });
      const request = items.find(({ kind }) => kind === "http.in");
      const parentOf = (name: string) => items.find((each) => each.name === name)?.parent;
      assert.equal(parentOf("orders by customer"), request?.id);
      assert.equal(parentOf("mail"), null, "what has begun it is over");
      await waiting;
      connection.close();
    });
  }

  it("of a worker that died is in the report of its crash", async (t) => {
    const service = await startService(t, { entry, workers: 1 });
    const waiting = get(await service.target(), "/wait?ms=500");
    await waitFor("the query", async () => {
      return (await report(service)).items.some(({ kind }) => kind === "sql");
    });
    for (const { pid } of (await service.status()).workers) process.kill(pid, "SIGKILL");
    const shown = await waitFor("the report", async () => {
      const { code, stdout } = await service.control("crashes", "show");
      return code === 0 ? stdout.toString() : undefined;
    });
    assert.match(shown, /^other work in flight\n  sql orders by customer  \d+m?s old, running$/m);
    assert.equal((await waiting).status, 200);
  });

  it("lists what is in flight while the worker spins, oldest first", async (t) => {
    const flags = ["--stall-limit", "0", "--deadline", "1m"];
    const service = await startService(t, { entry, workers: 2, flags });
    const target = await service.target();
    const waiting: Promise<unknown>[] = [];
    const queries = async (): Promise<readonly WorkItem[]> =>
      (await report(service)).items.filter(({ kind }) => kind === "sql");
    // which worker has room is the reactor's choice
    await waitFor("a query in each worker", async () => {
      waiting.push(get(target, "/wait?ms=4000"));
      return new Set((await queries()).map(({ worker }) => worker)).size === 2;
    });
    const blocking = get(target, "/block?ms=3000");
    await waitFor("the block", async () => {
      const { items } = await report(service);
      return items.some(
        ({ state, name }) => state === "executing" && name.startsWith("GET /block"),
      );
    });
    const { items } = await report(service);
    assert.deepEqual(
      items.map(({ ageMs }) => ageMs),
      items.map(({ ageMs }) => ageMs).toSorted((a, b) => b - a),
    );
    for (const { kind, leftMs } of items) {
      if (kind === "http.in") assert.ok(leftMs !== null && leftMs > 0 && leftMs <= 60_000);
    }
    const page = (await service.control("work", "--kind", "sql", "--limit", "1")).stdout.toString();
    assert.match(page, /^ *[\d.]+m?s +sql +orders by customer < GET \/wait\?ms=4000 +running/m);
    assert.match(page, /^\.\.\. and \d+ more: --limit 0$/m);
    assert.match(page, /^sql +\d+ +[\d.]+m?s +0 +0/m);
    await Promise.all([...waiting, blocking]);
    await waitFor("nothing in flight", async () => (await report(service)).items.length === 0);
    const { workers } = await report(service);
    const done = (name: string): number =>
      workers
        .flatMap(({ kinds }) => kinds.filter(({ kind }) => kind === name))
        .reduce((sum, { outcomes }) => sum + outcomes.ok, 0);
    assert.deepEqual([done("sql"), done("http.in")], [waiting.length, waiting.length + 1]);
    assert.equal((await service.control("work", "--limit", "some")).code, 64);
  });
});
