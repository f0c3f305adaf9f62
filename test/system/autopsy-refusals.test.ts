/** Bad input that only a real process or core makes: no heap, no permission, gone in the middle. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { closeSync, copyFileSync, openSync, readSync, writeSync } from "node:fs";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { it } from "node:test";
import { LiveProcess, Session, parseExpression, runExpression } from "../../src/autopsy/mod.ts";
import { openByteSource } from "../../src/autopsy/target/byte-source.ts";
import { ElfFile, PF_W, PT_LOAD } from "../../src/autopsy/target/elf.ts";
import { PtraceTracer } from "../../src/os/mod.ts";
import { NODES, inPosition, makeCore, program, startPatient } from "./support/autopsy.ts";
import { CLI, nodeBinary } from "./support/paths.ts";
import { run } from "./support/run.ts";
import type { RunResult } from "./support/run.ts";

const PROGRAM_BYTES = 56;
const FILE_BYTES_AT = 32;

/** As a kernel writes it whose `coredump_filter` leaves private memory out, but for the stack. */
function withoutHeap(file: string, stack: number): void {
  const source = openByteSource(file);
  const { programs } = new ElfFile(source);
  const head = source.slice(32, 8);
  source.close();
  const descriptor = openSync(file, "r+");
  const size = Buffer.alloc(8);
  for (const [index, { type, flags, address, memoryBytes }] of programs.entries()) {
    if (type !== PT_LOAD || (flags & PF_W) === 0) continue;
    if (address <= stack && stack < address + memoryBytes) continue;
    const at = Number(head.readBigUInt64LE(0)) + index * PROGRAM_BYTES + FILE_BYTES_AT;
    assert.equal(readSync(descriptor, size, 0, 8, at), 8);
    writeSync(descriptor, Buffer.alloc(8), 0, 8, at);
  }
  closeSync(descriptor);
}

it("a core without the heap: stacks as far as they go, and what to do about it", async (t) => {
  const patient = startPatient(t, 24, [program("values.cjs")]);
  await inPosition(patient, { line: "ready" });
  const core = makeCore(patient);
  const whole = await Session.open(core, { node: null, tracer: null, environment: {} });
  const sp = whole.target.threads[0]?.registers?.sp ?? 0;
  whole.close();
  withoutHeap(core, sp);
  const session = await Session.open(core, { node: null, tracer: null, environment: {} });
  t.after(() => session.close());
  const ask = (text: string) => runExpression(session, parseExpression(text), undefined);
  assert.equal((await ask("stacks")).kind, "text");
  await assert.rejects(ask("objects"), {
    code: "ERR_HOLDFAST_AUTOPSY_NO_HEAP",
    message: /the heap of V8 is not in it.*coredump_filter must have bit 0.*autopsy dump/su,
  });
  const { code, stderr } = await run(nodeBinary(), ["--", CLI, "autopsy", core, "objects"]);
  assert.equal(code, 65, stderr.toString());
});

/** A copy of a binary that says it has the V8 of Node 20, as the text that it has of that. */
function ofNode20(binary: string, copy: string): void {
  const source = openByteSource(binary);
  const elf = new ElfFile(source);
  const symbol = elf.symbols.named("_ZN2v88internal7Version15version_string_E");
  const at = elf.offsetOf(symbol?.address ?? 0) ?? 0;
  const text = elf.offsetOf(Number(source.slice(at, 8).readBigUInt64LE(0))) ?? 0;
  assert.match(source.slice(text, 8).toString("latin1"), /^1\d\.\d\.\d/u);
  source.close();
  copyFileSync(binary, copy);
  const descriptor = openSync(copy, "r+");
  writeSync(descriptor, "11.3.244", text);
  closeSync(descriptor);
}

it("Node before 22: which versions are known, and exit code 65", async (t) => {
  const patient = startPatient(t, 24, [program("values.cjs")]);
  await inPosition(patient, { line: "ready" });
  const core = makeCore(patient);
  const copy = path.join(patient.folder, "node20");
  ofNode20(NODES.get(24) ?? "", copy);
  const words = ["--", CLI, "autopsy", core, "stacks", "--node", copy];
  const { code, stderr } = await run(nodeBinary(), words);
  assert.match(stderr.toString(), /its binary has V8 11\.3\.244.* Known are Node 22 \(V8 12\.4\)/u);
  assert.equal(code, 65);
});

it("a process of somebody else: who may look, and exit code 77", async (t) => {
  const isRoot = process.getuid?.() === 0;
  const patient = startPatient(t, 24, [program("values.cjs")]);
  await inPosition(patient, { line: "ready" });
  // process 1 is root's; root itself gives its rights away first
  const prefix = isRoot ? ["setpriv", "--reuid=65534", "--clear-groups", "--inh-caps=-all"] : [];
  const pid = isRoot ? String(patient.pid) : "1";
  const words = [...prefix, nodeBinary(), "--", CLI, "autopsy", pid, "stacks"];
  const [command = "", ...args] = words;
  const { code, stderr } = await run(command, args, { cwd: "/" });
  assert.match(stderr.toString(), /the system refuses it \(E(?:PERM|ACCES)\).*SYS_PTRACE/u);
  assert.equal(code, 77);
});

it("a process of a short number, where no service runs, is one all the same", async (t) => {
  const env = { HOLDFAST_RUNTIME_DIR: mkdtempSync(path.join(tmpdir(), "hf-none-")) };
  t.after(() => rmSync(env.HOLDFAST_RUNTIME_DIR, { recursive: true }));
  const stacks = (pid: string): Promise<RunResult> =>
    run(nodeBinary(), ["--", CLI, "stacks", pid], { env });
  // process 1 is there, most likely none of Node's; there is no process 0
  assert.match((await stacks("1")).stderr.toString(), /AUTOPSY|^$/u);
  assert.match((await stacks("0")).stderr.toString(), /no service is running/u);
});

it("a process that goes away between two looks", async (t) => {
  for (const how of ["stop", "copy", "copyAll"] as const) {
    const patient = startPatient(t, 24, [program("values.cjs")]);
    await inPosition(patient, { line: "ready" });
    const tracer = how === "copy" ? null : new PtraceTracer();
    const live = new LiveProcess(patient.pid, { node: null, tracer, environment: {} });
    t.after(() => live.close());
    patient.child.kill("SIGKILL");
    await once(patient.child, "exit");
    const look = {
      stop: () => live.stop(),
      copy: () => live.copy(new Set()),
      copyAll: () => live.copyAll(),
    };
    assert.throws(look[how], {
      code: "ERR_HOLDFAST_AUTOPSY_GONE",
      message: /there is no such process \(any more\)/u,
    });
  }
});
