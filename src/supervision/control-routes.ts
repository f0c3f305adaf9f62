/**
 * What the control socket offers, as routes. Bodies and queries are checked here, once.
 *
 * | route | body or query | answer |
 * | --- | --- | --- |
 * | GET /v1/status | | the status, see status.ts |
 * | POST /v1/reload | `{updateEnv?: {NAME: "value"}}` | progress, then `{done, ok, message}` |
 * | POST /v1/restart | `{worker?: index}` | the same |
 * | POST /v1/scale | `{workers: count}` | the same |
 * | POST /v1/stop | `{now?: boolean}` | the same |
 * | GET /v1/logs | `lines=100&follow=1` | log records |
 * | GET /v1/work | | all work in flight, see work-report.ts |
 * | GET /v1/latency | | latencies by worker, route and status, see latency-report.ts |
 *
 * and what trace-routes.ts has.
 */
import { ControlRequestError } from "./control-http.ts";
import type { ControlAnswer, ControlRequest, ControlRoutes } from "./control.ts";
import type { LatencyReport } from "./latency-report.ts";
import { LineQueue } from "./line-queue.ts";
import { liveRoutes } from "./live-routes.ts";
import type { ControlledLive } from "./live-routes.ts";
import { LOG_LINES_MAX, tailLog } from "./log-tail.ts";
import type { OperationResult, ProgressListener } from "./operation.ts";
import type { Status } from "./status.ts";
import { traceRoutes } from "./trace-routes.ts";
import type { WorkReport } from "./work-report.ts";
import type { ControlledTraces } from "./trace-routes.ts";

/** The service behind the control socket. */
export interface ControlledService {
  status(): Status;
  reload(
    updateEnv: Readonly<Record<string, string>> | null,
    onProgress: ProgressListener,
  ): Promise<OperationResult>;
  restart(index: number | null, onProgress: ProgressListener): Promise<OperationResult>;
  scale(workers: number, onProgress: ProgressListener): Promise<OperationResult>;
  stop(isNow: boolean): Promise<OperationResult>;
  /** The log file that the keeper writes. */
  readonly logPath: string;
  /** Null in portable mode. */
  readonly latency: (() => LatencyReport) | null;
  /** All work in flight. Null in portable mode. */
  readonly work: (() => WorkReport) | null;
  /** Null where there are none: in portable mode. */
  readonly traces: ControlledTraces | null;
  /** Null in portable mode. */
  readonly live: ControlledLive | null;
}

const LOG_LINES_DEFAULT = 100;

export function controlRoutes(service: ControlledService): ControlRoutes {
  return {
    "GET /v1/status": () => ({ status: 200, json: service.status() }),
    "POST /v1/reload": ({ body }) => {
      const updateEnv = environment(members(body, ["updateEnv"])["updateEnv"]);
      return operation((onProgress) => service.reload(updateEnv, onProgress));
    },
    "POST /v1/restart": ({ body }) => {
      const index = wholeNumber(members(body, ["worker"])["worker"], "worker");
      return operation((onProgress) => service.restart(index, onProgress));
    },
    "POST /v1/scale": ({ body }) => {
      const workers = wholeNumber(members(body, ["workers"])["workers"], "workers");
      if (workers === null)
        throw new ControlRequestError(400, "say how many workers: {workers: 4}");
      return operation((onProgress) => service.scale(workers, onProgress));
    },
    "POST /v1/stop": ({ body }) => {
      const { now = false } = members(body, ["now"]);
      if (typeof now !== "boolean") throw new ControlRequestError(400, "now must be true or false");
      return operation(() => service.stop(now));
    },
    "GET /v1/logs": (request) => logs(service.logPath, request),
    "GET /v1/latency": () => ({ status: 200, json: latencies(service) }),
    "GET /v1/work": () => ({ status: 200, json: workInFlight(service) }),
    ...traceRoutes(service.traces),
    ...liveRoutes(service.live),
  };
}

/** @throws ControlRequestError 501 in portable mode */
function workInFlight({ work }: ControlledService): WorkReport {
  if (work !== null) return work();
  throw new ControlRequestError(
    501,
    "portable mode has no ledger to read the work from; ask the library: inFlight()",
  );
}

/** @throws ControlRequestError 501 in portable mode */
function latencies({ latency }: ControlledService): LatencyReport {
  if (latency !== null) return latency();
  const why = "portable mode has no ledger, and so no latencies";
  throw new ControlRequestError(501, `${why}; count them in the application, or run in full mode`);
}

/** Runs an operation; its progress and its end become lines. It goes on if the client leaves. */
function operation(run: (onProgress: ProgressListener) => Promise<OperationResult>): ControlAnswer {
  const lines = new LineQueue<unknown>();
  run((event) => lines.push(event))
    .catch((error: unknown): OperationResult => {
      return { ok: false, message: error instanceof Error ? error.message : String(error) };
    })
    .then((result) => {
      lines.push({ done: true, ...result });
      lines.end();
    })
    .catch(() => lines.end());
  return { lines, isEndless: false };
}

function logs(path: string, { query, signal }: ControlRequest): ControlAnswer {
  const lines = query.get("lines") ?? String(LOG_LINES_DEFAULT);
  const follow = query.get("follow") ?? "0";
  if (!/^\d{1,6}$/.test(lines) || Number(lines) > LOG_LINES_MAX) {
    throw new ControlRequestError(400, `lines must be a number from 0 to ${LOG_LINES_MAX}`);
  }
  if (follow !== "0" && follow !== "1") throw new ControlRequestError(400, "follow must be 0 or 1");
  const isEndless = follow === "1";
  return { lines: tailLog(path, { lines: Number(lines), follow: isEndless, signal }), isEndless };
}

/** The members of a body, which must be an object (or missing) without other members. */
function members(body: unknown, allowed: readonly string[]): Readonly<Record<string, unknown>> {
  if (body === undefined) return {};
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw new ControlRequestError(400, "the body must be a JSON object");
  }
  for (const name of Object.keys(body)) {
    if (allowed.includes(name)) continue;
    const known = allowed.join(", ");
    throw new ControlRequestError(
      400,
      `${JSON.stringify(name)} is not known here; allowed: ${known}`,
    );
  }
  return { ...body };
}

function wholeNumber(value: unknown, name: string): number | null {
  if (value === undefined || value === null) return null;
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw new ControlRequestError(400, `${name} must be a whole number`);
}

function environment(value: unknown): Readonly<Record<string, string>> | null {
  if (value === undefined || value === null) return null;
  const what = "updateEnv must be an object of NAME: value, both text without NUL";
  if (typeof value !== "object" || Array.isArray(value)) throw new ControlRequestError(400, what);
  const entries: [string, string][] = [];
  for (const [name, text] of Object.entries(value)) {
    const isName = name !== "" && !/[=\0]/.test(name);
    if (!isName || typeof text !== "string" || text.includes("\0")) {
      throw new ControlRequestError(400, what);
    }
    entries.push([name, text]);
  }
  return Object.fromEntries(entries);
}
