/**
 * All memory of a live process, for what reads much of it: in our memory if it has room, and then
 * the process stands still for half a second a gigabyte; else in a file, and then for as long as
 * the disk takes. How long is told before.
 */
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { HoldfastError, formatDuration, formatSize } from "../../base/mod.ts";
import { writeDump } from "../target/dump.ts";
import type { DumpProgress, DumpResult } from "../target/dump.ts";
import type { LiveProcess } from "../target/live.ts";

/** A copy must leave most of what is free to others. */
const MEMORY_SHARE_MAX = 0.75;
const MEMORY_SPARE_BYTES = 128 * 1024 * 1024;
/** What a disk writes, measured: 115 MB/s. */
const DISK_BYTES_PER_MS = 100_000;
/** Where memory cannot be read ahead to see how fast that is. */
const COPY_BYTES_PER_MS = 1_000_000;
/** Load balancers take an instance out after some 10 s; who wants more says so. */
const PAUSE_MS_MAX = 10_000;

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
  const isInMemory = bytes + MEMORY_SPARE_BYTES < availableBytes * MEMORY_SHARE_MAX;
  const rate = isInMemory ? (live.bulkRate() ?? COPY_BYTES_PER_MS) : DISK_BYTES_PER_MS;
  return { bytes, pauseMs: Math.ceil(bytes / rate), isInMemory, availableBytes };
}

/** The cost in a sentence. */
export function costText(pid: number, { bytes, pauseMs, isInMemory }: CopyCost): string {
  const where = isInMemory ? "" : ", because its copy does not fit into memory";
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
    `Will not copy it: ${costText(pid, cost)}. \`stacks\` needs milliseconds; where memory ` +
      `(${formatSize(cost.availableBytes)} available) is the reason, free some; --force takes ` +
      `it all the same.`,
  );
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
  const target = cost.isInMemory
    ? live.copyAll((done, total) => onProgress("make room", done, total))
    : live.stop();
  try {
    const result = writeDump(target, file, writing);
    return { ...result, pausedMs: Math.round(target.stoodStillMs?.() ?? 0) };
  } finally {
    target.close();
  }
}

/** A place for a copy that does not fit into memory. */
export function temporaryFolder(): { readonly folder: string; readonly remove: () => void } {
  const folder = mkdtempSync(path.join(os.tmpdir(), "holdfast-autopsy-"));
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}
