import assert from "node:assert/strict";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, it } from "node:test";
import type { TestContext } from "node:test";
import { waitUntil } from "../../../test/support/wait-until.ts";
import { deadline } from "../deadline.ts";
import { DeadlineExceeded, Overloaded } from "../errors.ts";
import { account, inFlight } from "../work.ts";
import { cpu } from "./cpu.ts";
import type { CpuOptions, CpuPool } from "./cpu.ts";

interface Input {
  readonly spinMs?: number;
  readonly fails?: boolean;
  readonly value?: unknown;
}

const TASK = new URL("../../../test/apps/flow/task.mjs", import.meta.url);
const FOREVER: Input = { spinMs: 3_600_000 };

function made(t: TestContext, options: CpuOptions = {}): CpuPool<Input, unknown> {
  const pool = cpu<Input>(TASK, options);
  t.after(() => pool.close());
  return pool;
}

/** In each suite, not in the file: there it would be for every test of the process. */
function accountsAreEmpty(): void {
  const left = inFlight();
  // of thousands a difference would take gigabytes
  assert.equal(left.length, 0, `accounts return to zero: ${JSON.stringify(left.slice(0, 3))}`);
}

describe("cpu", () => {
  afterEach(accountsAreEmpty);

  it("runs a task on a thread, and accounts for it", async (t) => {
    const pool = made(t);
    assert.deepEqual(await pool.run({ value: [1, { two: 2 }] }), [1, { two: 2 }]);
    await assert.rejects(pool.run({ fails: true }), /the task failed/);
    const { outcomes } = account("cpu").totals();
    assert.ok(outcomes.ok >= 1 && outcomes.error >= 1);
  });

  it("leaves the event loop to the others", async (t) => {
    const pool = made(t, { threads: 1 });
    const controller = new AbortController();
    const server = http.createServer((request, response) => {
      if (request.url === "/fast") {
        response.end("fast");
        return;
      }
      const spin = pool.run(FOREVER, { signal: controller.signal });
      void spin.catch(() => response.end("aborted"));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    t.after(() => server.close());
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`; // of a port
    const slow = fetch(`${url}/slow`);
    await waitUntil("the task to run", () => pool.stats().inFlight === 1);
    for (let count = 0; count < 20; count += 1) {
      assert.equal(await (await fetch(`${url}/fast`)).text(), "fast");
    }
    assert.equal(pool.stats().inFlight, 1, "it still runs");
    controller.abort();
    assert.equal(await (await slow).text(), "aborted");
  });

  it("ends what runs, and what waits, with its deadline; the thread is free again", async (t) => {
    const pool = made(t, { threads: 1 });
    await pool.run({}); // the thread is there
    const running = deadline.run(50, () => pool.run(FOREVER));
    const waiting = deadline.run(10, () => pool.run({ value: "never" }));
    await assert.rejects(waiting, (error) => {
      assert.ok(error instanceof DeadlineExceeded || error instanceof Overloaded, String(error));
      return true;
    });
    await assert.rejects(running, DeadlineExceeded);
    assert.equal(await pool.run({ value: "again" }), "again");
  });

  it("refuses what its queue has no room for", async (t) => {
    const pool = made(t, { threads: 1, queue: { max: 0 } });
    const controller = new AbortController();
    const running = pool.run(FOREVER, { signal: controller.signal });
    await assert.rejects(pool.run({}), Overloaded);
    controller.abort(new Error("enough"));
    await assert.rejects(running, /enough/);
  });

  it("fails with its file, and neither the process nor the threads do", async (t) => {
    const missing = cpu(new URL("no-such-task.mjs", TASK), { threads: 1 });
    t.after(() => missing.close());
    await assert.rejects(missing.run(1), /Cannot find module .*no-such-task\.mjs/);
    await assert.rejects(missing.run(2), /Cannot find module/, "the thread is there for the next");
  });

  it("says what is wrong in its options", () => {
    assert.throws(() => cpu(undefined as never), /option task is/); // JavaScript does not hinder it
    for (const threads of [0, -1, Number.NaN]) {
      assert.throws(() => cpu(TASK, { threads }), /option threads is/);
    }
  });
});
