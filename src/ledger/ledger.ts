/** The ledger: one memory file, mapped by keeper, reactor and workers. Layout in `layout.ts`. */
import { HoldfastError } from "../base/mod.ts";
import { createMemoryFile, mapMemoryFile } from "../os/mod.ts";
import { ConnectionTable } from "./connection-table.ts";
import { JournalArena } from "./journal.ts";
import { LatencyTable } from "./latency-table.ts";
import {
  ARENA_BYTES,
  COMMITTED,
  CONNECTION_SLOT_BYTES,
  HEADER,
  HEADER_BYTES,
  LAYOUT_VERSION,
  LEDGER_MAGIC,
  TOTALS,
  arenaOffset,
  connectionsOffset,
  ledgerBytes,
  workOffset,
} from "./layout.ts";
import type { CommittedName, LedgerShape, TotalName } from "./layout.ts";
import { WorkTable } from "./work-table.ts";
import { WorkerTable } from "./worker-table.ts";

/** Bounds of a shape; a header outside them is not a ledger of ours. */
const CONNECTIONS_MAX = 1 << 20;
const WORKERS_MAX = 1024;

/** Views over the memory of one ledger. */
export class Ledger {
  readonly shape: LedgerShape;
  readonly connections: ConnectionTable;
  readonly workers: WorkerTable;
  readonly #memory: ArrayBuffer;
  readonly #i32: Int32Array;
  readonly #f64: Float64Array;

  private constructor(memory: ArrayBuffer, shape: LedgerShape) {
    this.#memory = memory;
    this.shape = shape;
    this.connections = new ConnectionTable(memory, shape);
    this.workers = new WorkerTable(memory, shape);
    this.#i32 = new Int32Array(memory, 0, HEADER_BYTES >> 2);
    this.#f64 = new Float64Array(memory, 0, HEADER_BYTES >> 3);
  }

  /** How large it is; V8 counts that much as memory outside of its heap. */
  get bytes(): number {
    return this.#memory.byteLength;
  }

  /** Makes a memory file for a new ledger and writes its header. Returns the descriptor. */
  static create(shape: LedgerShape): number {
    const bytes = ledgerBytes(shape);
    const fd = createMemoryFile("holdfast-ledger", bytes);
    const header = new DataView(mapMemoryFile(fd, HEADER_BYTES));
    header.setUint32(HEADER.version, LAYOUT_VERSION, true);
    header.setUint32(HEADER.connectionsMax, shape.connectionsMax, true);
    header.setUint32(HEADER.workersMax, shape.workersMax, true);
    header.setFloat64(HEADER.bytes, bytes, true);
    header.setUint32(HEADER.magic, LEDGER_MAGIC, true);
    return fd;
  }

  /**
   * Maps the ledger behind a descriptor.
   * @throws HoldfastError ERR_HOLDFAST_LEDGER when it is not a ledger of this layout version.
   */
  static attach(fd: number): Ledger {
    const header = new DataView(mapMemoryFile(fd, HEADER_BYTES));
    const { magic, version, shape, isSane } = headerOf(header);
    if (magic !== LEDGER_MAGIC || version !== LAYOUT_VERSION) {
      throw new HoldfastError(
        "ERR_HOLDFAST_LEDGER",
        `Cannot attach to the ledger on descriptor ${fd}: it has layout version ${version}, this ` +
          `is ${LAYOUT_VERSION}. Run every part of Holdfast from one installation.`,
      );
    }
    if (!isSane) {
      throw new HoldfastError(
        "ERR_HOLDFAST_LEDGER",
        `Cannot attach to the ledger on descriptor ${fd}: its header names impossible sizes. ` +
          `It was damaged or is not a ledger; start the service again.`,
      );
    }
    return new Ledger(mapMemoryFile(fd, ledgerBytes(shape)), shape);
  }

