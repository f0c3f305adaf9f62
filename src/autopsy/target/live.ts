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
import { readFileSync, readlinkSync } from "node:fs";
import { auxiliaryFrom } from "./core-notes.ts";
import { buildIdInMemory, findExecutable } from "./executable.ts";
import { forkRanges, readKnownMappings } from "./fork-ranges.ts";
import { holdStill, named, stateOf } from "./hold.ts";
import type { Fork, Hold, Tracer } from "./hold.ts";
import { asTold, nameOfFailure, snapshotGone, told } from "./live-failures.ts";
import { machineOf } from "./machine.ts";
import type { Machine } from "./machine.ts";
import { RegionMemory } from "./memory.ts";
import type { Region } from "./memory.ts";
import { connectionsAmong, readDescriptors } from "./descriptors.ts";
import type { ElfFile } from "./elf.ts";
import { FileCopy } from "./file-copy.ts";
import { BlockCopy, LIVE_PAGE_BYTES, LiveMemory } from "./live-memory.ts";
import { mapsSignature, mapsText, parseMaps } from "./live-memory.ts";
import { Modules } from "./modules.ts";
import { bytesOf, presentRuns } from "./page-runs.ts";
import type { Run } from "./page-runs.ts";
import type { Mapping, Target, TargetThread } from "./target.ts";
import { WholeCopy, copiedRegions } from "./whole-copy.ts";
import type { AllCopy, BulkReader } from "./whole-copy.ts";

