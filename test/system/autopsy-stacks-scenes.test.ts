/**
 * Stacks and causes of processes that spin, idle, wait, or died: what an operator would look at.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { describe, it } from "node:test";
import type { TestContext } from "node:test";
import { readStacks, renderStacks } from "../../src/autopsy/stack/mod.ts";
import type { StackFrame, Stacks } from "../../src/autopsy/stack/mod.ts";
import { NODES, inPosition, lookAtCore, lookLive, makeCore, program } from "./support/autopsy.ts";
import { startPatient, until } from "./support/autopsy.ts";
import type { Patient } from "./support/autopsy.ts";

const APP = program("stacks-scenes.cjs");
const LINES = readFileSync(APP, "utf8").split("\n");

/** The line of the program that has this text, from 1. */
function lineOf(text: string): number {
  const index = LINES.findIndex((line) => line.includes(text));
  assert.ok(index >= 0, `the program has a line with ${text}`);
  return index + 1;
}

function framesOf(stacks: Stacks, tid: number): readonly StackFrame[] {
  return stacks.threads.find((thread) => thread.tid === tid)?.frames ?? [];
}

function named(frames: readonly StackFrame[], name: string): StackFrame {
  const frame = frames.find((one) => one.name === name);
  assert.ok(frame, `a frame of ${name} in ${frames.map((one) => one.name).join(", ")}`);
  return frame;
}

function values(frame: StackFrame): Readonly<Record<string, string>> {
  return Object.fromEntries(frame.parameters.map(({ name, text }) => [name, text]));
}

async function live(
  t: TestContext,
  major: number,
  scene: string,
  until_: string,
): Promise<{
  readonly patient: Patient;
  readonly stacks: () => Stacks;
}> {
  const patient = startPatient(t, major, [APP, scene]);
  await inPosition(patient, { line: "in position" });
  const stacks = (): Stacks => lookLive(patient.pid, (v8) => readStacks(v8));
  const isThere = ({ threads }: Stacks): boolean =>
    until_ === "" || threads.some(({ frames }) => frames.some(({ name }) => name === until_));
  await until(`it is in ${until_}`, () => isThere(stacks()));
  return { patient, stacks };
}

