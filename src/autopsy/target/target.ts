/**
 * A process that is looked at: a core file, or a live one that is held still meanwhile. What V8
 * makes of its memory is not known here.
 *
 * ```
 *   core file     --\                    memory, mappings, threads with registers,
 *                    +--> Target ------> what it died of, the node binary and its symbols,
 *   live process  --/                    arguments, environment
 * ```
 */
import type { ElfFile } from "./elf.ts";
import type { Machine, Registers } from "./machine.ts";
import type { Memory } from "./memory.ts";
import type { Modules } from "./modules.ts";
import type { Run } from "./page-runs.ts";

/** Addresses [start, end) and what is mapped there. */
export interface Mapping {
  readonly start: number;
  readonly end: number;
  /** Where in the file the mapping begins. */
  readonly fileOffset: number;
  /** Null: anonymous. `[stack]`, `[heap]` and the like as the kernel calls them. */
  readonly path: string | null;
  readonly isReadable: boolean;
  readonly isWritable: boolean;
  readonly isExecutable: boolean;
  /** Other processes see what is written to it; absent: not known. */
  readonly isShared?: boolean;
  /** Bytes of it that can be read; 0 of what a core leaves out. */
  readonly presentBytes: number;
}

export interface TargetThread {
  readonly tid: number;
  /** `comm`; null in a core, which does not have it. */
  readonly name: string | null;
  readonly registers: Registers | null;
}

/** The signal that ended the process (`siginfo_t`). */
export interface SignalFacts {
  readonly number: number;
  /** `SIGSEGV`. */
  readonly name: string;
  /** `si_code`; positive: the kernel's own, 0 or less: sent by a process. */
  readonly code: number;
  /** The address of a fault; null: the signal has none, or it is not known. */
  readonly faultAddress: number | null;
  /** Who sent it; null: the kernel. */
  readonly senderPid: number | null;
}

/** By the machine's monotonic clock, in ticks of the kernel (1 to 10 ms); null: never. */
export interface SocketTimes {
  readonly receivedAtMs: number | null;
  readonly sentAtMs: number | null;
}

export interface Target {
  readonly kind: "core" | "live";
  /** Where it comes from: a path, or `pid 4711`. */
  readonly title: string;
  readonly pid: number;
  readonly machine: Machine;
  readonly memory: Memory;
  /** Sorted by address. */
  readonly mappings: readonly Mapping[];
  /** The one that got the signal first, if one did. */
  readonly threads: readonly TargetThread[];
  readonly signal: SignalFacts | null;
  /** The node binary, as a file. */
  readonly executable: ElfFile;
  /** Every ELF file that is mapped, with symbols and unwind tables. */
  readonly modules: Modules;
  /** Auxiliary vector, by type (`AT_*`). */
  readonly auxiliary: ReadonlyMap<number, number>;
  /** Null: not there. */
  readonly args: readonly string[] | null;
  readonly environment: ReadonlyMap<string, string> | null;
  /** What is missing or was assumed, in sentences for people. */
  readonly remarks: readonly string[];
  /** When the memory was as it is, by the machine's monotonic clock; absent: not known. */
  readonly takenAtMs?: number;
  /** What its descriptors are, as `descriptors.ts` tells; absent: not known. */
  readonly descriptors?: () => ReadonlyMap<number, string>;
  /** When data last went over its TCP connections, by descriptor; absent: not known. */
  readonly socketTimes?: () => ReadonlyMap<number, SocketTimes>;
  /** A live process that somebody had stopped before: it stays so. */
  readonly wasStopped?: boolean;
  /** Of a live process: reads what was touched in one go, past the cache of `memory`. */
  readonly readBulk?: (address: number, into: Buffer) => number;
  /** Of a copy of a live process: which of its pages are in it. */
  readonly runs?: ReadonlyMap<Mapping, readonly Run[]>;
  /** Of a live one: the longest time that it has stood still for this so far. */
  readonly stoodStillMs?: () => number;
  /** Lets a live process run on; may be called twice. */
  close(): void;
}
