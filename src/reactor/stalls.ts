/**
 * Workers whose main thread makes no progress: what is said of them, and what is done.
 *
 * ```
 *   silent --> evidence --stall-warn--> reported --stall-limit--> rescue? --> evicted
 *      |          |                        |                         |
 *      +----------+------- progress -------+------- progress --------+--> forgotten
 * ```
 * Evidence (the stack) is taken somewhat before the report is due, so that the report can be made
 * in time: by the agent, and where that has no answer, from outside (lookout.ts). That one is
 * started before it is known which of them it will be: what lets the agent in need not be held by
 * it (JSON.parse, again and again).
 *
 * The rescue (`--stall-rescue`) puts an exception into the guilty frame; tried once for a stall.
 * A worker that a debugger holds, or that writes a heap snapshot, is left alone.
 */
import { fileOfFrameLine, foldFrames, formatDuration } from "../base/mod.ts";
import { SNAPSHOT_MS_MAX, writesSnapshot } from "../supervision/mod.ts";
import type { MainStack, RescueResult, ResolvedConfig } from "../base/mod.ts";
import type { MainThreadStat } from "../os/mod.ts";
import type { LogFields } from "../supervision/mod.ts";
import { Lookout } from "./lookout.ts";
import type { Looking } from "./lookout.ts";
import type { WorkerLink } from "./worker-link.ts";

/** From here on the CPU time of its main thread is looked at, at the latest. */
const WATCHED_AFTER_MS = 200;
/** The reactor looks at heartbeats this often; a threshold between two looks gets its own timer. */
const LOOK_MS = 100;
/**
 * The agent is asked so long before the report is due. The first time V8 reads the source of every
 * function again, for the positions that a debugger wants (Node 22: 200 ms of a small application).
 */
const EVIDENCE_EARLY_MS = { first: 340, again: 250 } as const;
/** And the lookout, which stops the worker, when the agent has said nothing until then. */
const LOOK_EARLY_MS = 120;
/**
 * The lookout is started so long before the report, if it is not there: it takes a third of a
 * second until it has looked, on CPUs of which the worker has one.
 */
const PREPARE_EARLY_MS = 400;
/** But not for a silence that is shorter: it takes some 80 MB for half a minute. */
const PREPARED_AFTER_MS = 150;
/**
 * What the lookout has seen is told if the agent has not answered so long after the threshold, or
 * so long after a look that was late itself.
 */
const AGENT_PATIENCE_MS = 40;
const AGENT_PATIENCE_MS_LEAST = 20;
/** After the look, where the agent had too little CPU for an answer, or alone knows the request. */
const AGENT_PATIENCE_MS_MOST = 500;
/** Of the time: a loop that has waited less for a CPU would have let the agent in by now. */
const CROWDED_SHARE = 0.2;
/** The agent gives up holding the main thread after a second; on a busy machine that takes more. */
const STACK_LIMIT_MS = 3000;
const OUTSIDE_LIMIT_MS = 3000;
const RESCUE_LIMIT_MS = 3000;
/** For the loop to turn again after the exception. */
const RESCUED_WITHIN_MS = 1000;
/** Of the time, below which a thread is blocked and not busy. */
const BUSY_SHARE = 0.5;
const FRAMES_SAID_MAX = 12;

type StallConfig = Pick<
  ResolvedConfig,
  | "stallWarnMs"
  | "stallLimitMs"
  | "stallRescue"
  | "heapSnapshotNearHeapLimit"
  | "runtimeDir"
  | "name"
>;

/** A worker as far as stalls are concerned. */
export type StalledLink = Pick<
  WorkerLink,
  | "id"
  | "index"
  | "pid"
  | "agent"
  | "heartbeatMs"
  | "progress"
  | "holds"
  | "isReady"
  | "isEnding"
  | "lastStack"
  | "lastRoute"
>;

