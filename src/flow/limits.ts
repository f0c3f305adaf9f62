/**
 * How many may be in at a time: a fixed number; what an event loop needs to be never idle; or what
 * an upstream takes before it becomes slower.
 */
import { performance } from "node:perf_hooks";
import { checkNames, checkNumber, checkThere, refuseOption } from "./errors.ts";

export type LimitOptions =
  | { readonly kind: "fixed"; readonly max: number }
  | {
      readonly kind: "loop";
      readonly initial?: number;
      readonly min?: number;
      readonly max?: number;
    }
  | {
      readonly kind: "gradient";
      readonly initial?: number;
      readonly min?: number;
      readonly max?: number;
      /** How many times the least latency is still well; default 2. */
      readonly tolerance?: number;
    };

/** How something has ended: `drop` was a timeout or a refusal, `ignore` tells nothing. */
export type Sample = "ok" | "drop" | "ignore";

/** The limit of one gate. */
export interface Limit {
  readonly value: number;
  /** Something is waiting, or came and had to: called often. */
  pressed(nowMs: number): void;
  ended(sample: Sample, durationMs: number, inFlight: number, nowMs: number): void;
  /** Whether a queue in front of it will not go away by raising the limit. */
  readonly isSaturated: boolean;
  /** How long one takes, as far as known; 0: not known. */
  readonly typicalMs: number;
}

const BOUNDS_NAMES = { kind: true, initial: true, min: true, max: true } as const;
/** Smoothing of durations: a tenth of each new one. */
const SMOOTHING = 0.1;

/** @throws FlowError ERR_HOLDFAST_FLOW_OPTION */
export function makeLimit(options: LimitOptions): Limit {
  checkThere("limit", options, `e.g. { kind: "fixed", max: 10 }`);
  switch (options.kind) {
    case "fixed":
      checkNames(options, { kind: true, max: true }, "limit.");
      return new FixedLimit(checkNumber("limit.max", options.max, 1, { min: 1 }));
    case "loop":
      checkNames(options, BOUNDS_NAMES, "limit.");
      return new LoopLimit(bounds(options, { initial: 64, max: 4096 }));
    case "gradient": {
      checkNames(options, { ...BOUNDS_NAMES, tolerance: true }, "limit.");
      const tolerance = checkNumber("limit.tolerance", options.tolerance, 2, { min: 1, max: 100 });
      return new GradientLimit(bounds(options, { initial: 10, max: 1000 }), tolerance);
    }
    default:
      return refuseOption(
        "limit.kind",
        (options as { readonly kind?: unknown }).kind, // from a user without types
        `"fixed", "loop" or "gradient"`,
      );
  }
}

interface Bounds {
  readonly initial: number;
  readonly min: number;
  readonly max: number;
}

function bounds(
  given: { readonly initial?: number; readonly min?: number; readonly max?: number },
  fallback: { readonly initial: number; readonly max: number },
): Bounds {
  const min = checkNumber("limit.min", given.min, 1, { min: 1 });
  const max = checkNumber("limit.max", given.max, Math.max(min, fallback.max), { min });
  const initial = Math.min(max, Math.max(min, fallback.initial));
  return { min, max, initial: checkNumber("limit.initial", given.initial, initial, { min, max }) };
}

class FixedLimit implements Limit {
  readonly value: number;
  readonly isSaturated = true;
  typicalMs = 0;

  constructor(max: number) {
    this.value = Math.floor(max);
  }

  pressed(): void {
    // nothing to decide
  }

  ended(sample: Sample, durationMs: number): void {
    if (sample === "ok") this.typicalMs = smooth(this.typicalMs, durationMs);
  }
}

function smooth(former: number, value: number): number {
  return former === 0 ? value : former + SMOOTHING * (value - former);
}

/** How often a loop's limit is looked at while something waits. */
const LOOP_CHECK_MS = 40;
const LOOP_FORGET_MS = 1000;
/** Below this the loop has time left, and more may come in. */
const LOOP_IDLE = 0.98;
const LOOP_GROWTH = 1.1;
/** What is in may take so much longer than it would alone; beyond, less must be in. */
const LOOP_EXCESS_MS = 30;
const LOOP_SHRINKAGE = 0.9;
/** Looks in a row that found a busy loop, before a limit that nobody has reached yet falls. */
const LOOP_BUSY_LOOKS = 3;

/**
 * An event loop serves best when it is never idle while something waits, and not more than that:
 * what is let in beyond only makes everything take longer. Latency says nothing here, since the
 * waiting itself is in it.
 */
class LoopLimit implements Limit {
  readonly #bounds: Bounds;
  #value: number;
  #checkedAtMs = 0;
  #former = performance.eventLoopUtilization();
  #utilization = 0;
  #busyLooks = 0;
  #pressedAtMs = 0;
  readonly #base = new Base();
  typicalMs = 0;

  constructor(given: Bounds) {
    this.#bounds = given;
    this.#value = given.initial;
  }

