/** `holdfast trace`: what a running service does, merged over its workers; nothing is left. */
import assert from "node:assert/strict";
import { openSync } from "node:fs";
import { spawn } from "node:child_process";
import net from "node:net";
import { describe, it } from "node:test";
import { LiveTrace, assertClean } from "./support/live.ts";
import { get, send } from "./support/load.ts";
import { CLI, app, nodeBinary } from "./support/paths.ts";
import { cleanEnvironment } from "./support/run.ts";
import { startService, suiteOwner } from "./support/service.ts";
import type { Service } from "./support/service.ts";
import { waitFor } from "./support/wait.ts";

const entry = app("live/trace.cjs");

async function ask(service: Service, path: string, times = 1): Promise<void> {
  for (let count = 0; count < times; count += 1) await get(await service.target(), path);
}

describe("holdfast trace", () => {
  let service: Promise<Service> | null = null;
  const owner = suiteOwner();
  const shared = (): Promise<Service> => (service ??= startService(owner, { entry }));

  it("counts requests of all workers; Ctrl-C brings the last figures", async (t) => {
    const running = await shared();
    const program =
      "http:done { @n[path] = count(); @t[path] = quantize(duration); @w = uniq(worker) }" +
      ' fn:trace-db.query:return { @q[retval] = count() } end { printf("bye %d", worker) }' +
      " user:order:placed { @o[arg0] = sum(arg1) } fs:call { @fs[op] = count() }";
    const trace = await LiveTrace.start(t, running, program);
    await ask(running, "/slow?ms=20", 20);
    await ask(running, "/query", 3);
    await ask(running, "/order?id=7", 4);
    const line = await trace.waitForRow("o", "7", 40);
    assert.equal(trace.row(line, "n", "/slow"), 20);
    assert.equal(trace.row(line, "t", "/slow"), 20);
    assert.equal(trace.row(line, "q", "rows of select 1"), 3);
    assert.equal(await trace.interrupt(), 0, trace.describe());
    assert.equal(trace.lines.at(-1)?.reason, "it was stopped");
    const said = trace.lines.filter(({ event }) => event === "line").map(({ text }) => text);
    assert.deepEqual(new Set(said), new Set(["bye 0", "bye 1"]));
    await assertClean(running);
  });

  it("a client that is killed leaves nothing either", async (t) => {
    const running = await shared();
    const program = "fs:call, emitter:emit, timers:set, stream:write, fn:JSON.stringify:entry";
    const trace = await LiveTrace.start(t, running, `${program} { @[probe] = count() }`);
    await ask(running, "/", 2);
    await trace.waitForRow("", "fn:JSON.stringify:entry", 2);
    trace.child.kill("SIGKILL");
    await assertClean(running);
  });

  it("two traces at once do not know of each other", async (t) => {
    const running = await shared();
    const first = await LiveTrace.start(t, running, "fn:trace-db.check:entry { @ = count() }");
    await ask(running, "/fail", 2);
    await first.waitForRow("", "", 2);
    const second = await LiveTrace.start(t, running, "fn:trace-db.check:entry { @ = count() }");
    await ask(running, "/fail", 3);
    await first.waitForRow("", "", 5);
    await second.waitForRow("", "", 3);
    assert.equal(await first.interrupt(), 0);
    await ask(running, "/fail", 1);
    await second.waitForRow("", "", 4);
    assert.equal(await second.interrupt(), 0);
    await assertClean(running);
  });

  it("counts the application's timers, not what the worker sets for each request", async (t) => {
    const running = await shared();
    const program =
      'timers:set /stack(1) ~ "worker-context"/ { @ours = count() }' +
      " timers:set { @all = count() } http:done { @n = count() }";
    const trace = await LiveTrace.start(t, running, program);
    await ask(running, "/slow?ms=5", 5);
    const line = await trace.waitForRow("n", "", 5);
    assert.ok((trace.row(line, "all", "") ?? 0) >= 5, trace.describe());
    assert.equal(trace.row(line, "ours", ""), undefined, trace.describe());
    assert.equal(await trace.interrupt(), 0, trace.describe());
    await assertClean(running);
  });

  it("ends once all of its probes cost more than they may", async (t) => {
    const running = await shared();
    const program = "emitter:emit { @[event] = count() } tick:1s { print(1) }";
    const trace = await LiveTrace.start(
      t,
      running,
      program,
      "--worker",
      "0",
      "--budget",
      "0.0001%",
    );
    let code: number | null | undefined;
    void trace.exited.then((given) => (code = given));
    await waitFor("its end", async () => {
      await ask(running, "/slow?ms=1", 20);
      return code !== undefined;
    });
    assert.equal(code, 0, trace.describe());
    assert.match(trace.describe(), /every probe of it is turned off/);
    await assertClean(running);
  });

  it("ends by itself: --for, and exit()", async () => {
    const running = await shared();
    const short = await running.control("trace", "http:done { @ = count() }", "--for", "300ms");
    assert.deepEqual([short.code, short.signal], [0, null], short.stderr.toString());
    assert.match(short.stderr.toString(), /its time is over; \d+ firings in 2 workers/);
    const exit = await running.control("trace", 'begin { print("once"); exit() }', "--worker", "0");
    assert.equal(exit.code, 0);
    assert.equal(exit.stdout.toString().trim(), "once");
    assert.match(exit.stderr.toString(), /exit\(\) was called in worker 0/);
  });

  it("a ready program and a file are as good; a wrong one is shown where it is wrong", async () => {
    const running = await shared();
    const ready = await running.control("trace", "slow-requests", "--for", "200ms");
    assert.equal(ready.code, 0, ready.stderr.toString());
    const typo = await running.control("trace", "slow-requets");
    assert.equal(typo.code, 64);
    assert.match(
      typo.stderr.toString(),
      /no ready program slow-requets\. Did you mean slow-requests\?/,
    );
    const wrong = await running.control("trace", "http:done { @ = cout() }");
    assert.notEqual(wrong.code, 0);
    const place = /^ {2}http:done \{ @ = cout\(\) \}\n {18}\^\nholdfast: .*at 1:17: .*mean count/;
    assert.match(wrong.stderr.toString(), place);
    const list = await running.control("trace", "--list");
    assert.match(list.stdout.toString(), /^PROGRAM +SHOWS\n(.*\n)*loop-blockers +Who blocks/);
  });

  it("--destructive: a fault where it is asked for, for as long as that", async (t) => {
    const running = await shared();
    const program = 'fn:trace-db.check:entry { raise("by request") }';
    const trace = await LiveTrace.start(t, running, program, "--destructive");
    const failed = await get(await running.target(), "/fail");
    assert.deepEqual([failed.status, failed.text], [503, "by request"]);
    assert.equal(await trace.interrupt(), 0);
    assert.equal((await get(await running.target(), "/fail")).status, 200);
  });

  it("a full disk is said, and the workers are released", async (t) => {
    const running = await shared();
    const args = ["--", CLI, "trace", "--name", running.name, "tick:100ms { print(timestamp) }"];
    const env = cleanEnvironment({ HOLDFAST_RUNTIME_DIR: running.runtimeDir });
    const full = openSync("/dev/full", "w");
    const child = spawn(nodeBinary(), args, { env, stdio: ["ignore", full, "pipe"] });
    t.after(() => child.kill("SIGKILL"));
    let said = "";
    child.stderr?.setEncoding("utf8").on("data", (chunk: string) => {
      said += chunk;
    });
    const code = await new Promise((resolve) => child.on("close", resolve));
    assert.equal(code, 1);
    assert.match(said, /^holdfast: Cannot write the output: ENOSPC: [^\n]*\.$/m);
    assert.match(said, /it was stopped; \d+ firings in 2 workers/);
    assert.doesNotMatch(said, /^ +at /m);
    await assertClean(running);
  });
});

