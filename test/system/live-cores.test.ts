/** `--core`: the memory of a worker that crashes is kept, while its connections go on elsewhere. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, it } from "node:test";
import type { TestContext } from "node:test";
import type { CrashReport } from "../../src/supervision/mod.ts";
import { get, send } from "./support/load.ts";
import { CLI, app, nodeBinary } from "./support/paths.ts";
import { describeProcess } from "./support/processes.ts";
import { run } from "./support/run.ts";
import { makeRuntimeDir, startService } from "./support/service.ts";
import type { Service } from "./support/service.ts";
import { waitFor } from "./support/wait.ts";

const entry = app("live/dies.cjs");

/** The first line of a core of a worker that an error ended: the error, and where it was made. */
const WHY_THROWN = /^uncaught error: TypeError: cannot serve order-4711.*, thrown .*dies\.cjs:9/;

interface Kept {
  readonly service: Service;
  readonly folder: string;
}

async function start(t: TestContext, ...flags: string[]): Promise<Kept> {
  return startUnder(t, 24, ...flags);
}

async function startUnder(t: TestContext, node: 22 | 24 | 26, ...flags: string[]): Promise<Kept> {
  const options = { entry, workers: 2, node, flags: ["--core", "cores", ...flags] };
  const cwd = makeRuntimeDir();
  t.after(() => rmSync(cwd, { recursive: true, force: true }));
  const service = await startService(t, { ...options, cwd });
  return { service, folder: path.join(cwd, "cores") };
}

/** A worker dies in that way; its report, when the other one has answered meanwhile. */
async function died(service: Service, way: string): Promise<CrashReport> {
  const target = await service.target();
  const seen = service.stderr.length;
  const answer = send(target, "POST", way).catch(() => null);
  const others = await Promise.all([get(target, "/"), get(target, "/")]);
  for (const { status } of others) assert.equal(status, 200);
  const said = (): boolean => service.stderr.slice(seen).includes("crash report: ");
  await waitFor(`the report of ${way}`, said, undefined, () => service.describe());
  await answer;
  const shown = await service.control("crashes", "show", "--json");
  return JSON.parse(shown.stdout.toString()) as CrashReport; // what is tested below
}

/** Waits until the core of a report is compressed. */
async function kept(service: Service, report: CrashReport): Promise<string> {
  const core = report.core;
  assert.ok(core !== null && "path" in core, `${JSON.stringify(core)}\n${service.describe()}`);
  const { path: file } = core;
  await waitFor(
    "it is whole",
    () => existsSync(file),
    undefined,
    () => service.describe(),
  );
  return file;
}

async function autopsy(...args: readonly string[]): Promise<string> {
  const result = await run(nodeBinary(), ["--", CLI, "autopsy", ...args]);
  assert.equal(result.code, 0, result.stderr.toString());
  return result.stdout.toString();
}

describe("with --core, a worker that ends", () => {
  it("by an uncaught error, V8 without memory, or a fatal signal leaves one", async (t) => {
    const { service, folder } = await start(t, "--node-arg", "--max-old-space-size=40");
    const thrown = await died(service, "/throw");
    assert.equal(thrown.exit.text, "exit 1");
    assert.match(service.stdout, /bye 1/, "listeners of exit have run");
    const ofThrown = await kept(service, thrown);
    const full = await died(service, "/oom");
    assert.match(await autopsy(ofThrown, "strings of-the-heap"), /cannot serve order-4711/);
    assert.match(await autopsy(ofThrown, "stacks"), WHY_THROWN);
    assert.equal(full.exit.signal, "SIGABRT");
    const oom = await autopsy(await kept(service, full), "stacks");
    assert.match(oom, /^out of memory: .* \(killed by SIGABRT\)/);
    assert.match(oom, /\/oom \(.*dies\.cjs:12/);
    const hit = await died(service, "/segv");
    assert.equal(hit.exit.signal, "SIGSEGV");
    const segv = await autopsy(await kept(service, hit), "stacks");
    assert.match(segv, /^killed by SIGSEGV/);
    assert.match(segv, /\/segv \(/);
    const shown = await service.control("crashes", "show");
    assert.match(
      shown.stdout.toString(),
      /\ncore\n {2}\S+\.core\.zst\n {2}holdfast autopsy \S+ st/,
    );
    for (const file of readdirSync(folder)) {
      assert.equal(statSync(path.join(folder, file)).mode & 0o777, 0o600);
    }
  });

  for (const node of [22, 26] as const) {
    it(`by an uncaught error or a fatal signal leaves one under Node ${node}`, async (t) => {
      const { service } = await startUnder(t, node);
      const thrown = await kept(service, await died(service, "/throw"));
      assert.match(await autopsy(thrown, "stacks"), WHY_THROWN);
      const hit = await died(service, "/segv");
      const segv = await autopsy(await kept(service, hit), "stacks");
      assert.match(segv, /^killed by SIGSEGV/);
      assert.match(segv, /\/segv \(/);
    });
  }

  it("by eviction leaves one too; by SIGKILL and exit() it does not, and says so", async (t) => {
    const { service } = await start(t, "--stall-limit", "2s");
    const spun = await died(service, "/spin");
    assert.equal(spun.exit.text, "SIGKILL, stalled");
    assert.equal(spun.requests.find(({ isExecuting }) => isExecuting)?.path, "/spin");
    assert.match(await autopsy(await kept(service, spun), "stacks"), /\/spin \(.*dies\.cjs:19/);
    for (const way of ["/kill", "/exit"]) {
      const { core } = await died(service, way);
      assert.match(JSON.stringify(core), /"none":"it ended by itself, or was killed/);
    }
  });

  it("leaves none where none can be written, which is said once", async (t) => {
    const cwd = makeRuntimeDir();
    t.after(() => rmSync(cwd, { recursive: true, force: true }));
    writeFileSync(path.join(cwd, "cores"), "in the way");
    const service = await startService(t, { entry, workers: 1, cwd, flags: ["--core", "cores"] });
    const said = (): boolean => /cannot keep cores in .*cores: EEXIST/.test(service.stderr);
    await waitFor("the log says so", said, undefined, () => service.describe());
    const { core } = await died(service, "/abort");
    assert.match(JSON.stringify(core), /"none":/);
    assert.equal(service.stderr.match(/the dumper of cores has ended/g)?.length, 1);
  });

  it("can be looked at alive; on a full disk leaves none, and nothing half done", async (t) => {
    const { service, folder } = await start(t);
    const [pid = 0] = await service.workerPids();
    const waits = await autopsy(String(pid), "stacks");
    assert.doesNotMatch(waits, /without ptrace/);
    assert.equal((await get(await service.target(), "/")).status, 200);
    await waitFor("it is watched again", async () => {
      const { core } = await died(service, "/abort");
      return core !== null && "path" in core;
    });
    const isDumper = (each: number): boolean => describeProcess(each).includes("dumper/main.");
    const dumper = service.leftPids().find(isDumper);
    // a file cannot grow beyond: as on a full disk, for this process alone
    execFileSync("prlimit", ["--pid", String(dumper), "--fsize=1000000:"]);
    const full = await died(service, "/abort");
    assert.match(JSON.stringify(full.core), /"none":"[^"]*ftruncate gives EFBIG; nothing was left/);
    const left = readdirSync(folder).filter((name) => name.includes(full.id));
    assert.deepEqual(left, []);
  });
});
