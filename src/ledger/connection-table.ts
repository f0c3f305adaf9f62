/**
 * Typed view over the connection slots. Nothing is cached.
 *
 * Plain loads and stores, in program order: V8 keeps the order of stores into typed arrays, and who
 * reads another process's slot for a verdict does so when that process has stopped, when all its
 * stores are in memory. Only what two living processes may both write is done by compare and
 * exchange: the word of a slot in state `handed`.
 */
import { CONNECTION, CONNECTION_SLOT_BYTES, connectionsOffset } from "./layout.ts";
import type { LedgerShape } from "./layout.ts";
import { STATE, assertTransition } from "./connection-state.ts";
import type { ConnectionState } from "./connection-state.ts";

/**
 * Flag: the journal misses bytes since the quiescent point (past the limit, or no block was free).
 */
export const FLAG_JOURNAL_SHORT = 1;
/** Flag: when it was accepted it had waited for that less than PROMPT_MS. */
const FLAG_PROMPT = 2;

/**
 * Who found the accept queue empty less than this ago takes what has come since promptly. In
 * milliseconds.
 */
export const PROMPT_MS = 5;

const STATE_BITS = 4;
const STATE_MASK = 0xf;
const GENERATION_MASK = 0xfff_ffff;

function wordOf(generation: number, state: number): number {
  return ((generation & GENERATION_MASK) << STATE_BITS) | state;
}

/**
 * What a slot says at one moment, for readers of another process. May be torn: check before use.
 */
export interface ConnectionSnapshot {
  readonly slot: number;
  readonly state: number;
  readonly generation: number;
  readonly owner: number;
  readonly listener: number;
  readonly quiescentRead: number;
  readonly quiescentWritten: number;
  readonly interimBytes: number;
  readonly journalFrom: number;
  readonly journalBytes: number;
  readonly journalBlock: number;
  readonly responseEnd: number;
  readonly requestAtMs: number;
  readonly openedAtMs: number;
  readonly responseOrdinal: number;
  readonly deaths: number;
  readonly flags: number;
}

/**
 * The table of connections. Slots are numbers from 0; a slot's generation tells its lives apart.
 */
export class ConnectionTable {
  readonly max: number;
  readonly #i32: Int32Array;
  readonly #f64: Float64Array;
  readonly #i32Base: number;
  readonly #f64Base: number;

  constructor(memory: ArrayBuffer, shape: LedgerShape) {
    const offset = connectionsOffset(shape);
    this.max = shape.connectionsMax;
    this.#i32 = new Int32Array(memory);
    this.#f64 = new Float64Array(memory);
    this.#i32Base = offset >> 2;
    this.#f64Base = offset >> 3;
  }