describe("holdfast trace of clients that leave or do not read", () => {
  it("http:abort and stream:stuck tell of them, and leave no listener", async (t) => {
    const service = await startService(t, { entry, workers: 1 });
    const program =
      "http:abort { @gone[path] = count() } http:done { @done[path] = count() }" +
      " stream:stuck /buffered > 1MB/ { @stuck[class] = max(still) }";
    const trace = await LiveTrace.start(t, service, program);
    const reader = net.connect(await service.target()); // nobody listens to it, so it reads nothing
    reader.on("error", () => undefined);
    t.after(() => reader.destroy());
    reader.write("GET /never HTTP/1.1\r\nhost: t\r\n\r\n");
    await trace.waitFor("a socket that is stuck", (line) => {
      return (trace.row(line, "stuck", "Socket") ?? 0) > 900;
    });
    await ask(service, "/query", 2);
    reader.destroy();
    const line = await trace.waitForRow("gone", "/never", 1);
    assert.equal(trace.row(line, "done", "/query"), 2);
    assert.equal(trace.row(line, "gone", "/query"), undefined);
    assert.equal(await trace.interrupt(), 0);
    await assertClean(service);
  });
});

describe("holdfast trace under other versions of Node", () => {
  for (const node of [22, 26] as const) {
    it(`follows a request to what is done for it, Node ${node}`, async (t) => {
      const service = await startService(t, { entry, node, workers: 1 });
      const program =
        "http:request { self.sets = 0 }" +
        " timers:set { self.sets = self.sets + 1; @by[path] = count() }" +
        " http:done { @sets[path] = sum(self.sets) }" +
        " fn:trace-db.query:return { @q[path] = quantize(duration) }" +
        " fn:trace-db.check:entry { @who[substr(stack(1), 0, 6)] = count() }";
      const trace = await LiveTrace.start(t, service, program);
      await ask(service, "/query", 2);
      await ask(service, "/fail");
      const line = await trace.waitForRow("who", "/fail ", 1);
      assert.equal(trace.row(line, "sets", "/query"), 2, trace.describe());
      assert.equal(trace.row(line, "by", "/query"), 2);
      assert.equal(trace.row(line, "q", "/query"), 2);
      assert.equal(await trace.interrupt(), 0);
      await assertClean(service);
    });
  }

  it("a reader that leaves ends the trace", async (t) => {
    const service = await startService(t, { entry, workers: 1 });
    const trace = await LiveTrace.start(t, service, "tick:100ms { print(timestamp) } fs:call {}");
    trace.child.stdout?.destroy();
    assert.equal(await trace.exited, 0, trace.describe());
    await assertClean(service);
  });
});

