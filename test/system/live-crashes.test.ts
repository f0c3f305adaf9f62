/** What is left of a worker that has crashed: report, files, `holdfast crashes`. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { describe, it } from "node:test";
import type { CrashReport } from "../../src/supervision/mod.ts";
import { app } from "./support/paths.ts";
import { RawConnection } from "./support/raw-client.ts";
import { startService } from "./support/service.ts";
import type { Service } from "./support/service.ts";
import { waitFor } from "./support/wait.ts";

const entry = app("live/routes.cjs");
const TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

function directoryOf(service: Service): string {
  return path.join(service.runtimeDir, `${service.name}.crashes`);
}

/** Waits until the log says where the report is, and reads it as an operator does. */
async function reported(service: Service): Promise<CrashReport> {
  const found = (): boolean => service.stderr.includes("crash report: ");
  await waitFor("the crash report is written", found, undefined, () => service.describe());
  const shown = await service.control("crashes", "show", "--json");
  assert.equal(shown.code, 0, shown.stderr.toString());
  return JSON.parse(shown.stdout.toString()) as CrashReport; // what is tested below
}

/** A request that will not be answered, seen to be in flight. */
async function hanging(service: Service, target: string): Promise<RawConnection> {
  const connection = await RawConnection.open(await service.target());
  const lines = ["x-api-key: s3cret", `traceparent: ${TRACE}`];
  const head = [`GET ${target} HTTP/1.1`, "host: t", ...lines, "", ""].join("\r\n");
  connection.send(head);
  await service.waitForStatus("in flight", ({ workers }) => {
    return workers.some(({ oldest }) => oldest?.path.startsWith("/hang") === true);
  });
  return connection;
}

describe("a worker that crashes", () => {
  it("leaves its error, its requests with what became of them, and its history", async (t) => {
    const service = await startService(t, { entry, workers: 1 });
    const waiting = await hanging(service, "/hang/7?token=s3cret&a=1");
    const fatal = await RawConnection.open(await service.target());
    fatal.sendRequest("POST", "/throw");
    const report = await reported(service);
    assert.equal(report.exit.text, "exit 1");
    assert.equal(report.worker.state, "ready");
    assert.match(report.error ?? "", /^TypeError: cannot read the order of nobody\n {4}at /);
    const [first, second] = report.requests;
    assert.equal(`${first?.method} ${first?.path}`, "GET /hang/7?token=***&a=1");
    assert.equal(first?.outcome, "replayed in another worker");
    assert.equal(first.traceId, "0af7651916cd43dd8448eb211c80319c");
    assert.ok(first.head.includes("x-api-key: ***"));
    assert.equal(`${second?.method} ${second?.path}`, "POST /throw");
    assert.match(second?.outcome ?? "", /^refused with 503: it may not be repeated/);
    assert.ok((first?.ageMs ?? 0) >= (second?.ageMs ?? 0), "the oldest comes first");
    assert.deepEqual(report.connections, { busy: 2, idle: 0, opaque: 0 });
    assert.equal(report.recovery?.["replayed"], 1);
    const last = report.history.at(-1);
    assert.equal(last?.inFlight, 2);
    assert.ok((last?.heapUsedBytes ?? 0) > 1024 * 1024, "V8's heap is known");
    assert.ok(report.log.some(({ line }) => line.includes("worker 0 ended: exit 1")));
    assert.ok(!JSON.stringify(report).includes("s3cret"));
    for (const file of readdirSync(directoryOf(service))) {
      assert.equal(statSync(path.join(directoryOf(service), file)).mode & 0o777, 0o600);
    }
    const list = await service.control("crashes");
    assert.match(list.stdout.toString(), /exit 1 +2 +TypeError: cannot read the order/);
    const page = await service.control("crashes", "show", report.id.slice(0, 12));
    assert.match(page.stdout.toString(), /^worker 0 of .* ended: exit 1\n/);
    const wrong = await service.control("crashes", "show", "20010101");
    assert.equal(wrong.code, 1);
    assert.match(wrong.stderr.toString(), /there is \d{8}T\d{6}Z-w0-\d+.*ERR_HOLDFAST_NO_CRASH/);
    waiting.close();
    fatal.close();
  });

  it("by a stall names the request that was being executed", async (t) => {
    const flags = ["--stall-limit", "500ms"];
    const service = await startService(t, { entry, flags, workers: 1 });
    const waiting = await hanging(service, "/hang");
    const guilty = await RawConnection.open(await service.target());
    guilty.sendRequest("GET", "/spin?ms=60000");
    const report = await reported(service);
    assert.equal(report.exit.text, "SIGKILL, stalled");
    const spun = report.requests.find(({ path: target }) => target.startsWith("/spin"));
    const hung = report.requests.find(({ path: target }) => target.startsWith("/hang"));
    assert.equal(spun?.isExecuting, true);
    assert.equal(spun.outcome, "refused with 500: it kept the worker from making progress");
    assert.equal(hung?.isExecuting, false);
    assert.equal(hung.outcome, "replayed in another worker");
    assert.ok((report.history.at(-1)?.loopLagMs ?? 0) >= 300);
    waiting.close();
    guilty.close();
  });

  it("leaves none that is asked for, nor one that nobody can write", async (t) => {
    const service = await startService(t, { entry, workers: 1 });
    assert.equal((await service.control("reload")).code, 0);
    const none = await service.control("crashes");
    assert.equal(none.stdout.toString(), "no worker has crashed\n");
    writeFileSync(directoryOf(service), "in the way");
    const [worker] = (await service.status()).workers;
    process.kill(worker?.pid ?? 0, "SIGKILL");
    const said = (): boolean => /cannot write a crash report: .*make room in/.test(service.stderr);
    await waitFor("the log says so", said, undefined, () => service.describe());
    await service.waitForStatus("it serves on", ({ state }) => state === "running");
  });

  it("as the last thing of a run is reported all the same", async (t) => {
    const folder = mkdtempSync(path.join(os.tmpdir(), "hf-crash-"));
    t.after(() => rmSync(folder, { recursive: true }));
    const file = path.join(folder, "holdfast.config.json");
    writeFileSync(file, JSON.stringify({ restartIntensity: { restarts: 0, period: "60s" } }));
    const service = await startService(t, { entry, workers: 1, flags: ["--config", file] });
    const fatal = await RawConnection.open(await service.target());
    fatal.sendRequest("GET", "/throw");
    assert.deepEqual(await service.end(), { code: 70, signal: null });
    const files = readdirSync(directoryOf(service)).map((name) => path.extname(name));
    assert.deepEqual(files.toSorted(), [".json", ".txt"]);
    fatal.close();
  });
});

describe("portable mode", () => {
  it("reports how a worker ended and what it wrote", async (t) => {
    const service = await startService(t, { entry, workers: 1, flags: ["--portable"] });
    const fatal = await RawConnection.open(await service.target());
    fatal.sendRequest("GET", "/throw");
    const report = await reported(service);
    assert.equal(report.service.mode, "portable");
    assert.match(report.error ?? "", /^TypeError: cannot read the order of nobody/);
    assert.equal(report.connections, null);
    fatal.close();
  });
});
