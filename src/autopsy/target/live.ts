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
import { readFileSync, readdirSync, readlinkSync } from "node:fs";
import { HoldfastError } from "../../base/mod.ts";
import { auxiliaryFrom } from "./core-notes.ts";
import { buildIdInMemory, findExecutable } from "./executable.ts";
import { machineOf, registersFrom } from "./machine.ts";
import type { Machine, Registers } from "./machine.ts";
import { RegionMemory } from "./memory.ts";
import { readDescriptors } from "./descriptors.ts";
import type { ElfFile } from "./elf.ts";
import { FileCopy } from "./file-copy.ts";
import { BlockCopy, LIVE_PAGE_BYTES, LiveMemory } from "./live-memory.ts";
import { mapsSignature, mapsText, parseMaps } from "./live-memory.ts";
import { Modules } from "./modules.ts";
import { bytesOf, presentRuns } from "./page-runs.ts";
import type { Run } from "./page-runs.ts";
import type { Mapping, Target, TargetThread } from "./target.ts";
import { WholeCopy, copiedRegions } from "./whole-copy.ts";
import type { BulkReader } from "./whole-copy.ts";

/** Small: many single words are read, and the process waits. */
const BLOCK_BYTES = 4096;
/** A stop takes microseconds for each thread; a thread in an uninterruptible sleep takes longer. */
const STOP_PATIENCE_MS = 5_000;
/** Of each stack, from the stack pointer on: most walks need no more. */
const STACK_PAGES = 8;
/** What is copied to see how fast that goes, of runs that are not tiny. */
const RATE_BYTES = 16 * 1024 * 1024;
const RATE_RUN_BYTES_MIN = 64 * 1024;
/** It may grow between the count of its pages and the stop. */
const ROOM_SHARE = 1.05;
/** A copy is in memory already: larger blocks cost little. */
const COPY_BLOCK_BYTES = 64 * 1024;

/** Stops a process and reads registers: `os` has one, over ptrace(2). */
export interface Tracer {
  /**
   * Stops every thread; gives the words of `user_regs_struct` by thread id.
   * @throws an error with `errno` EPERM or ESRCH.
   */
  seize(pid: number): ReadonlyMap<number, Buffer>;
  /** Lets them run on; may be called twice. */
  release(): void;
  /**
   * Fills `into` with parts [start, end) of its memory, one behind the other, as far as they are
   * there; how many bytes.
   */
  readMemory?(pid: number, parts: readonly Run[], into: Buffer): number;
  /** Whatever can be done before the stop; may be called twice. */
  prepare?(): void;
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
  const live = new LiveProcess(pid, options);
  try {
    const target = live.stop();
    let isOpen = true;
    return {
      ...target,
      close() {
        if (!isOpen) return;
        isOpen = false;
        target.close();
        live.close();
      },
    };
  } catch (error) {
    live.close();
    throw error;
  }
}

/** Bytes that are done, of all. */
export type CopyProgress = (done: number, total: number) => void;

/** A target whose process runs on already: its memory is a copy. */
export interface CopiedTarget {
  readonly target: Target;
  /** Pages that were asked for, by address, of those that were copied and of others. */
  readonly asked: ReadonlySet<number>;
  /** True: everything that was asked for so far was in the copy. */
  readonly isWhole: () => boolean;
}

/**
 * A process that runs and is going to be stopped, perhaps more than once. What takes time and needs
 * no stop is done before: the binary and its symbols, the mappings, the arguments.
 */
export class LiveProcess {
  readonly pid: number;
  readonly executable: ElfFile;
  readonly machine: Machine;
  readonly #options: LiveOptions;
  readonly #memory: LiveMemory;
  readonly #facts: Pick<Target, "wasStopped" | "auxiliary" | "args" | "environment">;
  readonly #remarks: readonly string[];
  #modules: Modules;
  #maps: Maps;
  readonly #executablePath: string;
  #longestStopMs = 0;

  /** @throws HoldfastError as `openLive` */
  constructor(pid: number, options: LiveOptions) {
    this.pid = pid;
    this.#options = options;
    const executablePath = told(pid, () => readlinkSync(`/proc/${pid}/exe`));
    const { elf, remarks } = told(pid, () =>
      findExecutable({
        given: options.node ?? `/proc/${pid}/exe`,
        path: executablePath,
        buildId: options.node === null ? null : buildIdOf(pid, executablePath),
        environment: options.environment,
      }),
    );
    this.executable = elf;
    this.#executablePath = executablePath;
    this.#remarks = options.node === null ? [] : remarks;
    this.machine = machineOf(elf.machine) as Machine; // a Node binary that runs here
    elf.symbols.at(0); // sorted now, not while the process waits
    options.tracer?.prepare?.();
    try {
      this.#facts = told(pid, () => factsOf(pid));
      this.#maps = told(pid, () => readMaps(pid));
      this.#memory = told(pid, () => new LiveMemory(pid));
    } catch (error) {
      elf.source.close();
      throw error;
    }
    const { list } = this.#maps;
    this.#modules = new Modules(list, elf, executablePath, `/proc/${pid}/root`);
  }

