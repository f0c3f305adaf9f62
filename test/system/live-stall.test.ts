/** A worker whose main thread makes no progress: what the log says, and the rescue. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { describe, it } from "node:test";
import { get } from "./support/load.ts";
import { app } from "./support/paths.ts";
import { describeProcess, isAlive, kill } from "./support/processes.ts";
import { RawConnection } from "./support/raw-client.ts";
import { startService } from "./support/service.ts";
import type { Service } from "./support/service.ts";
import { waitFor } from "./support/wait.ts";

const entry = app("live/stall-shapes.cjs");

interface StallRecord {
  readonly message: string;
  readonly level: string;
  readonly silentMs: number;
  readonly cpuMs: number;
  readonly wallMs: number;
  readonly request?: string;
  readonly requestAgeMs?: number;
  readonly state: string;
  readonly stack?: string;
  readonly variables?: string;
}

function records(service: Service): readonly StallRecord[] {
  return service.stderr.split("\n").flatMap((line) => {
    if (!line.includes("makes no progress for")) return [];
    return [JSON.parse(line) as StallRecord]; // what is tested below
  });
}

/** Sends a request that blocks its worker, and waits for the record of that. */
async function blocked(service: Service, path: string): Promise<StallRecord> {
  const name = path.slice(1).split("?")[0] ?? "";
  const connection = await RawConnection.open(await service.target());
  connection.sendRequest("GET", path);
  const found = (): StallRecord | undefined => {
    return records(service).find(({ request, stack }) => {
      return request?.startsWith(`GET /${name}`) === true || stack?.startsWith(`${name} `) === true;
    });
  };
  const record = await waitFor(`record of ${path}`, found, undefined, () => service.describe());
  connection.close();
  return record;
}

/** Waits until the worker that was blocked has been evicted, and another one serves. */
async function replaced(service: Service, evictions: number): Promise<void> {
  await service.waitForStatus("it serves again", ({ workers, totals }) => {
    return (totals.restarts ?? 0) >= evictions && workers.every(({ state }) => state === "ready");
  });
}

