/**
 * The end of a worker, on the reactor's side: what it was doing is written down, its connections
 * are recovered, its counts are taken over, and if it crashed a report is made.
 *
 * ```
 *   frozen (stalled) --> recover --+
 *                                  +--> evidence, then recovery --> gone --> crash report
 *   exited -----------> recover ---+    (the first time only)
 *                    --> takeOver: totals, latencies
 *   held by the dumper (--core) --> recover, as above, before its memory is in a file
 * ```
 * Evidence comes before recovery: afterwards the slots are somebody else's.
 */
import { VERSION } from "../base/mod.ts";
import type { ResolvedConfig } from "../base/mod.ts";
import type { Ledger } from "../ledger/mod.ts";
import { machineNowMs } from "../os/mod.ts";
import {
  CRASH_REQUESTS_MAX,
  CRASH_WORK_MAX,
  CrashReporter,
  requestFacts,
} from "../supervision/mod.ts";
import { crashDirectory } from "../supervision/mod.ts";
import type { CrashEvidence, CrashRequest, LogFields, WorkerDeath } from "../supervision/mod.ts";
import { Cores } from "./cores.ts";
import { freeze } from "./freeze.ts";
import type { History } from "./history.ts";
import type { Observation } from "./observation.ts";
import type { Recovery, RecoverySummary } from "./recovery.ts";
import { accountedWork } from "./work-report.ts";
import type { WorkerLink } from "./worker-link.ts";

const COUNTED = ["moved", "replayed", "refused", "aborted", "opaque"] as const;

export interface DeathsPorts {
  readonly ledger: Ledger;
  readonly recovery: Recovery;
  readonly observation: Observation;
  readonly history: History;
  readonly logPath: string;
  config(): ResolvedConfig;
  readonly log: (level: "info" | "warn" | "error", message: string, fields: LogFields) => void;
}

/** A request as it was, with the slot whose outcome is its own. */
type InFlight = Omit<CrashRequest, "outcome"> & { readonly slot: number };

interface Evidence extends Omit<CrashEvidence, "requests" | "recovery" | "core"> {
  readonly requests: readonly InFlight[];
  readonly recovery: Record<string, number>;
  readonly outcomes: Map<number, string>;
}

/** See the file's docstring. */
export class Deaths {
  readonly #ports: DeathsPorts;
  readonly #reporter: CrashReporter;
  readonly #evidence = new Map<number, Evidence>();
  readonly #cores: Cores;

