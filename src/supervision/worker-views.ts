/** The supervisor's workers as rows of `status`, and as sentences for an operator. */
import { formatDuration } from "../base/mod.ts";
import type { Place } from "./place.ts";
import type { SupervisorLimits, WorkerState, WorkerView } from "./supervisor-types.ts";
import type { LifeState, WorkerLife } from "./worker-life.ts";

const STATE_OF_LIFE: Readonly<Record<LifeState, WorkerState>> = {
  spawning: "starting",
  cancelled: "stopping",
  starting: "starting",
  ready: "ready",
  draining: "draining",
  stalled: "stalled",
  stopping: "stopping",
  killing: "stopping",
  gone: "stopping",
};

/** A row for each process and each place that has none, by index. */
export function workerViews(
  lives: readonly WorkerLife[],
  places: readonly Place[],
  isCandidate: (life: WorkerLife) => boolean,
): readonly WorkerView[] {
  const rows = lives.map((life): WorkerView => {
    const place = places[life.index];
    const isCurrent = place?.current === life;
    return {
      ...life.identity,
      pid: life.pid,
      state: STATE_OF_LIFE[life.state],
      role: isCurrent ? "current" : isCandidate(life) ? "candidate" : "leaving",
      restarts: place?.restarts ?? 0,
      lastExit: place?.lastExit ?? null,
    };
  });
  for (const { index, state, restarts, lastExit } of places) {
    if (state !== "backoff" && state !== "failed") continue;
    rows.push({ id: 0, index, generation: 0, pid: 0, state, role: "current", restarts, lastExit });
  }
  return rows.toSorted((a, b) => a.index - b.index || a.id - b.id);
}

/** What is wrong with the workers and what to do, a sentence for each place that was given up. */
export function workerNotes(places: readonly Place[], limits: SupervisorLimits): readonly string[] {
  return places
    .filter((place) => place.state === "failed")
    .map((place) => `${gaveUpText(place, limits)}; repair it, then reload or restart`);
}

/** That, and why, a place was given up. */
export function gaveUpText(place: Place, limits: SupervisorLimits): string {
  const { restarts, periodMs } = limits.restartIntensity;
  return (
    `gave up on worker ${place.index}: more than ${restarts} restarts in ` +
    `${formatDuration(periodMs)}, last end: ${place.lastExit}`
  );
}
