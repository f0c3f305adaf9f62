/** `holdfast profile`: of a worker that serves and of one that spins; files that tools open. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { describe, it } from "node:test";
import { gunzipSync } from "node:zlib";
import { Profile } from "pprof-format";
import { get } from "./support/load.ts";
import { CLI, app } from "./support/paths.ts";
import { kill } from "./support/processes.ts";
import { cleanEnvironment } from "./support/run.ts";
import { startService, suiteOwner } from "./support/service.ts";
import type { Owner, Service } from "./support/service.ts";
import { waitFor } from "./support/wait.ts";

const entry = app("live/stall-shapes.cjs");

function folder(t: Owner): string {
  const made = mkdtempSync(path.join(os.tmpdir(), "hf-profile-"));
  t.after(() => Promise.resolve(rmSync(made, { recursive: true })));
  return made;
}

/** Takes a profile into a file and returns its bytes. */
async function take(service: Service, file: string, ...args: string[]): Promise<Buffer> {
  const result = await service.control("profile", ...args, "-o", file);
  assert.equal(result.code, 0, result.stderr.toString());
  assert.ok(result.stdout.toString().includes(`wrote ${file}`));
  assert.equal(statSync(file).mode & 0o777, 0o600);
  return readFileSync(file);
}

/** The same, as a process that can be interrupted. */
function interruptible(t: Owner, service: Service, file: string, ...args: string[]) {
  const env = cleanEnvironment({ HOLDFAST_RUNTIME_DIR: service.runtimeDir });
  const command = ["--", CLI, "profile", "--name", service.name, ...args, "-o", file];
  const child = spawn(process.execPath, command, { env });
  t.after(() => Promise.resolve(void child.kill("SIGKILL")));
  let text = "";
  for (const each of [child.stdout, child.stderr]) each.on("data", (more) => (text += more));
  return { child, output: () => text };
}

