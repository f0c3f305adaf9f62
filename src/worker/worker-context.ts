/**
 * What one worker has: its row and arena in the ledger, its channel to the reactor, its
 * connections, its listeners, and whether it drains.
 *
 * ```
 *   reactor --connections--> receive --> listener --> server
 *   reactor <--released, opaque-- rows, gathered over one turn of the event loop
 *   reactor <--closed-- rows, gathered for some milliseconds: each packet wakes the reactor, and
 *                       the peer has been told
 * ```
 */
import { performance } from "node:perf_hooks"; // the global one is behind a getter
import {
  Crowd,
  PACKET_CLOSED,
  PACKET_JSON,
  PACKET_OPAQUE,
  PACKET_RELEASED,
  PACKET_RETAIN,
} from "../base/mod.ts";
import type { WorkerToReactor } from "../base/mod.ts";
import { STATE, WORKER_NUMBER, WORKER_WORD } from "../ledger/mod.ts";
import type { ConnectionTable, JournalArena, Ledger } from "../ledger/mod.ts";
import { ArrivalReader, TcpCountReader, DESCRIPTORS_PER_PACKET_MAX } from "../os/mod.ts";
import type { PacketChannel } from "../os/mod.ts";
import { streamWords } from "./node-internals.ts";
import type { StreamWords } from "./node-internals.ts";
import type { AccountHost, ParkRequest } from "./account-host.ts";
import type { ConnectionAccount } from "./connection-account.ts";
import { Latency } from "./latency.ts";
import { later, soon } from "./own-timers.ts";
import { RouteDesk } from "./route-desk.ts";

/** Rows of one packet; a row is two words, so this is far below the size of a packet. */
const ROWS_PER_PACKET_MAX = 2048;
/** Closed connections whose duplicates and slots the reactor may keep for so long ... */
const CLOSED_MS = 5;
/** ... and not more of them, nor more than this part of all slots. */
const CLOSED_MAX = 64;
const CLOSED_PART_MAX = 1 / 16;

/** Bytes that come after such a pause may have waited for it to end. */
const PAUSE_MS = 5;
/** As late as this the event loop is when every read waits for the others. */
const BUSY_LAG_MS = 10;

/** A connection whose descriptor goes up to the reactor. */
interface Retained {
  readonly slot: number;
  readonly generation: number;
  readonly fd: number;
}

interface Rows {
  readonly kind: number;
  readonly rows: number[];
}

