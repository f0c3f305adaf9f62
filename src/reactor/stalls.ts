/**
 * Workers whose main thread makes no progress: what is said of them, and what is done.
 *
 * ```
 *   silent --stall-warn--> reported (stack, request, CPU) --stall-limit--> rescue? --> evicted
 *      |                       |                                             |
 *      +------- progress ------+------------------- progress ----------------+--> forgotten
 * ```
 * The rescue (`--stall-rescue`) puts an exception into the guilty frame; tried once for a stall.
 * A worker that a debugger holds, or that writes a heap snapshot, is left alone.
 */
import { formatDuration } from "../base/mod.ts";
import type { MainStack, RescueResult, ResolvedConfig } from "../base/mod.ts";
import type { LogFields } from "../supervision/mod.ts";
import type { WorkerLink } from "./worker-link.ts";

/** From here on the CPU time of its main thread is looked at. */
const WATCHED_AFTER_MS = 200;
/** The reactor looks at heartbeats this often; a threshold between two looks gets its own timer. */
const LOOK_MS = 100;
/** The agent gives up holding the main thread after a second at most. */
const STACK_LIMIT_MS = 1500;
const RESCUE_LIMIT_MS = 3000;
/** For the loop to turn again after the exception. */
const RESCUED_WITHIN_MS = 1000;
/** Of the time, below which a thread is blocked and not busy. */
const BUSY_SHARE = 0.5;
const FRAMES_SAID_MAX = 12;

export interface StallPorts {
  readonly nowMs: () => number;
  readonly config: () => Pick<ResolvedConfig, "stallWarnMs" | "stallLimitMs" | "stallRescue">;
  /** CPU time and state of a worker's main thread, `R`: it runs, or waits for a CPU; null: gone. */
  readonly mainThread: (pid: number) => { readonly cpuMs: number; readonly state: string } | null;
  /** The request that is being executed. */
  readonly executing: (
    link: WorkerLink,
  ) => { readonly request: string; readonly ageMs: number } | null;
  readonly evict: (link: WorkerLink) => void;
  readonly log: (level: "info" | "warn" | "error", message: string, fields: LogFields) => void;
}

interface Stall {
  readonly atMs: number;
  readonly cpuMs: number | null;
  /** How far it was: the heartbeat that it did not follow up. */
  readonly heartbeatMs: number;
  timer: NodeJS.Timeout | null;
  isReported: boolean;
  /** Its stack is being asked for: evidence comes before whatever is done about it. */
  isAsked: boolean;
  rescue: "untried" | "under way" | "waiting" | "failed";
}

/** See the file's docstring. */
export class Stalls {
  readonly #ports: StallPorts;
  readonly #stalls = new Map<number, Stall>();

  constructor(ports: StallPorts) {
    this.#ports = ports;
  }

  /** The worker has made no progress for this long. Called every tick. */
  silent(link: WorkerLink, silentMs: number): void {
    if (silentMs < WATCHED_AFTER_MS) return;
    const { stallWarnMs, stallLimitMs } = this.#ports.config();
    const stall = this.#stalls.get(link.id) ?? this.#begin(link, silentMs);
    const remainingMs = stallWarnMs - silentMs;
    if (stallWarnMs > 0 && !stall.isReported && remainingMs < LOOK_MS) {
      stall.timer ??= setTimeout(() => void this.#report(link, stall), Math.max(0, remainingMs));
    }
    if (stallLimitMs > 0 && silentMs > stallLimitMs) this.#atLimit(link, stall);
  }

  /** The worker makes progress, or is held on purpose. */
  moving(link: WorkerLink): void {
    const stall = this.#stalls.get(link.id);
    if (stall === undefined) return;
    this.#end(link.id, stall);
    if (!stall.isReported) return;
    const stoodMs = Math.round(this.#ports.nowMs() - stall.atMs);
    const message = `worker ${link.index} makes progress again after ${stoodMs} ms`;
    this.#ports.log("info", message, { worker: link.index, pid: link.pid });
  }

  /** The worker has ended. */
  forget(id: number): void {
    const stall = this.#stalls.get(id);
    if (stall !== undefined) this.#end(id, stall);
  }

  #begin(link: WorkerLink, silentMs: number): Stall {
    const stall: Stall = {
      atMs: this.#ports.nowMs() - silentMs,
      cpuMs: this.#ports.mainThread(link.pid)?.cpuMs ?? null,
      heartbeatMs: link.heartbeatMs,
      timer: null,
      isReported: false,
      isAsked: false,
      rescue: "untried",
    };
    this.#stalls.set(link.id, stall);
    return stall;
  }

  #end(id: number, stall: Stall): void {
    if (stall.timer !== null) clearTimeout(stall.timer);
    this.#stalls.delete(id);
  }

  #isCurrent(link: WorkerLink, stall: Stall): boolean {
    const isSame = this.#stalls.get(link.id) === stall && link.holds === 0;
    return isSame && link.heartbeatMs === stall.heartbeatMs;
  }

  async #report(link: WorkerLink, stall: Stall): Promise<void> {
    if (!this.#isCurrent(link, stall)) return;
    stall.isReported = true;
    const { nowMs, mainThread, executing, log } = this.#ports;
    const silentMs = Math.round(nowMs() - stall.atMs);
    const thread = mainThread(link.pid);
    const request = executing(link);
    const usedMs = thread === null || stall.cpuMs === null ? null : thread.cpuMs - stall.cpuMs;
    const watchedMs = Math.max(1, silentMs - WATCHED_AFTER_MS);
    const ask = { kind: "stack", variables: true, silentMs } as const;
    let stack: MainStack | null = null;
    let why = "";
    stall.isAsked = true;
    try {
      stack = (await link.agent.ask(ask, STACK_LIMIT_MS)) as MainStack; // by agent-messages.ts
    } catch (error) {
      why = error instanceof Error ? error.message : String(error);
    } finally {
      stall.isAsked = false;
    }
    link.lastStack = stack === null ? [] : stackLines(stack);
    // on a busy machine it may have had little of the CPU that it wanted
    const isBusy = (usedMs ?? 0) / watchedMs > BUSY_SHARE || thread?.state === "R";
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
      ...(stack === null ? {} : stackFields(stack)),
    });
  }

  #atLimit(link: WorkerLink, stall: Stall): void {
    const { config, evict } = this.#ports;
    if (stall.isAsked || stall.rescue === "under way" || stall.rescue === "waiting") return;
    const mayRescue = config().stallRescue && stall.rescue === "untried";
    if (mayRescue) void this.#rescue(link, stall);
    else evict(link);
  }

  async #rescue(link: WorkerLink, stall: Stall): Promise<void> {
    stall.rescue = "under way";
    const fields = { worker: link.index, pid: link.pid };
    let result: RescueResult;
    try {
      const answer = await link.agent.ask({ kind: "rescue" }, RESCUE_LIMIT_MS);
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

function whereText({ state, frames }: MainStack): string {
  const theirs = frames.find(({ file }) => !file.startsWith("node:")) ?? frames[0];
  if (state === "paused") return ": a debugger of somebody else's holds it";
  if (state === "native" || theirs === undefined) return " in code that is not JavaScript";
  const { name, file, line } = theirs;
  return ` in ${name === "" ? "(anonymous)" : name} (${file}:${line})`;
}

function stackFields(stack: MainStack): LogFields {
  const lines = stackLines(stack).slice(0, FRAMES_SAID_MAX);
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
