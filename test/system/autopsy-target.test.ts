/** What autopsy does to a process that it holds still: nothing that lasts, whatever happens. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, it } from "node:test";
import { Worker } from "node:worker_threads";
import { Session } from "../../src/autopsy/mod.ts";
import { PtraceTracer } from "../../src/os/mod.ts";
import { NODES, lookLive, program, startPatient, inPosition, until } from "./support/autopsy.ts";
import type { Patient } from "./support/autopsy.ts";

const STORM_MS = 1_500;
const LOOKERS = 3;
const LOOKS = 2_000;
const NODE = NODES.get(24) ?? "";

function stateOf(pid: number): string {
  return /^State:\s*(\S)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "";
}

async function goesOn({ output }: Patient): Promise<void> {
  const before = output().length;
  await until("it goes on", () => output().length > before + 2);
}

describe("a process that autopsy looks at", () => {
  it("gets every signal that is sent meanwhile", async (t) => {
    const folder = mkdtempSync(path.join(tmpdir(), "autopsy-"));
    const pipe = path.join(folder, "pipe");
    execFileSync("mkfifo", [pipe]);
    const descriptor = openSync(pipe, constants.O_RDWR);
    const child = spawn(NODE, [program("heartbeat.cjs"), "--silent"], {
      stdio: ["ignore", descriptor, "inherit"],
    });
    const pid = child.pid ?? 0;
    t.after(() => {
      child.kill("SIGKILL");
      closeSync(descriptor);
      rmSync(folder, { recursive: true, force: true });
    });
    readSync(descriptor, Buffer.alloc(1)); // it is ready
    const shared = new SharedArrayBuffer(8);
    const handled = new Int32Array(shared);
    const worker = new Worker(program("send-signals.mjs"), {
      workerData: { pid, descriptor, shared },
    });
    const count = (): number => Atomics.load(handled, 0);
    await until("signals are sent", () => count() > 0);
    let looks = 0;
    for (const endsAt = performance.now() + STORM_MS; performance.now() < endsAt; looks += 1) {
      const tracer = new PtraceTracer();
      tracer.seize(pid);
      tracer.release();
      const before = count();
      await until(`the signal after look ${looks} is handled`, () => count() > before);
    }
    Atomics.store(handled, 1, 1);
    process.kill(pid, "SIGUSR2"); // in case that it waits for one
    await worker.terminate();
    assert.ok(looks > 10, `${looks} looks`);
  });

  it("is shared by those who look at the same time: each waits for its turn", async (t) => {
    const { pid } = startPatient(t, 24, [program("heartbeat.cjs"), "--silent"]);
    const lookers = Array.from({ length: LOOKERS }, () => {
      const command = [program("look-often.ts"), String(pid), String(LOOKS)];
      const looker = spawn(NODE, command, { stdio: ["ignore", "ignore", "pipe"] });
      t.after(() => looker.kill("SIGKILL"));
      return looker;
    });
    const ends = lookers.map(async (looker) => {
      const [said, [code]] = await Promise.all([text(looker.stderr), once(looker, "close")]);
      assert.equal(code, 0, said);
    });
    await Promise.all(ends);
  });

  for (const how of ["ptrace", "signal"]) {
    it(`goes on when autopsy is killed, held by ${how}`, async (t) => {
      const patient = startPatient(t, 24, [program("heartbeat.cjs")]);
      await inPosition(patient, { line: "r" });
      const holder = spawn(NODE, [program("hold.ts"), String(patient.pid), how], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      t.after(() => holder.kill("SIGKILL"));
      await new Promise((resolve) => holder.stdout.once("data", resolve));
      assert.match(stateOf(patient.pid), /[tT]/);
      holder.kill("SIGKILL");
      await goesOn(patient);
    });

    it(`stays stopped if it was, held by ${how}`, async (t) => {
      const patient = startPatient(t, 24, [program("heartbeat.cjs")]);
      await inPosition(patient, { line: "r" });
      patient.child.kill("SIGSTOP");
      await until("it is stopped", () => stateOf(patient.pid) === "T");
      lookLive(patient.pid, ({ isolates }) => assert.equal(isolates.length, 1), {
        isTraced: how === "ptrace",
      });
      await until("it is stopped again", () => stateOf(patient.pid) === "T");
      await sleep(50);
      assert.equal(stateOf(patient.pid), "T");
      patient.child.kill("SIGCONT");
      await goesOn(patient);
    });
  }
});

describe("what is no core", () => {
  const options = { node: null, tracer: null, environment: {} };

  it("is a directory, a FIFO, a device", async (t) => {
    const folder = mkdtempSync(path.join(tmpdir(), "autopsy-"));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const pipe = path.join(folder, "pipe");
    execFileSync("mkfifo", [pipe]);
    for (const [file, what] of [
      [folder, "it is a directory"],
      [pipe, "it is no file"],
      ["/dev/zero", "it is no file"],
    ] as const) {
      await assert.rejects(Session.open(file, options), (error: Error) => {
        assert.equal((error as NodeJS.ErrnoException).code, "ERR_HOLDFAST_AUTOPSY_MISSING");
        assert.ok(error.message.includes(what), error.message);
        return true;
      });
    }
  });
});
