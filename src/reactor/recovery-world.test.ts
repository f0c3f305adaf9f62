/**
 * A reactor's memory and channels with workers that are made up: real ledger, real retention and
 * recovery, real packets and loopback connections, all in this process. No test itself.
 *
 * A worker here does with ledger and sockets what the real one does (worker/connection-account.ts),
 * step by step, so that a test can let it die between any two.
 */
import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { Client, connect } from "../../test/support/loopback.ts";
import { waitUntil } from "../../test/support/wait-until.ts";
import { PACKET_CONNECTIONS, PACKET_JOURNAL } from "../base/mod.ts";
import {
  BLOCK_PAYLOAD_BYTES,
  FLAG_JOURNAL_SHORT,
  INBOX_BYTES,
  Ledger,
  STATE,
} from "../ledger/mod.ts";
import type { JournalArena } from "../ledger/mod.ts";
import {
  PacketChannel,
  closeDescriptor,
  discardBytes,
  machineNowMs,
  sendBytes,
  socketPair,
  streamPair,
  stableBuffer,
} from "../os/mod.ts";
import { Recovery } from "./recovery.ts";
import type { RecoverySummary } from "./recovery.ts";
import { Retention } from "./retention.ts";
import type { ReplayPolicy } from "./verdict.ts";
import { AgentLink } from "./agent-link.ts";
import { WorkerLink } from "./worker-link.ts";

export const LISTENER = 3;
export const CONNECTIONS_MAX = 8;
export { Client, STATE };

/** A connection that a worker has received. */
interface Received {
  readonly slot: number;
  readonly generation: number;
  readonly fd: number;
  readonly journal: Buffer | null;
}

/** The worker's end of a channel, and what it does with its connections. */
export class FakeWorker {
  readonly link: WorkerLink;
  readonly arena: JournalArena;
  readonly received: Received[] = [];
  /** Offsets of the parts of journals that came. */
  readonly parts: number[] = [];
  readonly #world: RecoveryWorld;
  readonly #channel: PacketChannel;
  readonly #chains: Map<number, number> = new Map();
  #part: Buffer = Buffer.alloc(0);

  constructor(world: RecoveryWorld, id: number) {
    const [reactors, workers] = socketPair();
    const { ledger } = world;
    const row = ledger.workers.claim(id, id, 1);
    const channel = new PacketChannel(reactors);
    const [stream, nobody] = streamPair();
    closeDescriptor(nobody);
    const agent = new AgentLink(stream, () => undefined);
    this.#world = world;
    const identity = { id, index: id, generation: 1 };
    this.link = new WorkerLink(identity, 1, row, channel, agent, ledger.workers);
    this.link.listeners.add(LISTENER);
    this.link.isFed = true;
    this.arena = ledger.arena(row);
    ledger.workers.setFloat(row, "heartbeatMs", machineNowMs());
    this.#channel = new PacketChannel(workers);
    this.#channel.onPacket((kind, payload, fds) => this.#take(kind, payload, fds));
  }

  #take(kind: number, payload: Buffer, fds: readonly number[]): void {
    if (kind === PACKET_CONNECTIONS) {
      fds.forEach((fd, index) => {
        const slot = payload.readUInt32LE(16 * index);
        const generation = payload.readUInt32LE(16 * index + 4);
        this.received.push({ slot, generation, fd, journal: null });
      });
    } else if (kind === PACKET_JOURNAL) {
      this.parts.push(payload.readUInt32LE(12));
      this.#part = Buffer.concat([this.#part, payload.subarray(16)]);
      const [fd] = fds;
      if (fd === undefined) return;
      const [slot, generation] = [payload.readUInt32LE(0), payload.readUInt32LE(4)];
      this.received.push({ slot, generation, fd, journal: this.#part });
      this.#part = Buffer.alloc(0);
    } else fds.forEach(closeDescriptor);
  }

  /** Waits for a connection and claims it, as `Listeners.receive` does. */
  async receive(slot: number): Promise<Received> {
    const { connections } = this.#world.ledger;
    const isNow = (each: Received): boolean =>
      each.slot === slot && each.generation === connections.generation(slot);
    const what = `worker ${this.link.id} receives slot ${slot}`;
    await waitUntil(what, () => this.received.some(isNow));
    const found = this.received.find(isNow);
    assert.ok(found !== undefined);
    assert.ok(connections.exchange(slot, found.generation, "handed", "idle"));
    const { workers } = this.#world.ledger;
    workers.setFloat(this.link.row, "received", workers.float(this.link.row, "received") + 1);
    return found;
  }

  #fd(slot: number): number {
    return this.received.findLast((each) => each.slot === slot)?.fd ?? -1;
  }

