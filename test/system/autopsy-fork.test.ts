/**
 * Snapshots of a live process by fork(2), which the process makes itself without knowing: nothing
 * of it may stay behind or show, whatever ends first.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import net from "node:net";
import { describe, it } from "node:test";
import type { TestContext } from "node:test";
import { LiveProcess, Session, parseExpression, runExpression } from "../../src/autopsy/mod.ts";
import { knownMappings } from "../../src/autopsy/target/fork-ranges.ts";
import type { Target } from "../../src/autopsy/target/target.ts";
import { PtraceTracer, SystemCallError, readChildren } from "../../src/os/mod.ts";
import { inPosition, program, startPatient, until } from "./support/autopsy.ts";
import type { Patient } from "./support/autopsy.ts";
import { CLI, nodeBinary } from "./support/paths.ts";
import { run } from "./support/run.ts";
import { within } from "./support/wait.ts";

/** Answers with how often it was asked, uses threads and timers, and keeps many objects. */
const SERVICE = `
class Kept { constructor(id) { this.id = id; this.text = "kept " + id; } }
globalThis.kept = Array.from({ length: 100_000 }, (_, id) => new Kept(id));
let count = 0;
setInterval(() => require("node:crypto").pbkdf2("a", "b", 2_000, 32, "sha512", () => {}), 2);
process.on("SIGCHLD", () => process.stdout.write("a child ended\\n"));
require("node:net").createServer((socket) => {
  socket.write("hello ");
  socket.on("data", () => socket.write(String(count += 1), () => socket.destroy()));
}).listen(0, "127.0.0.1", function () { console.log("port " + this.address().port + ";"); });
`;

const options = (tracer = new PtraceTracer()): ConstructorParameters<typeof LiveProcess>[1] => ({
  node: null,
  tracer,
  environment: {},
});

async function service(t: TestContext, major = 24): Promise<Patient & { readonly port: number }> {
  const patient = startPatient(t, major, ["-e", SERVICE]);
  await inPosition(patient, { line: ";" });
  return { ...patient, port: Number(/port (\d+)/u.exec(patient.output())?.[1]) };
}

/** What it answers until it closes the connection, which it had before `meanwhile`. */
async function ask(port: number, meanwhile: () => void = () => undefined): Promise<string> {
  const socket = net.connect(port, "127.0.0.1").setEncoding("latin1");
  let text = "";
  socket.on("data", (chunk: string) => (text += chunk));
  await within("it accepts the connection", once(socket, "data"));
  meanwhile();
  socket.write("?");
  await within("it closes the connection", once(socket, "end"));
  return text.replace("hello ", "");
}

function snapshotOf(t: TestContext, pid: number): Target {
  const live = new LiveProcess(pid, options());
  t.after(() => live.close());
  const target = live.snapshot();
  if (typeof target === "string") assert.fail(target);
  return target;
}

