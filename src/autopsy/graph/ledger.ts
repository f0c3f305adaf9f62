/**
 * The ledger in a core: a worker of `holdfast run` maps the service's ledger, where its connections
 * and the requests on them are accounted for. So the age of a request is known, which Node itself
 * does not keep of one that it has read to its end.
 *
 * ```
 *   mapping /memfd:holdfast-ledger --> header, worker rows, connection slots, this worker's journal
 * ```
 * It was written by another version of Holdfast perhaps, and is damaged perhaps: what is not sane
 * is left out. A core of the kernel or of gcore may leave shared memory out (coredump_filter,
 * bit 1); `holdfast autopsy dump` has it.
 */
import {
  CONNECTION_STATES,
  FLAG_JOURNAL_SHORT,
  Ledger,
  STATE,
  scanRequests,
} from "../../ledger/mod.ts";
import type { ConnectionState, JournalArena } from "../../ledger/mod.ts";
import type { Target } from "../target/target.ts";

const LEDGER_NAME = "/memfd:holdfast-ledger";
const HEADER_BYTES = 4_096;
const PAGE_BYTES = 4_096;
const CHUNK_BYTES = 64 * 1024;
const CONNECTIONS_SHOWN_MAX = 100_000;
const HEAD_END = "\r\n\r\n";

export interface LedgerRequest {
  /** Slot of the connection. */
  readonly slot: number;
  readonly state: ConnectionState;
  /** "?" when the head is not in the journal any more, or belongs to no request that is known. */
  readonly method: string;
  readonly target: string;
  /** Since its first byte was read; null: not known. */
  readonly ageMs: number | null;
}

export interface LedgerAccount {
  readonly workerId: number;
  readonly workerIndex: number;
  /** Requests since the start of the worker. */
  readonly requestsTotal: number;
  readonly connections: number;
  /** The oldest first. */
  readonly requests: readonly LedgerRequest[];
  /** False: counted to the last moment that the ledger knows of, not to that of the core. */
  readonly areAgesExact: boolean;
}

/** The account of the target; null when it is no worker, or its ledger is not in the core. */
export function readLedger(target: Target): LedgerAccount | null {
  const start = ledgerStart(target);
  if (start === null) return null;
  const ledger = Ledger.copyOf(target.pid, (offset, into) => fill(target, start + offset, into));
  return ledger === null ? null : accountOf(target, ledger);
}

/** Where it is mapped whole: one process maps its header alone, too, to look at it. */
function ledgerStart({ mappings }: Target): number | null {
  const parts = mappings.filter(({ path }) => path?.startsWith(LEDGER_NAME) === true);
  const first = parts.find(({ start, end, fileOffset }) => {
    // in a core it is in several segments: those that were touched, and the rest
    const goesOn = parts.some((next) => next.start === end && next.fileOffset === end - start);
    return fileOffset === 0 && (goesOn || end - start > HEADER_BYTES);
  });
  return first?.start ?? null;
}

/** Copies what is there; pages that nobody touched are zeroes there and here. */
function fill({ memory }: Target, start: number, into: Buffer): void {
  for (let at = 0; at < into.length; at += CHUNK_BYTES) {
    const chunk = into.subarray(at, at + CHUNK_BYTES);
    if (memory.readInto(start + at, chunk) === chunk.length) continue;
    for (let page = 0; page < chunk.length; page += PAGE_BYTES) {
      memory.readInto(start + at + page, chunk.subarray(page, page + PAGE_BYTES));
    }
  }
}

function accountOf(target: Target, ledger: Ledger): LedgerAccount | null {
  const { workers, connections } = ledger;
  const rows = Array.from({ length: workers.max }, (_, row) => row);
  const row = rows.find((one) => workers.int(one, "pid") === target.pid);
  if (row === undefined || workers.int(row, "id") === 0) return null;
  const workerId = workers.int(row, "id");
  const busy: number[] = [];
  let count = 0;
  for (let slot = 0; slot < ledger.connectionsTop; slot += 1) {
    const state = connections.state(slot);
    if (state === STATE.free || connections.owner(slot) !== workerId) continue;
    count += 1;
    if (state === STATE.busy && busy.length < CONNECTIONS_SHOWN_MAX) busy.push(slot);
  }
  // without the time of the core, the last that the worker has written is the nearest to it
  const times = [workers.float(row, "heartbeatMs"), ...busy.map((s) => connections.requestAtMs(s))];
  const now = target.takenAtMs ?? Math.max(...times);
  const arena = ledger.arena(row);
  const inboxSlot = workers.int(row, "inboxSlot") - 1;
  const requests = busy.map((slot): LedgerRequest => {
    const atMs = connections.requestAtMs(slot);
    const { method, target: path } = headOf(bytesOf(ledger, arena, slot, inboxSlot === slot));
    return {
      slot,
      state: CONNECTION_STATES[connections.state(slot)] ?? "busy",
      method,
      target: path,
      ageMs: atMs > 0 && atMs <= now ? Math.round(now - atMs) : null,
    };
  });
  return {
    workerId,
    workerIndex: workers.int(row, "index"),
    requestsTotal: workers.float(row, "requests"),
    connections: count,
    requests: requests.toSorted((a, b) => (b.ageMs ?? -1) - (a.ageMs ?? -1)),
    areAgesExact: target.takenAtMs !== undefined,
  };
}

/**
 * The bytes in flight on a connection: in its journal, and those that are being parsed in the
 * inbox. What the inbox has begins a request only where the journal has none yet; behind the head
 * of one it is part of its body, however much that looks like a request.
 */
function bytesOf(ledger: Ledger, arena: JournalArena, slot: number, isInInbox: boolean): Buffer {
  const { journalBlock, journalBytes, journalFrom, quiescentRead, flags } =
    ledger.connections.snapshot(slot);
  const kept = arena.read(journalBlock, journalBytes) ?? Buffer.alloc(0);
  const journal = kept.subarray(Math.max(0, quiescentRead - journalFrom));
  const isShort = (flags & FLAG_JOURNAL_SHORT) !== 0; // what lies between is not known
  if (!isInInbox || isShort || journal.includes(HEAD_END)) return journal;
  const end = arena.inbox.indexOf(HEAD_END, 0, "latin1");
  if (end < 0) return journal;
  return Buffer.concat([journal, arena.inbox.subarray(0, end + HEAD_END.length)]);
}

function headOf(bytes: Buffer): Pick<LedgerRequest, "method" | "target"> {
  const [request] = scanRequests(bytes).requests;
  return { method: request?.method ?? "?", target: request?.target ?? "?" };
}