describe("holdfast profile", () => {
  const owner = suiteOwner();
  for (const node of [22, 24, 26] as const) {
    it(`cpu: names the function that spins, Node ${node}`, async (t) => {
      const flags = ["--stall-limit", "0"];
      const service = await startService(t, { entry, flags, workers: 1, node });
      const made = folder(t);
      const enough = path.join(made, "enough");
      const awaited = get(await service.target(), `/awaiting?ms=60000&until=${enough}`);
      const file = path.join(made, "a.cpuprofile");
      const bytes = await take(service, file, "cpu", "0", "--for", "500ms");
      writeFileSync(enough, "");
      const profile = JSON.parse(bytes.toString()) as {
        nodes: { callFrame: { functionName: string; url: string } }[];
        samples: number[];
      };
      const names = profile.nodes.map(({ callFrame }) => callFrame.functionName);
      // not its caller alone, whom V8 charges for what it has compiled before the profile
      assert.ok(names.includes("inner"), names.join(" "));
      assert.ok(profile.samples.length > 0);
      assert.equal((await awaited).text, "awaited");
    });
  }

  for (const node of [22, 24, 26] as const) {
    it(`places are those of the source, by its map, Node ${node}`, async (t) => {
      const flags = ["--stall-warn", "300ms", "--stall-limit", "0"];
      const mapped = { entry: app("live/mapped.cjs"), workers: 1, flags, node };
      const service = await startService(t, mapped);
      const enough = path.join(folder(t), "enough"); // it spins until that is there
      const answered = get(await service.target(), enough);
      const file = path.join(folder(t), "mapped.cpuprofile");
      const bytes = await take(service, file, "cpu", "0", "--for", "500ms");
      const { nodes } = JSON.parse(bytes.toString()) as {
        nodes: { callFrame: { functionName: string; url: string; lineNumber: number } }[];
      };
      const found = nodes.find(({ callFrame }) => callFrame.functionName === "price")?.callFrame;
      assert.match(found?.url ?? "", /^file:.*\/live\/price\.ts$/);
      assert.equal(found?.lineNumber, 4 + 99);
      const record = /makes no progress for .* in price \(.*\/live\/price\.ts:10[78]\)/;
      const said = (): boolean => record.test(service.stderr);
      await waitFor("the record of the stall", said, undefined, () => service.describe());
      const stacks = await service.control("stacks", "0");
      assert.match(stacks.stdout.toString(), /price \(.*\/live\/price\.ts:10[78]/);
      writeFileSync(enough, "");
      assert.equal((await answered).status, 200);
    });
  }

  it("as a page, as pprof; of the heap; as a heap snapshot", async (t) => {
    const flags = ["--stall-limit", "0"];
    const service = await startService(owner, { entry, flags, workers: 1 });
    const target = await service.target();
    const made = folder(t);
    const enough = path.join(made, "enough");
    const awaited = get(target, `/awaiting?ms=60000&until=${enough}`);
    const page = await take(service, path.join(made, "a.html"), "cpu", "--for", "300ms");
    assert.match(page.toString(), /^<!doctype html>[^]*<b class="app"[^>]*>inner<\/b>/);
    const picture = await take(service, path.join(made, "a.svg"), "cpu", "--for", "300ms");
    assert.match(picture.toString(), /^<svg [^]*fill="#f4a259"\/><text [^>]*>inner<\/text>/);
    const packed = await take(service, path.join(made, "a.pb.gz"), "cpu", "--for", "300ms");
    writeFileSync(enough, "");
    await awaited;
    const { stringTable, sample } = Profile.decode(gunzipSync(packed));
    assert.ok(stringTable.strings.includes(entry));
    assert.ok(sample.length > 0);
    const early = path.join(made, "a.json");
    const allocating = interruptible(t, service, early, "allocations", "--for", "10m");
    await waitFor("it has begun", () => allocating.output().includes("profile for 600 s"));
    const calls = Array.from({ length: 5 }, () => get(target, "/allocate"));
    await Promise.all(calls);
    allocating.child.kill("SIGINT");
    assert.deepEqual(await once(allocating.child, "close"), [0, null], allocating.output());
    assert.match(allocating.output(), /stops after \S+ of 10m and writes what there is/);
    assert.ok("head" in (JSON.parse(readFileSync(early, "utf8")) as object));
    const [pid = 0] = await service.workerPids();
    const left = path.join(made, "left.cpuprofile");
    const leaving = interruptible(t, service, left, "cpu", "--for", "10m");
    await waitFor("it has begun", () => leaving.output().includes("profile for 600 s"));
    t.after(() => Promise.resolve(kill(pid, "SIGCONT")));
    kill(pid, "SIGSTOP"); // nothing comes of it any more
    leaving.child.kill("SIGINT");
    await waitFor("it stops", () => leaving.output().includes("again: leaves at once"));
    leaving.child.kill("SIGINT");
    assert.deepEqual(await once(leaving.child, "close"), [130, null], leaving.output());
    assert.ok(!existsSync(left));
    const file = path.join(made, "a.heapsnapshot");
    const writing = interruptible(t, service, file, "heapsnapshot");
    await waitFor("it asks", () => writing.output().includes("is asked for the size of its heap"));
    writing.child.kill("SIGINT");
    await waitFor("its word", () => writing.output().includes("a heap snapshot cannot be stopped"));
    kill(pid, "SIGCONT");
    assert.deepEqual(await once(writing.child, "close"), [0, null], writing.output());
    const heap = readFileSync(file, "utf8");
    const { snapshot } = JSON.parse(heap) as { snapshot: { node_count: number } };
    assert.ok(snapshot.node_count > 10_000);
    const twice = await service.control("profile", "heapsnapshot", "-o", file);
    assert.equal(twice.code, 1);
    assert.match(twice.stderr.toString(), /is there already.*ERR_HOLDFAST_PROFILE/);
    const nowhere = await service.control("profile", "cpu", "--for", "10ms", "-o", "/nowhere/a");
    assert.match(nowhere.stderr.toString(), /cannot be written to \/nowhere\/a: ENOENT/);
  });

  it("a heap snapshot that may not fit is refused, unless it is forced", async (t) => {
    const flags = ["--memory-limit", "128MiB"];
    const service = await startService(t, { entry, flags, workers: 1 });
    await get(await service.target(), "/allocate");
    const file = path.join(folder(t), "a.heapsnapshot");
    const refused = await service.control("profile", "heapsnapshot", "-o", file);
    assert.equal(refused.code, 1);
    assert.match(refused.stdout.toString(), /of heap: it will stand still for up to/);
    assert.match(
      refused.stderr.toString(),
      /needs \d+MiB more memory, and \d+MiB is left; --force/,
    );
    assert.ok(!existsSync(file));
    const forced = await service.control("profile", "heapsnapshot", "--force", "-o", file);
    assert.equal(forced.code, 0, forced.stderr.toString() + service.describe());
  });

  it("says what is wrong with what was asked", async (t) => {
    const service = await startService(t, { entry, workers: 1 });
    const table: [string[], RegExp][] = [
      [["gpu"], /there is cpu, heap, allocations, heapsnapshot/],
      [["cpu", "9"], /there is no worker 9; there is 0/],
      [["cpu", "--for", "2h"], /is not between 1ms and 10m/],
      [["cpu", "--format", "png"], /there is v8, pprof, html, svg/],
      [["heapsnapshot", "-o", "a.html"], /no other format/],
    ];
    for (const [args, expected] of table) {
      const result = await service.control("profile", ...args);
      assert.match(result.stderr.toString(), expected);
      assert.notEqual(result.code, 0);
    }
  });
});
