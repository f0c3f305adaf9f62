/** `holdfast stacks`: the main thread's stack now, busy or idle; and the agent's own life. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { describe, it } from "node:test";
import type { WorkerStack } from "../../src/supervision/mod.ts";
import { get } from "./support/load.ts";
import { app } from "./support/paths.ts";
import { kill } from "./support/processes.ts";
import { startService } from "./support/service.ts";
import type { Service } from "./support/service.ts";
import { waitFor } from "./support/wait.ts";

const entry = app("live/stall-shapes.cjs");

async function stacks(service: Service, ...args: string[]): Promise<readonly WorkerStack[]> {
  const result = await service.control("stacks", "--json", ...args);
  assert.equal(result.code, 0, result.stderr.toString());
  return JSON.parse(result.stdout.toString()) as readonly WorkerStack[]; // what is tested
}

/** Asks until a worker runs a function. */
function running(service: Service, name: string): Promise<WorkerStack> {
  return waitFor(
    `${name} runs`,
    async () => {
      const all = await stacks(service, "--variables");
      return all.find(({ stack }) => stack?.frames.some((frame) => frame.name === name));
    },
    undefined,
    () => service.describe(),
  );
}

describe("holdfast stacks", () => {
  for (const node of [22, 24, 26] as const) {
    it(`of idle and of busy workers, with those who await, Node ${node}`, async (t) => {
      const flags = ["--stall-limit", "0"];
      const service = await startService(t, { entry, flags, workers: 2, node });
      const idle = await stacks(service);
      assert.deepEqual(
        idle.map(({ worker, stack }) => `${worker} ${stack?.state}`),
        ["0 idle", "1 idle"],
      );
      const enough = path.join(service.runtimeDir, "enough");
      const awaited = get(await service.target(), `/awaiting?ms=60000&until=${enough}`);
      const busy = await running(service, "inner");
      // what it calls of Node's may be above it
      const top = busy.stack?.frames.find(({ file }) => file === entry);
      assert.equal(busy.stack?.state, "running");
      assert.equal(top?.name, "inner");
      assert.deepEqual(top.variables?.[0], ["ms", "60000"]);
      assert.match(busy.stack.requestSeen ?? "", /^GET \/awaiting\?ms=60000&until=/);
      assert.match(busy.stack.awaitedBy[0] ?? "", /^async handler \(/);
      const text = await service.control("stacks", String(busy.worker));
      assert.match(text.stdout.toString(), /^worker \d \(pid \d+\): running.*\n[^]* {2}inner \(/);
      writeFileSync(enough, "");
      assert.equal((await awaited).text, "awaited", "it went on unharmed");
    });
  }

  it("folds what Node and Holdfast do around the application, unless asked for it", async (t) => {
    const flags = ["--stall-limit", "0", "--gate", "auto"];
    const service = await startService(t, { entry, flags, workers: 2 });
    const enough = path.join(service.runtimeDir, "enough");
    const held = get(await service.target(), `/held?until=${enough}`);
    const { worker } = await running(service, "held");
    const text = async (...args: string[]): Promise<string> => {
      return (await service.control("stacks", ...args)).stdout.toString();
    };
    const folded = await text("--all", "--variables");
    assert.equal(folded.match(/^worker \d \(pid \d+\): /gm)?.length, 2, folded);
    assert.match(folded, /^ {2}held \(.*\n(?: .*\n)* {2}\.\.\. \d+ frames of Node and Holdfast$/m);
    assert.doesNotMatch(folded, /\/(?:src|dist)\/worker\/|_http_server/);
    assert.match(folded, /^ {6}req = IncomingMessage GET \/held\?until=/m);
    const whole = await text(String(worker), "--internal");
    assert.match(whole, /\/(?:src|dist)\/worker\/[^]*_http_server/);
    assert.doesNotMatch(whole, /frames of/);
    const both = await service.control("stacks", "--all", "1");
    assert.equal(both.code, 64, both.stderr.toString());
    writeFileSync(enough, "");
    assert.equal((await held).text, "let go");
  });

  it("of no such worker, or of no number, is refused", async (t) => {
    const service = await startService(t, { entry, workers: 1 });
    const none = await service.control("stacks", "7");
    assert.match(none.stderr.toString(), /there is no worker 7; there is 0.*_REFUSED/);
    const wrong = await service.control("stacks", "x");
    assert.equal(wrong.code, 64);
  });
});

describe("the agent", () => {
  it("answers the next reactor", async (t) => {
    const service = await startService(t, { entry, workers: 1 });
    const { reactorPid } = await service.status();
    kill(reactorPid, "SIGKILL");
    await service.waitForStatus("the next reactor", (status) => status.reactorPid !== reactorPid);
    const [worker] = await stacks(service);
    assert.equal(worker?.stack?.state, "idle");
  });
});
