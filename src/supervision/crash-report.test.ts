import assert from "node:assert/strict";
import { mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, it } from "node:test";
import fc from "fast-check";
import { makeFolder } from "../../test/support/folder.ts";
import { crashReport, isCrash, isUncaught, requestFacts, uncaughtError } from "./crash-report.ts";
import type { CrashEvidence, CrashReport, WorkerDeath } from "./crash-report.ts";
import { CrashReporter } from "./crash-reporter.ts";
import { CRASHES_BYTES_MAX, CRASHES_MAX, listCrashes, readCrash } from "./crash-store.ts";
import { writeCrash } from "./crash-store.ts";
import { crashText } from "./crash-text.ts";

const DEATH: WorkerDeath = {
  id: 3,
  index: 1,
  generation: 2,
  pid: 4711,
  state: "ready",
  exit: { code: 1, signal: null },
  text: "exit 1",
  cause: null,
  isFirst: false,
  readyForMs: 61_000.4,
  restarts: 2,
  output: "hello\n\nTypeError: no\n    at a (/srv/a.js:1:2)\n    at b\n\nNode.js v24.21.0\n",
};

const EVIDENCE: CrashEvidence = {
  startedAt: "2026-11-21T05:00:00.000Z",
  heapLimitBytes: 1024 * 1024,
  connections: { busy: 1, idle: 2, opaque: 3 },
  work: [],
  requests: [
    {
      ...requestFacts(Buffer.from("GET /a?token=x HTTP/1.1\r\nHost: h\r\nCookie: c=1\r\n\r\nbody")),
      ageMs: 1500,
      isExecuting: true,
      outcome: "replayed in another worker",
    },
  ],
  core: { path: "/var/cores/shop-20261121T094547Z-w1-4711.core.zst" },
  recovery: { moved: 2, replayed: 1 },
  stack: ["spin (/srv/a.js:3:4)"],
  history: [
    {
      agoMs: 1000,
      loopLagMs: 5,
      heapUsedBytes: 2048,
      externalBytes: 0,
      rssBytes: 4096,
      cpuPercent: 12.5,
      gcMs: 1.5,
      inFlight: 1,
      requests: 10,
    },
  ],
};
const SERVICE = {
  name: "shop",
  version: "0.1.0",
  mode: "full",
  entry: "/srv/a.js",
  node: "24.21.0",
} as const;

function reportAt(time: string, death: Partial<WorkerDeath> = {}): CrashReport {
  const log = [{ time, source: "worker 1", line: "hello" }];
  return crashReport({ ...DEATH, ...death }, EVIDENCE, SERVICE, log, time);
}

const TIME = "2026-11-21T05:26:11.123Z";

describe("what is reported as a crash", () => {
  const cases: readonly (readonly [string, Partial<WorkerDeath>, boolean])[] = [
    ["an exit code", {}, true],
    ["a signal", { exit: { code: null, signal: "SIGSEGV" } }, true],
    ["a signal of the first one", { isFirst: true, exit: { code: null, signal: "SIGBUS" } }, true],
    ["a stall", { state: "killing", cause: "stalled" }, true],
    ["not ready in time", { state: "stopping", cause: "was not ready within 30s" }, true],
    ["an exit while it drains", { state: "draining", cause: "reload" }, true],
    ["an exit of 0", { exit: { code: 0, signal: null } }, false],
    ["a first start that fails", { isFirst: true, state: "starting" }, false],
    ["a reload", { state: "stopping", cause: "reload" }, false],
    ["a kill", { state: "killing", cause: "stopped" }, false],
    ["a process that never was", { exit: { code: null, signal: null } }, false],
  ];
  for (const [name, death, expected] of cases) {
    it(`${name}: ${expected ? "yes" : "no"}`, () => {
      assert.equal(isCrash({ ...DEATH, ...death }), expected);
    });
  }
});

describe("the error that nobody caught", () => {
  it("is found in what Node prints", () => {
    const error = "TypeError: no\n    at a (/srv/a.js:1:2)\n    at b";
    assert.equal(uncaughtError(DEATH.output), error);
    const twice = `Error: caught\n    at x\nfine\n${DEATH.output}`;
    assert.equal(uncaughtError(twice), error);
    assert.equal(uncaughtError("[UnhandledPromiseRejection: x]\n"), null);
    const coded = "Error: bind EACCES\n    at a\n    at b {\n  code: 'EACCES'\n}\n";
    assert.equal(uncaughtError(coded), "Error: bind EACCES\n    at a\n    at b {");
    const several = "Error: first line\nsecond line\n    at a\n";
    assert.equal(uncaughtError(several), several.trimEnd());
    assert.equal(uncaughtError("Uncaught RangeError: deep"), "Uncaught RangeError: deep");
    const memory = "<--- Last few GCs --->\nFATAL ERROR: Reached heap limit Allocation failed\n";
    assert.equal(uncaughtError(memory), "FATAL ERROR: Reached heap limit Allocation failed");
    assert.equal(uncaughtError("all is well\n"), null);
    assert.equal(uncaughtError(""), null);
  });
});

