/**
 * All memory of a live process, for what reads much of it: a snapshot that shares its pages. Where
 * there is none to be had a copy: in our memory if it is little, else in a file, of which most is
 * written before the process stands still. How long it will is told before.
 */
import { existsSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { HoldfastError, formatDuration, formatSize } from "../../base/mod.ts";
import { dumpSteps } from "../target/dump.ts";
import type { DumpResult } from "../target/dump.ts";
import type { LiveProcess } from "../target/live.ts";
import type { Target } from "../target/target.ts";
import { withoutUnused } from "./left-out.ts";

/** A copy must leave most of what is free to others. */
const MEMORY_SHARE_MAX = 0.75;
const MEMORY_SPARE_BYTES = 128 * 1024 * 1024;
/** More goes into a file: who looks at a service must not take the memory of its machine. */
const MEMORY_BYTES_MAX = 768 * 1024 * 1024;
/** Threads that are stopped one after the other. */
const STOP_MS = 10;
/** Of which the kernel copies the tables, measured: 60 to 130 ms a gigabyte. */
const FORK_BYTES_PER_MS = 10_000_000;
/** What sums of blocks can be made of, measured: 2.2 GB/s. */
const SUM_BYTES_PER_MS = 1_500_000;
/** Where memory cannot be read ahead to see how fast that is. */
const COPY_BYTES_PER_MS = 1_000_000;
/** Load balancers take an instance out after some 10 s; who wants more says so. */
const PAUSE_MS_MAX = 10_000;
/** How long a dump may keep the event loop from Ctrl-C. */
const TURN_MS = 50;
const DISK_FOLDER = "/var/tmp";

/** What a copy of a process costs. */
export interface CopyCost {
  /** Memory of its own. */
  readonly bytes: number;
  readonly pauseMs: number;
  /** Null: pages are shared with a snapshot of it. Else why not, and all is copied. */
  readonly noSnapshot: string | null;
  /** Where a copy goes: into our memory, or into a file. */
  readonly isInMemory: boolean;
  readonly availableBytes: number;
}

/** How long it will stand still; for a copy, by how fast a part of its memory is read now. */
export function copyCost(
  live: LiveProcess,
  noSnapshot = live.snapshotRefusal(),
  availableBytes = process.availableMemory(),
): CopyCost {
  const bytes = live.ownBytes();
  const hasRoom = bytes + MEMORY_SPARE_BYTES < availableBytes * MEMORY_SHARE_MAX;
  const isInMemory = hasRoom && bytes <= MEMORY_BYTES_MAX;
  const cost = { bytes, noSnapshot, isInMemory, availableBytes };
  if (noSnapshot === null) {
    return { ...cost, pauseMs: Math.ceil(STOP_MS + bytes / FORK_BYTES_PER_MS) };
  }
  const rate = live.bulkRate() ?? COPY_BYTES_PER_MS;
  const pauseMs = Math.ceil(bytes / rate + (isInMemory ? 0 : bytes / SUM_BYTES_PER_MS));
  return { ...cost, pauseMs };
}

/** The cost in a sentence. */
export function costText(
  pid: number,
  { bytes, pauseMs, noSnapshot, isInMemory }: CopyCost,
): string {
  const where = isInMemory ? "" : `, after it was copied into a file while it runs`;
  const why = `${where} (a snapshot, which takes milliseconds, is not to be had: ${noSnapshot})`;
  return (
    `process ${pid} has ${formatSize(bytes)} of its own: it will stand still for about ` +
    `${formatDuration(pauseMs)}${noSnapshot === null ? "" : why}`
  );
}

/** @throws HoldfastError ERR_HOLDFAST_AUTOPSY_PAUSE when it is more than a service bears. */
export function refuseLong(pid: number, cost: CopyCost): void {
  if (cost.pauseMs <= PAUSE_MS_MAX) return;
  throw new HoldfastError(
    "ERR_HOLDFAST_AUTOPSY_PAUSE",
    `Will not copy it: ${costText(pid, cost)}. \`stacks\` needs milliseconds; --force takes it ` +
      `all the same.`,
  );
}

/** How a copy of a live process is taken. */
export interface CopyOrder {
  /** Told before each stop; what it throws ends the matter. */
  readonly onCost: (cost: CopyCost) => void;
  readonly onProgress: (what: string, done: number, total: number) => void;
  /** It is looked at for long: pages must not be shared with the process meanwhile. */
  readonly isKept?: boolean;
  /** For a copy that is a file; absent: where temporary files lie. */
  readonly folder?: string;
}

/**
 * Takes all memory of a live process, which runs on when this returns: a snapshot, or a copy where
 * the system gives none.
 * @throws HoldfastError ERR_HOLDFAST_AUTOPSY_WRITE when there is no room for it, and as
 *   `LiveProcess`
 */
export function copyLive(live: LiveProcess, order: CopyOrder): Target & { cost: CopyCost } {
  const cost = copyCost(live);
  order.onCost(cost);
  const taken = cost.noSnapshot === null ? live.snapshot() : cost.noSnapshot;
  if (typeof taken === "string") {
    const other = copyCost(live, taken);
    if (cost.noSnapshot === null) order.onCost(other);
    return { ...copyWhole(live, other, order, null), cost: other };
  }
  const target = order.isKept === true ? copyWhole(live, cost, order, taken) : taken;
  return { ...target, cost };
}

function copyWhole(
  live: LiveProcess,
  { bytes, isInMemory }: CopyCost,
  { onProgress, folder = copyFolder(process.env["TMPDIR"]) }: CopyOrder,
  snapshot: Target | null,
): Target {
  const copying = (done: number, total: number): void => onProgress("copy", done, total);
  const file = path.join(folder, `.holdfast-autopsy-${process.pid}-${live.pid}`);
  try {
    if (snapshot !== null) return live.keep(snapshot, isInMemory ? null : file, copying);
    if (!isInMemory) return live.copyAllToFile(file, copying);
    return live.copyAll((done, total) => onProgress("make room", done, total));
  } catch (error) {
    const { code, syscall } = error as NodeJS.ErrnoException; // of node:fs, or it has no syscall
    if (syscall === undefined || isInMemory) throw error;
    throw new HoldfastError(
      "ERR_HOLDFAST_AUTOPSY_WRITE",
      `Cannot copy process ${live.pid} into ${folder}: ${syscall} gives ${code}; nothing was ` +
        `left there. It needs ${formatSize(bytes)}: name a folder with so much room in TMPDIR.`,
      { cause: error },
    );
  }
}

/** Where temporary files lie on a disk: `/tmp` is memory on many machines (hier(7)). */
function copyFolder(wished: string | undefined): string {
  if (wished !== undefined && wished !== "") return wished;
  return existsSync(DISK_FOLDER) ? DISK_FOLDER : os.tmpdir();
}

/**
 * Writes a core of a live process; the event loop turns meanwhile.
 * @throws HoldfastError ERR_HOLDFAST_AUTOPSY_WRITE, and as `LiveProcess`
 */
export async function dumpLive(
  live: LiveProcess,
  file: string,
  order: Pick<CopyOrder, "onCost" | "onProgress"> & { readonly signal?: AbortSignal },
): Promise<DumpResult & { readonly pausedMs: number; readonly cost: CopyCost }> {
  const target = copyLive(live, { ...order, folder: path.dirname(path.resolve(file)) });
  const steps = dumpSteps(withoutUnused(target), file);
  try {
    for (let until = performance.now() + TURN_MS; ;) {
      const { value, done } = steps.next();
      if (done === true) {
        const pausedMs = Math.round(target.stoodStillMs?.() ?? 0);
        return { ...value, pausedMs, cost: target.cost };
      }
      if (performance.now() < until) continue;
      order.onProgress("write", ...value);
      await new Promise((resolve) => setImmediate(resolve));
      order.signal?.throwIfAborted();
      until = performance.now() + TURN_MS;
    }
  } finally {
    steps.return({ path: file, bytes: 0 }); // nothing is left of a file that is not whole
    target.close();
  }
}
