/**
 * All worker processes that have not ended, and the ways in which one is started and sent away.
 * Who is sent away, and when, the supervisor decides.
 *
 * ```
 *   leave():  spawning -> cancelled     starting -> SIGTERM     ready -> drain -> SIGTERM
 *   then:     SIGTERM -> (STOP_GRACE_MS) -> SIGKILL -> (KILL_WAIT_MS) -> complain
 * ```
 */
import type { LogFields, SupervisorLimits, SupervisorPorts } from "./supervisor-types.ts";
import { KILL_WAIT_MS, STALL_RECOVERY_MS, STOP_GRACE_MS } from "./supervisor-types.ts";
import type { AdoptedWorker } from "./supervisor-types.ts";
import { WorkerLife } from "./worker-life.ts";

export class Roster {
  readonly #ports: SupervisorPorts;
  readonly #lives = new Map<number, WorkerLife>();
  #lastId = 0;
  limits: SupervisorLimits;

  constructor(limits: SupervisorLimits, ports: SupervisorPorts) {
    this.limits = limits;
    this.#ports = ports;
  }

  get size(): number {
    return this.#lives.size;
  }

  get(id: number): WorkerLife | undefined {
    return this.#lives.get(id);
  }

  /** A copy: workers may end while the caller walks through it. */
  all(): readonly WorkerLife[] {
    return [...this.#lives.values()];
  }

  /** Those that may have a place, the best claim first (see `byClaim`). */
  claimants(): readonly WorkerLife[] {
    const lives = this.all().filter(({ state }) => state === "starting" || state === "ready");
    return lives.toSorted(byClaim);
  }

  /** Ids up to this one were given out by a former reactor. */
  skipIdsTo(lastId: number): void {
    this.#lastId = Math.max(this.#lastId, lastId);
  }

  adopt(worker: AdoptedWorker): void {
    const now = this.#ports.now();
    const deadline = {
      starting: now + this.limits.readyTimeoutMs,
      ready: Infinity,
      draining: now + this.limits.drainTimeoutMs,
      stopping: now + STOP_GRACE_MS,
    }[worker.phase];
    const life = new WorkerLife(worker, worker.phase, now, deadline);
    life.pid = worker.pid;
    this.#lives.set(life.id, life);
    this.skipIdsTo(life.id);
    if (worker.phase === "draining") this.#ports.drain(worker.id, true);
  }

  start(index: number, generation: number): WorkerLife {
    this.#lastId += 1;
    const identity = { id: this.#lastId, index, generation };
    const life = new WorkerLife(identity, "spawning", this.#ports.now());
    this.#lives.set(life.id, life);
    this.#ports.spawn(identity);
    return life;
  }

  /** The keeper's answer to `start`. */
  spawned(life: WorkerLife, pid: number): void {
    life.pid = pid;
    if (life.state === "cancelled") this.kill(life);
    if (life.state !== "spawning") return;
    const now = this.#ports.now();
    life.enter("starting", now, now + this.limits.readyTimeoutMs);
  }

  /** Sends a worker on its way out, from whatever state it is in. */
  leave(life: WorkerLife, cause: string, move = true): void {
    life.cause ??= cause;
    const now = this.#ports.now();
    if (life.state === "spawning") life.enter("cancelled", now);
    else if (life.state === "starting") this.terminate(life);
    else if (life.state === "ready") {
      life.enter("draining", now, now + this.limits.drainTimeoutMs);
      this.#ports.drain(life.id, move);
    } else if (life.state === "draining" && !move) this.#ports.drain(life.id, false);
  }

  terminate(life: WorkerLife): void {
    const now = this.#ports.now();
    life.enter("stopping", now, now + STOP_GRACE_MS);
    this.#ports.signal(life.id, "SIGTERM");
  }

  freeze(life: WorkerLife): void {
    life.cause ??= "stalled";
    const now = this.#ports.now();
    life.enter("stalled", now, now + STALL_RECOVERY_MS);
    this.#ports.signal(life.id, "SIGSTOP");
    const message = `worker ${life.index} made no progress; it is frozen and killed`;
    this.#ports.log("error", message, fieldsOf(life)); // what came of its connections, others say
    this.#ports.recover(life.id);
  }

  kill(life: WorkerLife): void {
    const now = this.#ports.now();
    life.enter("killing", now, now + KILL_WAIT_MS);
    this.#ports.signal(life.id, "SIGKILL");
  }

  /** A life whose state has lasted too long; true when it is for the supervisor to judge. */
  expired(life: WorkerLife): boolean {
    switch (life.state) {
      case "starting":
        return true;
      case "draining":
        this.terminate(life);
        return false;
      case "stalled":
      case "stopping":
        this.kill(life);
        return false;
      case "killing":
        life.extend(this.#ports.now() + KILL_WAIT_MS);
        this.#ports.log(
          "error",
          `worker ${life.index} (pid ${life.pid}) does not end although it was sent SIGKILL`,
          fieldsOf(life),
        );
        return false;
      case "spawning":
      case "cancelled":
      case "ready":
      case "gone":
        return false;
    }
  }

  /** The process has ended. Returns how long it had been ready. */
  remove(life: WorkerLife): number {
    const now = this.#ports.now();
    const readyForMs = life.readyForMs(now);
    life.enter("gone", now);
    this.#lives.delete(life.id);
    return readyForMs;
  }
}

/** What every log line about a worker carries. */
export function fieldsOf(life: WorkerLife): LogFields {
  return { worker: life.index, id: life.id, generation: life.generation, pid: life.pid };
}

/** Older generations first; within one the ready before the starting, then the newest. */
function byClaim(a: WorkerLife, b: WorkerLife): number {
  if (a.generation !== b.generation) return a.generation - b.generation;
  if (a.state !== b.state) return a.state === "ready" ? -1 : 1;
  return b.id - a.id;
}
