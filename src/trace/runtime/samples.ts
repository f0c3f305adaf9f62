/** Providers that look at the process now and then. Their timers keep nobody alive. */
import { PerformanceObserver, performance } from "node:perf_hooks";
import { tickMs } from "../compile.ts";
import { member } from "../values.ts";
import { access, every, now, stopEvery } from "./platform.ts";
import { poolThreads } from "./pool-threads.ts";
import { detachAll, fireAll } from "./provider.ts";
import type { Attach } from "./provider.ts";

const LOOP_SAMPLE_MS = 100;
const POOL_SAMPLE_MS = 1000;

/** `perf_hooks.constants.NODE_PERFORMANCE_GC_*`. */
const GC_KINDS: ReadonlyMap<unknown, string> = new Map<unknown, string>([
  [1, "minor"],
  [2, "minor-ms"],
  [4, "major"],
  [8, "incremental"],
  [16, "weakcb"],
]);

function again(ms: number, run: () => void): () => void {
  const timer = every(run, ms);
  timer.unref();
  return () => stopEvery(timer);
}

export const attachTicks: Attach = (sites) =>
  detachAll(
    sites.map((site) =>
      again(tickMs(site.clause.written) ?? POOL_SAMPLE_MS, () => fireAll([site], null, [])),
    ),
  );

export const attachLoop: Attach = (sites) => {
  let last = now();
  let utilization = performance.eventLoopUtilization();
  return again(LOOP_SAMPLE_MS, () => {
    const time = now();
    const current = performance.eventLoopUtilization();
    const { utilization: share } = performance.eventLoopUtilization(current, utilization);
    fireAll(sites, null, [Math.max(0, time - last - LOOP_SAMPLE_MS), share]);
    last = time;
    utilization = current;
  });
};

export const attachGc: Attach = (sites) => {
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      const kind = member(member(entry, "detail"), "kind") ?? detailKind(entry);
      fireAll(sites, null, [GC_KINDS.get(kind) ?? "other"], entry.duration);
    }
  });
  observer.observe({ entryTypes: ["gc"] });
  return () => observer.disconnect();
};

/** `detail` is a getter of Node's. */
function detailKind(entry: object): unknown {
  return "detail" in entry ? member(entry.detail, "kind") : undefined;
}

/** One empty job at a time: where the pool is full, the next sample waits for this one. */
export const attachPool: Attach = (sites) => {
  let isUnderWay = false;
  let isOn = true;
  const sample = (): void => {
    if (isUnderWay) return;
    isUnderWay = true;
    const { busy, threads } = poolThreads();
    const start = now();
    access("/", () => {
      isUnderWay = false;
      if (isOn) fireAll(sites, null, [now() - start, busy, threads]);
    });
  };
  const stop = again(POOL_SAMPLE_MS, sample);
  return () => {
    isOn = false;
    stop();
  };
};
