/**
 * A process that runs, held still while it is looked at.
 *
 * ```
 *   with a tracer:  PTRACE_SEIZE, INTERRUPT -> all registers; the kernel lets it run if we die
 *   without:        SIGSTOP -> pc and sp of each thread (/proc/PID/task/TID/syscall);
 *                   a guard, a shell that waits for the end of its input, continues it if we die
 * ```
 * A process that was stopped before stays stopped.
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { constants } from "node:os";
import { closeSync, openSync, readFileSync, readSync, readdirSync, readlinkSync } from "node:fs";
import { HoldfastError } from "../../base/mod.ts";
import { auxiliaryFrom } from "./core-notes.ts";
import { buildIdInMemory, findExecutable } from "./executable.ts";
import { machineOf, registersFrom } from "./machine.ts";
import type { Machine, Registers } from "./machine.ts";
import { RegionMemory } from "./memory.ts";
import type { Region } from "./memory.ts";
import { Modules } from "./modules.ts";
import type { Mapping, Target, TargetThread } from "./target.ts";

/** Small: many single words are read, and the process waits. */
const BLOCK_BYTES = 4096;
/** A stop takes microseconds for each thread; a thread in an uninterruptible sleep takes longer. */
const STOP_PATIENCE_MS = 5_000;

/** Stops a process and reads registers: `os` has one, over ptrace(2). */
export interface Tracer {
  /**
   * Stops every thread; gives the words of `user_regs_struct` by thread id.
   * @throws an error with `errno` EPERM or ESRCH.
   */
  seize(pid: number): ReadonlyMap<number, Buffer>;
  /** Lets them run on; may be called twice. */
  release(): void;
}

export interface LiveOptions {
  readonly node: string | null;
  readonly environment: NodeJS.ProcessEnv;
  /** Null: without ptrace. */
  readonly tracer: Tracer | null;
}

/**
 * Stops a process and opens it.
 * @throws HoldfastError ERR_HOLDFAST_AUTOPSY_GONE, ERR_HOLDFAST_AUTOPSY_DENIED,
 *   ERR_HOLDFAST_AUTOPSY_BINARY, ERR_HOLDFAST_AUTOPSY_NOT_NODE
 */
export function openLive(pid: number, options: LiveOptions): Target {
  // what takes time comes before the stop: the binary and its symbols
  const executablePath = told(pid, () => readlinkSync(`/proc/${pid}/exe`));
  const { elf: executable, remarks } = told(pid, () =>
    findExecutable({
      given: options.node ?? `/proc/${pid}/exe`,
      path: executablePath,
      buildId: options.node === null ? null : buildIdOf(pid, executablePath),
      environment: options.environment,
    }),
  );
  const machine = machineOf(executable.machine) as Machine; // a Node binary that runs here
  executable.symbols.at(0); // sorted now, not while the process waits
  const memoryFile = told(pid, () => openSync(`/proc/${pid}/mem`, "r"));
  const pagemap = told(pid, () => openSync(`/proc/${pid}/pagemap`, "r"));
  const wasStopped = told(pid, () => stateOf(pid, pid) === "T");
  const hold = told(pid, () => holdStill(pid, machine, options.tracer));
  try {
    const mappings = readMappings(pid, memoryFile, pagemap);
    const { regions } = mappings;
    const modules = new Modules(mappings.list, executable, executablePath, `/proc/${pid}/root`);
    let isOpen = true;
    return {
      kind: "live",
      title: `pid ${pid}`,
      pid,
      machine,
      memory: new RegionMemory(regions, BLOCK_BYTES),
      mappings: mappings.list,
      threads: hold.threads,
      signal: null,
      takenAtMs: Number(process.hrtime.bigint()) / 1e6,
      wasStopped,
      executable,
      modules,
      auxiliary: auxiliaryFrom(readFileSync(`/proc/${pid}/auxv`)),
      args: zeroSeparated(pid, "cmdline"),
      environment: variables(zeroSeparated(pid, "environ")),
      remarks: [...remarks.filter(() => options.node !== null), ...hold.remarks],
      close() {
        if (!isOpen) return;
        isOpen = false;
        hold.release();
        closeSync(memoryFile);
        closeSync(pagemap);
        modules.close();
      },
    };
  } catch (error) {
    hold.release();
    closeSync(memoryFile);
    closeSync(pagemap);
    executable.source.close();
    throw asTold(pid, error);
  }
}

interface Hold {
  readonly threads: readonly TargetThread[];
  readonly remarks: readonly string[];
  release(): void;
}

