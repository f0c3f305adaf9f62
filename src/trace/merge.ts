/**
 * What a trace shows: the snapshots of all workers put together. A snapshot is everything that one
 * worker has so far, so the last one of a worker that died still counts.
 *
 * ```
 *   worker 0: s1, s2, s3 (died)  --last--+
 *   worker 0, next: s1, s2       --last--+--> merged aggregations, counts, problems
 *   worker 1: s1, s2, s3, s4     --last--+
 * ```
 */
import { Aggregation } from "./aggregation.ts";
import type { AggregationSnapshot } from "./aggregation.ts";
import { KEY_CHARS_MAX, MERGED_KEYS_MAX } from "./limits.ts";

/** A probe of a program in one worker. */
export interface ProbeReport {
  readonly probe: string;
  readonly firings: number;
  /** Firings whose predicate held. */
  readonly passed: number;
  /** Why it is not on any more, or never was; null while it is on. */
  readonly off: string | null;
}

/** What one worker has so far; plain JSON. */
export interface TraceSnapshot {
  readonly aggregations: readonly AggregationSnapshot[];
  readonly probes: readonly ProbeReport[];
  /** Lines printed since the last snapshot: these are fetched once. */
  readonly lines: readonly string[];
  /** Lines and variables that were not taken. */
  readonly drops: number;
  readonly errors: number;
  readonly lastError: string | null;
  /** Share of the worker's time that clauses took, as far as it was timed: 0 to 1. */
  readonly share: number;
  /** `exit()` was called, the trace expired, or a probe ended it. */
  readonly ended: string | null;
  /**
   * Every probe that waits for something to happen is off, at least one for what it cost: nothing
   * more will come. (One that was never there is said, and a new worker may have it.)
   */
  readonly isSpent: boolean;
}

export interface MergedTrace {
  readonly workers: number;
  readonly aggregations: readonly AggregationSnapshot[];
  readonly probes: readonly ProbeReport[];
  readonly drops: number;
  readonly errors: number;
  readonly lastError: string | null;
  /** The largest of all workers. */
  readonly share: number;
}

export class Merger {
  readonly #last: Map<number, TraceSnapshot> = new Map();

  /** @param worker its id, which no other worker ever has */
  take(worker: number, snapshot: TraceSnapshot): void {
    this.#last.set(worker, snapshot);
  }

  merged(): MergedTrace {
    const all = [...this.#last.values()];
    return {
      workers: all.length,
      aggregations: mergeAggregations(all.flatMap((each) => each.aggregations)),
      probes: mergeProbes(all.flatMap((each) => each.probes)),
      drops: all.reduce((sum, each) => sum + each.drops, 0),
      errors: all.reduce((sum, each) => sum + each.errors, 0),
      lastError: all.findLast((each) => each.lastError !== null)?.lastError ?? null,
      share: Math.max(0, ...all.map((each) => each.share)),
    };
  }
}

/** One snapshot of each name, with the rows of all. */
export function mergeAggregations(
  snapshots: readonly AggregationSnapshot[],
): readonly AggregationSnapshot[] {
  const space = { chars: 0, charsMax: 8 * KEY_CHARS_MAX };
  const merged = new Map<string, Aggregation>();
  for (const snapshot of snapshots) {
    const { name, kind, params, keyCount, unit } = snapshot;
    const shape = { name, kind, params, keyCount, unit };
    const into = merged.get(name) ?? new Aggregation(shape, space, MERGED_KEYS_MAX);
    merged.set(name, into);
    into.merge(snapshot);
  }
  return [...merged.values()].map((each) => each.snapshot());
}

function mergeProbes(reports: readonly ProbeReport[]): readonly ProbeReport[] {
  const merged = new Map<string, ProbeReport>();
  for (const { probe, firings, passed, off } of reports) {
    const former = merged.get(probe);
    merged.set(probe, {
      probe,
      firings: firings + (former?.firings ?? 0),
      passed: passed + (former?.passed ?? 0),
      off: off ?? former?.off ?? null,
    });
  }
  return [...merged.values()];
}
