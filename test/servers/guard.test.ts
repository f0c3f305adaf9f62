/** `guard()` in front of the clients of a real Redis and a real PostgreSQL. */
import assert from "node:assert/strict";
import path from "node:path";
import { describe, it } from "node:test";
import { Redis } from "ioredis";
import pg from "pg";
import { Overloaded, account, gateOf, guard } from "../../src/flow/mod.ts";
import { waitFor } from "../system/support/wait.ts";
import { startPostgres, startRedis } from "./support.ts";

const operations = account("op");

function refusals(results: readonly PromiseSettledResult<unknown>[]): number {
  const failed = results.filter((each) => each.status === "rejected");
  for (const { reason } of failed) assert.ok(reason instanceof Overloaded, String(reason));
  return failed.length;
}

describe("guard() of ioredis", () => {
  it("bounds what a Redis that stands still has not answered, and keeps the order", async (t) => {
    const server = await startRedis({ after: (hook) => t.after(hook) });
    const client = new Redis({ path: server.socket });
    t.after(() => client.disconnect());
    const redis = guard(client, {
      limit: 50,
      queue: { max: 150, targetMs: 60_000, maxWaitMs: 60_000 },
    });
    assert.equal(await redis.set("counter", "0"), "OK");
    process.kill(server.pid, "SIGSTOP");
    const asked = Promise.allSettled(Array.from({ length: 1000 }, () => redis.incr("counter")));
    await waitFor("800 refusals", () => operations.totals().outcomes.refused === 800);
    assert.equal(operations.inFlight, 200);
    assert.equal(gateOf(redis)?.inFlight, 50);
    process.kill(server.pid, "SIGCONT");
    const results = await asked;
    assert.equal(refusals(results), 800);
    const counted = results.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
    assert.deepEqual(
      counted,
      Array.from({ length: 200 }, (_, index) => index + 1),
    );
    assert.equal(operations.inFlight, 0);
  });

  it("counts a pipeline as one operation", async (t) => {
    const server = await startRedis({ after: (hook) => t.after(hook) });
    const client = new Redis({ path: server.socket });
    t.after(() => client.disconnect());
    const redis = guard(client, { limit: 1, queue: { max: 0 } });
    await redis.ping();
    process.kill(server.pid, "SIGSTOP");
    const first = redis.pipeline().set("a", "1").get("a").exec();
    await assert.rejects(redis.multi().get("a").exec(), Overloaded);
    await assert.rejects(redis.get("a"), Overloaded);
    process.kill(server.pid, "SIGCONT");
    assert.deepEqual(await first, [
      [null, "OK"],
      [null, "1"],
    ]);
    assert.equal(operations.inFlight, 0);
  });
});

describe("guard() of pg", () => {
  it("bounds queries of a busy PostgreSQL, and passes on what goes wrong", async (t) => {
    const server = await startPostgres({ after: (hook) => t.after(hook) });
    const options = { host: path.dirname(server.socket), user: "postgres", max: 20 };
    const pool = new pg.Pool(options);
    pool.on("error", () => undefined); // connections that the server ends while they are idle
    t.after(() => pool.end());
    await waitFor("its start", async () => (await pool.query("SELECT 1")).rowCount === 1);
    const db = guard(pool, { limit: 5, queue: { max: 20, targetMs: 60_000, maxWaitMs: 60_000 } });
    const sleeping = "SELECT pg_sleep(0.3), count(*) AS busy FROM pg_stat_activity";
    const where = " WHERE state = 'active' AND query LIKE 'SELECT pg_sleep%'";
    const ask = (): Promise<pg.QueryResult<{ busy: string }>> => db.query(sleeping + where);
    const results = await Promise.allSettled(Array.from({ length: 60 }, ask));
    assert.equal(refusals(results), 35);
    for (const each of results) {
      if (each.status !== "fulfilled") continue;
      assert.ok(Number(each.value.rows[0]?.busy) <= 5, JSON.stringify(each.value.rows));
    }
    await assert.rejects(db.query("SELECT no_such_column"), /no_such_column/);
    const end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE ";
    const long = db.query("SELECT pg_sleep(60)");
    await Promise.all([
      assert.rejects(long, /terminat/),
      waitFor("its end", async () => {
        const { rowCount } = await db.query(`${end} 'SELECT pg_sleep(60)%'`);
        return rowCount === 1;
      }),
    ]);
    const client = await db.connect();
    assert.equal((await client.query<{ x: number }>("SELECT 42 AS x")).rows[0]?.x, 42);
    client.release();
    assert.equal(operations.inFlight, 0);
    assert.equal(gateOf(db)?.inFlight, 0);
  });
});