for (const major of NODES.keys()) {
  describe(`stacks of Node ${major}`, () => {
    it("finds the routine whose minimum equals its maximum, live and in a core", async (t) => {
      const { patient, stacks } = await live(t, major, "spin", "spread");
      const core = lookAtCore(makeCore(patient), (v8) => readStacks(v8));
      for (const seen of [stacks(), core]) {
        const frame = named(framesOf(seen, patient.pid), "spread");
        assert.equal(frame.location?.file, APP);
        assert.equal(frame.location.line, lineOf("at <= maximum"));
        assert.deepEqual(values(frame), { minimum: "5", maximum: "5", steps: "10" });
        const [first] = renderStacks(seen).split("\n");
        assert.match(first ?? "", /in spread \(.*stacks-scenes\.cjs:\d+:\d+\)$/u);
      }
      assert.equal(stacks().cause.kind, "running");
    });

    it("reads the same without ptrace, or says what it cannot", async (t) => {
      const { patient, stacks } = await live(t, major, "regexp", "validate");
      const traced = framesOf(stacks(), patient.pid).filter(({ kind }) => kind === "javascript");
      const look = (): Stacks => lookLive(patient.pid, (v8) => readStacks(v8), { isTraced: false });
      const untraced = look().threads.find(({ tid }) => tid === patient.pid);
      assert.ok(untraced);
      const seen = untraced.frames.filter(({ kind }) => kind === "javascript");
      const shape = (frames: readonly StackFrame[]): readonly string[] =>
        frames.map(({ name, location }) => `${name}:${location?.line}:${location?.column}`);
      assert.deepEqual(shape(seen), seen.length === 0 ? [] : shape(traced));
      if (seen.length === 0) assert.equal(untraced.isComplete, false);
    });

    it("shows variables by name, the others by register, and no secret", async (t) => {
      const { patient, stacks } = await live(t, major, "locals", "wait");
      const seen = stacks();
      const frame = framesOf(seen, patient.pid).find(({ kind, name }) => {
        return kind === "javascript" && name === "wait";
      });
      assert.ok(frame);
      const variables = Object.fromEntries(frame.variables.map(({ name, text }) => [name, text]));
      assert.equal(variables["seen"], "42");
      assert.equal(variables["apiToken"], "***");
      const registers = frame.registers.map(({ text }) => text);
      for (const text of ['"label 7"', "Array(2)", "[Function see]"]) {
        assert.ok(registers.includes(text), `${text} in ${registers.join(", ")}`);
      }
      assert.doesNotMatch(JSON.stringify(seen), /s3cr3t/u);
      const shown = lookLive(patient.pid, (v8) => readStacks(v8, { areSecretsShown: true }));
      assert.match(JSON.stringify(shown), /s3cr3t/u);
      const text = renderStacks(seen, { isFull: true });
      assert.match(text, /^ {6}variables: seen = 42, apiToken = \*\*\*/mu);
      assert.match(text, /^ {6}registers: r0 = /mu);
    });

    it("says that it was stopped, and leaves it so", async (t) => {
      const { patient, stacks } = await live(t, major, "spin", "spread");
      patient.child.kill("SIGSTOP");
      const state = (): string => stateOf(patient.pid);
      await until("it is stopped", () => state() === "T");
      const { cause } = stacks();
      assert.equal(cause.kind, "stopped");
      assert.match(cause.text, /^stopped \(SIGSTOP, or job control\): in spread \(/u);
      await until("it is stopped again", () => state() === "T");
    });

    it("says that a process is idle", async (t) => {
      const { stacks } = await live(t, major, "idle", "uv__io_poll");
      assert.equal(stacks().cause.kind, "idle");
    });

    it("continues below the last frame with those who await it", async (t) => {
      const { patient, stacks } = await live(t, major, "async", "query");
      const seen = framesOf(stacks(), patient.pid).filter(({ kind }) =>
        /javascript|async/u.test(kind),
      );
      assert.deepEqual(
        seen.map(({ kind, name, location }) => `${kind} ${name}:${location?.line}`).slice(0, 3),
        [
          `javascript query:${lineOf("// query waits")}`,
          `async loadUser:${lineOf("Promise.all([query(id)])")}`,
          `async handler:${lineOf("await loadUser(request.id)")}`,
        ],
      );
      assert.deepEqual(values(named(seen, "query")), { id: "12" });
    });

    it("reads each worker thread", async (t) => {
      const { stacks } = await live(t, major, "workers", "crunch");
      let colours: readonly string[] = [];
      await until("both workers crunch", () => {
        const workers = stacks().threads.filter(({ role }) => role === "worker thread");
        colours = workers
          .flatMap(({ frames }) => frames.filter(({ name }) => name === "crunch"))
          .map((frame) => values(frame)["colour"] ?? "");
        return colours.length === 2;
      });
      assert.deepEqual(colours.toSorted(), ['"blue"', '"green"']);
    });

    it("shows the expression and the text of a regular expression without end", async (t) => {
      const { patient, stacks } = await live(t, major, "regexp", "validate");
      const frames = framesOf(stacks(), patient.pid);
      const frame = named(frames, "validate");
      assert.equal(frame.location?.line, lineOf("/^(a+)+$/"));
      assert.match(values(frame)["text"] ?? "", /^"aaaa/u);
      named(frames, "onRequest");
    });

    it("goes through WebAssembly: functions and places are V8's own", async (t) => {
      const { patient, stacks } = await live(t, major, "wasm", "imported");
      const line = patient
        .output()
        .split("\n")
        .find((text) => text.startsWith("["));
      // written by the program: texts
      const truth = JSON.parse(line ?? "[]") as readonly string[];
      const core = lookAtCore(makeCore(patient), (v8) => readStacks(v8));
      for (const seen of [stacks(), core]) {
        const frames = framesOf(seen, patient.pid).filter(({ kind }) =>
          /javascript|wasm/u.test(kind),
        );
        assert.ok(!framesOf(seen, patient.pid).some(({ kind }) => kind === "regexp"));
        // the one on top has moved on since
        assert.deepEqual(frames.slice(1).map(frameText), truth.slice(1));
        assert.deepEqual(
          frames.slice(0, 4).map(({ kind, name }) => `${kind} ${name}`),
          ["javascript imported", "wasm inner", "wasm outer", "javascript callWasm"],
        );
        assert.match(
          renderStacks(seen),
          /^ {2}inner \(wasm:\/\/wasm\/\w+:wasm-function\[2\]:0x\w+\)$/mu,
        );
      }
    });

    it("tells which WebAssembly function loops", async (t) => {
      const { patient, stacks } = await live(t, major, "wasmSpin", "callSpin");
      let frames: readonly StackFrame[] = [];
      let cause = "";
      // it calls V8 now and then, until V8 has compiled it for good
      await until("it is in its loop", () => {
        const seen = stacks();
        cause = seen.cause.text;
        frames = framesOf(seen, patient.pid).filter(({ kind }) => kind !== "internal");
        return frames[0]?.kind === "wasm";
      });
      const [top, caller] = frames;
      assert.ok(top);
      assert.equal(top.name, "wasm-function[3]");
      assert.equal(top.wasm?.functionIndex, 3);
      assert.equal(caller?.name, "callSpin");
      // the first line names both
      assert.match(cause, /^running: in wasm-function\[3\] \(wasm:\/\/wasm\/\w+:wasm-function/u);
      assert.match(cause, /, called by callSpin \(.*stacks-scenes\.cjs:\d+:\d+\)$/u);
    });
  });
}

/** As the program tells of its own. */
function frameText({ name, location, wasm }: StackFrame): string {
  if (wasm === null) return `${name} (${location?.file}:${location?.line}:${location?.column})`;
  const { url, functionIndex, byteOffset } = wasm;
  return `${name} (${url}:wasm-function[${functionIndex}]:0x${byteOffset?.toString(16)})`;
}

/** Where the kernel writes cores; a pipe takes them away from here. */
function coresAreFiles(): boolean {
  return !readFileSync("/proc/sys/kernel/core_pattern", "utf8").startsWith("|");
}

/** The state of the main thread (proc(5), stat): the third word, behind the name in parentheses. */
function isAsleep(pid: number): boolean {
  return stateOf(pid) === "S";
}

function stateOf(pid: number): string {
  return /\) (\S) /u.exec(readFileSync(`/proc/${pid}/stat`, "utf8"))?.[1] ?? "";
}

/**
 * Lets a program die and gives its core, made by the kernel. Where the kernel gives cores to
 * another
 * program, a core of ours from before the death stands in for it: null.
 */
async function coreOf(
  t: TestContext,
  major: number,
  scene: string,
  flags: readonly string[],
  signal?: NodeJS.Signals,
): Promise<string | null> {
  const patient = startPatient(t, major, ["-e", "0"]); // for its folder
  const node = NODES.get(major) ?? "";
  const shell = 'ulimit -c unlimited && exec "$@"';
  const command = ["-c", shell, "sh", node, ...flags, APP, scene];
  const child = spawn("sh", command, { cwd: patient.folder, stdio: ["ignore", "pipe", "ignore"] });
  t.after(() => child.kill("SIGKILL"));
  if (signal !== undefined) {
    await once(child.stdout, "data");
    let looks = 0;
    await until("it waits", () => {
      looks = isAsleep(child.pid ?? 0) ? looks + 1 : 0;
      return looks >= 3;
    });
    child.kill(signal);
  }
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  if (!coresAreFiles()) return null;
  const found = (): string | undefined =>
    readdirSync(patient.folder).find((name) => name.startsWith("core"));
  await until("the kernel has written the core", () => found() !== undefined);
  const file = path.join(patient.folder, found() ?? "");
  assert.ok(existsSync(file));
  return file;
}

const DEATHS: readonly {
  readonly scene: string;
  readonly flags: readonly string[];
  readonly signal?: NodeJS.Signals;
  readonly kind: string;
  readonly text: RegExp;
  /** What the error recorded when it was made, its first line. */
  readonly recorded?: RegExp;
  /** Among its lines; the next one says where that was made. */
  readonly causedBy?: string;
  readonly frame: string;
  readonly given: Readonly<Record<string, string>>;
}[] = [
  {
    scene: "abort",
    flags: [],
    kind: "abort",
    text: /^process\.abort\(\) was called \(killed by SIGABRT\), in endAll \(/u,
    frame: "endAll",
    given: { reason: '"because 3"' },
  },
  {
    scene: "memory",
    flags: ["--max-old-space-size=40"],
    kind: "out of memory",
    text: /^out of memory: .*heap limit.*, heap of [\d.]+MiB, limit 40MiB \(.*\), in fill \(/u,
    frame: "fill",
    given: { count: "44" },
  },
  {
    scene: "assertion",
    flags: [],
    kind: "assertion",
    text: /^assertion failed in C\+\+: args\[0\]->IsInt32\(\) \(\S+:\d+\) .*, in open \(/u,
    frame: "open",
    given: { kind: '"stream"' },
  },
  {
    scene: "uncaught",
    flags: ["--abort-on-uncaught-exception"],
    kind: "uncaught error",
    text: /^uncaught error: TypeError: card 77 refused: 250 \(.*\), thrown at charge \(.*:\d+\)$/u,
    recorded: /^at charge \(.*:\d+:\d+\)$/u,
    frame: "charge",
    given: { amount: "250" },
  },
  {
    scene: "text", // no error, while another one lies on the stack
    flags: ["--abort-on-uncaught-exception"],
    kind: "uncaught error",
    text: /^uncaught error: "card refused: 250" \(.*\), in .*stacks-scenes\.cjs:\d+:\d+\)$/u,
    frame: "charge",
    given: { amount: "250" },
  },
  {
    scene: "engine", // V8 has made the error, not the program
    flags: ["--abort-on-uncaught-exception"],
    kind: "uncaught error",
    text: /^uncaught error: TypeError: Cannot read properties of undefined \(reading '250'\) \(/u,
    recorded: /^at .*stacks-scenes\.cjs:\d+:\d+\)?$/u,
    frame: "charge",
    given: { amount: "250" },
  },
  {
    scene: "caused",
    flags: ["--abort-on-uncaught-exception"],
    kind: "uncaught error",
    text: /^uncaught error: Error: no order of 250 \(.*\), thrown at .*scenes\.cjs:\d+:\d+$/u,
    recorded: /^at .*stacks-scenes\.cjs:\d+:\d+\)?$/u,
    causedBy: "caused by TypeError: not this one",
    frame: "charge",
    given: { amount: "250" },
  },
  {
    scene: "deep", // more handles than a block has lie behind the one to its message
    flags: ["--abort-on-uncaught-exception", "--stack-size=120"],
    kind: "uncaught error",
    text: /^uncaught error: RangeError: Maximum call stack size .*\), thrown at deeper \(/u,
    recorded: /^at deeper \(.*:\d+:\d+\)$/u,
    frame: "deeper",
    given: { amount: "250" },
  },
  {
    scene: "native",
    flags: [],
    signal: "SIGSEGV",
    kind: "signal",
    text: /^killed by SIGSEGV.* in poll \(/u,
    frame: "poll",
    given: { fd: "9" },
  },
];

for (const major of NODES.keys()) {
  describe(`cause of death of Node ${major}`, () => {
    for (const { scene, flags, signal, kind, text, recorded, causedBy, frame, given } of DEATHS) {
      it(`${scene}: on the first line, with the stack`, async (t) => {
        const core = await coreOf(t, major, scene, flags, signal);
        if (core === null) {
          t.diagnostic("this kernel gives its cores to a program: there is none to look at");
          return;
        }
        const stacks = lookAtCore(core, (v8) => readStacks(v8));
        assert.equal(stacks.cause.kind, kind);
        assert.match(stacks.cause.text, text);
        if (recorded === undefined) assert.deepEqual(stacks.cause.stack, []);
        else assert.match(stacks.cause.stack[0] ?? "", recorded);
        const behind = stacks.cause.stack.indexOf(causedBy ?? "") + 1;
        if (causedBy !== undefined) {
          assert.match(stacks.cause.stack[behind] ?? "", /^at charge \(.*:\d+:\d+\)$/u);
        }
        const [thread] = stacks.threads;
        assert.equal(thread?.isCrashed, true);
        const seen = named(thread.frames, frame);
        assert.equal(seen.location?.file, APP);
        assert.deepEqual(values(seen), given);
      });
    }
  });
}