/** A command that reads the snapshot for a second or two, from the moment it has one. */
async function looking(t: TestContext, pid: number): Promise<ChildProcess> {
  const command = spawn(nodeBinary(), ["--", CLI, "autopsy", String(pid), "objects --live"], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  t.after(() => command.kill("SIGKILL"));
  let said = "";
  command.stderr.on("data", (chunk: Buffer) => (said += chunk.toString()));
  await until("there is a snapshot", () => {
    assert.equal(command.exitCode, null, said);
    return readChildren(pid).length === 1;
  });
  return command;
}

/** What of its mappings children do not get. */
function withheld(pid: number): number {
  const known = knownMappings(readFileSync(`/proc/${pid}/smaps`, "latin1"));
  return [...known.values()].filter(({ isWithheld }) => isWithheld).length;
}

describe("a snapshot", () => {
  for (const major of [22, 24, 26]) {
    it(`of a busy service is taken again and again, Node ${major}`, async (t) => {
      const { pid, port, output } = await service(t, major);
      for (let count = 1; count <= 10; count += 1) {
        let target: Target | undefined;
        // a connection that the service closes is closed: the copy does not hold it
        const answer = await ask(port, () => (target = snapshotOf(t, pid)));
        assert.equal(answer, String(count));
        assert.equal(target?.threads[0]?.tid, pid);
        target.close();
        assert.deepEqual(readChildren(pid), [], "nothing is left, not even an entry");
      }
      assert.doesNotMatch(output(), /a child ended/u);
    });
  }

  it("leaves the heap withheld from the process's own children, as it was", async (t) => {
    const patient = startPatient(t, 24, ["-e", "setInterval(() => {}, 1e9); console.log('on')"]);
    await inPosition(patient, { line: "on" });
    const before = withheld(patient.pid);
    assert.ok(before > 0, "V8 does not withhold its heap any more: fork-ranges.ts can go");
    snapshotOf(t, patient.pid).close();
    assert.equal(withheld(patient.pid), before);
  });

  it("is taken away when the command is interrupted", async (t) => {
    const { pid, port } = await service(t);
    const command = await looking(t, pid);
    command.kill("SIGINT");
    const [exitCode] = (await once(command, "exit")) as [number | null];
    assert.equal(exitCode, 130);
    assert.deepEqual(readChildren(pid), []);
    assert.equal(await ask(port), "1");
  });

  it("dies with the command that is killed; the service runs on", async (t) => {
    const { pid, port } = await service(t);
    const command = await looking(t, pid);
    const [copy] = readChildren(pid);
    command.kill("SIGKILL");
    await once(command, "exit");
    await until("the copy has ended", () => /^State:\s+Z/mu.test(statusOf(copy ?? 0)));
    assert.equal(await ask(port), "1");
    // another look does not mind what is left of it
    snapshotOf(t, pid).close();
    assert.deepEqual(readChildren(pid), [copy], "an entry, which the service's end removes");
  });

  it("whose command is killed at any moment harms no thread of the service", async (t) => {
    const { pid, port, child, folder } = await service(t);
    // one that ends by itself keeps what it has compiled: a quarter of the time of each start
    const env = { NODE_COMPILE_CACHE: folder };
    const forking = (last: number): ReturnType<typeof run> =>
      run(nodeBinary(), [program("fork-killed.ts"), String(pid), String(last)], { env });
    assert.equal((await forking(-1)).code, 0);
    let moment = 1;
    for (let isKilled = true; isKilled; moment += 1) {
      const { signal, code, stderr } = await forking(moment);
      isKilled = signal === "SIGKILL";
      assert.equal(code, isKilled ? null : 0, stderr.toString());
      assert.equal(await ask(port), String(moment), `killed at its wait ${moment}`);
      assert.equal(child.exitCode ?? child.signalCode, null);
    }
    // memory given, the fork, what the copy does, its end: two stops each, and more
    assert.ok(moment > 10, `${moment} moments`);
  });

  it("that the system has ended is said, and not read as if memory were missing", async (t) => {
    const { pid, port } = await service(t);
    const command = await looking(t, pid);
    let said = "";
    command.stderr?.on("data", (chunk: Buffer) => (said += chunk.toString()));
    const [copy = 0] = readChildren(pid);
    await until("it goes first", () => oomAdjustment(copy) === "1000\n");
    process.kill(copy, "SIGKILL");
    const [code] = (await once(command, "close")) as [number | null];
    assert.match(said, /has ended the copy of process \d+, as it does first when memory runs out/u);
    assert.equal(code, 66);
    assert.deepEqual(readChildren(pid), []);
    assert.equal(await ask(port), "1");
  });

  it("outlives the service; who describes all of it hears that he is to end", async (t) => {
    const { pid, child } = await service(t);
    const stop = new AbortController();
    const onProgress = (what: string): void => {
      if (what === "describe") stop.abort();
    };
    const session = await Session.copied(pid, { ...options(), onProgress });
    child.kill("SIGKILL");
    await once(child, "exit");
    const found = await runExpression(session, parseExpression("objects Kept"), undefined);
    assert.match(JSON.stringify(found), /100000/u);
    const sorted = runExpression(session, parseExpression("find Kept | sort value"), stop.signal);
    await assert.rejects(sorted, { name: "AbortError" });
    session.close();
  });

  it("that is refused is replaced by a copy, and both pauses are told before", async (t) => {
    const { pid, port } = await service(t);
    class Poor extends PtraceTracer {
      override fork(): never {
        throw new SystemCallError("clone", 11, `process ${pid}`);
      }
    }
    const told: (string | null)[] = [];
    const session = await Session.copied(pid, options(new Poor()), {
      onCost: ({ noSnapshot }) => told.push(noSnapshot),
    });
    const found = await runExpression(session, parseExpression("objects Kept"), undefined);
    assert.match(JSON.stringify(found), /100000/u);
    session.close();
    assert.deepEqual(told, [null, "clone gives EAGAIN"]);
    assert.equal(await ask(port), "1");
  });

  it("does not end a process whose system calls are filtered", async (t) => {
    const patient = startPatient(t, 24, [program("filtered.cjs")]);
    await inPosition(patient, { line: "alive" });
    const { pid } = patient;
    assert.match(statusOf(pid), /^Seccomp:\s+2/mu);
    const words = ["--", CLI, "autopsy", String(pid), "find Kept | count"];
    const { code, stdout } = await run(nodeBinary(), words);
    assert.match(stdout.toString(), /321/u);
    assert.equal(code, 0);
    const said = patient.output().length;
    await until("it goes on", () => patient.output().length > said);
    assert.equal(patient.child.exitCode, null);
  });
});

function statusOf(pid: number): string {
  return readFileSync(`/proc/${pid}/status`, "latin1");
}

function oomAdjustment(pid: number): string {
  return readFileSync(`/proc/${pid}/oom_score_adj`, "latin1");
}