describe("an error that was printed long before the end", () => {
  const handled = "Error: boom\n    at /srv/a.js:1:2\n    at next";
  const errorOf = (exit: WorkerDeath["exit"], output: string): string | null => {
    return reportAt(TIME, { exit, output }).error;
  };

  it("is not the cause where somebody has killed the worker", () => {
    assert.equal(errorOf({ code: null, signal: "SIGKILL" }, `${handled}\nserving\n`), null);
    assert.equal(errorOf({ code: null, signal: "SIGTERM" }, `${handled}\n`), null);
    assert.equal(errorOf({ code: null, signal: "SIGABRT" }, `${handled}\n`), null);
    assert.equal(
      errorOf({ code: null, signal: "SIGABRT" }, `${handled}\nFATAL ERROR: out of memory\n`),
      "FATAL ERROR: out of memory",
    );
  });

  it("is called what it is where the worker has ended itself", () => {
    const titleOf = (output: string): readonly string[] => {
      const report = reportAt(TIME, { exit: { code: 1, signal: null }, output });
      return crashText(report).filter((line) => /error/.test(line) && !line.startsWith(" "));
    };
    assert.deepEqual(titleOf(`${handled}\n`), ["last error that it printed"]);
    assert.deepEqual(titleOf(`${handled}\n\nNode.js v24.21.0\n`), ["uncaught error"]);
    assert.equal(isUncaught("version Node.js v24.21.0 is used\n"), false);
  });
});

describe("what is shown of a request", () => {
  it("is its head without secrets, and no body", () => {
    const head =
      "POST /pay?card=1&api_key=s3cret HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer s3cret\r\n" +
      "X-Session-Id: s3cret\r\nReferer: http://h/?password=s3cret&a=1\r\nbroken line s3cret\r\n" +
      "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\ns3cret body";
    const facts = requestFacts(Buffer.from(head));
    assert.equal(facts.method, "POST");
    assert.equal(facts.path, "/pay?card=1&api_key=***");
    assert.equal(facts.traceId, "0af7651916cd43dd8448eb211c80319c");
    assert.ok(facts.head.includes("Host: h"));
    assert.ok(!JSON.stringify(facts).includes("s3cret"), JSON.stringify(facts));
  });

  it("is what there is, of any bytes", () => {
    assert.deepEqual(requestFacts(Buffer.alloc(0)).head, []);
    assert.equal(requestFacts(Buffer.from("GET /half HTTP/1.1\r\nHo")).path, "/half");
    assert.equal(requestFacts(Buffer.from("GET /ha")).path, "/ha");
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const { head, method } = requestFacts(Buffer.from(bytes));
        return method.length > 0 && head.length < 200;
      }),
    );
  });
});

