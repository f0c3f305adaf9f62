/** What the ledger shows of the work in flight: read by anybody, asked of nobody. */
import { readFileSync } from "node:fs";
import { once } from "../base/mod.ts";
import { STATE } from "../ledger/mod.ts";
import type { JournalArena, Ledger } from "../ledger/mod.ts";
import { machineNowMs } from "../os/mod.ts";
import { requestFacts } from "../supervision/mod.ts";
import { KnownRoutes } from "./known-routes.ts";
import type { Retention } from "./retention.ts";
import type { ExecutedRequest } from "./stalls.ts";
import type { OldestRequest, StatusTotals, WorkerFigures } from "../supervision/mod.ts";
import type { WorkerLink } from "./worker-link.ts";

/** Longer paths are cut in a status. */
const PATH_CHARACTERS_MAX = 200;

/** How a request begins, in its first bytes. */
const REQUEST = /^[A-Z-]{1,32} \S/;
const REQUEST_CHARACTERS = 34;

function openFilesMax(): number {
  const limits = readFileSync("/proc/self/limits", "utf8");
  return Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? 0);
}

/** What a worker has to do with. */
export interface OwnedConnections {
  readonly counts: { readonly busy: number; readonly idle: number; readonly opaque: number };
  /** Of the busy ones, the oldest request first. */
  readonly slots: readonly number[];
}

/** See the file's docstring. */
export class Observation {
  readonly descriptorsMax: number = openFilesMax();
  readonly #ledger: Ledger;
  readonly #retention: Retention;
  readonly #links: ReadonlyMap<number, WorkerLink>;
  readonly #arenas: Map<number, JournalArena> = new Map();

  constructor(ledger: Ledger, retention: Retention, links: ReadonlyMap<number, WorkerLink>) {
    this.#ledger = ledger;
    this.#retention = retention;
    this.#links = links;
  }

  /** What the row of a worker says. */
  figures(link: WorkerLink | undefined): WorkerFigures | null {
    if (link === undefined) return null;
    const row = this.#ledger.workers.snapshot(link.row);
    return {
      connections: row.connections + Math.max(0, link.waiting),
      inFlight: Math.max(0, row.inFlight),
      oldest: this.#oldest(link),
      requests: row.requests,
      loopLagMs: Math.round(Math.max(row.loopLagMs, this.silenceMs(link))),
      heapLimitBytes: this.#ledger.workers.float(link.row, "heapLimitBytes"),
    };
  }

  /** Counters since the service started, workers that have gone included. */
  totals(restarts: number): StatusTotals {
    const ledger = this.#ledger;
    let requests = ledger.total("requestsOfGoneWorkers");
    let journalFull = ledger.total("journalFullOfGoneWorkers");
    for (const link of this.#links.values()) {
      requests += ledger.workers.float(link.row, "requests");
      journalFull += ledger.workers.int(link.row, "journalFull");
    }
    return {
      accepted: ledger.total("accepted"),
      moved: ledger.total("moved"),
      replayed: ledger.total("replayed"),
      refused: ledger.total("refused"),
      aborted: ledger.total("aborted"),
      restarts,
      requests,
      requestsOfDeath: ledger.total("requestsOfDeath"),
      journalFull,
    };
  }

  /** Connections of a worker by state, and those with a request in flight, the oldest first. */
  inFlight(link: WorkerLink): OwnedConnections {
    const { connections } = this.#ledger;
    const busy: { slot: number; atMs: number }[] = [];
    const counts = { busy: 0, idle: 0, opaque: 0 };
    this.#retention.forEachOwned(link.id, (slot, state) => {
      if (state === STATE.busy) busy.push({ slot, atMs: connections.requestAtMs(slot) });
      else if (state === STATE.idle) counts.idle += 1;
      else if (state === STATE.opaque) counts.opaque += 1;
    });
    counts.busy = busy.length;
    const oldest = busy.toSorted((a, b) => a.atMs - b.atMs);
    return { counts, slots: oldest.map(({ slot }) => slot) };
  }

  /** Milliseconds since the request of a slot came. */
  ageMs(slot: number): number {
    const atMs = this.#ledger.connections.requestAtMs(slot);
    return atMs > 0 ? Math.max(0, Math.round(machineNowMs() - atMs)) : 0;
  }

  /** How far behind its next heartbeat a worker is. */
  silenceMs(link: Pick<WorkerLink, "heartbeatMs">): number {
    const beat = link.heartbeatMs; // 0 until the preload has run
    return beat === 0 ? 0 : Math.max(0, machineNowMs() - beat - 100);
  }

  /** The routes that requests of this worker, and of those that have gone, were counted under. */
  routes(link: WorkerLink): KnownRoutes {
    const tables = [this.#ledger.latency(link.row), this.#ledger.latencyOfGoneWorkers()];
    return new KnownRoutes(tables.flatMap((table) => table.names()));
  }

  /**
   * The request that a worker's main thread is executing, or executed last and has not ended. Its
   * age is often asked for alone: the others are read when they are.
   */
  executing(link: WorkerLink): ExecutedRequest | null {
    const { workers, connections, connectionsTop } = this.#ledger;
    const slot = workers.int(link.row, "executing") - 1;
    if (slot < 0 || slot >= connectionsTop || connections.owner(slot) !== link.id) return null;
    if (connections.state(slot) !== STATE.busy) return null;
    const facts = once(() => requestFacts(this.bytesOf(slot, link)));
    const routes = (): KnownRoutes => this.routes(link);
    return {
      ageMs: this.ageMs(slot),
      get request() {
        return `${facts().method} ${facts().path}`;
      },
      get route() {
        return routes().of(facts().method, facts().path);
      },
    };
  }

  #oldest(link: WorkerLink): OldestRequest | null {
    const { connections } = this.#ledger;
    let oldestSlot = -1;
    let oldestAt = Infinity;
    this.#retention.forEachOwned(link.id, (slot, state) => {
      const at = connections.requestAtMs(slot);
      if (state !== STATE.busy || at <= 0 || at >= oldestAt) return;
      oldestAt = at;
      oldestSlot = slot;
    });
    if (oldestSlot < 0) return null;
    const ageMs = Math.max(0, Math.round(machineNowMs() - oldestAt));
    const { method, path } = requestFacts(this.bytesOf(oldestSlot, link)); // secrets are masked
    return { method, path: path.slice(0, PATH_CHARACTERS_MAX), ageMs };
  }

  /**
   * The bytes in flight on a connection, as far as they are known: in the inbox, or in its journal,
   * which of a request above the journal's limit has the beginning.
   */
  bytesOf(slot: number, link: WorkerLink): Buffer {
    const arena = this.#arena(link.row);
    if (this.#ledger.workers.int(link.row, "inboxSlot") === slot + 1) {
      const head = arena.inbox.indexOf("\r\n\r\n", 0, "latin1");
      const read = arena.inbox.subarray(0, head + 4);
      // else it is part of a body, and the head has gone into the journal
      if (REQUEST.test(read.toString("latin1", 0, REQUEST_CHARACTERS))) return read;
    }
    const { journalBlock, journalBytes, journalFrom, quiescentRead } =
      this.#ledger.connections.snapshot(slot);
    const journal = arena.read(journalBlock, journalBytes) ?? Buffer.alloc(0);
    return journal.subarray(Math.max(0, quiescentRead - journalFrom));
  }

  #arena(row: number): JournalArena {
    const arena = this.#arenas.get(row) ?? this.#ledger.arena(row);
    this.#arenas.set(row, arena);
    return arena;
  }
}
