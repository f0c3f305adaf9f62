/**
 * Writes a report of every worker that has crashed, while the service goes on: nothing here is
 * waited for but by the end of the run.
 *
 * ```
 *   supervisor: gone --> isCrash? --LOG_WAIT_MS--> last log lines --> files --> "crash report: ..."
 * ```
 */
import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { crashReport, isCrash } from "./crash-report.ts";
import type { CrashEvidence, CrashLogLine, CrashService, WorkerDeath } from "./crash-report.ts";
import { writeCrash } from "./crash-store.ts";
import { snapshotsOf } from "./near-limit-snapshots.ts";
import type { LogFields } from "./supervisor-types.ts";

/** What is said of the death itself is in the log by then. */
const LOG_WAIT_MS = 200;
const LOG_LINES_MAX = 50;
const LOG_BYTES_MAX: number = 64 * 1024;
/** Reports that are being written; a worker that dies meanwhile is only in the log. */
const PENDING_MAX = 8;

export interface CrashReporterPorts {
  readonly directory: string;
  readonly logPath: string;
  service(): CrashService;
  readonly log: (level: "info" | "warn", message: string, fields: LogFields) => void;
}

/** See the file's docstring. */
export class CrashReporter {
  readonly #ports: CrashReporterPorts;
  readonly #pending = new Set<Promise<void>>();

  constructor(ports: CrashReporterPorts) {
    this.#ports = ports;
  }

  /** A worker has ended. `evidence` is asked for only when that is to be reported. */
  gone(death: WorkerDeath, evidence: () => CrashEvidence | Promise<CrashEvidence>): void {
    if (!isCrash(death) || this.#pending.size >= PENDING_MAX) return;
    const pending = this.#report(death, evidence(), new Date().toISOString());
    this.#pending.add(pending);
    void pending.finally(() => this.#pending.delete(pending));
  }

  /** Resolves when everything is written. */
  async settled(): Promise<void> {
    await Promise.all(this.#pending);
  }

  async #report(
    death: WorkerDeath,
    found: CrashEvidence | Promise<CrashEvidence>,
    time: string,
  ): Promise<void> {
    const { directory, logPath, log } = this.#ports;
    const fields = { worker: death.index, pid: death.pid };
    const [evidence] = await Promise.all([found, delay(LOG_WAIT_MS)]);
    try {
      const lines = await lastLines(logPath);
      const made = crashReport(death, evidence, this.#ports.service(), lines, time);
      const report = { ...made, heapSnapshots: snapshotsOf(directory, death.pid) };
      const path = await writeCrash(directory, report);
      const { requests, requestsMore } = report;
      const inFlight = requests.length + requestsMore;
      log("info", `crash report: ${path}`, { ...fields, requests: inFlight });
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      log("warn", `cannot write a crash report: ${why}; make room in ${directory}`, fields);
    }
  }
}

/** The last lines of a log file, as far as they are whole. */
async function lastLines(path: string): Promise<readonly CrashLogLine[]> {
  let file: FileHandle;
  try {
    file = await open(path, "r");
  } catch (error) {
    const isNone = error instanceof Error && "code" in error && error.code === "ENOENT";
    if (isNone) return []; // nobody has written anything yet
    throw error;
  }
  try {
    const { size } = await file.stat();
    const from = Math.max(0, size - LOG_BYTES_MAX);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(size - from), 0, size - from, from);
    const lines = buffer.toString("utf8", 0, bytesRead).split("\n");
    return lines.flatMap(parseLine).slice(-LOG_LINES_MAX);
  } finally {
    await file.close();
  }
}

function parseLine(text: string): readonly CrashLogLine[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return []; // the first was cut, the last is not written yet
  }
  if (typeof value !== "object" || value === null) return [];
  const { time, source, worker, line } = value as Record<string, unknown>; // checked below
  if (typeof time !== "string" || typeof source !== "string" || typeof line !== "string") return [];
  const who = typeof worker === "number" && source === "worker" ? `worker ${worker}` : source;
  return [{ time, source: who, line }];
}
