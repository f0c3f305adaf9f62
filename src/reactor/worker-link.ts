/** A running worker as the reactor sees it: its channel, its row in the ledger, what it serves. */
import type { ReactorToWorker, WorkerIdentity } from "../base/mod.ts";
import type { WorkerTable } from "../ledger/mod.ts";
import type { PacketChannel } from "../os/mod.ts";
import type { AgentLink } from "./agent-link.ts";

/** A few packets of 32 connections bridge the time until the kernel takes more. */
const OUTBOX_PACKETS_WANTED = 4;

/** `phase` of a worker's row that is ready, as service.ts writes it. */
const READY_PHASE = 2;

/** See the file's docstring. */
export class WorkerLink implements WorkerIdentity {
  readonly id: number;
  readonly index: number;
  readonly generation: number;
  readonly pid: number;
  readonly row: number;
  readonly channel: PacketChannel;
  readonly agent: AgentLink;
  /** Numbers of the listeners that it has servers for. */
  readonly listeners: Set<number> = new Set();
  /** Whether new connections may be placed on it. */
  isFed = false;
  /** Connections that were placed on it and have not come back: for choosing among equals. */
  owned = 0;
  /** When it could not take a connection, on the machine's clock. */
  untakenMs = -Infinity;
  /** It made no progress although nobody had stopped it. */
  hasStalled = false;
  /** It is sending its descriptors to a new reactor. */
  isResyncing = false;
  /** Held on purpose, by a debugger or for a heap snapshot, this many times: no stall. */
  holds = 0;
  /** Its main thread's stack when it stalled, for the report of its end; empty: it did not. */
  lastStack: readonly string[] = [];
  /** Of the request that it executes while it is stalled, as the stack told it. */
  lastRoute: string | null = null;
  /** Slots that it has asked for and not been granted. */
  slotsWanted = 0;
  readonly #workers: WorkerTable;

  constructor(
    identity: WorkerIdentity,
    pid: number,
    row: number,
    channel: PacketChannel,
    agent: AgentLink,
    workers: WorkerTable,
  ) {
    this.id = identity.id;
    this.index = identity.index;
    this.generation = identity.generation;
    this.pid = pid;
    this.row = row;
    this.channel = channel;
    this.agent = agent;
    this.#workers = workers;
  }

  get inFlight(): number {
    return this.#workers.int(this.row, "inFlight");
  }

  /** Its application is there, and it is not being drained. */
  get isReady(): boolean {
    return this.#workers.int(this.row, "phase") === READY_PHASE;
  }

  /** It has closed its end of the channel: it is on its way out, whatever that takes. */
  get isEnding(): boolean {
    return this.channel.descriptor === null;
  }

  get progress(): string {
    return this.#workers.progress(this.row);
  }

  get heartbeatMs(): number {
    return this.#workers.float(this.row, "heartbeatMs");
  }

  /** Requests that it has begun. */
  get requests(): number {
    return this.#workers.float(this.row, "requests");
  }

  /** Connections that it has taken out of its channel. */
  get received(): number {
    return this.#workers.float(this.row, "received");
  }

  get loopLagMs(): number {
    return this.#workers.float(this.row, "loopLagMs");
  }

  /** Connections in its channel that it has not taken out yet. */
  get waiting(): number {
    return this.#workers.float(this.row, "sent") - this.#workers.float(this.row, "received");
  }

  /**
   * Whether its channel is so full that more would only pile up here, each packet with duplicates
   * of its descriptors. Connections wait in state held instead.
   */
  get isClogged(): boolean {
    return this.channel.outboxPackets >= OUTBOX_PACKETS_WANTED;
  }

  countSent(): void {
    this.#workers.setFloat(this.row, "sent", this.#workers.float(this.row, "sent") + 1);
  }

  send(message: ReactorToWorker, descriptors: readonly number[] = []): boolean {
    return this.channel.sendJson(message, descriptors);
  }
}
