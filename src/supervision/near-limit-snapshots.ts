/**
 * Heap snapshots that workers write themselves when their heap is nearly full
 * (`--heapsnapshot-near-heap-limit`): beside the crash reports, the newest only.
 *
 * ```
 *   nearly full --> Node writes Heap.<day>.<time>.<pid>.<thread>.<n>.heapsnapshot, V8 raises the
 *   limit --> it goes on, or runs out of memory --> the crash report names the file
 * ```
 * Nothing of the application runs while one is written, so that the worker is not evicted for it
 * before SNAPSHOT_MS_MAX.
 */
import { existsSync, mkdirSync, readdirSync, readlinkSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import type { ResolvedConfig } from "../base/mod.ts";
import { crashDirectory } from "./crash-store.ts";

/** V8 does some 8 MB of heap in a millisecond, and less: two minutes are a large heap. */
export const SNAPSHOT_MS_MAX = 120_000;
/** Each may be a few times as large as the heap. */
const SNAPSHOTS_KEPT_MAX = 4;
const SNAPSHOTS_BYTES_MAX: number = 8 * 1024 * 1024 * 1024;
const NAME = /^Heap\.\d{8}\.\d{6}\.(\d+)\.\d+\.\d+\.heapsnapshot$/;

type Wanted = Pick<ResolvedConfig, "heapSnapshotNearHeapLimit" | "runtimeDir" | "name">;

/** Node's options for a worker; makes the folder. */
export function nearLimitFlags(config: Wanted): readonly string[] {
  const { heapSnapshotNearHeapLimit: count, runtimeDir, name } = config;
  if (count === 0) return [];
  const directory = crashDirectory(runtimeDir, name);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  return [`--diagnostic-dir=${directory}`, `--heapsnapshot-near-heap-limit=${count}`];
}

/** Whether the process has one open. Linux; elsewhere nobody can tell. */
export function writesSnapshot({ heapSnapshotNearHeapLimit }: Wanted, pid: number): boolean {
  if (heapSnapshotNearHeapLimit === 0) return false;
  const folder = `/proc/${pid}/fd`;
  const isSnapshot = (descriptor: string): boolean => {
    try {
      return NAME.test(readlinkSync(join(folder, descriptor)).split("/").at(-1) ?? "");
    } catch {
      return false; // closed meanwhile
    }
  };
  try {
    return readdirSync(folder).some((descriptor) => isSnapshot(descriptor));
  } catch {
    return false; // it has ended
  }
}

/** Paths of those that a process has left, oldest first; of all processes the newest are kept. */
export function snapshotsOf(directory: string, pid: number): readonly string[] {
  if (!existsSync(directory)) return [];
  const found = readdirSync(directory).flatMap((name) => {
    const owner = NAME.exec(name)?.[1];
    if (owner === undefined) return [];
    const path = join(directory, name);
    const { size, mtimeMs } = statSync(path);
    return [{ path, size, mtimeMs, isOwn: Number(owner) === pid }];
  });
  const newest = found.toSorted((a, b) => b.mtimeMs - a.mtimeMs);
  let bytes = 0;
  const kept = newest.filter(({ path, size }, index) => {
    bytes += size;
    const isKept = index === 0 || (index < SNAPSHOTS_KEPT_MAX && bytes <= SNAPSHOTS_BYTES_MAX);
    if (!isKept) rmSync(path, { force: true });
    return isKept;
  });
  return kept.flatMap(({ path, isOwn }) => (isOwn ? [path] : [])).toReversed();
}
