/** Workers under Node's permission model: what can be seen of them, and that looking harms none. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { describe, it } from "node:test";
import type { WorkerStack } from "../../src/supervision/mod.ts";
import { get } from "./support/load.ts";
import { app } from "./support/paths.ts";
import type { NodeVersion } from "./support/paths.ts";
import { startService } from "./support/service.ts";
import type { Owner, Service } from "./support/service.ts";
import { DEADLINE_MS, waitFor } from "./support/wait.ts";

const entry = app("live/stall-shapes.cjs");
/** Without these the application itself could not run. */
const NEEDED = ["--permission", "--allow-fs-read=*", "--allow-addons"];

function start(t: Owner, node: NodeVersion, allowed: readonly string[]): Promise<Service> {
  const nodeArgs = [...NEEDED, ...allowed].flatMap((flag) => ["--node-arg", flag]);
  const flags = ["--stall-warn", "300ms", "--stall-limit", "0", ...nodeArgs];
  return startService(t, { entry, flags, workers: 1, node });
}

async function stackOf(service: Service): Promise<WorkerStack> {
  const { stdout, stderr } = await service.control("stacks", "--json");
  // what is tested
  const [worker] = JSON.parse(stdout.toString()) as readonly WorkerStack[];
  assert.ok(worker, stderr.toString());
  return worker;
}

/** Has the worker busy for some seconds, and looks at it: by the log, and by `stacks`. */
async function seenBusy(service: Service): Promise<void> {
  const target = await service.target();
  const { text: pid } = await get(target, "/");
  const enough = `${service.runtimeDir}/enough`;
  const awaited = get(target, `/held?until=${enough}`);
  const named = async (): Promise<boolean | undefined> => {
    const { stack } = await stackOf(service);
    return stack?.frames.some(({ name }) => name === "held");
  };
  await waitFor("stacks names the function", named, 3 * DEADLINE_MS, () => service.describe());
  const record = /worker 0 makes no progress for /;
  const recorded = () => record.test(service.stderr);
  await waitFor("a record of the stall", recorded, undefined, () => service.describe());
  writeFileSync(enough, "");
  assert.equal((await awaited).text, "let go");
  assert.equal((await get(target, "/")).text, pid, "the same worker");
}

async function counts(service: Service): Promise<void> {
  const target = await service.target();
  const tracing = service.control("trace", "http:done { @ = count(); exit() }", "--for", "30s");
  let isOver = false;
  const over = tracing.then(() => (isOver = true));
  await waitFor("the trace has seen a request", async () => {
    await get(target, "/");
    return isOver;
  });
  await over;
  const { code, stdout } = await tracing;
  assert.equal(code, 0);
  assert.match(stdout.toString(), /^@.*\d+\n/s);
}

async function profiled(service: Service): Promise<string> {
  const file = `${service.runtimeDir}/x.cpuprofile`;
  const { stdout, stderr } = await service.control(
    ...(["profile", "cpu", "0", "--for", "200ms", "-o", file] as const),
  );
  return `${stdout.toString()}${stderr.toString()}`;
}

describe("under the permission model", () => {
  for (const node of [22, 24] as const) {
    it(`without an inspector, stacks are seen from outside, Node ${node}`, async (t) => {
      const service = await start(t, node, ["--allow-worker"]);
      await seenBusy(service);
      await counts(service);
      assert.match(await profiled(service), /permission model allows no inspector.*_PROFILE/);
      assert.equal((await stackOf(service)).stack?.state, "idle");
    });
  }

  it("without threads there is no agent, and stacks are seen from outside", async (t) => {
    const service = await start(t, 24, []);
    await seenBusy(service);
    assert.match(await profiled(service), /it has no agent: the permission model.*_PROFILE/);
    assert.equal((await stackOf(service)).stack?.state, "idle");
  });

  it("with both everything is there but what writes files", async (t) => {
    const service = await start(t, 26, ["--allow-worker", "--allow-inspector"]);
    await seenBusy(service);
    await counts(service);
    assert.match(await profiled(service), /wrote .*\.cpuprofile/);
    const patched = await service.control("patch", "--all", entry);
    assert.match(patched.stdout.toString(), /runs what is in the file/);
    const file = `${service.runtimeDir}/x.heapsnapshot`;
    const refused = await service.control("profile", "heapsnapshot", "0", "-o", file);
    assert.match(refused.stderr.toString(), /restricted.*--allow-fs-write/);
  });
});