  constructor(ports: DeathsPorts) {
    this.#ports = ports;
    const held = (link: WorkerLink): void => {
      link.isFed = false;
      link.holds += 1; // it does not stall
      this.recover(link);
    };
    this.#cores = new Cores({ config: () => ports.config(), log: ports.log, held });
    const { name, runtimeDir } = ports.config();
    this.#reporter = new CrashReporter({
      directory: crashDirectory(runtimeDir, name),
      logPath: ports.logPath,
      service: () => ({
        name,
        version: VERSION,
        mode: "full",
        entry: ports.config().entry,
        node: process.versions.node,
      }),
      log: ports.log,
    });
  }

  /** A worker has been started. */
  watch(link: WorkerLink): void {
    this.#cores.watch(link);
  }

  /**
   * The worker was sent SIGSTOP: its connections go on elsewhere as soon as it stands still. Calls
   * back when it may be killed: after its core is there, if any.
   */
  freeze(link: WorkerLink, isThere: () => boolean, onDone: () => void): void {
    freeze(link.pid, (isFrozen) => {
      if (!isFrozen || !isThere()) {
        onDone();
        return;
      }
      this.recover(link);
      this.#cores.copy(link, onDone);
    });
  }

  /** Recovers the connections of a worker that has died or was frozen; may come twice. */
  recover(link: WorkerLink): void {
    link.channel.takePending(); // descriptors that it has sent up are in there
    const evidence = this.#evidence.get(link.id) ?? this.#gather(link);
    this.#evidence.set(link.id, evidence);
    const outcomes = new Map<number, string>();
    const summary = this.#ports.recovery.recover(link, link.hasStalled, outcomes);
    for (const name of COUNTED) {
      evidence.recovery[name] = (evidence.recovery[name] ?? 0) + summary[name];
    }
    for (const [slot, outcome] of outcomes) {
      if (!evidence.outcomes.has(slot)) evidence.outcomes.set(slot, outcome);
    }
    this.#say(link, summary);
  }

  /** Its process has ended and its connections are safe: what it had counted is kept. */
  takeOver({ row }: WorkerLink): void {
    const { ledger } = this.#ports;
    const { workers } = ledger;
    ledger.count("requestsOfGoneWorkers", workers.float(row, "requests"));
    ledger.count("journalFullOfGoneWorkers", workers.int(row, "journalFull"));
    ledger.latencyOfGoneWorkers().takeOver(ledger.latency(row));
    workers.clear(row);
  }

  /** The supervisor has judged the end of a worker. */
  gone(death: WorkerDeath): void {
    const evidence = this.#evidence.get(death.id) ?? NO_EVIDENCE;
    const outcome = this.#cores.outcome(death.id);
    this.#reporter.gone(death, async () => ({ ...concluded(evidence), core: await outcome }));
    this.#evidence.delete(death.id);
    this.#ports.history.forget(death.id);
  }

  /** Resolves when all reports are written. */
  settled(): Promise<void> {
    this.#cores.close();
    return this.#reporter.settled();
  }

  #gather(link: WorkerLink): Evidence {
    const { ledger, observation, history } = this.#ports;
    const { counts, slots } = observation.inFlight(link);
    const executing = ledger.workers.int(link.row, "executing") - 1;
    const routes = observation.routes(link);
    const upMs = machineNowMs() - ledger.workers.float(link.row, "startedAtMs");
    const requests = slots.map((slot, index): InFlight => {
      const isShown = index < CRASH_REQUESTS_MAX;
      const bytes = isShown ? observation.bytesOf(slot, link) : Buffer.alloc(0);
      const ageMs = observation.ageMs(slot);
      const { method, path, head, traceId } = requestFacts(bytes);
      const isExecuting = slot === executing;
      const route = (isExecuting ? link.lastRoute : null) ?? routes.of(method, path);
      const facts = { slot, method, path, head, traceId, ageMs, isExecuting };
      return method === "?" ? facts : Object.assign(facts, { route }); // else its head is gone
    });
    return {
      startedAt: new Date(Date.now() - upMs).toISOString(),
      heapLimitBytes: ledger.workers.float(link.row, "heapLimitBytes"),
      connections: counts,
      requests,
      work: accountedWork(ledger.work(link.row, "reader"), link, machineNowMs()).slice(
        0,
        CRASH_WORK_MAX,
      ),
      stack: link.lastStack,
      recovery: {},
      history: history.of(link, machineNowMs()),
      outcomes: new Map(),
    };
  }

  #say(link: WorkerLink, summary: RecoverySummary): void {
    const { log } = this.#ports;
    const { moved, replayed, refused, aborted, opaque, requestsOfDeath } = summary;
    if (moved + replayed + refused + aborted + opaque > 0) {
      const ms = Math.round(summary.milliseconds);
      const counts = { moved, replayed, refused, aborted, opaque, ms };
      const fields = { worker: link.index, pid: link.pid, ...counts };
      log("info", "recovered the connections of a worker", fields);
    }
    for (const { method, target } of requestsOfDeath) {
      const fields = { method, target };
      log("error", "request of death: it is refused and never tried again", fields);
    }
  }
}

/** Of a worker that never had a process, or that a former reactor knew. */
const NO_EVIDENCE: Evidence = {
  startedAt: null,
  heapLimitBytes: 0,
  connections: null,
  requests: [],
  work: [],
  stack: [],
  recovery: {},
  history: [],
  outcomes: new Map(),
};

function concluded({ requests, outcomes, ...rest }: Evidence): Omit<CrashEvidence, "core"> {
  const moved = "moved: it was answered, or had not begun";
  const told = requests.map(({ slot, ...request }): CrashRequest => {
    return Object.assign(request, { outcome: outcomes.get(slot) ?? moved });
  });
  return { ...rest, requests: told };
}