/** Small: many single words are read, and the process waits. */
const BLOCK_BYTES = 4096;
/** Of each stack, from the stack pointer on: most walks need no more. */
const STACK_PAGES = 8;
/** What is copied to see how fast that goes, of runs that are not tiny. */
const RATE_BYTES = 16 * 1024 * 1024;
const RATE_RUN_BYTES_MIN = 64 * 1024;
/** It may grow between the count of its pages and the stop. */
const ROOM_SHARE = 1.05;
/** A copy is in memory already: larger blocks cost little. */
const COPY_BLOCK_BYTES = 64 * 1024;

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
        ...this.#target(hold),
        memory,
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
        ...this.#target(hold),
        memory,
        stoodStillMs: () => this.#longestStopMs,
        close: () => undefined,
      },
      asked: copy.asked,
      isWhole: () => copy.missed === 0,
    };
  }

  /** Why `snapshot` is of no use; null: it is. */
  snapshotRefusal(): string | null {
    if (this.#facts.wasStopped) return "it is stopped already";
    const { tracer } = this.#options;
    if (tracer?.fork === undefined) return "there is no ptrace here";
    return tracer.forkRefusal?.(this.pid) ?? null;
  }

  /**
   * All its memory as it is now, by a copy that shares its pages as long as neither writes to them:
   * it stands still for 60 to 130 ms a gigabyte, and runs on when this returns. The copy is there
   * until the target is closed.
   * @returns the target, or why the system gives none
   */
  snapshot(): Target | string {
    const { pid } = this;
    const { tracer } = this.#options;
    const known = told(pid, () => readKnownMappings(pid));
    let maps = told(pid, () => readMaps(pid));
    let ranges = forkRanges(maps.list, known);
    const askedAt = performance.now();
    const hold = told(pid, () => holdStill(pid, this.machine, tracer));
    let fork: Fork | undefined;
    try {
      if (mapsSignature(pid) !== maps.signature) {
        maps = readMaps(pid);
        ranges = forkRanges(maps.list, known);
      }
      fork = tracer?.fork?.(pid, ranges);
    } catch (error) {
      const { syscall } = error as NodeJS.ErrnoException; // of a tracer, or it has none
      if (syscall === undefined || nameOfFailure(error) === "ESRCH") throw asTold(pid, error);
      return `${syscall} gives ${nameOfFailure(error)}`;
    } finally {
      hold.release();
      this.#longestStopMs = Math.max(this.#longestStopMs, performance.now() - askedAt);
    }
    if (maps.signature !== this.#maps.signature) this.#take(maps);
    return fork === undefined ? "there is no ptrace here" : this.#forked(hold, fork);
  }

  #forked(hold: Hold, fork: Fork): Target {
    let memory: LiveMemory | undefined;
    const close = (): void => {
      memory?.close();
      fork.end();
    };
    try {
      const opened = (memory = new LiveMemory(fork.pid));
      const runs = this.#forkedRuns(fork.pid);
      const [, own = []] = [...runs].find(([{ path }, some]) => path === null && some[0]) ?? [];
      const probe = Buffer.alloc(1);
      // nothing is there: as it should be, or because the copy was ended
      const alive = (count: number): number => {
        if (count > 0 || opened.read(own[0]?.[0] ?? 0, probe) > 0) return count;
        throw snapshotGone(this.pid);
      };
      const regions = opened.regions(this.#maps.list).map((region): Region => {
        const { start, end } = region;
        return { start, end, read: (offset, into) => alive(region.read(offset, into)) };
      });
      return {
        ...this.#target(hold),
        memory: new RegionMemory(regions, COPY_BLOCK_BYTES),
        runs,
        readBulk: (address, into) => alive(opened.read(address, into)),
        stoodStillMs: () => this.#longestStopMs,
        close,
      };
    } catch (error) {
      close();
      const hasGone = ["ENOENT", "ESRCH"].includes(nameOfFailure(error));
      throw hasGone ? snapshotGone(this.pid) : asTold(this.pid, error);
    }
  }

  /** Memory that processes share is not in the copy's tables before it is read. */
  #forkedRuns(copy: number): ReadonlyMap<Mapping, readonly Run[]> {
    const { list } = this.#maps;
    const own = presentRuns(copy, list);
    const shared = list.filter(({ isShared }) => isShared === true);
    return shared.length === 0 ? own : new Map([...own, ...presentRuns(this.pid, shared)]);
  }

  /**
   * A target whose memory is not shared with the process any more, from a snapshot, which ends:
   * what is looked at for hours must not make the system keep all that changes meanwhile twice.
   *
   * @throws the error of the file system when the file cannot be written
   */
  keep(snapshot: Target, path: string | null, onProgress: CopyProgress = () => undefined): Target {
    const runs = snapshot.runs ?? new Map<Mapping, readonly Run[]>();
    const copy = path === null ? new WholeCopy() : new FileCopy(path);
    try {
      const total = bytesOf(runs);
      const read: BulkReader = (parts, into) => {
        let done = 0;
        for (const [start, end] of parts) {
          const part = into.subarray(done, done + end - start);
          const count = snapshot.readBulk?.(start, part) ?? 0;
          done += count;
          if (count < part.length) break;
        }
        return done;
      };
      copy.fill([...runs.values()].flat(), read, (done) => onProgress(done, total));
    } catch (error) {
      copy.close();
      throw error;
    } finally {
      snapshot.close();
    }
    return { ...snapshot, ...this.#copied(copy), runs, close: () => copy.close() };
  }

  /** Bytes that a copy would have now. */
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
    return this.#copyStill(copy);
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
      return this.#copyStill(copy);
    } catch (error) {
      copy.close();
      throw error;
    }
  }

  #copyStill(copy: WholeCopy | FileCopy): Target {
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
    return { ...this.#target(hold), ...this.#copied(copy), runs, close: () => copy.close() };
  }

  /** What is the same of all targets whose memory was copied. */
  #copied(copy: AllCopy): Pick<Target, "memory" | "readBulk" | "stoodStillMs"> {
    const regions = copiedRegions(copy, this.#maps.list, (mapping, address, into) => {
      const isBinary = mapping.path === this.#executablePath;
      const offset = mapping.fileOffset + (address - mapping.start);
      return isBinary ? this.#readBinary(offset, into) : this.#memory.read(address, into);
    });
    return {
      memory: new RegionMemory(regions, COPY_BLOCK_BYTES),
      readBulk: (address, into) => copy.read(address, into),
      stoodStillMs: () => this.#longestStopMs,
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

  #target(hold: Hold): Omit<Target, "close" | "memory"> {
    const descriptors = once(() => readDescriptors(this.pid));
    const { tracer } = this.#options;
    return {
      kind: "live",
      title: `pid ${this.pid}`,
      pid: this.pid,
      machine: this.machine,
      mappings: this.#maps.list,
      threads: named(this.pid, hold.threads),
      signal: null,
      takenAtMs: Number(process.hrtime.bigint()) / 1e6,
      descriptors,
      ...(tracer?.socketTimes === undefined
        ? {}
        : {
            socketTimes: once(
              () => tracer.socketTimes?.(this.pid, connectionsAmong(descriptors())) ?? new Map(),
            ),
          }),
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
