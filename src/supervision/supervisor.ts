/**
 * The life of all workers: a pure state machine. Events and the clock come in, orders go out
 * through `SupervisorPorts`; it does no I/O and starts no timer.
 *
 * ```
 *   idle --boot--> first --worker 0 ready--> rest --every place settled--> up
 *                    |                         |                           |
 *                    +-------------------------+---------------------------+--> ending --> ended
 * ```
 * - **first**: worker 0 starts alone. If it ends before it is ready, the run ends with its exit
 *   code, so a script that listens on nothing behaves as it does under node. If it is not ready in
 *   time, the run ends with 75 (EX_TEMPFAIL).
 * - **rest**: the other workers start. From here on a worker that ends unasked is started again,
 *   whatever its exit code and whether or not it had closed its listeners: a service that ends
 *   itself (after n requests, after somebody else's signal) is meant to go on.
 * - **up**: every place has been ready once, or waits for a restart, or was given up.
 * - **ending**: workers drain, stop or are killed; nothing is started. Ends in `finish`.
 *
 * The life of one worker is drawn in `worker-life.ts`, the ways to send one away in `roster.ts`, a
 * place in `place.ts`, a reload in `operation.ts`.
 */
import assert from "node:assert";
import { constants } from "node:os";
import { formatDuration } from "../base/mod.ts";
import type { ExitInfo } from "../base/mod.ts";
import { Operation, isWorkerCount, refuse, refuseCount } from "./operation.ts";
import type { OperationPlan, OperationResult, ProgressListener } from "./operation.ts";
import { Place } from "./place.ts";
import { Roster, fieldsOf } from "./roster.ts";
import {
  EXIT_GAVE_UP,
  EXIT_NOT_READY,
  KILL_WAIT_MS,
  REPLACE_RETRY_MS,
  RUN_EDGES,
  STOP_GRACE_MS,
  WORKERS_MAX,
} from "./supervisor-types.ts";
import type {
  AdoptedWorker,
  Inheritance,
  RunPhase,
  ServiceState,
  SupervisorLimits,
  SupervisorOptions,
  SupervisorPorts,
  WorkerView,
} from "./supervisor-types.ts";
import { exitCode, exitText } from "./worker-life.ts";
import type { LifeState, WorkerLife } from "./worker-life.ts";
import { gaveUpText, workerNotes, workerViews } from "./worker-views.ts";

export class Supervisor {
  readonly #ports: SupervisorPorts;
  readonly #roster: Roster;
  readonly #entry: string;
  readonly #places: Place[] = [];
  readonly #stopWaiters: ((result: OperationResult) => void)[] = [];
  #limits: SupervisorLimits;
  #workers: number;
  #phase: RunPhase = "idle";
  #generation = 0;
  #lastGeneration = 0;
  #operation: Operation | null = null;
  #ending: { code: number; reason: string; deadline: number } | null = null;
  #restartsOfRemovedPlaces = 0;

  constructor(options: SupervisorOptions, ports: SupervisorPorts) {
    assert(options.workers >= 1 && options.workers <= WORKERS_MAX, "a number of workers");
    this.#ports = ports;
    this.#roster = new Roster(options, ports);
    this.#entry = options.entry;
    this.#limits = options;
    this.#workers = options.workers;
  }

  get phase(): RunPhase {
    return this.#phase;
  }

  /** The generation that serves; 0 before the first worker was ready. */
  get generation(): number {
    return this.#generation;
  }

