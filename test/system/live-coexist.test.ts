/** The agent beside other debuggers: it looks while they hold the worker, and lets nothing go. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, it } from "node:test";
import { Debugger } from "./support/debugger.ts";
import { get } from "./support/load.ts";
import { CLI, app, nodeBinary } from "./support/paths.ts";
import { cleanEnvironment } from "./support/run.ts";
import { makeRuntimeDir, startService } from "./support/service.ts";
import type { Owner, Service } from "./support/service.ts";
import { waitFor } from "./support/wait.ts";

async function attached(t: Owner, service: Service): Promise<Debugger> {
  const child = spawn(nodeBinary(), [CLI, "debug", "--name", service.name, "--json"], {
    env: cleanEnvironment({ HOLDFAST_RUNTIME_DIR: service.runtimeDir }),
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.after(async () => {
    child.kill("SIGINT");
    await new Promise((resolve) => child.once("close", resolve));
  });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => (output += chunk));
  await waitFor("the bridge listens", () => output.includes("\n"));
  return Debugger.open((JSON.parse(output) as { webSocketUrl: string }).webSocketUrl);
}

async function textOf(service: Service, ...args: string[]): Promise<string> {
  const { stdout, stderr } = await service.control("stacks", ...args);
  return `${String(stdout)}${String(stderr)}`;
}

describe("a debugger that holds the worker", () => {
  for (const node of [22, 24, 26] as const) {
    it(`is seen, and not let go by stacks and profiles, Node ${node}`, async (t) => {
      const entry = app("live/stall-shapes.cjs");
      const service = await startService(t, { entry, workers: 1, node });
      const target = await service.target();
      const tool = await attached(t, service);
      await tool.post("Debugger.enable");
      await tool.post("Debugger.pause");
      let isAnswered = false;
      const waiting = get(target, "/").finally(() => (isAnswered = true));
      await tool.event("Debugger.paused");
      for (let look = 0; look < 2; look += 1) {
        assert.match(await textOf(service, "0"), /worker 0 \(pid \d+\): held by a debugger/);
      }
      const still = await tool.post("Runtime.evaluate", { expression: "1" });
      assert.equal(still.result?.result?.value, 1);
      assert.equal(isAnswered, false, "it is held until its debugger lets it go");
      await tool.post("Debugger.resume");
      assert.equal((await waiting).status, 200);
      tool.close();
    });

    it(`and so is one of the application's own, Node ${node}`, async (t) => {
      const entry = app("live/inspected.cjs");
      const flags = ["--json", "--stall-warn", "300ms"];
      const service = await startService(t, { entry, flags, workers: 1, node });
      const target = await service.target();
      const stopped = get(target, "/stops");
      const record = /makes no progress.*a debugger of somebody else's holds it/;
      await waitFor("the stall is logged", () => record.test(service.stderr));
      const { stoodMs } = JSON.parse((await stopped).text) as { stoodMs: number };
      assert.ok(stoodMs >= 890, `${stoodMs} ms: it was let go too early`);
      const { pauses } = JSON.parse((await get(target, "/pauses")).text) as { pauses: number };
      assert.equal(pauses, 1);
      assert.match(await textOf(service, "0"), /worker 0 \(pid \d+\): idle/);
    });
  }
});

describe("a debugger of the application's that ends every pause", () => {
  it("costs no evidence and no rescue, and is what a patch is refused for", async (t) => {
    const folder = makeRuntimeDir();
    t.after(() => rmSync(folder, { recursive: true }));
    const text = readFileSync(app("live/ends-pauses.cjs"), "utf8");
    const entry = path.join(folder, "app.cjs");
    writeFileSync(entry, text);
    const stall = ["--stall-warn", "300ms", "--stall-limit", "800ms", "--stall-rescue"];
    const flags = ["--json", ...stall];
    const service = await startService(t, { entry, flags, workers: 1 });
    const [pid] = await service.workerPids();
    const target = await service.target();
    const from = service.stderr.length; // on a busy machine its start was a stall too
    const spun = get(target, "/spins");
    const logged = (): string | undefined => {
      return /^.*makes no progress.*$/m.exec(service.stderr.slice(from))?.[0];
    };
    const line = await waitFor("the stall is logged", logged, undefined, () => service.describe());
    const record = JSON.parse(line) as Record<string, string>; // what is tested
    assert.equal(record["state"], "running");
    assert.match(record["stack"] ?? "", /spins \(/);
    const { status, text: code } = await spun;
    assert.equal(`${status} ${code}`, "500 ERR_HOLDFAST_STALLED", service.describe());
    const { text: other } = await get(target, "/linked");
    assert.equal(other, "ERR_HOLDFAST_STALLED", service.describe());
    assert.deepEqual(await service.workerPids(), [pid], "the same worker");
    const { ended } = JSON.parse((await get(target, "/")).text) as { ended: number };
    assert.ok(ended > 0, "it has had its say");
    writeFileSync(entry, text.replace("passes += 1", "passes += 2"));
    const { stdout, stderr } = await service.control("patch", "--all", entry);
    assert.match(`${String(stdout)}${String(stderr)}`, /another debugger in the process/);
  });
});