/** See the file's docstring. */
export class WorkerContext implements AccountHost {
  readonly ledger: Ledger;
  readonly row: number;
  readonly arena: JournalArena;
  readonly connections: ConnectionTable;
  readonly journalLimitBytes: number;
  readonly latency: Latency;
  readonly streamWords: StreamWords | null = streamWords();
  readonly accounts: Crowd<ConnectionAccount> = new Crowd();
  /** More requests in flight than this are told to `onPressed`. */
  gateLimit: number = Number.POSITIVE_INFINITY;
  onPressed: (inFlight: number) => void = () => undefined;
  park: ParkRequest | null = null;
  /** Bytes that have waited longer in the kernel are told to `onWaited`. */
  lateMs: number = Number.POSITIVE_INFINITY;
  onWaited: (waitedMs: number) => void = () => undefined;
  /** Accounts with a response that the kernel did not take at once. */
  #unflushed: ConnectionAccount[] = [];
  readonly #words: Int32Array;
  readonly #numbers: Float64Array;
  readonly #channel: PacketChannel;
  /** Of `acceptRetained`. */
  readonly #acceptedRow: Buffer = Buffer.alloc(8);
  readonly #clockOffsetMs: number;
  readonly #closedMax: number;
  #gathered: Rows[] = [];
  #flushesSoon = false;
  #flushesLater = false;
  #drain: "no" | "move" | "close" = "no";
  #saidDrained = false;
  readonly #arrivals = new ArrivalReader();
  readonly #counts = new TcpCountReader();
  #lastReadMs = 0;
  /** Reads of this turn of the event loop come after a pause. */
  #isAfterPause = false;
  /** The event loop was late: turns are looked at, since reads may wait for each other. */
  #isBusy = false;
  /** When this turn read first, and the one before. */
  #turnMs = 0;
  #formerTurnMs = 0;
  #isInTurn = false;
  readonly #endTurn = (): void => {
    this.#isInTurn = false;
    this.#isAfterPause = false;
  };

  constructor(ledger: Ledger, row: number, channel: PacketChannel, journalLimitBytes: number) {
    this.ledger = ledger;
    this.row = row;
    this.#closedMax = Math.min(CLOSED_MAX, ledger.shape.connectionsMax * CLOSED_PART_MAX);
    this.#words = ledger.workers.words(row);
    this.#numbers = ledger.workers.numbers(row);
    this.arena = ledger.arena(row);
    this.latency = new Latency(ledger.latency(row));
    const executing = () => {
      const account = [...this.accounts].find(({ slot }) => slot === this.executing - 1);
      return account?.handle.owner?._httpMessage?.req;
    };
    const progress = () => ledger.workers.progress(row);
    new RouteDesk(this.latency, executing, progress).open();
    this.connections = ledger.connections;
    this.journalLimitBytes = journalLimitBytes;
    this.#channel = channel;
    this.#clockOffsetMs = Number(process.hrtime.bigint()) / 1e6 - performance.now();
  }

  get isDraining(): boolean {
    return this.#drain !== "no";
  }

  nowMs(): number {
    return performance.now() + this.#clockOffsetMs;
  }

  waitedMs(nowMs: number, { handle, slot }: ConnectionAccount, isFirst: boolean): number {
    const pausedMs = nowMs - this.#lastReadMs;
    this.#lastReadMs = nowMs;
    if (pausedMs > PAUSE_MS) this.#isAfterPause = true;
    if (!this.#isInTurn && (this.#isAfterPause || this.#isBusy)) {
      this.#isInTurn = true;
      this.#formerTurnMs = this.#turnMs;
      this.#turnMs = nowMs;
      // comes when all that was ready is read; the application does not see one without a reference
      soon(this.#endTurn).unref();
    }
    // what is read now came after the last turn had begun, or it would have been read in that
    const mayHaveWaited = this.#isBusy && nowMs - this.#formerTurnMs > PAUSE_MS;
    // in the accept queue, or in the channel from the reactor
    const mayBeOld = isFirst && nowMs - this.connections.promptAtMs(slot) > PAUSE_MS;
    if (!this.#isAfterPause && !mayHaveWaited && !mayBeOld) return 0;
    const waitedMs = this.#arrivals.waitedMs(handle.fd);
    if (waitedMs > this.lateMs) this.onWaited(waitedMs);
    return waitedMs;
  }

  /** How late the event loop was at the last heartbeat. */
  noteLag(lagMs: number): void {
    this.#isBusy = lagMs > BUSY_LAG_MS;
  }

  send(message: WorkerToReactor): void {
    this.#flushRows(); // in the order of what happened
    this.#channel.send(PACKET_JSON, Buffer.from(JSON.stringify(message)));
  }

  /** While an answer is awaited the process stays, as it does while Node binds a socket itself. */
  awaitAnswer(isAwaited: boolean): void {
    if (isAwaited) this.#channel.ref();
    else this.#channel.unref();
  }

  setInboxSlot(value: number): void {
    this.#words[WORKER_WORD.inboxSlot] = value;
  }

  get executing(): number {
    return this.#words[WORKER_WORD.executing] ?? 0;
  }

  setExecuting(value: number): void {
    this.#words[WORKER_WORD.executing] = value;
  }

  /** Requests in flight now, and all that came. */
  get requestCounts(): { readonly inFlight: number; readonly requests: number } {
    return {
      inFlight: this.#words[WORKER_WORD.inFlight] ?? 0,
      requests: this.#numbers[WORKER_NUMBER.requests] ?? 0,
    };
  }

  countJournalFull(): void {
    const { workers } = this.ledger;
    workers.setInt(this.row, "journalFull", workers.int(this.row, "journalFull") + 1);
  }

  /** A connection came out of the channel, whether or not it is still ours. */
  countReceived(): void {
    const { workers } = this.ledger;
    workers.setFloat(this.row, "received", workers.float(this.row, "received") + 1);
  }

  requestBegan(): void {
    const inFlight = (this.#words[WORKER_WORD.inFlight] ?? 0) + 1;
    this.#words[WORKER_WORD.inFlight] = inFlight;
    if (inFlight > this.gateLimit) this.onPressed(inFlight);
    this.#numbers[WORKER_NUMBER.requests] = (this.#numbers[WORKER_NUMBER.requests] ?? 0) + 1;
  }

  requestsEnded(count: number): void {
    this.#words[WORKER_WORD.inFlight] = (this.#words[WORKER_WORD.inFlight] ?? 0) - count;
  }

  /** A connection was received. */
  opened(account: ConnectionAccount): void {
    this.accounts.add(account);
    this.#countConnections();
  }

  hasUnread(fd: number): boolean {
    return (this.#counts.read(fd)?.unread ?? 0) > 0;
  }

  awaitFlush(account: ConnectionAccount): void {
    this.#unflushed.push(account);
  }

  /** Looks at the responses that had not left the last time. Called now and then. */
  checkFlushed(): void {
    this.#unflushed = this.#unflushed.filter((account) => !account.checkFlushed());
  }

  settled(account: ConnectionAccount): void {
    // after Node has done its own work at the end of a response
    if (this.#drain !== "no") soon(() => this.#drainOne(account));
  }

  becameOpaque(account: ConnectionAccount): void {
    this.#gather(PACKET_OPAQUE, account);
  }

  closed(account: ConnectionAccount): void {
    this.accounts.delete(account);
    this.#countConnections();
    this.#gather(account.isReleased ? PACKET_RELEASED : PACKET_CLOSED, account);
    if (this.#drain !== "no") this.#sayDrained();
  }

  /** A connection that stays in state handed: the reactor gives it to another, as it came. */
  leaveUntaken(slot: number, generation: number): void {
    this.#gather(PACKET_RELEASED, { slot, generation });
  }

  /** A connection that no server here wants: back to the reactor. */
  giveBack(slot: number): void {
    this.connections.enter(slot, STATE.released);
    this.#gather(PACKET_RELEASED, { slot, generation: this.connections.generation(slot) });
  }

  /** Gives idle connections back or closes them, and each busy one when it becomes idle. */
  drain(move: boolean): void {
    this.#drain = move ? "move" : "close";
    for (const account of this.accounts) {
      if (!move) account.closeAfterResponse();
      this.#drainOne(account);
    }
    this.#sayDrained();
  }

  /** A new reactor has none of our descriptors: sends them all. */
  resync(): void {
    this.#flushRows();
    const retained = [...this.accounts]
      .filter((account) => !account.isOpaque && account.handle.fd >= 0)
      .map(({ slot, generation, handle }) => ({ slot, generation, fd: handle.fd }));
    for (let from = 0; from < retained.length; from += DESCRIPTORS_PER_PACKET_MAX) {
      this.#retain(retained.slice(from, from + DESCRIPTORS_PER_PACKET_MAX));
    }
    this.send({ type: "resynced" });
  }

  /** Sends descriptors up, for the reactor to keep a duplicate of each. */
  #retain(connections: readonly Retained[]): void {
    const payload = Buffer.allocUnsafe(8 * connections.length);
    connections.forEach(({ slot, generation }, index) => {
      payload.writeUInt32LE(slot, 8 * index);
      payload.writeUInt32LE(generation, 8 * index + 4);
    });
    const descriptors = connections.map(({ fd }) => fd);
    this.#channel.send(PACKET_RETAIN, payload, descriptors);
  }

  /** Takes a connection by `accept`, and sends it up in the same breath; see `sendAccepted`. */
  acceptRetained(slot: number, generation: number, accept: () => number): number {
    const row = this.#acceptedRow;
    row.writeUInt32LE(slot, 0);
    row.writeUInt32LE(generation, 4);
    return this.#channel.sendAccepted(PACKET_RETAIN, row, accept);
  }

  #drainOne(account: ConnectionAccount): void {
    if (!account.isIdle) return;
    if (this.#drain === "move") account.release();
    else if (this.#drain === "close") account.handle.owner?.destroy();
  }

  #sayDrained(): void {
    if (this.#saidDrained || this.accounts.size > 0) return;
    this.#saidDrained = true;
    this.send({ type: "drained" });
  }

  #countConnections(): void {
    this.ledger.workers.setInt(this.row, "connections", this.accounts.size);
  }

  #gather(kind: number, row: { readonly slot: number; readonly generation: number }): void {
    let last = this.#gathered.at(-1);
    if (last === undefined || last.kind !== kind || last.rows.length >= 2 * ROWS_PER_PACKET_MAX) {
      last = { kind, rows: [] };
      this.#gathered.push(last);
    }
    last.rows.push(row.slot, row.generation);
    if (kind === PACKET_CLOSED && last.rows.length < 2 * this.#closedMax) this.#flushLater();
    else this.#flushSoon();
  }

  #flushSoon(): void {
    if (this.#flushesSoon) return;
    this.#flushesSoon = true;
    soon(() => this.#flushRows());
  }

  #flushLater(): void {
    if (this.#flushesLater) return;
    this.#flushesLater = true;
    later(() => {
      this.#flushesLater = false;
      this.#flushRows();
    }, CLOSED_MS).unref();
  }

  #flushRows(): void {
    // the immediate is not cleared: Node loops for ever when one that has failed is followed by one
    // that was cleared (lib/internal/timers.js, `prevImmediate._idleNext`)
    this.#flushesSoon = false;
    const gathered = this.#gathered;
    this.#gathered = [];
    for (const { kind, rows } of gathered) {
      this.#channel.send(kind, Buffer.from(new Uint32Array(rows).buffer));
    }
  }
}