describe("a stall is one record in the log", () => {
  for (const node of [22, 24, 26] as const) {
    it(`with stack, variables, request and CPU, Node ${node}`, async (t) => {
      const flags = ["--stall-warn", "300ms", "--stall-limit", "900ms", "--json"];
      const service = await startService(t, { entry, flags, workers: 1, node });
      const count = await blocked(service, "/count?token=s3cret&a=1");
      assert.equal(count.level, "warn");
      assert.match(
        count.message,
        /^worker 0 makes no progress for .* in count \(.*shapes\.cjs:9\)/,
      );
      assert.equal(count.request, "GET /count?token=***&a=1");
      assert.ok(count.silentMs >= 290 && count.wallMs > 0 && count.cpuMs >= 0);
      assert.match(
        count.stack ?? "",
        /^count \(.*:9:\d+\) < order \(.* < \.\.\. \d+ frames of Node and Holdfast$/,
      );
      assert.match(count.variables ?? "", /count: passes=\d+/);
      assert.match(count.variables ?? "", /password=\*\*\*, id=7, items=\["tea", "milk"\]/);
      assert.doesNotMatch(JSON.stringify(count), /hunter2|s3cret/);
      await replaced(service, 1);
      const regex = await blocked(service, "/regex");
      assert.match(regex.stack ?? "", /^regex \(/);
      await replaced(service, 2);
      const native = await blocked(service, "/native");
      assert.equal(native.state, "native");
      // from outside: nothing of the worker's can answer
      assert.match(native.message, /in code that is not JavaScript, called by native \(.*:25\)$/);
      assert.match(native.stack ?? "", / < native \(.*:25:\d+\) < order \(.* < /);
      assert.doesNotMatch(JSON.stringify(native), /hunter2/);
      assert.equal(native.request, "GET /native");
      await replaced(service, 3);
      const resumed = await blocked(service, "/resumed");
      assert.match(resumed.stack ?? "", /^resumed \(/);
    });
  }

  it("says where the exit of a worker hangs", async (t) => {
    const folder = mkdtempSync(path.join(os.tmpdir(), "holdfast-stall-"));
    t.after(async () => rmSync(folder, { recursive: true }));
    const pipe = path.join(folder, "pipe");
    execFileSync("mkfifo", [pipe]);
    const flags = ["--stall-warn", "300ms", "--stall-limit", "2s", "--json"];
    const env = { NEVER_WRITTEN: pipe };
    const service = await startService(t, { entry, flags, workers: 1, env });
    const connection = await RawConnection.open(await service.target());
    connection.sendRequest("POST", "/ending");
    const evicted = (): boolean => service.stderr.includes("worker 0 ended: SIGKILL, stalled");
    await waitFor("it is evicted", evicted, undefined, () => service.describe());
    assert.deepEqual(
      records(service).map(({ message }) => message.replace(/^.*(?=called by)| \(.*$/g, "")),
      ["called by ending"],
    );
    connection.close();
  });

  it("and none when the loop is only busy, or nobody wants it", async (t) => {
    const flags = ["--stall-warn", "0", "--stall-limit", "1s", "--json"];
    const service = await startService(t, { entry, flags, workers: 1 });
    const connection = await RawConnection.open(await service.target());
    connection.sendRequest("GET", "/count");
    const evicted = (): boolean => service.stderr.includes("worker 0 ended: SIGKILL, stalled");
    await waitFor("it is evicted", evicted, undefined, () => service.describe());
    assert.deepEqual(records(service), []);
    connection.close();
  });
});

describe("with --stall-rescue", () => {
  for (const node of [22, 24, 26] as const) {
    it(`the guilty request fails, all others live on, Node ${node}`, async (t) => {
      // after a stall --gate's observer loads its modules, from source with their types: on a busy
      // machine that takes more than a second, which nobody can rescue
      const flags = ["--stall-limit", "1s", "--stall-rescue", "--gate", "off"];
      const service = await startService(t, { entry, flags, workers: 1, node });
      const target = await service.target();
      const { text: pid } = await get(target, "/");
      const waiting = get(target, "/waited");
      const guilty = await get(target, "/count");
      const answer = `${guilty.status} ${guilty.text}`;
      assert.equal(answer, "500 handled ERR_HOLDFAST_STALLED", service.describe());
      assert.equal((await waiting).text, "waited");
      // its only variable that counts is one of the loop's own head
      const linked = await get(target, "/linked");
      assert.equal(linked.text, "handled ERR_HOLDFAST_STALLED", service.describe());
      const resumed = await get(target, "/resumed");
      assert.equal(resumed.text, "handled ERR_HOLDFAST_STALLED");
      assert.equal((await get(target, "/")).text, pid, service.describe());
      assert.match(service.stderr, /was stalled and has been given an exception in count \(/);
    });
  }

  it("what cannot be ended is evicted, and the log says why", async (t) => {
    const flags = ["--stall-limit", "700ms", "--stall-rescue"];
    const service = await startService(t, { entry, flags, workers: 1 });
    const refused = await get(await service.target(), "/native");
    assert.equal(refused.status, 500);
    assert.match(service.stderr, /could not be rescued: the main thread could not be held/);
    const ended = (): boolean => service.stderr.includes("ended: SIGKILL, stalled");
    await waitFor("it is evicted", ended, undefined, () => service.describe());
  });
});

/** The process that looks from outside, if it runs. */
function lookoutOf(service: Service): number | undefined {
  return service.leftPids().find((pid) => describeProcess(pid).includes("lookout/main."));
}

describe("the process that looks at workers from outside", () => {
  it("is ended when it does not come back, and the next look is by another one", async (t) => {
    const flags = ["--stall-warn", "300ms", "--stall-limit", "1s", "--json"];
    const service = await startService(t, { entry, flags, workers: 1 });
    await blocked(service, "/native");
    const first = await waitFor("the lookout", () => lookoutOf(service));
    await replaced(service, 1);
    kill(first, "SIGSTOP");
    const before = records(service).length;
    const connection = await RawConnection.open(await service.target());
    connection.sendRequest("GET", "/native");
    const told = await waitFor("a second record", () => records(service)[before]);
    assert.match(told.message, /in code that is not JavaScript$/, "what the agent knows");
    await waitFor("its end", () => !isAlive(first));
    connection.close();
    await replaced(service, 2);
    const third = records(service).length;
    const again = await RawConnection.open(await service.target());
    again.sendRequest("GET", "/native");
    const found = await waitFor("a third record", () => records(service)[third]);
    assert.match(found.message, /called by native \(/);
    again.close();
  });
});