  /**
   * A copy of a ledger that lies in another process or in a core: the rows of workers and the slots
   * of connections, and the arena of the worker with this pid. The rest is zeroes, and takes no
   * memory. Null when the header is none of this layout version.
   *
   * @param read fills the buffer from that offset on, as far as there is something
   */
  static copyOf(pid: number, read: (offset: number, into: Buffer) => void): Ledger | null {
    const header = Buffer.from(new ArrayBuffer(HEADER_BYTES));
    read(0, header);
    const { magic, version, shape, isSane } = headerOf(new DataView(header.buffer));
    if (magic !== LEDGER_MAGIC || version !== LAYOUT_VERSION || !isSane) return null;
    const memory = new ArrayBuffer(ledgerBytes(shape));
    const ledger = new Ledger(memory, shape);
    read(0, Buffer.from(memory, 0, connectionsOffset(shape)));
    const slotsBytes = ledger.connectionsTop * CONNECTION_SLOT_BYTES;
    read(connectionsOffset(shape), Buffer.from(memory, connectionsOffset(shape), slotsBytes));
    for (let row = 0; row < shape.workersMax; row += 1) {
      if (ledger.workers.int(row, "pid") !== pid) continue;
      const offset = arenaOffset(shape, row);
      read(offset, Buffer.from(memory, offset, ARENA_BYTES));
    }
    return ledger;
  }

  /**
   * The arena of a worker row. Makes a new list of free blocks: only the row's worker may allocate.
   */
  arena(row: number): JournalArena {
    return new JournalArena(this.#memory, this.shape, row);
  }

  /** The latencies that the worker of a row has counted. */
  latency(row: number): LatencyTable {
    return new LatencyTable(this.#memory, this.shape, row);
  }

  /** The work in flight of the worker of a row. Only that worker is its writer. */
  work(row: number, role: "writer" | "reader"): WorkTable {
    return new WorkTable(this.#memory, workOffset(this.shape, row), role);
  }

  /** Those of all workers that have gone. Written by the reactor only. */
  latencyOfGoneWorkers(): LatencyTable {
    return this.latency(this.shape.workersMax);
  }

  total(name: TotalName): number {
    return this.#f64[(HEADER.totals >> 3) + TOTALS.indexOf(name)] ?? 0;
  }

  /** Adds to a counter. Written by the reactor only. */
  count(name: TotalName, by = 1): void {
    this.#f64[(HEADER.totals >> 3) + TOTALS.indexOf(name)] = this.total(name) + by;
  }

  /** What the reactor that ran last had decided. */
  committed(name: CommittedName): number {
    return this.#i32[(HEADER.committed >> 2) + COMMITTED.indexOf(name)] ?? 0;
  }

  /** Written by the reactor only. */
  commit(name: CommittedName, value: number): void {
    this.#i32[(HEADER.committed >> 2) + COMMITTED.indexOf(name)] = value;
  }

  /** One more than the highest slot ever used: where a scan may stop. */
  get connectionsTop(): number {
    return Math.min(this.#i32[HEADER.connectionsTop >> 2] ?? 0, this.shape.connectionsMax);
  }

  set connectionsTop(top: number) {
    this.#i32[HEADER.connectionsTop >> 2] = top;
  }
}

function headerOf(header: DataView): {
  readonly magic: number;
  readonly version: number;
  readonly shape: LedgerShape;
  readonly isSane: boolean;
} {
  const shape = {
    connectionsMax: header.getUint32(HEADER.connectionsMax, true),
    workersMax: header.getUint32(HEADER.workersMax, true),
  };
  const isSane =
    shape.connectionsMax <= CONNECTIONS_MAX &&
    shape.workersMax <= WORKERS_MAX &&
    header.getFloat64(HEADER.bytes, true) === ledgerBytes(shape);
  const magic = header.getUint32(HEADER.magic, true);
  return { magic, version: header.getUint32(HEADER.version, true), shape, isSane };
}