export interface StallPorts<Link extends StalledLink = WorkerLink> {
  readonly nowMs: () => number;
  readonly config: () => StallConfig;
  /** CPU time and state of a worker's main thread, `R`: it runs, or waits for a CPU; null: gone. */
  readonly mainThread: (pid: number) => MainThreadStat | null;
  /** The request that is being executed. */
  readonly executing: (link: Link) => ExecutedRequest | null;
  /** Without a ledger `executing` never knows it, and the agent may. */
  readonly lacksLedger?: boolean;
  readonly evict: (link: Link) => void;
  readonly log: (level: "info" | "warn" | "error", message: string, fields: LogFields) => void;
}

/** As the ledger tells it. */
export interface ExecutedRequest {
  readonly request: string;
  /** By the routes that are known; the worker may know better. */
  readonly route: string;
  readonly ageMs: number;
}

interface Stall {
  readonly atMs: number;
  readonly cpuMs: number | null;
  readonly runDelayMs: number | null;
  /** It was silent for so long when that was read. */
  readonly watchedAfterMs: number;
  /** How far it was: the heartbeat that it did not follow up. */
  readonly heartbeatMs: number;
  timer: NodeJS.Timeout | null;
  /** When the agent is asked for the evidence. */
  asking: NodeJS.Timeout | null;
  isReported: boolean;
  /** Null: nobody has asked for it yet. Evidence comes before whatever is done about the stall. */
  evidence: Evidence | null;
  rescue: "untried" | "under way" | "waiting" | "failed";
}

/** Of a worker between two looks at which it had made progress. */
interface Silence {
  /** It was silent so long before it was counted. */
  readonly uncountedMs: number;
  /** When the lookout is started, if it is still silent then; null: that is too far away. */
  timer: NodeJS.Timeout | null;
}

/** The stack of a stalled worker, as it comes. */
interface Evidence {
  /** The first that has frames, or the last that has none. */
  readonly found: Promise<Found>;
  /** What the agent says, which may come later. */
  readonly route: Promise<string | null>;
  isSettled: boolean;
}

interface Found {
  readonly stack: MainStack | null;
  /** Why there is none. */
  readonly why: string;
  /** How long the worker had been silent then. */
  readonly silentMs: number;
}

/** See the file's docstring. */
export class Stalls<Link extends StalledLink = WorkerLink> {
  readonly lookout: Looking;
  readonly #ports: StallPorts<Link>;
  readonly #stalls = new Map<number, Stall>();
  readonly #silences = new Map<number, Silence>();
  /** Workers that have told a stack. */
  readonly #known = new Set<number>();

  constructor(ports: StallPorts<Link>, lookout: Looking = new Lookout()) {
    this.#ports = ports;
    this.lookout = lookout;
  }

  /** The worker has made no progress for this long, by the looks at it. Called every tick. */
  silent(link: Link, countedMs: number): void {
    const { stallWarnMs, stallLimitMs } = this.#ports.config();
    const silence = this.#silences.get(link.id) ?? this.#fallSilent(link, countedMs);
    const silentMs = countedMs + silence.uncountedMs;
    if (stallWarnMs > 0) this.#prepare(link, silence, stallWarnMs - silentMs, silentMs);
    if (silentMs < WATCHED_AFTER_MS) return;
    const stall = this.#stalls.get(link.id) ?? this.#begin(link, silentMs);
    const remainingMs = stallWarnMs - silentMs;
    if (stallWarnMs > 0 && !stall.isReported && remainingMs < LOOK_MS) {
      stall.timer ??= setTimeout(() => void this.#report(link, stall), Math.max(0, remainingMs));
    }
    if (stallLimitMs > 0 && silentMs > stallLimitMs) this.#atLimit(link, stall);
  }

  /** The worker makes progress, or is held on purpose. */
  moving(link: Link): void {
    this.#endSilence(link.id);
    const stall = this.#stalls.get(link.id);
    if (stall === undefined) return;
    link.lastRoute = null;
    this.#end(link.id, stall);
    if (!stall.isReported) return;
    const stoodMs = Math.round(this.#ports.nowMs() - stall.atMs);
    const message = `worker ${link.index} makes progress again after ${stoodMs} ms`;
    this.#ports.log("info", message, { worker: link.index, pid: link.pid });
  }

  /** The worker has ended. */
  forget(id: number): void {
    this.#endSilence(id);
    this.#known.delete(id);
    const stall = this.#stalls.get(id);
    if (stall !== undefined) this.#end(id, stall);
  }

  /**
   * A request that was begun is progress, but says not when: up to the next look, nothing was
   * counted. If it is being executed still, it has been silent since then; if nobody knows what is
   * executed (after an await), since the last heartbeat at most.
   */
  #fallSilent(link: Link, countedMs: number): Silence {
    const ageMs = this.#ports.executing(link)?.ageMs ?? Infinity;
    const sinceBeatMs = this.#ports.nowMs() - link.heartbeatMs;
    const sinceMs = Math.min(ageMs, sinceBeatMs, countedMs + LOOK_MS);
    const silence = { uncountedMs: Math.max(0, sinceMs - countedMs), timer: null };
    this.#silences.set(link.id, silence);
    return silence;
  }

  #endSilence(id: number): void {
    const timer = this.#silences.get(id)?.timer ?? null;
    if (timer !== null) clearTimeout(timer);
    this.#silences.delete(id);
  }