  #i(slot: number, field: number): number {
    return this.#i32Base + slot * (CONNECTION_SLOT_BYTES >> 2) + (field >> 2);
  }

  #f(slot: number, field: number): number {
    return this.#f64Base + slot * (CONNECTION_SLOT_BYTES >> 3) + (field >> 3);
  }

  #int(slot: number, field: number): number {
    return this.#i32[this.#i(slot, field)] ?? 0;
  }

  #float(slot: number, field: number): number {
    return this.#f64[this.#f(slot, field)] ?? 0;
  }

  state(slot: number): number {
    return this.#int(slot, CONNECTION.word) & STATE_MASK;
  }

  /** Which life of the slot this is; raised by each hand-over. */
  generation(slot: number): number {
    return this.#int(slot, CONNECTION.word) >>> STATE_BITS;
  }

  owner(slot: number): number {
    return this.#int(slot, CONNECTION.owner);
  }

  listener(slot: number): number {
    return this.#int(slot, CONNECTION.listener);
  }

  requestAtMs(slot: number): number {
    return this.#float(slot, CONNECTION.requestAtMs);
  }

  flags(slot: number): number {
    return this.#int(slot, CONNECTION.flags);
  }

  deaths(slot: number): number {
    return this.#int(slot, CONNECTION.deaths);
  }

  setDeaths(slot: number, deaths: number): void {
    this.#i32[this.#i(slot, CONNECTION.deaths)] = deaths;
  }

  setFlags(slot: number, flags: number): void {
    this.#i32[this.#i(slot, CONNECTION.flags)] = flags;
  }

  /** Moves a slot to another state, of `STATE`; asserts the edge. */
  enter(slot: number, state: number): void {
    const index = this.#i(slot, CONNECTION.word);
    const word = this.#i32[index] ?? 0;
    assertTransition(word & STATE_MASK, state);
    this.#i32[index] = (word & ~STATE_MASK) | state;
  }

  /** Moves a slot from one state to another only if it is still there, in the same generation. */
  exchange(slot: number, generation: number, from: ConnectionState, to: ConnectionState): boolean {
    const index = this.#i(slot, CONNECTION.word);
    const expected = wordOf(generation, STATE[from]);
    return (
      Atomics.compareExchange(this.#i32, index, expected, wordOf(generation, STATE[to])) ===
      expected
    );
  }

  /**
   * Begins a life of a slot, in state `held` (for the rest see `setAccepted`) or `granted`, with
   * every other field zero.
   */
  open(
    slot: number,
    listener: number,
    openedAtMs: number,
    state: "held" | "granted",
    isPrompt = false,
  ): void {
    const index = this.#i(slot, CONNECTION.word);
    const word = this.#i32[index] ?? 0;
    assertTransition(word & STATE_MASK, STATE[state]);
    this.#i32.fill(0, index + 1, index + (CONNECTION_SLOT_BYTES >> 2));
    this.setAccepted(slot, listener, openedAtMs, isPrompt);
    Atomics.store(this.#i32, index, wordOf((word >>> STATE_BITS) + 1, STATE[state]));
  }

  /** From `held` to `handed`, owned by `workerId`, in a new generation, which is returned. */
  handOver(slot: number, workerId: number): number {
    const index = this.#i(slot, CONNECTION.word);
    const word = Atomics.load(this.#i32, index);
    assertTransition(word & STATE_MASK, STATE.handed);
    const generation = ((word >>> STATE_BITS) + 1) & GENERATION_MASK;
    this.#i32[this.#i(slot, CONNECTION.owner)] = workerId;
    Atomics.store(this.#i32, index, wordOf(generation, STATE.handed));
    return generation;
  }

  /** Its connection came by `listener`, at `nowMs`, and `isPrompt`: it had not waited for that. */
  setAccepted(slot: number, listener: number, nowMs: number, isPrompt: boolean): void {
    this.#i32[this.#i(slot, CONNECTION.listener)] = listener;
    this.#f64[this.#f(slot, CONNECTION.openedAtMs)] = nowMs;
    this.#i32[this.#i(slot, CONNECTION.flags)] = isPrompt ? FLAG_PROMPT : 0;
  }

  /**
   * When it was accepted, if its first bytes cannot have come PROMPT_MS before that. -Infinity:
   * they can, or nobody knows.
   */
  promptAtMs(slot: number): number {
    if ((this.flags(slot) & FLAG_PROMPT) === 0) return -Infinity;
    return this.#float(slot, CONNECTION.openedAtMs);
  }

  setOwner(slot: number, workerId: number): void {
    this.#i32[this.#i(slot, CONNECTION.owner)] = workerId;
  }

  /**
   * A quiescent point: the counts go into the set that is not in force, and one store puts it in
   * force, so that a worker that dies at any instruction leaves either the old counts or the new.
   */
  settle(slot: number, read: number, written: number): void {
    const active = this.#i(slot, CONNECTION.activeSet);
    const next = this.#i32[active] === 0 ? 1 : 0;
    const counts = this.#f(slot, CONNECTION.counts) + 2 * next;
    this.#f64[counts] = read;
    this.#f64[counts + 1] = written;
    this.#i32[active] = next;
    this.#i32[this.#i(slot, CONNECTION.interimBytes)] = 0;
  }

  /** The counts that are in force: bytes read. */
  quiescentRead(slot: number): number {
    const set = (this.#int(slot, CONNECTION.activeSet) & 1) * 2;
    return this.#f64[this.#f(slot, CONNECTION.counts) + set] ?? 0;
  }

  /** The counts that are in force: bytes written. */
  quiescentWritten(slot: number): number {
    const set = (this.#int(slot, CONNECTION.activeSet) & 1) * 2;
    return this.#f64[this.#f(slot, CONNECTION.counts) + set + 1] ?? 0;
  }

  /** A request's bytes begin at kernel count `from`. `bytes` 0 until they are in their blocks. */
  setJournal(slot: number, from: number, bytes: number, block: number): void {
    const index = this.#i(slot, CONNECTION.journalBytes);
    this.#i32[index] = 0; // the count of a former journal must never be read with the new block
    this.#f64[this.#f(slot, CONNECTION.journalFrom)] = from;
    this.#i32[index + 1] = block;
    this.#i32[index] = bytes;
  }

  /**
   * Nothing is in flight any more. What a former owner said of its journal (in its own arena) and
   * of its response must not be read as the next owner's.
   */
  clearInFlight(slot: number): void {
    this.#i32[this.#i(slot, CONNECTION.journalBytes)] = 0;
    this.#f64[this.#f(slot, CONNECTION.responseEnd)] = 0;
    this.#i32[this.#i(slot, CONNECTION.flags)] = 0;
  }

  setJournalBytes(slot: number, bytes: number): void {
    this.#i32[this.#i(slot, CONNECTION.journalBytes)] = bytes;
  }

  setRequestAtMs(slot: number, timeMs: number): void {
    this.#f64[this.#f(slot, CONNECTION.requestAtMs)] = timeMs;
  }

  /**
   * The response to the `ordinal`th request since the quiescent point (from 1) will be complete at
   * kernel count `end`. Never torn: a reader that comes between finds 0, not known.
   */
  setResponseEnd(slot: number, end: number, ordinal: number): void {
    const index = this.#f(slot, CONNECTION.responseEnd);
    this.#f64[index] = 0;
    this.#i32[this.#i(slot, CONNECTION.responseOrdinal)] = ordinal;
    this.#f64[index] = end;
  }

  setInterimBytes(slot: number, bytes: number): void {
    this.#i32[this.#i(slot, CONNECTION.interimBytes)] = bytes;
  }

  /** Everything that a slot says. */
  snapshot(slot: number): ConnectionSnapshot {
    return {
      slot,
      state: this.state(slot),
      generation: this.generation(slot),
      owner: this.owner(slot),
      listener: this.listener(slot),
      quiescentRead: this.quiescentRead(slot),
      quiescentWritten: this.quiescentWritten(slot),
      interimBytes: this.#int(slot, CONNECTION.interimBytes),
      journalFrom: this.#float(slot, CONNECTION.journalFrom),
      journalBytes: this.#int(slot, CONNECTION.journalBytes),
      journalBlock: this.#int(slot, CONNECTION.journalBlock),
      responseEnd: this.#float(slot, CONNECTION.responseEnd),
      requestAtMs: this.#float(slot, CONNECTION.requestAtMs),
      openedAtMs: this.#float(slot, CONNECTION.openedAtMs),
      responseOrdinal: this.#int(slot, CONNECTION.responseOrdinal),
      deaths: this.#int(slot, CONNECTION.deaths),
      flags: this.flags(slot),
    };
  }
}
