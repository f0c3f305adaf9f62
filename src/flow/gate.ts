/**
 * A limit and its queue in one object: a limit without its queue is half a design.
 *
 * ```
 *   enter --room--> permit -- work -- release(how it ended) --> the limit learns
 *     |                                     |
 *     +--no room--> queue <--- next turn ---+
 *                     |  bounded in length and age; abort and deadline take an entry out at once
 *                     +--> Overloaded: "queue-full", "wait", "expired", "client-gone", "aborted"
 * ```
 * A standing queue is served newest first (`codel.ts`), since who came first has most likely left.
 */
import { REFUSALS } from "../ledger/mod.ts";
import type { GateRow, Refusal } from "../ledger/mod.ts";
import { setAlarm } from "./alarm.ts";
import { nowMs, soon } from "./clock.ts";
import { Codel } from "./codel.ts";
import { CRITICALITIES, currentContext, withContext } from "./context.ts";
import type { Criticality } from "./context.ts";
import type { Deadline } from "./deadline.ts";
import { Overloaded, checkNames, checkNumber, checkThere, refuseOption } from "./errors.ts";
import type { OptionNames } from "./errors.ts";
import { GateQueue } from "./gate-queue.ts";
import type { Waiting } from "./gate-queue.ts";
import { makeLimit } from "./limits.ts";
import type { Limit, LimitOptions, Sample } from "./limits.ts";
import { processFlow } from "./process-flow.ts";
import { BoundVisitor, Permit } from "./visitor.ts";
import type { Visitor } from "./visitor.ts";
import { account, outcomeOf } from "./work.ts";
import type { Account, Work } from "./work.ts";

export interface QueueOptions {
  /** How many may wait; default 1,000. */
  readonly max?: number;
  /** `adaptive-lifo`, the default: newest first while the queue is a standing one. */
  readonly policy?: "adaptive-lifo" | "fifo";
  /** How long one may wait in a standing queue; default 20. */
  readonly targetMs?: number;
  /** How long waits must have been above it; default 100. */
  readonly intervalMs?: number;
  /** How long one may wait at most; default 1,000. */
  readonly maxWaitMs?: number;
}

export interface GateOptions {
  readonly name: string;
  /** `observe` lets everything in and counts what it would have refused. */
  readonly mode?: "enforce" | "observe";
  readonly limit: LimitOptions;
  readonly queue?: QueueOptions;
  /** Entries that wait, for the events `high` and `low`; default 80 % and 50 % of the queue. */
  readonly highWater?: number;
  readonly lowWater?: number;
  /** Kind of its accounts, default `gate`; null: its user accounts for what is in. */
  readonly account?: string | null;
}

export interface EnterOptions {
  /** Default: that of the current context. */
  readonly deadline?: Deadline | null;
  readonly signal?: AbortSignal | null;
  /** Default: that of the current context, else `critical`. */
  readonly criticality?: Criticality;
}

export interface GateStats {
  readonly name: string;
  readonly mode: "enforce" | "observe";
  readonly limit: number;
  readonly inFlight: number;
  readonly queued: number;
  readonly oldestMs: number;
  readonly isOverloaded: boolean;
  readonly admitted: number;
  /** With `observe`: what it would have refused. */
  readonly refused: Readonly<Record<Refusal, number>>;
}

interface Entry extends Waiting {
  readonly visitor: Visitor;
  readonly deadline: Deadline | null;
  readonly work: Work;
  /** Takes back its listeners to deadline and signal. */
  unlisten: (() => void) | null;
}

type WaterEvent = "high" | "low";

const GATE_NAMES: OptionNames<GateOptions> = {
  name: true,
  mode: true,
  limit: true,
  queue: true,
  highWater: true,
  lowWater: true,
  account: true,
};
const QUEUE_NAMES: OptionNames<QueueOptions> = {
  max: true,
  policy: true,
  targetMs: true,
  intervalMs: true,
  maxWaitMs: true,
};

/** The options of a queue, whole. @throws FlowError ERR_HOLDFAST_FLOW_OPTION */
export function checkQueue(queue: QueueOptions): Required<QueueOptions> {
  checkNames(queue, QUEUE_NAMES, "queue.");
  const { policy = "adaptive-lifo" } = queue;
  if (policy !== "adaptive-lifo" && policy !== "fifo") {
    refuseOption("queue.policy", policy, `"adaptive-lifo" or "fifo"`);
  }
  return {
    policy,
    max: checkNumber("queue.max", queue.max, 1000, { min: 0 }),
    targetMs: checkNumber("queue.targetMs", queue.targetMs, 20, { min: 1 }),
    intervalMs: checkNumber("queue.intervalMs", queue.intervalMs, 100, { min: 1 }),
    maxWaitMs: checkNumber("queue.maxWaitMs", queue.maxWaitMs, 1000, { min: 1 }),
  };
}

