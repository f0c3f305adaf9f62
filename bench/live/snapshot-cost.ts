/**
 * What a heap snapshot costs: memory beyond the heap and CPU time, for a heap of small objects,
 * which is the dearest kind. For a heap of 50 MB:
 * `node --expose-gc --max-old-space-size=4000 bench/live/snapshot-cost.ts 50`.
 * Linux: the peak is the kernel's (VmHWM), reset before.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import v8 from "node:v8";

const wantedBytes = Number(process.argv[2] ?? 50) * 1e6;
const kept: object[] = [];
while (v8.getHeapStatistics().used_heap_size < wantedBytes) {
  for (let i = 0; i < 1000; i += 1) kept.push({ a: i, b: `x${i}`, c: [i] });
}
globalThis.gc?.();

function peakBytes(): number {
  const text = readFileSync("/proc/self/status", "utf8");
  return 1024 * Number(/^VmHWM:\s+(\d+)/m.exec(text)?.[1] ?? NaN);
}

const heapBytes = v8.getHeapStatistics().used_heap_size;
const beforeBytes = process.memoryUsage().rss;
writeFileSync("/proc/self/clear_refs", "5"); // proc_pid_clear_refs(5): resets the peak
const folder = mkdtempSync(path.join(os.tmpdir(), "hf-snapshot-"));
const from = process.cpuUsage();
v8.writeHeapSnapshot(path.join(folder, "a.heapsnapshot"));
const { user, system } = process.cpuUsage(from);
rmSync(folder, { recursive: true });
const extra = (peakBytes() - beforeBytes) / heapBytes;
const perMs = heapBytes / ((user + system) / 1000);
console.log(
  `${process.version}: ${kept.length} objects, ${(heapBytes / 1e6).toFixed(0)} MB: ` +
    `${extra.toFixed(1)} bytes more for each byte of heap, ${perMs.toFixed(0)} bytes a ms of CPU`,
);