function holdStill(pid: number, machine: Machine, tracer: Tracer | null): Hold {
  if (tracer !== null) {
    const registers = tracer.seize(pid);
    const threads = [...registers].map(([tid, words]) => ({
      tid,
      name: threadName(pid, tid),
      registers: registersFrom(machine, words),
    }));
    return { threads: mainFirst(pid, threads), remarks: [], release: () => tracer.release() };
  }
  return holdBySignal(pid, machine);
}

function holdBySignal(pid: number, machine: Machine): Hold {
  const wasStopped = stateOf(pid, pid) === "T";
  const guard = wasStopped ? null : startGuard(pid);
  const release = (): void => {
    if (wasStopped) return;
    try {
      process.kill(pid, "SIGCONT");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error; // it has gone: well
    } finally {
      guard?.stdin?.end("done\n");
    }
  };
  try {
    process.kill(pid, "SIGSTOP");
    const deadline = performance.now() + STOP_PATIENCE_MS;
    const tids = threadIds(pid);
    while (!tids.every((tid) => "TtZX".includes(stateOf(pid, tid)))) {
      if (performance.now() > deadline) break; // a thread in the kernel: it does not move either
    }
    const threads = tids.map((tid) => ({
      tid,
      name: threadName(pid, tid),
      registers: partialRegisters(machine, pid, tid),
    }));
    const remarks = ["without ptrace: of each thread only pc and sp are known"];
    return { threads: mainFirst(pid, threads), remarks, release };
  } catch (error) {
    release();
    throw error;
  }
}

/** Continues the process when this one has died: then its input ends without a word. */
function startGuard(pid: number): ChildProcess {
  const guard = spawn("/bin/sh", ["-c", `read word; test -n "$word" || kill -CONT ${pid}`], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  guard.unref();
  guard.on("error", () => undefined); // no shell: then a death of ours leaves the process stopped
  return guard;
}

/** `/proc/PID/task/TID/syscall`: number, six arguments, sp, pc; `running` while it runs. */
function partialRegisters(machine: Machine, pid: number, tid: number): Registers | null {
  const words = readFileSync(`/proc/${pid}/task/${tid}/syscall`, "latin1").trim().split(" ");
  const [sp, pc] = words.slice(-2).map(Number);
  if (words.length < 3 || sp === undefined || pc === undefined || !(sp > 0)) return null;
  const byName = new Map([
    [machine.sp, sp],
    [machine.pc, pc],
  ]);
  return { pc, sp, fp: null, byName, words: null };
}

function mainFirst(pid: number, threads: readonly TargetThread[]): TargetThread[] {
  return threads.toSorted((a, b) => Number(b.tid === pid) - Number(a.tid === pid) || a.tid - b.tid);
}

function threadIds(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).map(Number);
}

function threadName(pid: number, tid: number): string {
  return readFileSync(`/proc/${pid}/task/${tid}/comm`, "utf8").trimEnd();
}

/** `R`, `S`, `T`...: the field behind the name, which may have spaces and parentheses itself. */
function stateOf(pid: number, tid: number): string {
  const stat = readFileSync(`/proc/${pid}/task/${tid}/stat`, "latin1");
  return stat[stat.lastIndexOf(")") + 2] ?? "?";
}

function zeroSeparated(pid: number, name: string): string[] {
  return readFileSync(`/proc/${pid}/${name}`, "utf8").split("\0").slice(0, -1);
}

function variables(texts: readonly string[]): ReadonlyMap<string, string> {
  const entries = texts.map((text): [string, string] => {
    const at = text.indexOf("=");
    return [text.slice(0, Math.max(at, 0)), text.slice(at + 1)];
  });
  return new Map(entries);
}

interface LiveMappings {
  readonly list: readonly Mapping[];
  readonly regions: readonly Region[];
}

/** `start-end rwxp offset device inode path` (proc_pid_maps(5)). */
const MAPS_LINE = /^([0-9a-f]+)-([0-9a-f]+) (.)(.)(.). ([0-9a-f]+) \S+ \d+ *(.*)$/;