  get value(): number {
    return Math.floor(this.#value);
  }

  get isSaturated(): boolean {
    return this.#utilization >= LOOP_IDLE || this.#value >= this.#bounds.max;
  }

  pressed(nowMs: number): void {
    this.#pressedAtMs = nowMs;
    if (!this.#look(nowMs)) return;
    const { min, max } = this.#bounds;
    if (this.#busyLooks === 0) this.#value = Math.min(max, this.#value * LOOP_GROWTH + 1);
    else if (this.#isExcessive) this.#value = Math.max(min, this.#value * LOOP_SHRINKAGE);
  }

  ended(sample: Sample, durationMs: number, inFlight: number, nowMs: number): void {
    if (sample !== "ok") return;
    this.typicalMs = smooth(this.typicalMs, durationMs);
    this.#base.note(durationMs, this.typicalMs, nowMs);
    // where nothing has to wait yet, everything takes longer and longer until the limit is reached
    if (nowMs - this.#pressedAtMs < LOOP_CHECK_MS || !this.#look(nowMs)) return;
    if (this.#busyLooks < LOOP_BUSY_LOOKS || !this.#isExcessive) return;
    this.#value = Math.max(this.#bounds.min, Math.min(this.#value, inFlight * LOOP_SHRINKAGE));
  }

  get #isExcessive(): boolean {
    return this.typicalMs - this.#base.ms > LOOP_EXCESS_MS;
  }

  /** How busy the loop is. False: the last look was just now, or too long ago to say anything. */
  #look(nowMs: number): boolean {
    const sinceMs = nowMs - this.#checkedAtMs;
    if (sinceMs < LOOP_CHECK_MS) return false;
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, this.#former);
    this.#former = now;
    this.#checkedAtMs = nowMs;
    if (sinceMs > LOOP_FORGET_MS) return false;
    this.#utilization = utilization;
    this.#busyLooks = utilization < LOOP_IDLE ? 0 : this.#busyLooks + 1;
    return true;
  }
}

/** The least that one takes, forgotten slowly: by this part a second. */
const BASE_RISE_PER_SECOND = 0.02;

class Base {
  ms = 0;
  #atMs = 0;

  note(durationMs: number, typicalMs: number, nowMs: number): void {
    if (this.ms === 0 || durationMs < this.ms) this.ms = Math.max(durationMs, 0.01);
    else {
      const seconds = Math.min(1, (nowMs - this.#atMs) / 1000);
      this.ms = Math.min(this.ms * (1 + BASE_RISE_PER_SECOND * seconds), typicalMs);
    }
    this.#atMs = nowMs;
  }
}

/** Halved by a drop no more often than this: a burst of timeouts is one message. */
const DROP_INTERVAL_MS = 100;
const STEP = 0.2;

/**
 * By the gradient of latency (Netflix's Gradient2, and what it lacks: a timeout counts as a drop,
 * the floor is 1, and the base rises slowly, so that a slower upstream is not taken for overload
 * for ever).
 */
class GradientLimit implements Limit {
  readonly #bounds: Bounds;
  readonly #tolerance: number;
  #value: number;
  readonly #base = new Base();
  #shortMs = 0;
  #droppedAtMs = 0;
  /** Up to here it climbs by one with each answer, as TCP's slow start (RFC 5681 3.1). */
  #climbTo = 0;
  /** Since the last drop. */
  #hasGrown = true;
  readonly isSaturated = true;

  constructor(given: Bounds, tolerance: number) {
    this.#bounds = given;
    this.#tolerance = tolerance;
    this.#value = given.initial;
  }

  get value(): number {
    return Math.max(1, Math.floor(this.#value));
  }

  get typicalMs(): number {
    return this.#shortMs;
  }

  pressed(): void {
    // only what has ended counts
  }

  ended(sample: Sample, durationMs: number, inFlight: number, nowMs: number): void {
    if (sample === "ignore") return;
    if (sample === "drop") {
      if (nowMs - this.#droppedAtMs < DROP_INTERVAL_MS) return;
      this.#droppedAtMs = nowMs;
      // of several in a row the first one says where it was too much
      if (this.#hasGrown) this.#climbTo = this.#value / 2;
      this.#hasGrown = false;
      this.#value = Math.max(this.#bounds.min, this.#value / 2);
      return;
    }
    this.#shortMs = smooth(this.#shortMs, durationMs);
    this.#base.note(durationMs, this.#shortMs, nowMs);
    // who uses less than half of it learns nothing about the rest
    if (inFlight * 2 < this.#value) return;
    const gradient = (this.#tolerance * this.#base.ms) / Math.max(this.#shortMs, 0.01);
    if (gradient >= 1) this.#hasGrown = true;
    if (gradient >= 1 && this.#value < this.#climbTo) {
      this.#value = Math.min(this.#climbTo, this.#value + 1, this.#bounds.max);
      return;
    }
    const wanted = this.#value * Math.max(0.5, Math.min(1, gradient)) + Math.sqrt(this.#value);
    const next = this.#value + (STEP * (wanted - this.#value)) / Math.max(1, this.#value);
    this.#value = Math.max(this.#bounds.min, Math.min(this.#bounds.max, next));
  }
}
