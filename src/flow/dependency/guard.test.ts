import assert from "node:assert/strict";
import net from "node:net";
import type { AddressInfo } from "node:net";
import { afterEach, describe, it } from "node:test";
import type { TestContext } from "node:test";
import { Redis } from "ioredis";
import { waitUntil } from "../../../test/support/wait-until.ts";
import { deadline } from "../deadline.ts";
import { Overloaded } from "../errors.ts";
import { account, inFlight } from "../work.ts";
import { gateOf, guard } from "./guard.ts";

/** In each suite, not in the file: there it would be for every test of the process. */
function accountsAreEmpty(): void {
  const left = inFlight();
  // of thousands a difference would take gigabytes
  assert.equal(left.length, 0, `accounts return to zero: ${JSON.stringify(left.slice(0, 3))}`);
}

/** A server that speaks as much of Redis' protocol as GET needs, and answers when it is told. */
async function redisServer(
  t: TestContext,
): Promise<{ readonly port: number; asked(): number; answer(): void }> {
  const sockets = new Set<net.Socket>();
  let isAnswering = false;
  let asked = 0;
  let waiting: (() => void)[] = [];
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined); // the client is gone
    socket.on("data", (chunk: Buffer) => {
      const text = chunk.toString();
      const gets = text.match(/\r\nget\r\n/gi)?.length ?? 0;
      const others = (text.match(/(?:^|\n)\*\d/g)?.length ?? 0) - gets;
      socket.write("+OK\r\n".repeat(others)); // what a client says when it connects
      for (let count = 0; count < gets; count += 1) {
        asked += 1;
        const answer = (): void => void socket.write("$5\r\nvalue\r\n");
        if (isAnswering) answer();
        else waiting.push(answer);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return {
    port: (server.address() as AddressInfo).port, // it listens on a port
    asked: () => asked,
    answer: () => {
      isAnswering = true;
      for (const each of waiting) each();
      waiting = [];
    },
  };
}

describe("guard", () => {
  afterEach(accountsAreEmpty);

  it("bounds the commands of ioredis that have no answer", async (t) => {
    const server = await redisServer(t);
    const plain = new Redis({ port: server.port, host: "127.0.0.1", enableReadyCheck: false });
    t.after(() => plain.disconnect());
    const redis = guard(plain, { limit: 3, queue: { max: 5 } });
    const all = Array.from({ length: 12 }, () => redis.get("key"));
    const settled = Promise.allSettled(all);
    await waitUntil("three to be asked", () => server.asked() === 3);
    assert.equal(gateOf(redis)?.inFlight, 3);
    assert.equal(gateOf(redis)?.queued, 5);
    assert.equal(inFlight().filter(({ kind }) => kind === "op").length, 8);
    server.answer();
    const results = await settled;
    const values = results.filter(({ status }) => status === "fulfilled");
    assert.equal(values.length, 8);
    for (const each of results) {
      if (each.status === "rejected") assert.ok(each.reason instanceof Overloaded);
      else assert.equal(each.value, "value");
    }
    assert.equal(server.asked(), 8);
    assert.equal(redis.status, "ready", "it is the client in all else");
    assert.ok(redis instanceof Redis);
    assert.equal(account("op").totals().outcomes.refused, 4);
  });

  it("bounds the queries of what looks like pg, in the order in which they came", async () => {
    const started: string[] = [];
    const finish: ((value: string) => void)[] = [];
    class Pool {
      readonly #rows = "rows";

      query(text: string): Promise<string> {
        started.push(text);
        return new Promise((resolve) => finish.push((value) => resolve(value + this.#rows)));
      }

      end(): string {
        return this.#rows;
      }
    }
    const pool = guard(new Pool(), { limit: { kind: "fixed", max: 1 } });
    const results = [pool.query("a"), pool.query("b"), pool.query("c")];
    assert.deepEqual(started, ["a"]);
    for (let count = 0; count < 3; count += 1) {
      await waitUntil("the next one", () => finish.length > count);
      finish[count]?.(`${count} `);
    }
    assert.deepEqual(await Promise.all(results), ["0 rows", "1 rows", "2 rows"]);
    assert.deepEqual(started, ["a", "b", "c"]);
    assert.equal(pool.end(), "rows");
  });

  it("what waits ends with its deadline; what fails is told as it is", async () => {
    const client = {
      hang: () => new Promise<never>(() => undefined),
      fail: () => Promise.reject(new Error("no such table")),
    };
    const one = guard(client, { limit: 1, methods: ["hang", "fail"], name: "db" });
    await assert.rejects(one.fail(), /no such table/);
    const other = guard(client, { limit: 1, methods: ["fail"], name: "db 2" });
    const entered = await gateOf(other)?.enter();
    await assert.rejects(
      deadline.run(10, () => other.fail()),
      (error) => error instanceof Overloaded && error.reason === "expired",
    );
    entered?.release();
  });

  it("says what is wrong in its options", () => {
    assert.throws(() => guard({}, { limit: 1 }), /option methods is/);
    assert.throws(() => guard({}, { limit: 0, methods: [] }), /option limit\.max is 0/);
    assert.throws(() => guard({}, { limit: Number.NaN, methods: [] }), /NaN/);
    // what JavaScript does not hinder
    assert.throws(() => guard({}, undefined as never), /option options is undefined/);
    assert.throws(() => guard(undefined as never, { limit: 1 }), /option client is undefined/);
  });
});