  /** Stops it, until the target is closed. */
  stop(): Target {
    const { pid } = this;
    const stoppedAt = performance.now();
    const hold = told(pid, () => holdStill(pid, this.machine, this.#options.tracer));
    try {
      if (mapsSignature(pid) !== this.#maps.signature) this.#take(readMaps(pid));
      const { list } = this.#maps;
      const memory = new RegionMemory(this.#memory.regions(list), BLOCK_BYTES);
      return {
        ...this.#target(hold, memory),
        readBulk: (address, into) => this.#memory.read(address, into),
        stoodStillMs: () => Math.max(this.#longestStopMs, performance.now() - stoppedAt),
        close: () => hold.release(),
      };
    } catch (error) {
      hold.release();
      throw asTold(pid, error);
    }
  }

  /**
   * Stops it for as long as it takes to copy these pages, and the used part of the stacks; what is
   * asked for besides is read from the running process.
   */
  copy(pages: ReadonlySet<number>): CopiedTarget {
    const { pid } = this;
    const copy = new BlockCopy(this.#memory);
    let late: string | null = null;
    // much of what happens between here and the stop would change the mappings
    if (told(pid, () => mapsSignature(pid)) !== this.#maps.signature)
      this.#take(told(pid, () => readMaps(pid)));
    const stacks = stackFinder(this.#maps.list);
    const askedAt = performance.now();
    const hold = told(pid, () => holdStill(pid, this.machine, this.#options.tracer));
    try {
      if (mapsSignature(pid) !== this.#maps.signature) late = mapsText(pid);
      copy.copy(new Set([...pages, ...hold.threads.flatMap(stacks)]));
    } catch (error) {
      throw asTold(pid, error);
    } finally {
      hold.release();
      this.#longestStopMs = Math.max(this.#longestStopMs, performance.now() - askedAt);
    }
    if (late !== null) this.#take({ signature: "", list: parseMaps(late) });
    const memory = new RegionMemory(copy.regions(this.#maps.list), BLOCK_BYTES);
    return {
      target: {
        ...this.#target(hold, memory),
        stoodStillMs: () => this.#longestStopMs,
        close: () => undefined,
      },
      asked: copy.asked,
      isWhole: () => copy.missed === 0,
    };
  }

  /** Bytes that `copyAll` would copy now. */
  ownBytes(): number {
    const { pid } = this;
    return told(pid, () => bytesOf(presentRuns(pid, this.#maps.list)));
  }

  /** Bytes a millisecond that can be copied, tried on the running process; null: not tried. */
  bulkRate(): number | null {
    const into = Buffer.alloc(RATE_BYTES, 1);
    const runs = [...presentRuns(this.pid, this.#maps.list).values()].flat();
    const parts = runs.filter(([start, end]) => end - start >= RATE_RUN_BYTES_MIN);
    const askedAt = performance.now();
    const bytes = this.#options.tracer?.readMemory?.(this.pid, parts.slice(0, 256), into) ?? 0;
    const ms = performance.now() - askedAt;
    return bytes < RATE_BYTES / 2 ? null : bytes / ms;
  }

  /**
   * Copies all memory that is its own into ours while it stands still; it runs on when this
   * returns. What it has of files that it did not change is read later, from the files.
   *
   * @param onProgress while room is made, and the process runs
   */
  copyAll(onProgress: CopyProgress = () => undefined): Target {
    const copy = new WholeCopy();
    const total = this.ownBytes();
    while (copy.roomBytes < total * ROOM_SHARE) {
      onProgress(copy.roomBytes, total);
      copy.addPiece();
    }
    return this.#copyStill(copy, () => undefined);
  }

  /**
   * The same into a file, which has no name any more when this returns: first while the process
   * runs, then what has changed since, while it stands still.
   *
   * @throws the error of the file system when the file cannot be written
   */
  copyAllToFile(path: string, onProgress: CopyProgress = () => undefined): Target {
    const { pid } = this;
    const copy = new FileCopy(path);
    try {
      const present = told(pid, () => [...presentRuns(pid, this.#maps.list).values()].flat());
      const total = present.reduce((sum, [start, end]) => sum + end - start, 0);
      copy.fill(present, this.#bulk, (done) => onProgress(done, total));
      copy.flush();
      return this.#copyStill(copy, () => copy.close());
    } catch (error) {
      copy.close();
      throw error;
    }
  }

  #copyStill(copy: WholeCopy | FileCopy, close: () => void): Target {
    const { pid } = this;
    const askedAt = performance.now();
    const hold = told(pid, () => holdStill(pid, this.machine, this.#options.tracer));
    let runs: ReadonlyMap<Mapping, readonly Run[]>;
    try {
      if (mapsSignature(pid) !== this.#maps.signature) this.#take(readMaps(pid));
      runs = presentRuns(pid, this.#maps.list);
      copy.fill([...runs.values()].flat(), this.#bulk);
    } catch (error) {
      throw asTold(pid, error);
    } finally {
      hold.release();
      this.#longestStopMs = Math.max(this.#longestStopMs, performance.now() - askedAt);
    }
    const regions = copiedRegions(copy, this.#maps.list, (mapping, address, into) => {
      const isBinary = mapping.path === this.#executablePath;
      const offset = mapping.fileOffset + (address - mapping.start);
      return isBinary ? this.#readBinary(offset, into) : this.#memory.read(address, into);
    });
    return {
      ...this.#target(hold, new RegionMemory(regions, COPY_BLOCK_BYTES)),
      runs,
      readBulk: (address, into) => copy.read(address, into),
      stoodStillMs: () => this.#longestStopMs,
      close,
    };
  }

  readonly #bulk: BulkReader = (parts, into) => this.#readParts(parts, into);

  #readParts(parts: readonly Run[], into: Buffer): number {
    const { tracer } = this.#options;
    const done = tracer?.readMemory?.(this.pid, parts, into) ?? 0;
    const [first] = parts;
    if (done > 0 || first === undefined) return done;
    // what may only be executed, or the system refuses in bulk
    return this.#memory.read(first[0], into.subarray(0, first[1] - first[0]));
  }

  /** The last page of a file is filled with zeros. */
  #readBinary(offset: number, into: Buffer): number {
    const count = this.executable.source.read(offset, into);
    into.fill(0, count);
    return count === 0 ? 0 : into.length;
  }

  /** May be called twice. A target of it that is still open must be closed before. */
  close(): void {
    this.#memory.close();
    this.#modules.close();
  }

  #take(maps: Maps): void {
    this.#maps = maps;
    this.#modules = this.#modules.withMappings(maps.list);
  }

  #target(hold: Hold, memory: RegionMemory): Omit<Target, "close"> {
    return {
      kind: "live",
      title: `pid ${this.pid}`,
      pid: this.pid,
      machine: this.machine,
      memory,
      mappings: this.#maps.list,
      threads: named(this.pid, hold.threads),
      signal: null,
      takenAtMs: Number(process.hrtime.bigint()) / 1e6,
      descriptors: once(() => readDescriptors(this.pid)),
      executable: this.executable,
      modules: this.#modules,
      ...this.#facts,
      remarks: [...this.#remarks, ...hold.remarks],
    };
  }
}

/** Of a process that runs: as it is when somebody asks first. */
function once<Value>(make: () => Value): () => Value {
  let made: { readonly value: Value } | null = null;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

interface Maps {
  readonly signature: string;
  readonly list: readonly Mapping[];
}

function readMaps(pid: number): Maps {
  const signature = mapsSignature(pid); // before: a change in between is noticed later
  return { signature, list: parseMaps(mapsText(pid)) };
}

function factsOf(pid: number): Pick<Target, "wasStopped" | "auxiliary" | "args" | "environment"> {
  return {
    wasStopped: stateOf(pid, pid) === "T",
    auxiliary: auxiliaryFrom(readFileSync(`/proc/${pid}/auxv`)),
    args: zeroSeparated(pid, "cmdline"),
    environment: variables(zeroSeparated(pid, "environ")),
  };
}

/** Pages of a stack from the stack pointer on: where a walk begins. */
function stackFinder(mappings: readonly Mapping[]): (thread: TargetThread) => readonly number[] {
  const writable = mappings.filter(({ isReadable, isWritable }) => isReadable && isWritable);
  return ({ registers }) => {
    const sp = registers?.sp ?? 0;
    const mapping = writable.find(({ start, end }) => sp >= start && sp < end);
    if (mapping === undefined) return [];
    const first = Math.max(mapping.start, sp - (sp % LIVE_PAGE_BYTES) - LIVE_PAGE_BYTES);
    const count = Math.min(STACK_PAGES, (mapping.end - first) / LIVE_PAGE_BYTES);
    return Array.from({ length: count }, (_, index) => first + index * LIVE_PAGE_BYTES);
  };
}

/** A thread that has ended since keeps its name to itself. */
function named(pid: number, threads: readonly TargetThread[]): readonly TargetThread[] {
  return threads.map((thread) => {
    try {
      return { ...thread, name: threadName(pid, thread.tid) };
    } catch (error) {
      const code = nameOfFailure(error);
      if (code === "ENOENT" || code === "ESRCH") return thread;
      throw error;
    }
  });
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
      name: null,
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
      name: null,
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

/** Of the running program, to compare with a binary that was given. */
function buildIdOf(pid: number, executablePath: string): string | null {
  const memory = new LiveMemory(pid);
  try {
    const { list } = readMaps(pid);
    const first = list.find(({ path, fileOffset }) => path === executablePath && fileOffset === 0);
    return first === undefined
      ? null
      : buildIdInMemory(new RegionMemory(memory.regions(list), BLOCK_BYTES), first.start);
  } finally {
    memory.close();
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