  /** The kernel gives the worker these bytes: they lie in the inbox, and no JavaScript has run. */
  async takeFromKernel(slot: number, text: string): Promise<void> {
    const into = stableBuffer(INBOX_BYTES);
    const taken = stableBuffer(INBOX_BYTES);
    let bytes = 0;
    await waitUntil(`bytes on slot ${slot}`, () => {
      const part = taken.subarray(0, text.length - bytes);
      const count = discardBytes(this.#fd(slot), part);
      if (count > 0) taken.copy(into, bytes, 0, count);
      bytes += Math.max(count, 0);
      return bytes === text.length;
    });
    assert.equal(into.toString("latin1", 0, bytes), text);
    into.copy(this.arena.inbox, 0, 0, bytes);
  }

  /** Bytes are written down: the state is busy, and they are in the journal. */
  writeDown(slot: number, text: string): void {
    const { connections } = this.#world.ledger;
    if (connections.state(slot) === STATE.idle) connections.enter(slot, STATE.busy);
    const bytes = Buffer.from(text, "latin1");
    let last = -1;
    for (let at = 0; at < bytes.length; at += BLOCK_PAYLOAD_BYTES) {
      last = this.arena.allocate(last);
      if (at === 0) {
        this.#chains.set(slot, last);
        connections.setJournal(slot, connections.quiescentRead(slot), 0, last);
      }
      this.arena.write(bytes.subarray(at, at + BLOCK_PAYLOAD_BYTES), last, 0);
    }
    connections.setJournalBytes(slot, bytes.length);
    this.arena.inbox[0] = 0;
  }

  /** The whole way of a request: from the client into the journal. */
  async read(slot: number, client: Client, text: string): Promise<void> {
    client.send(Buffer.from(text, "latin1"));
    const { connections } = this.#world.ledger;
    for (let at = 0; at < text.length; at += INBOX_BYTES / 2) {
      await this.takeFromKernel(slot, text.slice(at, at + INBOX_BYTES / 2));
    }
    this.writeDown(slot, text);
    assert.equal(connections.state(slot), STATE.busy);
  }

  /** Marks the journal as too short for what was read: its first block is left. */
  giveUpJournal(slot: number): void {
    const { connections } = this.#world.ledger;
    const { journalBytes } = connections.snapshot(slot);
    connections.setFlags(slot, FLAG_JOURNAL_SHORT);
    connections.setJournalBytes(slot, Math.min(journalBytes, BLOCK_PAYLOAD_BYTES));
  }

  write(slot: number, text: string): void {
    assert.equal(sendBytes(this.#fd(slot), Buffer.from(text)), text.length);
  }

  /** Answers, and is idle again. */
  answer(slot: number, request: string, response: string): void {
    const { connections } = this.#world.ledger;
    const [read, written] = [connections.quiescentRead(slot), connections.quiescentWritten(slot)];
    connections.setResponseEnd(slot, written + response.length, 1);
    this.write(slot, response);
    connections.settle(slot, read + request.length, written + response.length);
    const chain = this.#chains.get(slot);
    connections.setJournalBytes(slot, 0);
    if (chain !== undefined) this.arena.release(chain);
    connections.enter(slot, STATE.idle);
  }

  /** What the process had open is closed by the kernel. */
  die(): void {
    this.#channel.close();
    for (const { fd } of this.received.splice(0)) closeDescriptor(fd);
  }
}

/** See the file's docstring. */
export class RecoveryWorld {
  readonly ledger: Ledger;
  readonly links: Map<number, WorkerLink> = new Map();
  readonly retention: Retention;
  readonly recovery: Recovery;
  policy: ReplayPolicy = "idempotent";
  readonly #context: TestContext;
  readonly #workers: FakeWorker[] = [];

  constructor(context: TestContext) {
    const fd = Ledger.create({ connectionsMax: CONNECTIONS_MAX, workersMax: 6 });
    this.ledger = Ledger.attach(fd);
    closeDescriptor(fd);
    this.retention = new Retention(this.ledger, this.links);
    this.recovery = new Recovery(this.ledger, this.retention, () => this.policy);
    this.#context = context;
    context.after(() => {
      this.recovery.destroy();
      for (const worker of this.#workers) {
        worker.die();
        worker.link.channel.close();
      }
      for (let slot = 0; slot < CONNECTIONS_MAX; slot += 1) {
        const left = this.retention.takeDescriptor(slot);
        if (left !== null) closeDescriptor(left);
      }
    });
  }

  worker(): FakeWorker {
    const worker = new FakeWorker(this, this.#workers.length + 1);
    this.#workers.push(worker);
    this.links.set(worker.link.id, worker.link);
    return worker;
  }

  /** A new connection; it goes to the worker that placement chooses. */
  async accept(): Promise<{ slot: number; client: Client }> {
    const { fd, client } = await connect(this.#context);
    const before = new Set(this.#slots());
    this.retention.accept(fd, LISTENER, machineNowMs(), true);
    this.retention.flush();
    const slot = this.#slots().find((each) => !before.has(each)) ?? -1;
    return { slot, client };
  }

  /** A new connection that this worker has received. */
  async open(worker: FakeWorker): Promise<{ slot: number; client: Client }> {
    const connection = await this.accept();
    await worker.receive(connection.slot);
    return connection;
  }

  #slots(): number[] {
    return Array.from({ length: CONNECTIONS_MAX }, (_, slot) => slot).filter(
      (slot) => this.ledger.connections.state(slot) !== STATE.free,
    );
  }

  /** The worker is gone, and its connections get their verdicts, as `Service` does at an exit. */
  bury(worker: FakeWorker, hasStalled = false): RecoverySummary {
    worker.die();
    worker.link.isFed = false;
    this.links.delete(worker.link.id);
    return this.recovery.recover(worker.link, hasStalled);
  }

  /** What `Service` does with one that makes no progress: it is frozen, and not dead yet. */
  freeze(worker: FakeWorker, hasStalled: boolean): RecoverySummary {
    worker.link.isFed = false;
    return this.recovery.recover(worker.link, hasStalled);
  }

  stateOf(slot: number): number {
    return this.ledger.connections.state(slot);
  }
}

/** What happened, without the figures that are zero and without the time. */
export function figures(summary: RecoverySummary): Record<string, unknown> {
  const { milliseconds, requestsOfDeath, ...counts } = summary;
  assert.ok(milliseconds >= 0);
  const changed = Object.entries(counts).filter(([, count]) => count !== 0);
  const deaths = requestsOfDeath.map(({ method, target }) => `${method} ${target}`);
  return { ...Object.fromEntries(changed), ...(deaths.length > 0 ? { deaths } : {}) };
}