describe("holdfast trace of workers that die and spin", () => {
  it("keeps what a dead worker had told, and goes on in the next one", async (t) => {
    const service = await startService(t, { entry, workers: 1 });
    const trace = await LiveTrace.start(t, service, "http:request { @[path] = count() }");
    await ask(service, "/slow?ms=1", 3);
    await trace.waitForRow("", "/slow", 3);
    await send(await service.target(), "POST", "/die"); // a GET would be tried again
    await trace.waitFor("the death", ({ event }) => event === "gone");
    await service.waitForStatus("another one", ({ totals, workers }) => {
      return totals.restarts === 1 && workers.every(({ state }) => state === "ready");
    });
    await waitFor("it is traced too", async () => {
      await ask(service, "/query");
      return trace.lines.some((line) => (trace.row(line, "", "/query") ?? 0) > 0);
    });
    const last = await trace.waitForRow("", "/slow", 3);
    assert.ok((trace.row(last, "", "/query") ?? 0) > 0, trace.describe());
    assert.equal(await trace.interrupt(), 0);
    await assertClean(service);
  });

  it("says which worker does not answer, and gets its figures when it does", async (t) => {
    const service = await startService(t, { entry, workers: 1 });
    const trace = await LiveTrace.start(t, service, "http:done { @[path] = max(duration) }");
    const spun = get(await service.target(), "/spin");
    await trace.waitFor("silence of worker 0", ({ silent }) => silent?.join() === "0");
    await spun;
    await trace.waitFor("the request that spun", (line) => {
      return (trace.row(line, "", "/spin") ?? 0) >= 3000;
    });
    assert.equal(await trace.interrupt(), 0);
  });

  it("getters, proxies and huge texts: nothing is touched, texts are cut", async (t) => {
    const service = await startService(t, { entry, workers: 1 });
    const program =
      "fn:trace-db.keep:entry { @[arg0.text, arg0.secret, arg0.trap.x, str(arg0)] = count();" +
      ' @n = sum(arg0); @u = uniq(arg0.text); printf("%s %d", arg0, arg0.secret); print(args) }';
    const trace = await LiveTrace.start(t, service, program);
    const { text } = await get(await service.target(), "/hostile");
    assert.equal(text, "0", "nothing of the application has run");
    const line = await trace.waitFor("two rows", ({ aggregations = [] }) => {
      return aggregations.some(({ name, rows }) => name === "" && rows.length === 2);
    });
    const longest = Math.max(
      ...JSON.stringify(line)
        .split(/[",]/)
        .map((part) => part.length),
    );
    assert.ok(longest <= 201, `${longest} characters`);
    assert.equal(await trace.interrupt(), 0);
  });

  it("memory is bounded: keys beyond the limit are dropped, counted and shown", async (t) => {
    const service = await startService(t, { entry, workers: 1 });
    const program = "fn:trace-db.check:entry { @[arg0] = count() }";
    const trace = await LiveTrace.start(t, service, program);
    await ask(service, "/keys");
    await trace.waitFor("500 drops", (line) => {
      const [found] = line.aggregations ?? [];
      return found?.drops === 500 && found.rows.length === 1000;
    });
    assert.equal(await trace.interrupt(), 0);
  });
});