describe("a report as a page", () => {
  it("says what a person asks first, and lets nobody out of his line", () => {
    const lines = crashText(reportAt(TIME, { output: "\u001B[31mred\r\nnext" }));
    const page = lines.join("\n");
    assert.match(page, /^worker 1 of shop ended: exit 1\n/);
    assert.match(page, /GET \/a\?token=\*\*\* {2}1\.5s old, was being executed: replayed/);
    assert.match(page, /Cookie: \*\*\*/);
    assert.match(page, /stack when it stalled\n {2}spin \(/);
    assert.match(page, /busy 1, idle 2, opaque 3/);
    assert.match(page, /recovery: moved 2, replayed 1/);
    assert.match(page, /AGO +LAG +CPU +HEAP/);
    assert.match(page, /05:26:11\.123 worker 1 \| hello/);
    assert.ok(!page.includes("\u001B") && !page.includes("\r"));
  });

  it("has no empty sections", () => {
    const none = { ...EVIDENCE, requests: [], history: [], stack: [], connections: null };
    const death = { ...DEATH, output: "", readyForMs: 0 };
    const page = crashText(crashReport(death, none, SERVICE, [], TIME)).join("\n");
    assert.ok(!/in flight|connections|last output|\blog\b|uncaught/.test(page), page);
    assert.match(page, /never ready/);
  });
});

describe("the files of reports", () => {
  it("are two each, for this user only, and can be read back", async (t) => {
    const directory = path.join(makeFolder(t, {}), "shop.crashes");
    assert.deepEqual(listCrashes(directory), []);
    const report = reportAt(TIME);
    const text = await writeCrash(directory, report);
    assert.equal(report.id, "20261121T052611Z-w1-4711");
    assert.deepEqual(readdirSync(directory), [`${report.id}.json`, `${report.id}.txt`]);
    for (const file of readdirSync(directory)) {
      assert.equal(statSync(path.join(directory, file)).mode & 0o777, 0o600);
    }
    assert.equal(statSync(directory).mode & 0o777, 0o700);
    assert.deepEqual(readCrash(directory, report.id), report);
    assert.match(readFileSync(text, "utf8"), /^worker 1 of shop ended/);
    assert.equal(readCrash(directory, "20261121T052611Z-w9-1"), null);
    writeFileSync(path.join(directory, "20261121T052611Z-w9-1.json"), "{");
    assert.equal(readCrash(directory, "20261121T052611Z-w9-1"), null);
  });

  it("are only the newest, and only so many bytes", async (t) => {
    const directory = makeFolder(t, { "notes.md": "not ours" });
    const at = (second: number): string => new Date(Date.parse(TIME) + 1000 * second).toISOString();
    for (let count = 0; count < CRASHES_MAX + 3; count += 1) {
      await writeCrash(directory, reportAt(at(count)));
    }
    const ids = listCrashes(directory);
    assert.equal(ids.length, CRASHES_MAX);
    assert.equal(ids[0], reportAt(at(3)).id);
    await writeCrash(directory, reportAt(at(60), { output: "x".repeat(CRASHES_BYTES_MAX / 3) }));
    await writeCrash(directory, reportAt(at(61), { output: "y".repeat(CRASHES_BYTES_MAX / 3) }));
    assert.deepEqual(listCrashes(directory), [reportAt(at(61)).id]);
    assert.ok(readdirSync(directory).includes("notes.md"));
  });

  it("make room for the newest on a full disk, or leave nothing half", async (t) => {
    const directory = makeFolder(t, {});
    for (let count = 10; count < 22; count += 1) {
      await writeCrash(directory, reportAt(TIME.replace(":11.", `:${count}.`)));
    }
    const full = Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
    let refusals = 1;
    const report = reportAt(TIME.replace(":11.", ":40."));
    await writeCrash(directory, report, (file, text) => {
      refusals -= 1;
      if (refusals >= 0) return Promise.reject(full);
      writeFileSync(file, text);
      return Promise.resolve();
    });
    assert.equal(listCrashes(directory).length, CRASHES_MAX / 2 + 1);
    assert.equal(listCrashes(directory).at(-1), report.id);
    const again = reportAt(TIME.replace(":11.", ":50."));
    await assert.rejects(
      writeCrash(directory, again, () => Promise.reject(full)),
      /no space left/,
    );
    mkdirSync(path.join(directory, `${again.id}.json.new`));
    await assert.rejects(writeCrash(directory, again), /EISDIR/);
  });
});

describe("the reporter", () => {
  it("says where the report is, or why there is none", async (t) => {
    const folder = makeFolder(t, { "in-the-way": "a file" });
    const said: string[] = [];
    const reporter = (directory: string): CrashReporter =>
      new CrashReporter({
        directory,
        logPath: path.join(folder, "shop.log"),
        service: () => SERVICE,
        log: (level, message) => void said.push(`${level} ${message}`),
      });
    const line = { time: TIME, source: "worker", worker: 1, line: "from the log" };
    writeFileSync(path.join(folder, "shop.log"), `cut":1}\n${JSON.stringify(line)}\n{"time":`);
    const good = reporter(path.join(folder, "crashes"));
    good.gone(DEATH, () => EVIDENCE);
    good.gone({ ...DEATH, exit: { code: 0, signal: null } }, () => assert.fail("not asked for"));
    const bad = reporter(path.join(folder, "in-the-way"));
    bad.gone(DEATH, () => EVIDENCE);
    await Promise.all([good.settled(), bad.settled()]);
    const [id = ""] = listCrashes(path.join(folder, "crashes"));
    assert.ok(said.includes(`info crash report: ${path.join(folder, "crashes", `${id}.txt`)}`));
    assert.match(
      said.join("\n"),
      /warn cannot write a crash report: E(EXIST|NOTDIR).*make room in/,
    );
    const report = readCrash(path.join(folder, "crashes"), id);
    assert.deepEqual(report?.log, [{ time: TIME, source: "worker 1", line: "from the log" }]);
  });
});