  get state(): ServiceState {
    if (this.#phase === "ending" || this.#phase === "ended") return "stopping";
    if (this.#phase !== "up") return "starting";
    if (this.#operation !== null) return "reloading";
    const isWhole = this.#places.every((place) => place.current?.state === "ready");
    return isWhole ? "running" : "degraded";
  }

  /** What an operator should know, in sentences. */
  get notes(): readonly string[] {
    return workerNotes(this.#places, this.#limits);
  }

  /** Restarts since the start of this reactor. */
  get restarts(): number {
    const sum = (total: number, place: Place) => total + place.restarts;
    return this.#places.reduce(sum, this.#restartsOfRemovedPlaces);
  }

  /** All processes, and the places that have none, by index. */
  workers(): readonly WorkerView[] {
    const isCandidate = (life: WorkerLife) =>
      this.#places[life.index]?.candidate === life || this.#operation?.owns(life.id) === true;
    return workerViews(this.#roster.all(), this.#places, isCandidate);
  }

  // Orders.

  /** Starts the first worker. */
  boot(): void {
    this.#enter("first");
    this.#addPlaces(this.#workers);
    const [first] = this.#places;
    assert(first !== undefined, "there is at least one worker");
    this.#fill(first);
  }

  /**
   * Takes over what a former reactor left. An operation that it had under way is undone: where two
   * workers contend for an index, the one of the older generation stays.
   */
  adopt(workers: readonly AdoptedWorker[], inheritance: Inheritance): void {
    const isBooted = inheritance.generation > 0 || workers.some(({ index }) => index > 0);
    this.#enter(isBooted ? "rest" : "first");
    this.#addPlaces(this.#workers);
    const generations = workers.map((worker) => worker.generation);
    this.#generation = inheritance.generation;
    this.#lastGeneration = Math.max(inheritance.lastGeneration, ...generations);
    this.#roster.skipIdsTo(inheritance.lastId);
    for (const worker of workers) this.#roster.adopt(worker);
    for (const life of this.#roster.claimants()) this.#settleAdopted(life);
    if (this.#phase === "rest") return this.#fillVacant();
    const [first] = this.#places;
    assert(first !== undefined, "there is at least one worker");
    if (first.current === null) this.#fill(first);
    else if (first.current.state === "ready") this.#firstIsReady();
  }

  /** New limits, from a configuration that was read again. */
  configure(limits: SupervisorLimits): void {
    this.#limits = limits;
    this.#roster.limits = limits;
    for (const place of this.#places) place.intensity.configure(limits.restartIntensity);
  }

  /** Replaces every worker by one of a new generation; `workers` may change their number. */
  reload(onProgress: ProgressListener, workers: number = this.#workers): Promise<OperationResult> {
    if (!isWorkerCount(workers)) return refuseCount(workers);
    const generation = this.#lastGeneration + 1;
    const indexes = range(0, workers);
    return this.#operate({ kind: "reload", generation, indexes, workers }, onProgress);
  }

  /** Replaces one worker, or all of them, without reading the configuration again. */
  restart(index: number | null, onProgress: ProgressListener): Promise<OperationResult> {
    if (index !== null && this.#places[index] === undefined) {
      const last = this.#places.length - 1;
      return refuse("invalid", `there is no worker ${index}; workers are numbered 0 to ${last}`);
    }
    const indexes = index === null ? range(0, this.#workers) : [index];
    const generation = this.#lastGeneration + 1;
    const plan: OperationPlan = { kind: "restart", generation, indexes, workers: this.#workers };
    return this.#operate(plan, onProgress);
  }

  /** Changes the number of workers. */
  scale(workers: number, onProgress: ProgressListener): Promise<OperationResult> {
    if (!isWorkerCount(workers)) return refuseCount(workers);
    const indexes = range(this.#workers, workers);
    const generation = this.#generation;
    return this.#operate({ kind: "scale", generation, indexes, workers }, onProgress);
  }

  /**
   * Ends the run: drains all workers, or (`isNow`) kills them. Resolves when all are gone.
   * @param code exit code of the run; by default 0, or 137 (as if by SIGKILL) when it is now
   */
  stop(
    isNow: boolean,
    code: number = isNow ? 128 + constants.signals.SIGKILL : 0,
  ): Promise<OperationResult> {
    const { promise, resolve } = Promise.withResolvers<OperationResult>();
    if (this.#phase === "ended") resolve({ ok: true, message: "stopped" });
    else this.#stopWaiters.push(resolve);
    if (isNow) this.#killAll(code);
    else if (this.#ending === null) this.#end(code, "stopped");
    return promise;
  }

  /** The keeper has gone: nobody can spawn any more. Workers finish what they have. */
  keeperLost(): void {
    if (this.#ending === null) this.#end(0, "the keeper has gone");
    const unborn = this.#roster.all().filter(({ state }) => state === "cancelled");
    for (const life of unborn) this.#gone(life, { code: null, signal: null }, "");
  }

  // Events.

  spawned(id: number, pid: number): void {
    const life = this.#roster.get(id);
    if (life !== undefined) this.#roster.spawned(life, pid);
  }

  spawnFailed(id: number, message: string): void {
    const life = this.#roster.get(id);
    if (life === undefined) return;
    this.#ports.log(
      "error",
      `worker ${life.index} could not be started: ${message}`,
      fieldsOf(life),
    );
    this.#gone(life, { code: null, signal: null }, message);
  }

  ready(id: number): void {
    const life = this.#roster.get(id);
    if (life?.state !== "starting") return; // too late, or a second time
    life.enter("ready", this.#ports.now());
    if (this.#operation?.owns(id) === true) {
      this.#operation.ready(id);
      return this.#advance(this.#operation);
    }
    if (this.#phase === "first") return this.#firstIsReady();
    const place = this.#places[life.index];
    if (place?.candidate === life) return this.#replaceByCandidate(place, life);
    this.#feed(life);
    this.#settle();
  }

  /** The process has ended; `output` is what it wrote last. */
  exited(id: number, exit: ExitInfo, output: string): void {
    const life = this.#roster.get(id);
    if (life !== undefined) this.#gone(life, exit, output);
  }

  drained(id: number): void {
    const life = this.#roster.get(id);
    if (life?.state === "draining") this.#roster.terminate(life);
  }

  /** No progress for the stall limit: freezes the worker, so that nothing changes any more. */
  stalled(id: number): void {
    const life = this.#roster.get(id);
    if (life?.state !== "ready" && life?.state !== "draining") return;
    this.#roster.freeze(life);
    // a new worker of an operation cannot take its place any more
    if (this.#operation?.owns(id) === true) this.#abandon(this.#operation, life, "stalled", "");
  }

  /** The connections of a stalled worker are safe. */
  recovered(id: number): void {
    const life = this.#roster.get(id);
    if (life?.state === "stalled") this.#roster.kill(life);
  }

  /** The worker holds too much memory: starts its replacement. False when this is not the time. */
  overMemory(id: number): boolean {
    const life = this.#roster.get(id);
    const place = life === undefined ? undefined : this.#places[life.index];
    if (life?.state !== "ready" || place?.current !== life || !this.#mayReplace(life)) return false;
    if (this.#ports.now() < place.replaceAfterMs) return false;
    const message = `worker ${life.index} holds too much memory; its replacement starts`;
    this.#ports.log("warn", message, fieldsOf(life));
    place.candidate = this.#start(place.index, this.#generation);
    return true;
  }

  /** Deadlines and waits; to be called every 100 ms. */
  tick(): void {
    const now = this.#ports.now();
    for (const life of this.#roster.all()) {
      if (now >= life.deadline && this.#roster.expired(life)) this.#notReadyInTime(life);
    }
    for (const place of this.#places) if (now >= place.retryAtMs) this.#restartAt(place);
    if (this.#ending !== null && now >= this.#ending.deadline) this.#finishAnyway();
  }

  // Starting.

  #start(index: number, generation: number): WorkerLife {
    this.#lastGeneration = Math.max(this.#lastGeneration, generation);
    return this.#roster.start(index, generation);
  }

  #fill(place: Place): void {
    place.fill(this.#start(place.index, Math.max(1, this.#generation)));
  }

  #fillVacant(): void {
    for (const place of this.#places) if (place.state === "vacant") this.#fill(place);
    this.#settle();
  }

  #restartAt(place: Place): void {
    place.restarts += 1;
    this.#fill(place);
  }

  #feed(life: WorkerLife): void {
    this.#ports.feed(life.id);
    this.#ports.log("info", `worker ${life.index} is ready`, fieldsOf(life));
  }

  #firstIsReady(): void {
    const life = this.#places[0]?.current ?? null;
    assert(life !== null, "worker 0 is ready");
    this.#enter("rest");
    this.#generation = life.generation;
    this.#commit();
    this.#feed(life);
    this.#fillVacant();
  }

  /** Goes from `rest` to `up` once every place has been ready, or waits, or was given up. */
  #settle(): void {
    if (this.#phase === "rest" && this.#places.every(isSettled)) this.#enter("up");
  }

  #addPlaces(workers: number): void {
    const { restartIntensity } = this.#limits;
    const indexes = range(this.#places.length, workers);
    this.#places.push(...indexes.map((index) => new Place(index, restartIntensity)));
  }

  /** The first claimant of a place gets it; see `byClaim`. */
  #settleAdopted(life: WorkerLife): void {
    const place = this.#places[life.index];
    if (place === undefined) return this.#roster.leave(life, "scale");
    const isReplacement =
      place.current?.generation === life.generation && life.state === "starting";
    if (place.state === "vacant") {
      place.fill(life);
      if (life.state === "ready" && this.#phase === "rest") this.#ports.feed(life.id);
    } else if (isReplacement && place.candidate === null) place.candidate = life;
    else this.#roster.leave(life, "death of the reactor during an operation");
  }

  // Replacing.

  #mayReplace(old: WorkerLife): boolean {
    const isBusy = this.#places.some(({ candidate }) => candidate !== null);
    const isAlone = this.#roster.all().every((life) => life.index !== old.index || life === old);
    return this.#ending === null && this.#operation === null && !isBusy && isAlone;
  }

  #replaceByCandidate(place: Place, candidate: WorkerLife): void {
    const old = place.current;
    place.candidate = null;
    place.restarts += 1;
    place.fill(candidate);
    this.#feed(candidate);
    if (old !== null) this.#roster.leave(old, "memory limit");
  }

  #candidateLost(place: Place): void {
    place.candidate = null;
    place.replaceAfterMs = this.#ports.now() + REPLACE_RETRY_MS;
    const message =
      `the replacement of worker ${place.index} ended before it was ready: ${place.lastExit}; ` +
      `the old one stays, the next attempt is in ${formatDuration(REPLACE_RETRY_MS)}`;
    this.#ports.log("error", message, { worker: place.index });
  }

  // Operations.

  #operate(plan: OperationPlan, onProgress: ProgressListener): Promise<OperationResult> {
    const running = this.#operation;
    if (running !== null) {
      const why = `a ${running.kind} is under way; try again when it is done`;
      return refuse("busy", `cannot ${plan.kind}: ${why}`);
    }
    if (this.#phase !== "up" && this.#phase !== "rest") {
      const isEarly = this.#phase === "idle" || this.#phase === "first";
      return refuse("busy", `cannot ${plan.kind}: the service ${isEarly ? "starts" : "stops"}`);
    }
    const operation = new Operation(plan, onProgress);
    this.#operation = operation;
    this.#advance(operation);
    return operation.result;
  }

  #advance(operation: Operation): void {
    for (let index = operation.nextIndex(); index !== null; index = operation.nextIndex()) {
      operation.started(this.#start(index, operation.generation).id, index);
    }
    if (operation.isComplete) this.#handOver(operation);
  }

  /** Every new worker is ready: they take the places, the old ones leave. */
  #handOver(operation: Operation): void {
    const newcomers = operation.handOver();
    this.#addPlaces(operation.workers);
    const leaving = this.#places
      .filter((place) => newcomers.has(place.index) || place.index >= operation.workers)
      .flatMap((place) => this.#takePlace(place, newcomers.get(place.index)));
    for (const place of this.#places.splice(operation.workers)) {
      this.#restartsOfRemovedPlaces += place.restarts;
    }
    this.#workers = operation.workers;
    this.#generation = operation.generation;
    this.#commit();
    operation.reportServing(leaving.length);
    for (const life of leaving) {
      operation.awaitEnd(life);
      this.#roster.leave(life, operation.kind);
    }
    this.#settle();
    this.#finishOperationIfSettled();
  }

  /** Gives a place to a new worker, or to nobody; returns those who had it. */
  #takePlace(place: Place, newcomerId: number | undefined): WorkerLife[] {
    const leaving = [place.current, place.candidate].filter((life) => life !== null);
    place.candidate = null;
    if (newcomerId === undefined) {
      place.vacate();
      return leaving;
    }
    const newcomer = this.#roster.get(newcomerId);
    assert(newcomer?.state === "ready", `worker ${newcomerId} is ready to take its place`);
    place.intensity.reset();
    place.fill(newcomer);
    this.#feed(newcomer);
    return leaving;
  }

  #abandon(operation: Operation, lost: WorkerLife, why: string, output: string): void {
    const stays = operation.kind === "scale" ? "the number of workers stays" : "the old one stays";
    const message = `${operation.kind} failed: new worker ${lost.index} ${why}; ${stays}`;
    this.#ports.log("error", message, fieldsOf(lost));
    for (const id of operation.abandon(lost.id, message, output)) {
      const life = this.#roster.get(id);
      if (life === undefined) continue;
      operation.awaitEnd(life);
      this.#roster.leave(life, `${operation.kind} failed`);
    }
    this.#finishOperationIfSettled();
  }

  #finishOperationIfSettled(): void {
    if (this.#operation?.isSettled !== true) return;
    this.#operation.finish();
    this.#operation = null;
    this.#endIfAllFailed();
  }

  // Exits.

  #notReadyInTime(life: WorkerLife): void {
    const why = `was not ready within ${formatDuration(this.#limits.readyTimeoutMs)}`;
    const advice =
      `${this.#entry} neither listened nor called process.send("ready"); make it do one of ` +
      "them, or raise --ready-timeout";
    this.#ports.log("error", `worker ${life.index} ${why}: ${advice}`, fieldsOf(life));
    life.cause = why;
    const operation = this.#operation;
    if (operation?.owns(life.id) === true) this.#abandon(operation, life, why, "");
    else if (this.#phase === "first") this.#end(EXIT_NOT_READY, `worker ${life.index} ${why}`);
    else this.#roster.terminate(life);
  }

  #gone(life: WorkerLife, exit: ExitInfo, output: string): void {
    const was = life.state;
    const readyForMs = this.#roster.remove(life);
    const place = this.#places[life.index];
    const text = life.cause === null ? exitText(exit) : `${exitText(exit)}, ${life.cause}`;
    if (place !== undefined) place.lastExit = text;
    const isFirst = this.#phase === "first";
    const restarts = place?.restarts ?? 0;
    const { identity, pid, cause } = life;
    const how = { state: was, exit, text, cause, isFirst, readyForMs, restarts, output };
    this.#ports.gone({ ...identity, pid, ...how });
    const operation = this.#operation;
    if (operation?.owns(life.id) === true) this.#abandon(operation, life, `ended: ${text}`, output);
    else if (operation?.ended(life, text, output) === true) this.#finishOperationIfSettled();
    if (this.#ending !== null) return this.#finishIfEmpty();
    if (place?.candidate === life) return this.#candidateLost(place);
    if (place?.current !== life) {
      this.#ports.log("info", `worker ${life.index} ended: ${text}`, fieldsOf(life));
    } else if (this.#phase === "first") this.#endWithFirst(life, exit);
    else this.#currentLost(place, life, was, readyForMs);
  }

  #currentLost(place: Place, life: WorkerLife, was: LifeState, readyForMs: number): void {
    const { candidate } = place;
    if (candidate !== null) {
      place.candidate = null;
      place.restarts += 1;
      return place.fill(candidate);
    }
    const now = this.#ports.now();
    const waitMs = place.intensity.crashed(now, readyForMs);
    const when = was === "spawning" || was === "starting" ? " before it was ready" : "";
    const ended = `worker ${place.index} ended${when}: ${place.lastExit}`;
    if (waitMs === null) place.fail();
    else place.wait(now + waitMs);
    const next =
      waitMs === null
        ? gaveUpText(place, this.#limits)
        : `restart ${waitMs === 0 ? "now" : `in ${formatDuration(waitMs)}`}`;
    this.#ports.log("error", `${ended}; ${next}`, fieldsOf(life));
    if (waitMs === 0) this.#restartAt(place);
    this.#settle();
    this.#endIfAllFailed();
  }

  #endWithFirst(life: WorkerLife, exit: ExitInfo): void {
    const code = exitCode(exit) ?? EXIT_GAVE_UP;
    const reason = `worker ${life.index} ended before it was ready (${exitText(exit)})`;
    const rest = `it neither listened nor sent 'ready'; the run ends with its exit code ${code}`;
    // a script that ends by itself has said what it had to say, as under node
    if (exit.signal !== null) this.#ports.log("error", `${reason}: ${rest}`, fieldsOf(life));
    this.#end(code, reason);
  }

  // Ending.

  #endIfAllFailed(): void {
    const isLost = this.#places.every((place) => place.state === "failed");
    if (this.#ending !== null || this.#operation !== null || !isLost) return;
    const reason = "no worker is left: each was restarted too often";
    this.#ports.log("error", reason, {});
    this.#end(EXIT_GAVE_UP, reason);
  }

  #end(code: number, reason: string): void {
    this.#enter("ending");
    const deadline = this.#ports.now() + this.#limits.drainTimeoutMs + STOP_GRACE_MS + KILL_WAIT_MS;
    this.#ending = { code, reason, deadline };
    this.#commit();
    this.#operation?.giveUp("the service stops");
    this.#operation = null;
    for (const place of this.#places) {
      place.candidate = null;
      place.vacate();
    }
    for (const life of this.#roster.all()) this.#roster.leave(life, "stopped", false);
    this.#finishIfEmpty();
  }

  #killAll(code: number): void {
    if (this.#ending === null) this.#end(code, "killed");
    if (this.#ending === null) return;
    this.#ending.code = code;
    this.#ending.deadline = this.#ports.now() + KILL_WAIT_MS;
    for (const life of this.#roster.all()) {
      if (life.state !== "killing" && life.state !== "cancelled") this.#roster.kill(life);
    }
  }

  #finishIfEmpty(): void {
    if (this.#phase === "ending" && this.#roster.size === 0) this.#finish();
  }

  #finishAnyway(): void {
    if (this.#phase !== "ending") return;
    // one that froze late has its own deadlines: nobody is left frozen, or without SIGKILL
    const now = this.#ports.now();
    const isGivenUp = ({ state, since }: WorkerLife) =>
      state === "cancelled" || (state === "killing" && now >= since + KILL_WAIT_MS);
    if (!this.#roster.all().every(isGivenUp)) return;
    const pids = this.#roster.all().map(({ pid }) => pid);
    const message = `workers that do not end are left behind: pids ${pids.join(", ")}`;
    this.#ports.log("error", message, {});
    this.#finish();
  }

  #finish(): void {
    assert(this.#ending !== null, "an ending run knows its exit code");
    this.#enter("ended");
    for (const resolve of this.#stopWaiters.splice(0)) resolve({ ok: true, message: "stopped" });
    this.#ports.finish(this.#ending.code, this.#ending.reason);
  }

  #enter(phase: RunPhase): void {
    assert(RUN_EDGES[this.#phase].includes(phase), `no way from ${this.#phase} to ${phase}`);
    this.#phase = phase;
  }

  #commit(): void {
    const stopping = this.#ending !== null;
    this.#ports.commit({ generation: this.#generation, workers: this.#workers, stopping });
  }
}

/** Whether a place needs no more waiting for while the service starts. */
function isSettled(place: Place): boolean {
  const state = place.current?.state;
  return place.restarts > 0 || (state !== "spawning" && state !== "starting");
}

function range(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, to - from) }, (_, offset) => from + offset);
}
