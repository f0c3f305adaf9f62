/**
 * How the memory of a service is shared out.
 *
 * ```
 *   limit (cgroup, --memory-limit; else 80 % of the machine)
 *   |--- 5 % ---|--- our own processes ---|------- usable by workers -------|
 *                                         |-- share --|-- share --|-- ... --|
 *                                           heap: 85 % of a share, less 12 MiB
 * ```
 * The heap limit makes V8 collect before the service is out of memory, and end the one worker that
 * cannot; without it V8 takes 4 GiB at most on a machine of 64, and 4 GiB on a container of 512 MiB
 * just as well. The watch (memory-watch.ts) counts what the heap limit does not: buffers, native
 * memory.
 */

const MIB: number = 1024 * 1024;

/** Page cache, sockets, page tables: charged to the cgroup, but to nobody's heap. */
const KERNEL_FRACTION = 0.05;
/**
 * Keeper and reactor (10 MiB of private memory each), and the text of node, which all processes
 * share (37 MiB resident): measured with Node 24.21 on x64 as RssAnon and RssFile.
 */
const OWN_BYTES: number = 64 * MIB;
/** Private memory of a worker that is not heap: stacks, agent, V8 itself (measured as above). */
const NATIVE_BYTES: number = 12 * MIB;
/** Of a share; the rest is for buffers and the heap's own waste. */
const HEAP_FRACTION = 0.85;
/** No application runs in less; a machine that is too small is then for the watch to see. */
export const HEAP_BYTES_MIN: number = 16 * MIB;
/** Without a limit: others run on the machine too. */
const MACHINE_FRACTION = 0.8;
/** The watch acts here, so that a replacement still fits. */
const WATCH_FRACTION = 0.9;

export interface MemoryPlan {
  /** For all workers together. */
  readonly workersBytes: number;
  /** For one worker. */
  readonly shareBytes: number;
  /** Of one worker's V8 heap, old and young generation together. */
  readonly heapLimitBytes: number;
  /** Private memory of all workers at which one must be replaced; 0: no limit is known. */
  readonly watchBytes: number;
}

/**
 * Shares out the memory.
 * @param limitBytes of the whole service; 0: no limit is known
 * @param machineBytes what the machine has (`os.totalmem()`)
 */
export function memoryPlan(limitBytes: number, machineBytes: number, workers: number): MemoryPlan {
  const isLimited = limitBytes > 0;
  const totalBytes = isLimited
    ? Math.min(limitBytes, machineBytes)
    : machineBytes * MACHINE_FRACTION;
  const workersBytes = Math.max(0, Math.floor(totalBytes * (1 - KERNEL_FRACTION) - OWN_BYTES));
  const shareBytes = Math.floor(workersBytes / workers);
  const heapBytes = Math.floor(shareBytes * HEAP_FRACTION) - NATIVE_BYTES;
  // A floor under the watch as well: workers that were just started must not be replaced for it.
  const watchBytes = Math.max(workersBytes, workers * (HEAP_BYTES_MIN + NATIVE_BYTES));
  return {
    workersBytes,
    shareBytes,
    heapLimitBytes: Math.max(HEAP_BYTES_MIN, heapBytes),
    watchBytes: isLimited ? Math.floor(watchBytes * WATCH_FRACTION) : 0,
  };
}
