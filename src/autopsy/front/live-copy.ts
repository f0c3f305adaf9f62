/**
 * All memory of a live process, for what reads much of it: in our memory if it is little, else in a
 * file, of which most is written before the process stands still. How long it will is told before.
 */
import { existsSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { HoldfastError, formatDuration, formatSize } from "../../base/mod.ts";
import { writeDump } from "../target/dump.ts";
import type { DumpProgress, DumpResult } from "../target/dump.ts";
import type { LiveProcess } from "../target/live.ts";
import type { Target } from "../target/target.ts";

/** A copy must leave most of what is free to others. */
const MEMORY_SHARE_MAX = 0.75;
const MEMORY_SPARE_BYTES = 128 * 1024 * 1024;
/** More goes into a file: who looks at a service must not take the memory of its machine. */
const MEMORY_BYTES_MAX = 768 * 1024 * 1024;
/** What sums of blocks can be made of, measured: 2.2 GB/s. */
const SUM_BYTES_PER_MS = 1_500_000;
/** Where memory cannot be read ahead to see how fast that is. */
const COPY_BYTES_PER_MS = 1_000_000;
/** Load balancers take an instance out after some 10 s; who wants more says so. */
const PAUSE_MS_MAX = 10_000;
const DISK_FOLDER = "/var/tmp";

/** What a copy of a process costs. */
export interface CopyCost {
  /** Memory of its own. */
  readonly bytes: number;
  readonly pauseMs: number;
  readonly isInMemory: boolean;
  readonly availableBytes: number;
}

/** How long it will stand still, by how fast a part of its memory is read now. */
export function copyCost(live: LiveProcess, availableBytes = process.availableMemory()): CopyCost {
  const bytes = live.ownBytes();
  const hasRoom = bytes + MEMORY_SPARE_BYTES < availableBytes * MEMORY_SHARE_MAX;
  const isInMemory = hasRoom && bytes <= MEMORY_BYTES_MAX;
  const rate = live.bulkRate() ?? COPY_BYTES_PER_MS;
  const pauseMs = Math.ceil(bytes / rate + (isInMemory ? 0 : bytes / SUM_BYTES_PER_MS));
  return { bytes, pauseMs, isInMemory, availableBytes };
}

/** The cost in a sentence. */
export function costText(pid: number, { bytes, pauseMs, isInMemory }: CopyCost): string {
  const where = isInMemory ? "" : `, after it was copied into a file while it runs`;
  return (
    `process ${pid} has ${formatSize(bytes)} of its own: it will stand still for about ` +
    `${formatDuration(pauseMs)}${where}`
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

/**
 * Copies all memory of a live process, which runs on when this returns.
 * @throws HoldfastError ERR_HOLDFAST_AUTOPSY_WRITE when there is no room for it, and as
 *   `LiveProcess`
 */
export function copyLive(
  live: LiveProcess,
  { bytes, isInMemory }: Pick<CopyCost, "bytes" | "isInMemory">,
  onProgress: (what: string, done: number, total: number) => void,
  folder = copyFolder(process.env["TMPDIR"]),
): Target {
  if (isInMemory) return live.copyAll((done, total) => onProgress("make room", done, total));
  const file = path.join(folder, `.holdfast-autopsy-${process.pid}-${live.pid}`);
  try {
    return live.copyAllToFile(file, (done, total) => onProgress("copy", done, total));
  } catch (error) {
    const { code, syscall } = error as NodeJS.ErrnoException; // of node:fs, or it has no syscall
    if (syscall === undefined) throw error;
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
 * Writes a core of a live process.
 * @throws HoldfastError ERR_HOLDFAST_AUTOPSY_WRITE, and as `LiveProcess`
 */
export function dumpLive(
  live: LiveProcess,
  cost: CopyCost,
  file: string,
  onProgress: (what: string, done: number, total: number) => void,
): DumpResult & { readonly pausedMs: number } {
  const writing: DumpProgress = (done, total) => onProgress("write", done, total);
  const target = copyLive(live, cost, onProgress, path.dirname(path.resolve(file)));
  try {
    const result = writeDump(target, file, writing);
    return { ...result, pausedMs: Math.round(target.stoodStillMs?.() ?? 0) };
  } finally {
    target.close();
  }
}