  /** To the millisecond: two looks are too far apart for what is left. */
  #prepare(link: Link, silence: Silence, remainingMs: number, silentMs: number): void {
    const inMs = Math.max(PREPARED_AFTER_MS - silentMs, remainingMs - PREPARE_EARLY_MS);
    if (inMs > LOOK_MS || silence.timer !== null) return;
    const { heartbeatMs } = link;
    const waitMs = Math.max(0, inMs);
    const prepare = (): void => {
      if (link.heartbeatMs !== heartbeatMs || link.holds > 0) return;
      const stall = this.#stalls.get(link.id) ?? this.#begin(link, silentMs + waitMs);
      this.lookout.prepare(link.pid);
      this.#askAt(link, stall, remainingMs - waitMs);
    };
    silence.timer = setTimeout(prepare, waitMs);
  }

  #askAt(link: Link, stall: Stall, remainingMs: number): void {
    // one that starts is not held up sooner than it must be: most are silent for a while then
    const isFirst = link.isReady && !this.#known.has(link.id);
    const waitMs = Math.max(0, remainingMs - EVIDENCE_EARLY_MS[isFirst ? "first" : "again"]);
    const lookInMs = Math.max(0, remainingMs - waitMs - LOOK_EARLY_MS);
    stall.asking = setTimeout(() => {
      if (this.#isCurrent(link, stall)) stall.evidence ??= this.#gather(link, stall, lookInMs);
    }, waitMs);
  }

  #begin(link: Link, silentMs: number): Stall {
    const thread = this.#ports.mainThread(link.pid);
    const stall: Stall = {
      atMs: this.#ports.nowMs() - silentMs,
      cpuMs: thread?.cpuMs ?? null,
      runDelayMs: thread?.runDelayMs ?? null,
      watchedAfterMs: silentMs,
      heartbeatMs: link.heartbeatMs,
      timer: null,
      asking: null,
      isReported: false,
      evidence: null,
      rescue: "untried",
    };
    this.#stalls.set(link.id, stall);
    return stall;
  }

  #end(id: number, stall: Stall): void {
    for (const timer of [stall.timer, stall.asking]) if (timer !== null) clearTimeout(timer);
    this.#stalls.delete(id);
  }

  #isCurrent(link: Link, stall: Stall): boolean {
    const isSame = this.#stalls.get(link.id) === stall && link.holds === 0;
    return isSame && link.heartbeatMs === stall.heartbeatMs;
  }

  async #report(link: Link, stall: Stall): Promise<void> {
    if (!this.#isCurrent(link, stall)) return;
    const { nowMs, mainThread, executing, log, config } = this.#ports;
    const silentMs = Math.round(nowMs() - stall.atMs);
    const missingMs = config().stallWarnMs - silentMs;
    if (missingMs > 0) {
      // a timer goes off up to a millisecond early, and what was to be by the looks was not quite
      stall.timer = setTimeout(() => void this.#report(link, stall), missingMs);
      return;
    }
    stall.isReported = true;
    const thread = mainThread(link.pid);
    const request = executing(link);
    const usedMs = thread === null || stall.cpuMs === null ? null : thread.cpuMs - stall.cpuMs;
    const watchedMs = Math.max(1, Math.round(silentMs - stall.watchedAfterMs));
    // it was asked for before, unless the threshold has changed meanwhile
    stall.evidence ??= this.#gather(link, stall, 0);
    const { stack, why, silentMs: stackAtMs } = await stall.evidence.found;
    // an exit that hangs has a stack; what Node and the kernel clear away is no stall
    if (link.isEnding && (stack === null || stack.frames.length === 0)) return;
    link.lastStack = stack === null ? [] : stackLines(stack);
    const route = stack?.route ?? request?.route ?? null;
    link.lastRoute = route;
    void stall.evidence.route.then((told) => {
      if (told !== null && this.#isCurrent(link, stall)) link.lastRoute = told;
    });
    // on a busy machine it may have had little of the CPU that it wanted, and it stood still while
    // somebody looked at it
    const isRunning = thread?.state === "R" || mainThread(link.pid)?.state === "R";
    const isBusy = (usedMs ?? 0) / watchedMs > BUSY_SHARE || isRunning;
    const how = usedMs === null ? "" : isBusy ? " and uses the CPU" : " and is blocked";
    const where = stack === null ? `: ${why}` : whereText(stack);
    const what = `makes no progress for ${formatDuration(silentMs)}${how}${where}`;
    const message = `worker ${link.index} ${what}`;
    log("warn", message, {
      worker: link.index,
      pid: link.pid,
      silentMs,
      ...(usedMs === null ? {} : { cpuMs: usedMs, wallMs: watchedMs }),
      ...(request === null ? {} : { request: request.request, requestAgeMs: request.ageMs }),
      ...(route === null ? {} : { route }),
      ...(stack === null ? {} : { stackAtMs, ...stackFields(stack) }),
    });
  }

  /** Asks the agent at once, and the lookout later if the agent has not answered with frames. */
  #gather(link: Link, stall: Stall, lookInMs: number): Evidence {
    const { nowMs } = this.#ports;
    const lookout = this.lookout;
    const silent = (): number => Math.round(nowMs() - stall.atMs);
    const { promise: found, resolve } = Promise.withResolvers<Found>();
    const settle = (stack: MainStack | null, why: string): void => {
      evidence.isSettled = true;
      resolve({ stack, why, silentMs: silent() });
    };
    const ask = { kind: "stack", variables: true, silentMs: silent() } as const;
    const agent = link.agent.ask(ask, STACK_LIMIT_MS).then(
      (answer): readonly [MainStack | null, string] => [answer as MainStack, ""], // by its protocol
      (error: unknown) => [null, messageOf(error)] as const,
    );
    const route = agent.then(([stack]) => stack?.route ?? null);
    const evidence: Evidence = { found, route, isSettled: false };
    void agent.then(([stack, why]) => {
      if (stack === null || stack.frames.length === 0) return;
      this.#known.add(link.id);
      settle(stack, why);
    });
    setTimeout(() => {
      if (evidence.isSettled || !this.#isCurrent(link, stall)) {
        void agent.then(([stack, why]) => settle(stack, why));
        return;
      }
      lookout.look(link.pid, OUTSIDE_LIMIT_MS).then(
        (stack) => {
          // JavaScript lets the agent in, mostly, on a busy CPU a little later; it knows more:
          // variables of frames, and the request where there is no ledger
          if (stack.state === "native") settle(stack, "");
          else setTimeout(() => settle(stack, ""), this.#patienceMs(link, stall, silent()));
        },
        // it says so itself where it is not possible; then what the agent has said counts
        (error: unknown) => {
          void agent.then(([stack, why]) => settle(stack, `${why}; ${messageOf(error)}`));
        },
      );
    }, lookInMs);
    return evidence;
  }

  #patienceMs(link: Link, stall: Stall, silentMs: number): number {
    const { config, lacksLedger = false, mainThread } = this.#ports;
    const beforeMs = stall.runDelayMs ?? -Infinity;
    const delayMs = (mainThread(link.pid)?.runDelayMs ?? Infinity) - beforeMs;
    const isCrowded = delayMs > CROWDED_SHARE * (silentMs - stall.watchedAfterMs);
    if (lacksLedger || isCrowded) return AGENT_PATIENCE_MS_MOST;
    const leftMs = config().stallWarnMs + AGENT_PATIENCE_MS - silentMs;
    return Math.max(leftMs, AGENT_PATIENCE_MS_LEAST);
  }

  #atLimit(link: Link, stall: Stall): void {
    const { config, evict } = this.#ports;
    if (
      stall.evidence?.isSettled === false ||
      stall.rescue === "under way" ||
      stall.rescue === "waiting"
    )
      return;
    // nothing of the application runs meanwhile
    const silentMs = this.#ports.nowMs() - stall.atMs;
    if (silentMs < SNAPSHOT_MS_MAX && writesSnapshot(config(), link.pid)) return;
    const mayRescue = config().stallRescue && stall.rescue === "untried";
    if (mayRescue) void this.#rescue(link, stall);
    else evict(link);
  }

  async #rescue(link: Link, stall: Stall): Promise<void> {
    stall.rescue = "under way";
    const fields = { worker: link.index, pid: link.pid };
    let result: RescueResult;
    try {
      const answer = await link.agent.ask(
        { kind: "rescue", progress: link.progress },
        RESCUE_LIMIT_MS,
      );
      result = answer as RescueResult; // by agent-messages.ts
    } catch (error) {
      result = { done: false, how: error instanceof Error ? error.message : String(error) };
    }
    if (this.#stalls.get(link.id) !== stall) return; // it had ended by itself
    if (!result.done) {
      stall.rescue = "failed"; // the next tick evicts it
      const message = `worker ${link.index} could not be rescued: ${result.how}`;
      this.#ports.log("warn", message, fields);
      return;
    }
    stall.rescue = "waiting";
    const message = `worker ${link.index} was stalled and has been given ${result.how}`;
    this.#ports.log("error", message, fields);
    setTimeout(() => {
      stall.rescue = "failed";
    }, RESCUED_WITHIN_MS).unref();
  }
}