/** Entries whose age is looked at although nothing comes or goes. */
const LOOK_MS = 10;
/**
 * When those that a paced gate lets in have kept the loop for so long, the next one waits for a
 * turn of the loop: what came meanwhile is read and sorted first.
 */
const TURN_MS = 8;

/** See the file's docstring. */
export class Gate {
  readonly name: string;
  readonly mode: "enforce" | "observe";
  readonly #limit: Limit;
  readonly #queueMax: number;
  readonly #isLifo: boolean;
  readonly #codel: Codel;
  readonly #queue = new GateQueue<Entry>();
  readonly #account: Account | null;
  /** Of what waits, where its user accounts for what is in. */
  readonly #queueAccount: Account | null;
  readonly #row: GateRow | null;
  readonly #refused = new Map<Refusal, number>();
  readonly #listeners: Readonly<Record<WaterEvent, Set<() => void>>> = {
    high: new Set(),
    low: new Set(),
  };
  readonly #highWater: number;
  readonly #lowWater: number;
  /** A server's: one a turn of the loop, so that what arrives meanwhile is seen and sorted. */
  readonly #isPaced: boolean;
  #inFlight = 0;
  #admitted = 0;
  #isHigh = false;
  #isClosed = false;
  #pumpsSoon = false;
  #isServing = false;
  #looksSoon = false;
  /** What those that were let in have taken before they waited, since the last pump. */
  #spentMs = 0;
  /** Observing: since when more are in than the limit; 0: no more than that. */
  #overSinceMs = 0;
  readonly #pump = (): void => {
    this.#pumpsSoon = false;
    this.#spentMs = 0;
    if (this.#queue.size > 0) this.#serve();
  };

  constructor(options: GateOptions) {
    checkThere("options", options, "an object with a name and a limit");
    checkNames(options, GATE_NAMES);
    const { name, mode = "enforce", queue = {} } = options;
    if (typeof name !== "string" || name === "") refuseOption("name", name, "a text");
    if (mode !== "enforce" && mode !== "observe") {
      refuseOption("mode", mode, `"enforce" or "observe"`);
    }
    const checked = checkQueue(queue);
    this.name = name;
    this.mode = mode;
    this.#limit = makeLimit(options.limit);
    this.#isPaced = options.limit.kind === "loop";
    this.#queueMax = checked.max;
    this.#isLifo = checked.policy === "adaptive-lifo";
    this.#codel = new Codel(checked);
    const high = Math.max(1, Math.ceil(this.#queueMax * 0.8));
    this.#highWater = checkNumber("highWater", options.highWater, high, { min: 1 });
    const low = Math.floor(this.#highWater * 0.6);
    this.#lowWater = checkNumber("lowWater", options.lowWater, low, {
      min: 0,
      max: this.#highWater - 1,
    });
    const kind = options.account === undefined ? "gate" : options.account;
    this.#account = kind === null ? null : account(kind);
    this.#queueAccount = kind === null ? account("queue") : null;
    this.#row = processFlow().table.gate(name);
    this.#row?.setObserves(mode === "observe");
    this.#row?.setLimit(this.#limit.value);
  }

  get limit(): number {
    return this.#limit.value;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** Whether one that comes now has to wait, or is refused. */
  get isFull(): boolean {
    return this.mode === "enforce" && !this.#hasRoom();
  }

  get queued(): number {
    return this.#queue.size;
  }

  /** How long the oldest entry has been waiting; 0: nothing waits. */
  get oldestMs(): number {
    const oldest = this.#queue.oldest();
    return oldest === null ? 0 : nowMs() - oldest.arrivedMs;
  }

  /** A permit at once where there is room, else a promise of one. @throws Overloaded */
  enter(options: EnterOptions = {}): Permit | Promise<Permit> {
    let permit: Permit | null = null;
    let refusal: Overloaded | null = null;
    let settle: { resolve(made: Permit): void; reject(why: Overloaded): void } | null = null;
    this.offer(
      {
        admit: (made) => {
          permit = made;
          settle?.resolve(made);
        },
        refuse: (_reason, _retryAfterMs, error) => {
          refusal = error();
          settle?.reject(refusal);
        },
        isContextFree: true, // promises bring their own
      },
      options,
    );
    if (permit !== null) return permit;
    if (refusal !== null) throw refusal as Overloaded; // assigned in the callback
    return new Promise<Permit>((resolve, reject) => (settle = { resolve, reject }));
  }

  /** Runs `f` when there is room. @throws Overloaded */
  async run<T>(f: () => T | Promise<T>, options: EnterOptions = {}): Promise<T> {
    const entered = this.enter(options);
    const permit = entered instanceof Promise ? await entered : entered;
    try {
      const result = await withContext({ work: permit.work }, f);
      permit.release("ok");
      return result;
    } catch (error) {
      permit.release(outcomeOf(error) === "expired" ? "drop" : "ignore");
      throw error;
    }
  }

  /** Asks for entry; exactly one of the visitor's methods is called, now or later. */
  offer(visitor: Visitor, options: EnterOptions = {}): void {
    const now = nowMs();
    const context =
      options.deadline === undefined || !options.criticality ? currentContext() : null;
    const deadline =
      options.deadline === undefined ? (context?.deadline ?? null) : options.deadline;
    const refusal = this.#refusalOf(deadline, options.signal ?? null);
    if (refusal !== null) {
      this.#refuse(visitor, refusal, deadline?.reason);
      return;
    }
    if (this.mode === "observe") {
      this.#observe(now);
      this.#admit(visitor, this.#begin(), now);
      return;
    }
    if (this.#hasRoom()) {
      this.#admit(visitor, this.#begin(), now);
      return;
    }
    const criticality = options.criticality ?? context?.criticality ?? "critical";
    this.#enqueue(
      visitor,
      deadline,
      options.signal ?? null,
      CRITICALITIES.indexOf(criticality),
      now,
    );
  }

  #refusalOf(deadline: Deadline | null, signal: AbortSignal | null): Refusal | null {
    if (this.#isClosed) return "closed";
    if (signal?.aborted === true) return "aborted";
    return deadline?.isOver === true ? "expired" : null;
  }

  #hasRoom(): boolean {
    if (this.#queue.size > 0 || this.#inFlight >= this.#limit.value) return false;
    return this.#spentMs < TURN_MS;
  }

  #begin(): Work {
    return this.#account?.begin(this.name) ?? 0;
  }

  #admit(visitor: Visitor, work: Work, now: number): void {
    this.#inFlight += 1;
    this.#admitted += 1;
    this.#row?.set(this.#inFlight, this.#queue.size);
    this.#row?.admitted();
    visitor.admit(new Permit(this, work, now));
    if (!this.#isPaced) return;
    this.#spentMs += nowMs() - now;
    if (this.#spentMs >= TURN_MS) this.#pumpSoon();
  }

  #enqueue(
    visitor: Visitor,
    deadline: Deadline | null,
    signal: AbortSignal | null,
    rank: number,
    now: number,
  ): void {
    this.#limit.pressed(now);
    const entry: Entry = {
      visitor: visitor.isContextFree === true ? visitor : new BoundVisitor(visitor),
      deadline,
      work: (this.#queueAccount ?? this.#account)?.begin(this.name) ?? 0,
      arrivedMs: visitor.arrivedMs ?? now,
      rank: rank < 0 ? 1 : rank,
      older: null,
      newer: null,
      isQueued: false,
      unlisten: null,
    };
    (this.#queueAccount ?? this.#account)?.state(entry.work, "queued");
    const isNewestFirst = this.#isLifo && this.#codel.isOverloaded;
    const waitMs = this.#estimatedWaitMs(isNewestFirst);
    if (deadline !== null && deadline.remainingMs() < waitMs + this.#limit.typicalMs) {
      this.#drop(entry, "expired");
      return;
    }
    if (waitMs > this.#codel.patienceMs && !isNewestFirst && !this.#isPaced) {
      this.#drop(entry, "wait");
      return;
    }
    if (this.#queue.size >= this.#queueMax) {
      const victim = this.#queue.worst(isNewestFirst ? entry.rank - 1 : entry.rank) ?? entry;
      if (victim !== entry) this.#leaveQueue(victim);
      this.#drop(victim, "queue-full");
      if (victim === entry) return;
    }
    this.#queue.add(entry);
    this.#listen(entry, signal);
    this.#row?.set(this.#inFlight, this.#queue.size);
    this.#noteWater();
    this.#lookSoon();
    if (this.#inFlight < this.#limit.value) this.#pumpSoon();
  }

  /** Of one that comes now, by how long those before it will take; 0: not known. */
  #estimatedWaitMs(isNewestFirst: boolean): number {
    if (isNewestFirst) return 0;
    return (this.#queue.size * this.#limit.typicalMs) / this.#limit.value;
  }

  /** An abort or a deadline takes an entry out at once. */
  #listen(entry: Entry, signal: AbortSignal | null): void {
    const { deadline } = entry;
    if (deadline === null && signal === null) return;
    const aborted = (): void => this.#giveUp(entry, "aborted");
    const leave = deadline?.onAbort(() => this.#giveUp(entry, "expired"));
    signal?.addEventListener("abort", aborted, { once: true });
    entry.unlisten = () => {
      leave?.();
      signal?.removeEventListener("abort", aborted);
    };
  }

  #giveUp(entry: Entry, reason: Refusal): void {
    if (!entry.isQueued) return;
    this.#leaveQueue(entry);
    this.#drop(entry, reason);
  }

  #leaveQueue(entry: Entry): void {
    this.#queue.remove(entry);
    if (this.#queue.size === 0) this.#codel.emptied();
    entry.unlisten?.();
    entry.unlisten = null;
    this.#row?.set(this.#inFlight, this.#queue.size);
    this.#noteWater();
  }

  #drop(entry: Entry, reason: Refusal): void {
    const outcome = reason === "expired" ? "expired" : "refused";
    const used = this.#queueAccount ?? this.#account;
    used?.end(entry.work, reason === "aborted" ? "cancelled" : outcome);
    this.#refuse(entry.visitor, reason, entry.deadline?.reason);
  }

  #refuse(visitor: Visitor, reason: Refusal, cause: Error | null | undefined): void {
    this.#count(reason);
    const afterMs = this.#retryAfterMs();
    const options = cause ? { cause } : undefined;
    visitor.refuse(reason, afterMs, () => new Overloaded(this.name, reason, afterMs, options));
  }

  #count(reason: Refusal): void {
    this.#refused.set(reason, (this.#refused.get(reason) ?? 0) + 1);
    this.#row?.refused(reason);
  }

  #retryAfterMs(): number {
    const queueMs = (this.#queue.size * this.#limit.typicalMs) / this.#limit.value;
    return Math.max(100, Math.round(queueMs));
  }

  /** Work has ended: called by its permit. */
  left(permit: Permit, sample: Sample): void {
    const now = nowMs();
    this.#inFlight -= 1;
    this.#row?.set(this.#inFlight, this.#queue.size);
    if (this.#account !== null) {
      this.#account.end(
        permit.work,
        sample === "ok" ? "ok" : sample === "drop" ? "expired" : "error",
      );
    }
    const former = this.#limit.value;
    this.#limit.ended(sample, now - permit.startMs, this.#inFlight + 1, now);
    if (this.#limit.value !== former) this.#row?.setLimit(this.#limit.value);
    if (this.#inFlight <= this.#limit.value) this.#overSinceMs = 0;
    if (this.#queue.size === 0) return;
    // one that ends before its admission returns is followed by the loop in #serve
    if (this.#spentMs < TURN_MS && !this.#isServing) this.#serve();
  }

  /** Lets in what there is room for, and gives up what has waited for too long. */
  #serve(): void {
    const now = nowMs();
    this.#limit.pressed(now);
    this.#row?.setLimit(this.#limit.value);
    this.#judge(now);
    this.#expire(now);
    this.#isServing = true;
    try {
      this.#admitWaiting(now);
    } finally {
      this.#isServing = false;
    }
    const oldest = this.#queue.oldest();
    this.#row?.setOldest(oldest?.arrivedMs ?? 0);
    if (this.#queue.size > 0) this.#lookSoon();
  }

  #admitWaiting(now: number): void {
    while (this.#queue.size > 0 && this.#inFlight < this.#limit.value) {
      const entry = this.#queue.next(this.#isLifo && this.#codel.isOverloaded);
      if (entry === null) break;
      this.#leaveQueue(entry);
      const reason = this.#tooLate(entry);
      if (reason !== null) {
        this.#drop(entry, reason);
        continue;
      }
      this.#codel.left(now - entry.arrivedMs);
      this.#queueAccount?.end(entry.work, "ok");
      this.#account?.state(entry.work, "running");
      this.#admit(entry.visitor, this.#account === null ? 0 : entry.work, now);
      if (this.#spentMs >= TURN_MS) break; // the pump was asked for
    }
  }

  #tooLate(entry: Entry): Refusal | null {
    const { deadline, visitor } = entry;
    if (deadline !== null && deadline.remainingMs() < this.#limit.typicalMs) return "expired";
    return visitor.isGone?.() === true ? "client-gone" : null;
  }

  #judge(now: number): void {
    const ms = this.#codel.judge(now, this.#queue.size, !this.#limit.isSaturated);
    if (ms > 0) this.#row?.overloaded(ms);
  }

  #expire(now: number): void {
    for (;;) {
      const oldest = this.#queue.oldest();
      if (oldest === null || now - oldest.arrivedMs <= this.#codel.patienceMs) return;
      this.#leaveQueue(oldest);
      this.#codel.left(now - oldest.arrivedMs);
      this.#codel.gaveUp();
      this.#drop(oldest, "wait"); // also one that has gone: asking the kernel is dear now
    }
  }

  #pumpSoon(): void {
    if (this.#pumpsSoon) return;
    this.#pumpsSoon = true;
    soon(this.#pump);
  }

  #lookSoon(): void {
    if (this.#looksSoon) return;
    this.#looksSoon = true;
    setAlarm(nowMs() + LOOK_MS, () => {
      this.#looksSoon = false;
      if (this.#queue.size > 0) this.#serve();
    });
  }

  /**
   * For an observer that counts by itself: so many are in now, and so many have been. Judges one
   * that came just now when `isNew`.
   */
  seen(inFlight: number, admitted: number, isNew: boolean): void {
    this.#inFlight = inFlight;
    if (isNew) this.#observe(nowMs());
    if (inFlight <= this.#limit.value) this.#overSinceMs = 0;
    this.#row?.setAdmitted(admitted);
    this.#row?.set(inFlight, 0);
  }

  /** For an observer: a request comes that has waited so long in the kernel. */
  waited(ms: number): void {
    const now = nowMs();
    this.#codel.left(ms);
    const overloadedMs = this.#codel.judge(now, ms > 0 ? 1 : 0, false);
    if (overloadedMs > 0) this.#row?.overloaded(overloadedMs);
    if (ms > this.#codel.patienceMs) this.#count("wait");
  }

  /** What would have happened to one that comes now. */
  #observe(now: number): void {
    if (this.#inFlight < this.#limit.value) return;
    this.#limit.pressed(now);
    this.#row?.setLimit(this.#limit.value);
    if (this.#overSinceMs === 0) this.#overSinceMs = now;
    if (!this.#limit.isSaturated) return;
    if (this.#inFlight - this.#limit.value >= this.#queueMax) this.#count("queue-full");
    else if (now - this.#overSinceMs > this.#codel.patienceMs) this.#count("wait");
  }

  #noteWater(): void {
    const { size } = this.#queue;
    if (!this.#isHigh && size >= this.#highWater) {
      this.#isHigh = true;
      for (const listener of this.#listeners.high) listener();
    } else if (this.#isHigh && size <= this.#lowWater) {
      this.#isHigh = false;
      for (const listener of this.#listeners.low) listener();
    }
  }

  /** `high`: so many wait that who makes more should slow down; `low`: they may go on. */
  on(event: WaterEvent, listener: () => void): () => void {
    const listeners = this.#listeners[event] ?? refuseOption("event", event, `"high" or "low"`);
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }

  stats(): GateStats {
    const counts = REFUSALS.map((reason) => [reason, this.#refused.get(reason) ?? 0] as const);
    return {
      name: this.name,
      mode: this.mode,
      limit: this.limit,
      inFlight: this.#inFlight,
      queued: this.#queue.size,
      oldestMs: this.oldestMs,
      isOverloaded: this.#codel.isOverloaded,
      admitted: this.#admitted,
      refused: Object.fromEntries(counts) as Record<Refusal, number>, // of each of them
    };
  }

  /** Refuses what waits and what comes; what is in goes on. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (let entry = this.#queue.oldest(); entry !== null; entry = this.#queue.oldest()) {
      this.#giveUp(entry, "closed");
    }
    this.#row?.free();
  }
}

/** A gate. See the file's docstring. @throws FlowError ERR_HOLDFAST_FLOW_OPTION */
export function gate(options: GateOptions): Gate {
  return new Gate(options);
}