function readMappings(pid: number, memoryFile: number, pagemap: number): LiveMappings {
  const list: Mapping[] = [];
  const regions: Region[] = [];
  for (const line of readFileSync(`/proc/${pid}/maps`, "utf8").split("\n")) {
    const match = MAPS_LINE.exec(line);
    if (match === null) continue;
    const [, from = "", to = "", r, w, x, offset = "", name = ""] = match;
    const start = Number.parseInt(from, 16);
    const end = Number.parseInt(to, 16);
    const isFile = name.startsWith("/");
    const isReadable = r === "r" && name !== "[vvar]" && name !== "[vsyscall]";
    list.push({
      start,
      end,
      fileOffset: Number.parseInt(offset, 16),
      path: name === "" ? null : name.replace(/ \(deleted\)$/, ""),
      isReadable,
      isWritable: w === "w",
      isExecutable: x === "x",
      presentBytes: isReadable ? end - start : 0,
    });
    if (isReadable) regions.push(regionOf(memoryFile, isFile ? -1 : pagemap, start, end));
  }
  return { list, regions };
}

/** Bytes of one entry of `pagemap`. */
const PAGEMAP_ENTRY_BYTES = 8;
const PAGE_BYTES = 4096;
/** Bits 62 and 63 of an entry: swapped out, present. */
const TOUCHED = 0xc0;

/**
 * A region of a live process. A page that was never touched counts as missing: to read it would
 * make the kernel map one, and so change what is looked at.
 */
function regionOf(memoryFile: number, pagemap: number, start: number, end: number): Region {
  let touched: Buffer | null = null;
  const isTouched = (offset: number): boolean => {
    touched ??= pagemapOf(pagemap, start, end);
    const entry = Math.floor(offset / PAGE_BYTES) * PAGEMAP_ENTRY_BYTES;
    const bits = touched[entry + PAGEMAP_ENTRY_BYTES - 1];
    return bits === undefined || (bits & TOUCHED) !== 0;
  };
  return {
    start,
    end,
    read(offset, into) {
      if (!isTouched(offset)) return 0;
      try {
        return readSync(memoryFile, into, 0, into.length, start + offset);
      } catch (error) {
        // EIO: a page that is not there (a guard, a file that was cut off); ESRCH: it has gone
        if (["EIO", "ESRCH", "EFAULT"].includes((error as NodeJS.ErrnoException).code ?? ""))
          return 0;
        throw error;
      }
    },
  };
}

/** Entries of the pages of a mapping, as of now; empty where the kernel has none. */
function pagemapOf(pagemap: number, start: number, end: number): Buffer {
  if (pagemap < 0) return Buffer.alloc(0);
  const entries = Buffer.alloc(((end - start) / PAGE_BYTES) * PAGEMAP_ENTRY_BYTES);
  const position = (start / PAGE_BYTES) * PAGEMAP_ENTRY_BYTES;
  const bytes = readSync(pagemap, entries, 0, entries.length, position);
  return entries.subarray(0, bytes);
}

/** Of the running program, to compare with a binary that was given. */
function buildIdOf(pid: number, executablePath: string): string | null {
  const file = openSync(`/proc/${pid}/mem`, "r");
  try {
    const { list, regions } = readMappings(pid, file, -1);
    const first = list.find(({ path, fileOffset }) => path === executablePath && fileOffset === 0);
    return first === undefined
      ? null
      : buildIdInMemory(new RegionMemory(regions, BLOCK_BYTES), first.start);
  } finally {
    closeSync(file);
  }
}

function told<Value>(pid: number, act: () => Value): Value {
  try {
    return act();
  } catch (error) {
    throw asTold(pid, error);
  }
}

/** System errors as sentences. */
function asTold(pid: number, error: unknown): unknown {
  const code = nameOfFailure(error);
  if (code === "ENOENT" || code === "ESRCH") {
    return new HoldfastError(
      "ERR_HOLDFAST_AUTOPSY_GONE",
      `Cannot look at process ${pid}: there is no such process (any more). ` +
        `If it left a core file, give that: coredumpctl list, or \`holdfast crashes\`.`,
      { cause: error },
    );
  }
  if (code === "EACCES" || code === "EPERM") {
    return new HoldfastError(
      "ERR_HOLDFAST_AUTOPSY_DENIED",
      `Cannot look at process ${pid}: the system refuses it (${code}). Act as the user who ` +
        `runs it, or as root; in a container add the capability SYS_PTRACE; ` +
        `/proc/sys/kernel/yama/ptrace_scope above 0 allows only ancestors.`,
      { cause: error },
    );
  }
  return error;
}

/** `EPERM`, whether the error is of node:fs (a `code`) or of a tracer (an `errno`). */
function nameOfFailure(error: unknown): string {
  const { code = "", errno } = error as NodeJS.ErrnoException;
  const found = Object.entries(constants.errno).find(([, number]) => number === errno);
  return found?.[0] ?? code;
}