/** A stack as lines, for people: `spin (/app/server.js:6:9)`, innermost first. */
export function stackLines({ frames, awaitedBy, framesMore }: MainStack): readonly string[] {
  return [
    ...frames.map(({ name, file, line, column }) => {
      return `${name === "" ? "(anonymous)" : name} (${file}:${line}:${column})`;
    }),
    ...(framesMore > 0 ? [`(${framesMore} more)`] : []),
    ...awaitedBy,
  ];
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function whereText({ state, frames }: MainStack): string {
  const theirs = frames.find(({ file }) => !file.startsWith("node:")) ?? frames[0];
  if (state === "paused") return ": a debugger of somebody else's holds it";
  const native = " in code that is not JavaScript";
  if (theirs === undefined) return native;
  const { name, file, line } = theirs;
  const where = `${name === "" ? "(anonymous)" : name} (${file}:${line})`;
  return state === "native" ? `${native}, called by ${where}` : ` in ${where}`;
}

function stackFields(stack: MainStack): LogFields {
  const lines = foldFrames(stackLines(stack), fileOfFrameLine)
    .map((each) => ("frame" in each ? each.frame : each.folded))
    .slice(0, FRAMES_SAID_MAX);
  const variables = stack.frames.flatMap(({ name, variables: values = [] }) => {
    if (values.length === 0) return [];
    const pairs = values.map(([key, value]) => `${key}=${value}`).join(", ");
    return [`${name === "" ? "(anonymous)" : name}: ${pairs}`];
  });
  return {
    state: stack.state,
    ...(stack.requestSeen === null ? {} : { requestSeen: stack.requestSeen }),
    ...(lines.length === 0 ? {} : { stack: lines.join(" < ") }),
    ...(variables.length === 0 ? {} : { variables: variables.join("; ") }),
  };
}
