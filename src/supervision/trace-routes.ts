/**
 * The routes of `holdfast trace` and `holdfast probes`.
 *
 * | route | body or query | answer |
 * | --- | --- | --- |
 * | POST /v1/trace | `{program, worker?, destructive?, budget?, expiryMs?}` | lines of TraceLine |
 * | POST /v1/trace/stop | `{trace}` | `{stopped}`; the trace's own lines tell the last figures |
 * | GET /v1/probes | | `{probes}`: those that the application has made |
 */
import { BUDGET_SHARE, EXPIRY_MS, PROGRAM_CHARS_MAX } from "../base/mod.ts";
import type { TraceOrder } from "../base/mod.ts";
import { ControlRequestError } from "./control-http.ts";
import type { ControlRequest, ControlRoutes } from "./control.ts";

/** What the CLI gets of a trace, a line each. */
export type TraceLine =
  /** First: the trace's number, and the workers that it was sent to. */
  | { readonly type: "started"; readonly trace: number; readonly workers: readonly number[] }
  /** A worker refused it. */
  | { readonly type: "refused"; readonly worker: number; readonly message: string }
  /** All that worker `worker` (process `id`, never used again) has so far. */
  | {
      readonly type: "snapshot";
      readonly worker: number;
      readonly id: number;
      readonly snapshot: unknown;
    }
  /** The worker has ended: its last snapshot stays. */
  | { readonly type: "gone"; readonly worker: number; readonly id: number }
  /** Once a second, after every worker was asked: those that have not answered. */
  | { readonly type: "round"; readonly silent: readonly number[] }
  /** Last: why. */
  | { readonly type: "ended"; readonly reason: string };

/** The traces of a service. */
export interface ControlledTraces {
  /** @param worker index, or null for all */
  start(order: TraceOrder, worker: number | null, signal: AbortSignal): AsyncIterable<TraceLine>;
  /** Whether there was such a trace. */
  stop(trace: number): boolean;
  /** What the workers' applications have made with `probe()`. */
  probes(): Promise<readonly unknown[]>;
  /** Indices of workers that can be traced. */
  readonly workers: readonly number[];
}

const MEMBERS = ["program", "worker", "destructive", "budget", "expiryMs"];

/** @param traces null in portable mode */
export function traceRoutes(traces: ControlledTraces | null): ControlRoutes {
  return {
    "POST /v1/trace": (request) => start(present(traces), request),
    "POST /v1/trace/stop": ({ body }) => {
      const { trace } = members(body, ["trace"]);
      if (!isWhole(trace)) throw refused("trace must be the number of a trace");
      return { status: 200, json: { stopped: present(traces).stop(trace) } };
    },
    "GET /v1/probes": async () => ({
      status: 200,
      json: { probes: await present(traces).probes() },
    }),
  };
}

function present(traces: ControlledTraces | null): ControlledTraces {
  if (traces !== null) return traces;
  throw new ControlRequestError(501, "this service has no traces");
}

function start(
  traces: ControlledTraces,
  { body, signal }: ControlRequest,
): { readonly lines: AsyncIterable<TraceLine>; readonly isEndless: boolean } {
  const { program, worker = null, destructive = false, ...rest } = members(body, MEMBERS);
  const { budget = BUDGET_SHARE, expiryMs = EXPIRY_MS } = rest;
  if (typeof program !== "string" || program.length > PROGRAM_CHARS_MAX) {
    throw refused(`program must be a text of at most ${PROGRAM_CHARS_MAX} characters`);
  }
  if (worker !== null && !(isWhole(worker) && traces.workers.includes(worker))) {
    const known = traces.workers.join(", ");
    throw refused(`worker must be the index of a worker that is ready: ${known}`);
  }
  if (typeof destructive !== "boolean") throw refused("destructive must be true or false");
  if (typeof budget !== "number" || !(budget > 0 && budget <= 1)) {
    throw refused("budget must be a share of time, above 0 and at most 1");
  }
  if (typeof expiryMs !== "number" || !(expiryMs > 0 && expiryMs <= EXPIRY_MS)) {
    throw refused(`expiryMs must be above 0 and at most ${EXPIRY_MS}`);
  }
  const order = { program, isDestructive: destructive, budget, expiryMs };
  return { lines: traces.start(order, isWhole(worker) ? worker : null, signal), isEndless: true };
}

function isWhole(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function members(body: unknown, allowed: readonly string[]): Readonly<Record<string, unknown>> {
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw refused("the body must be a JSON object");
  }
  for (const name of Object.keys(body)) {
    if (allowed.includes(name)) continue;
    throw refused(`${JSON.stringify(name)} is not known here; allowed: ${allowed.join(", ")}`);
  }
  return { ...body };
}

function refused(message: string): ControlRequestError {
  return new ControlRequestError(400, message);
}
