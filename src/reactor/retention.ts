/**
 * Retention: the reactor's own descriptor of every connection, and handing connections to workers.
 *
 * ```
 *   accept --> slot (held) --> place --> handed, PACKET_CONNECTIONS --> the worker
 *                 ^  no worker: waits here                                 |
 *                 +---- released <-----------------------------------------+--> closed: slot free
 *                 +---- recovery (the worker died)                         +--> opaque: copy closed
 * ```
 * One descriptor a slot, in a table indexed by slot; a zero is none.
 */
import { PACKET_CONNECTIONS, PACKET_JOURNAL } from "../base/mod.ts";
import { STATE } from "../ledger/mod.ts";
import type { Ledger } from "../ledger/mod.ts";
import { PACKET_BYTES_MAX, closeDescriptor, machineNowMs } from "../os/mod.ts";
import { place } from "./placement.ts";
import type { WorkerLink } from "./worker-link.ts";

/** Connections in one packet; the kernel takes up to 253 descriptors. */
const CONNECTIONS_PER_PACKET_MAX = 32;
const ROW_BYTES = 16;
/** Workers of two generations, and each may have as many slots again. */
const SHARES_PER_WORKER = 4;
/** Journal bytes in one packet, beside the row. */
const JOURNAL_PART_BYTES: number = PACKET_BYTES_MAX - 1024;

/** Where the retained connections are handed to, and how many there are. */
export class Retention {
  readonly #ledger: Ledger;
  readonly #links: ReadonlyMap<number, WorkerLink>;
  /** Descriptor + 1 of each slot. */
  readonly #descriptors: Int32Array;
  readonly #freed: number[] = [];
  /** Slots in state held that wait for a worker, with the bytes to replay. */
  readonly #waiting: Map<number, Buffer | null> = new Map();
  /** Rows for one worker, gathered before they are sent. */
  readonly #batches: Map<WorkerLink, { readonly rows: number[]; readonly fds: number[] }> =
    new Map();
  /** Journals that were sent with a slot and not yet received. */
  readonly #replaying: Map<number, Buffer> = new Map();
  #count = 0;

  constructor(ledger: Ledger, links: ReadonlyMap<number, WorkerLink>) {
    this.#ledger = ledger;
    this.#links = links;
    this.#descriptors = new Int32Array(ledger.shape.connectionsMax);
  }

  /** Slots in use. */
  get count(): number {
    return this.#count;
  }

  /** Connections that no worker has, because none can take them now. */
  get waitingCount(): number {
    return this.#waiting.size;
  }

  get isFull(): boolean {
    return (
      this.#freed.length === 0 && this.#ledger.connectionsTop >= this.#ledger.shape.connectionsMax
    );
  }

  descriptor(slot: number): number | null {
    const stored = this.#descriptors[slot] ?? 0;
    return stored === 0 ? null : stored - 1;
  }

  /**
   * A new connection: into a slot, and on to a worker at the next `flush`. The caller asked
   * `isFull`. For `isPrompt` see `setAccepted`.
   */
  accept(fd: number, listener: number, nowMs: number, isPrompt: boolean): void {
    const slot = this.#allocate();
    this.#ledger.connections.open(slot, listener, nowMs, "held", isPrompt);
    this.#descriptors[slot] = fd + 1;
    this.#ledger.count("accepted");
    this.handOn(slot, null, nowMs);
  }

  /**
   * Slots for a worker that accepts by itself and has asked for some, as far as there are any; of a
   * small table no more than leaves some for every worker.
   */
  grant(link: WorkerLink): void {
    const slots: number[] = [];
    const share = this.#ledger.shape.connectionsMax / (SHARES_PER_WORKER * this.#links.size);
    const wanted = Math.min(link.slotsWanted, Math.ceil(share));
    while (slots.length < wanted && !this.isFull) {
      const slot = this.#allocate();
      this.#ledger.connections.open(slot, 0, machineNowMs(), "granted");
      this.#ledger.connections.setOwner(slot, link.id);
      slots.push(slot);
    }
    if (slots.length === 0) return;
    link.slotsWanted = 0;
    link.send({ type: "grant", slots });
  }

  /** Places a slot in state held; without a worker it waits for one. */
  handOn(slot: number, journal: Buffer | null, nowMs = machineNowMs()): void {
    const listener = this.#ledger.connections.listener(slot);
    const link = place(this.#links.values(), listener, nowMs);
    const fd = this.descriptor(slot);
    if (link === null || fd === null) {
      this.#waiting.set(slot, journal);
      return;
    }
    const generation = this.#ledger.connections.handOver(slot, link.id);
    link.owned += 1;
    link.countSent();
    if (journal !== null) {
      this.flush();
      this.#sendJournal(link, slot, generation, listener, journal, fd);
      return;
    }
    const batch = this.#batches.get(link) ?? { rows: [], fds: [] };
    this.#batches.set(link, batch);
    batch.rows.push(slot, generation, listener, 0);
    batch.fds.push(fd);
    if (batch.fds.length >= CONNECTIONS_PER_PACKET_MAX) this.#sendBatch(link);
  }

  /** Sends what was gathered. */
  flush(): void {
    for (const link of Array.from(this.#batches.keys())) this.#sendBatch(link);
  }

  /** A worker can take connections again: tries those that wait. */
  placeWaiting(): void {
    for (const [slot, journal] of Array.from(this.#waiting)) {
      this.#waiting.delete(slot);
      this.handOn(slot, journal);
    }
    this.flush();
  }

  /** Takes back what a worker has not received yet, because it takes nothing out of its channel. */
  takeBack(link: WorkerLink): number {
    let count = 0;
    this.forEachOwned(link.id, (slot, state) => {
      const { connections } = this.#ledger;
      if (state !== STATE.handed || this.descriptor(slot) === null) return;
      // one with a journal is left alone: its bytes are on their way and nowhere else
      if (this.#replaying.has(slot)) return;
      if (!connections.exchange(slot, connections.generation(slot), "handed", "held")) return;
      this.disown(slot);
      count += 1;
      this.handOn(slot, null);
    });
    this.flush();
    return count;
  }

  /** Forgets journals that have been received. Called now and then. */
  sweep(): void {
    for (const slot of this.#replaying.keys()) {
      if (this.#ledger.connections.state(slot) !== STATE.handed) this.#replaying.delete(slot);
    }
  }

  /** The bytes that were sent with a slot that its worker never received. */
  journalInTransit(slot: number): Buffer | null {
    return this.#replaying.get(slot) ?? null;
  }

  /** The worker has closed these. */
  closed(rows: Uint32Array): void {
    for (const slot of this.#slotsOf(rows, STATE.closed)) {
      this.#ledger.count("closed");
      this.free(slot);
    }
  }

  /** State of these lives in the worker only: the duplicate is dropped. */
  opaque(rows: Uint32Array): void {
    for (let at = 0; at + 1 < rows.length; at += 2) {
      const slot = rows[at] ?? 0;
      const generation = rows[at + 1] ?? 0;
      // it may be closed already; then `closed` follows
      if (
        slot < this.#descriptors.length &&
        this.#ledger.connections.generation(slot) === generation
      ) {
        this.#dropDescriptor(slot);
      }
    }
  }

  /**
   * Connections come back, idle or never taken (the worker had no descriptor left for it, or no
   * server any more): each goes to another worker, with what was to be replayed. Returns how many.
   */
  released(rows: Uint32Array): number {
    const untaken = this.#slotsOf(rows, STATE.handed);
    for (const slot of untaken) {
      const link = this.#links.get(this.#ledger.connections.owner(slot));
      if (link !== undefined) link.untakenMs = machineNowMs();
    }
    const slots = [...this.#slotsOf(rows, STATE.released), ...untaken];
    for (const slot of slots) {
      if (this.descriptor(slot) === null) {
        this.free(slot); // a former reactor's, which has died with it
        continue;
      }
      const journal = this.journalInTransit(slot);
      this.#replaying.delete(slot);
      this.disown(slot);
      this.#ledger.connections.enter(slot, STATE.held);
      this.handOn(slot, journal);
    }
    this.flush();
    return slots.length;
  }

  /**
   * Descriptors of connections that a worker has: after its own accept, or for a new reactor.
   * Returns how many there are now that were not retained before.
   */
  retained(link: WorkerLink, rows: Uint32Array, fds: readonly number[]): number {
    let count = 0;
    fds.forEach((fd, index) => {
      const slot = rows[2 * index] ?? 0;
      const generation = rows[2 * index + 1] ?? 0;
      const { connections } = this.#ledger;
      const isTheirs =
        slot < this.#descriptors.length &&
        connections.generation(slot) === generation &&
        connections.owner(slot) === link.id &&
        connections.state(slot) !== STATE.free &&
        this.descriptor(slot) === null;
      if (!isTheirs) {
        closeDescriptor(fd);
        return;
      }
      this.#descriptors[slot] = fd + 1;
      count += 1;
    });
    return count;
  }

  /** Calls back for every slot that a worker owns. */
  forEachOwned(workerId: number, visit: (slot: number, state: number) => void): void {
    const { connections, connectionsTop } = this.#ledger;
    for (let slot = 0; slot < connectionsTop; slot += 1) {
      const state = connections.state(slot);
      if (state !== STATE.free && connections.owner(slot) === workerId) visit(slot, state);
    }
  }

  /** The slot is no worker's any more. */
  disown(slot: number): void {
    const owner = this.#ledger.connections.owner(slot);
    const link = this.#links.get(owner);
    const isCounted = this.#ledger.connections.state(slot) !== STATE.granted;
    if (link !== undefined && isCounted) link.owned -= 1;
    if (owner !== 0) this.#ledger.connections.setOwner(slot, 0);
  }

  /** Closes a slot's descriptor and frees it. */
  free(slot: number): void {
    this.disown(slot);
    this.#waiting.delete(slot);
    this.#replaying.delete(slot);
    this.#dropDescriptor(slot);
    this.#ledger.connections.enter(slot, STATE.free);
    this.#freed.push(slot);
    this.#count -= 1;
  }

  /** The descriptor is somebody else's now (a refusal); the slot stays until `free`. */
  takeDescriptor(slot: number): number | null {
    const fd = this.descriptor(slot);
    this.#descriptors[slot] = 0;
    return fd;
  }

  /** Closes everything that no worker has. */
  closeWaiting(): number {
    const slots = [...this.#waiting.keys()];
    for (const slot of slots) this.free(slot);
    return slots.length;
  }

  /**
   * For a new reactor: takes over the table that a former one left. Slots of running workers stay;
   * others had their only descriptor in the reactor that died. Returns how many were lost.
   */
  adoptTable(): number {
    const { connections, connectionsTop } = this.#ledger;
    let lost = 0;
    for (let slot = 0; slot < connectionsTop; slot += 1) {
      const state = connections.state(slot);
      const link = this.#links.get(connections.owner(slot));
      if (state === STATE.free) {
        this.#freed.push(slot);
        continue;
      }
      this.#count += 1;
      const isReactors = state === STATE.held || state === STATE.ending || state === STATE.released;
      if (link !== undefined && !isReactors) {
        if (state !== STATE.granted) link.owned += 1;
        continue;
      }
      if (state !== STATE.granted && state !== STATE.closed) lost += 1;
      this.free(slot);
    }
    return lost;
  }

  #allocate(): number {
    this.#count += 1;
    const slot = this.#freed.pop();
    if (slot !== undefined) return slot;
    const top = this.#ledger.connectionsTop;
    this.#ledger.connectionsTop = top + 1;
    return top;
  }

  /** Slots named by rows of (slot, generation) that are still in that life and in `state`. */
  #slotsOf(rows: Uint32Array, state: number): number[] {
    const { connections } = this.#ledger;
    const slots: number[] = [];
    for (let at = 0; at + 1 < rows.length; at += 2) {
      const slot = rows[at] ?? 0;
      const generation = rows[at + 1] ?? 0;
      const isLive =
        slot < this.#descriptors.length &&
        connections.generation(slot) === generation &&
        connections.state(slot) === state;
      if (isLive) slots.push(slot);
    }
    return slots;
  }

  #dropDescriptor(slot: number): void {
    const fd = this.takeDescriptor(slot);
    if (fd !== null) closeDescriptor(fd);
  }

  #sendBatch(link: WorkerLink): void {
    const batch = this.#batches.get(link);
    if (batch === undefined) return;
    this.#batches.delete(link);
    const payload = Buffer.from(new Uint32Array(batch.rows).buffer);
    // refused by a channel that has just broken: the slots are in state handed, and recovery finds
    // them
    link.channel.send(PACKET_CONNECTIONS, payload, batch.fds);
  }

  #sendJournal(
    link: WorkerLink,
    slot: number,
    generation: number,
    listener: number,
    journal: Buffer,
    fd: number,
  ): void {
    this.#replaying.set(slot, journal);
    for (let from = 0; from < journal.length; from += JOURNAL_PART_BYTES) {
      const part = journal.subarray(from, from + JOURNAL_PART_BYTES);
      const payload = Buffer.allocUnsafe(ROW_BYTES + part.length);
      payload.writeUInt32LE(slot, 0);
      payload.writeUInt32LE(generation, 4);
      payload.writeUInt32LE(listener, 8);
      const rest = journal.length - from - part.length;
      payload.writeUInt32LE(rest, 12);
      part.copy(payload, ROW_BYTES);
      link.channel.send(PACKET_JOURNAL, payload, rest === 0 ? [fd] : []);
    }
  }
}
