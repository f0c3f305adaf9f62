/**
 * The work in flight of one process: counts by kind, and a row for each piece of it. Written by
 * its process alone, read by anybody; a row that changes while it is read is left out.
 *
 * ```
 *   begin(kind, name) --> row --> state, progress ... --> end(row, outcome)
 *                          |                                |
 *                     inFlight + 1                inFlight - 1, outcome + 1, duration
 * ```
 * Nothing is allocated by `begin` and `end`. A piece of work is a whole number, its row and how
 * often that row has been used, so that an end too many is noticed.
 */
import { bucketOf, quantilesUs } from "../base/mod.ts";
import * as layout from "./work-layout.ts";
import { REFUSALS, WORK_GATE, WORK_HEADER, WORK_KIND, WORK_OUTCOMES } from "./work-layout.ts";
import { WORK_ROW, WORK_STATES } from "./work-layout.ts";
import type { Refusal, WorkOutcome, WorkState } from "./work-layout.ts";

/** Bits of a piece of work's number that are its row. */
const ROW_BITS = 13;
const ROW_MASK: number = layout.WORK_ROWS_MAX - 1;
const USE_MASK: number = 2 ** (31 - ROW_BITS) - 1;
/** The row before it stays free, so that no piece of work is 0. */
const FIRST_ROW = 1;
/** Less than this is counted and not listed; the kind is what is below. */
const UNLISTED = -1;
const OTHER_KIND = "(other)";
/** From here down are requests that only their connections account for. */
const FIRST_REQUEST = -1024;

/** As many connections as a ledger has at most. */
const SLOTS = 2 ** 20;
/** A prime: requests of one length come round to the same number as late as can be. */
const REQUESTS = 2039;

/**
 * The number of the request on a connection, as the parent of what is done for it: `from` is the
 * connection's quiescent point, before which the kernel's count of read bytes was when it came.
 */
export function requestWork(slot: number, from: number): number {
  return FIRST_REQUEST - slot - SLOTS * (from % REQUESTS);
}

/** One piece of work in flight. */
export interface WorkView {
  readonly work: number;
  readonly kind: string;
  readonly name: string;
  /** 0: part of nothing else. */
  readonly parent: number;
  readonly state: WorkState;
  readonly startMs: number;
  readonly deadlineMs: number;
  readonly progressMs: number;
  readonly bytes: number;
  readonly buffered: number;
}

/** What is known of all work of one kind. */
export interface KindView {
  readonly kind: string;
  readonly inFlight: number;
  readonly unlisted: number;
  readonly opened: number;
  readonly outcomes: Readonly<Record<WorkOutcome, number>>;
  readonly bytes: number;
  readonly meanUs: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly maxUs: number;
}

/** What a gate has written down. */
export interface GateView {
  readonly name: string;
  readonly observes: boolean;
  readonly limit: number;
  readonly inFlight: number;
  readonly queued: number;
  readonly oldestAtMs: number;
  readonly admitted: number;
  readonly refused: Readonly<Record<Refusal, number>>;
  readonly overloadedMs: number;
}

/** See the file's docstring. */
export class WorkTable {
  readonly #bytes: Buffer;
  readonly #i32: Int32Array;
  readonly #f64: Float64Array;
  /** Rows that are free, each pointing to the next. */
  readonly #next: Int32Array;
  #free = -1;
  readonly #kinds = new Map<string, number>();
  readonly #names = new Map<string, number>();
  readonly #isWriter: boolean;
  /** A number that is not whole is allocated when it is handed to a function: it lies here. */
  readonly #now = new Float64Array(1);
  /** Requests to others that their sender has written down itself: who looks on leaves them out. */
  readonly observed: WeakSet<object> = new WeakSet();
  /** While it is true, so is what is begun. */
  isObserved = false;

  /** The writer begins with an empty table; there must be only one. */
  constructor(memory: ArrayBuffer, offset: number, role: "writer" | "reader") {
    this.#bytes = Buffer.from(memory, offset, layout.WORK_BYTES);
    this.#i32 = new Int32Array(memory, offset, layout.WORK_BYTES >> 2);
    this.#f64 = new Float64Array(memory, offset, layout.WORK_BYTES >> 3);
    this.#isWriter = role === "writer";
    this.#next = new Int32Array(this.#isWriter ? layout.WORK_ROWS_MAX : 0);
    if (this.#isWriter) this.#clear();
  }

  /** What another process has left behind here, without touching pages that it has not touched. */
  #clear(): void {
    const { rowsTop, kinds, gates } = this.#sizes();
    this.#bytes.fill(
      0,
      layout.WORK_ROWS_OFFSET,
      layout.WORK_ROWS_OFFSET + rowsTop * layout.WORK_ROW_BYTES,
    );
    for (let kind = 0; kind < kinds; kind += 1) {
      const at = layout.WORK_KINDS_OFFSET + kind * layout.WORK_KIND_BYTES;
      const end = at + WORK_KIND.counts + 8 * (this.#i32[(at + WORK_KIND.highest) >> 2] ?? 0);
      this.#bytes.fill(0, at, Math.min(end, at + layout.WORK_KIND_BYTES));
    }
    const gatesAt = layout.WORK_GATES_OFFSET;
    this.#bytes.fill(0, gatesAt, gatesAt + gates * layout.WORK_GATE_BYTES);
    this.#bytes.fill(0, 0, 64);
  }

  #sizes(): { readonly rowsTop: number; readonly kinds: number; readonly gates: number } {
    const word = (at: number, max: number): number =>
      Math.max(0, Math.min(this.#i32[at >> 2] ?? 0, max));
    return {
      rowsTop: word(WORK_HEADER.rowsTop, layout.WORK_ROWS_MAX),
      kinds: word(WORK_HEADER.kinds, layout.WORK_KINDS_MAX),
      gates: word(WORK_HEADER.gates, layout.WORK_GATES_MAX),
    };
  }

  /** The number of a kind; of `(other)` when there are too many. */
  kind(name: string): number {
    const known = this.#kinds.get(name);
    if (known !== undefined) return known;
    const kind = this.#kinds.size;
    if (kind >= layout.WORK_KINDS_MAX - 1 && name !== OTHER_KIND) return this.kind(OTHER_KIND);
    this.#kinds.set(name, kind);
    const at = layout.WORK_KINDS_OFFSET + kind * layout.WORK_KIND_BYTES;
    this.#i32[(at + WORK_KIND.nameBytes) >> 2] = this.#write(name, at + WORK_KIND.name, 128);
    this.#i32[WORK_HEADER.kinds >> 2] = kind + 1;
    return kind;
  }

  /** The number of a name, from 1; 0, no name, when there are too many. */
  name(text: string): number {
    const known = this.#names.get(text);
    if (known !== undefined) return known;
    const index = this.#names.size;
    if (index === layout.WORK_NAMES_MAX) return 0;
    this.#names.set(text, index + 1);
    const at = layout.WORK_NAMES_OFFSET + index * layout.WORK_NAME_BYTES;
    this.#i32[at >> 2] = this.#write(text, at + 4, layout.WORK_NAME_BYTES - 4);
    return index + 1;
  }

  #write(text: string, at: number, max: number): number {
    const bytes = Buffer.from(text).subarray(0, max);
    this.#bytes.set(bytes, at);
    return bytes.length;
  }

  /** When what is written next happens. */
  set nowMs(value: number) {
    this.#now[0] = value;
  }

  /** A piece of work begins now. Negative when there is no row left for it. */
  begin(kind: number, name: number, parent: number, deadlineMs: number): number {
    const i32 = this.#i32;
    const kindAt = (layout.WORK_KINDS_OFFSET + kind * layout.WORK_KIND_BYTES) >> 2;
    const inFlight = kindAt + (WORK_KIND.inFlight >> 2);
    i32[inFlight] = (i32[inFlight] ?? 0) + 1;
    let row = this.#free;
    if (row >= 0) this.#free = this.#next[row] ?? -1;
    else {
      row = Math.max(FIRST_ROW, i32[WORK_HEADER.rowsTop >> 2] ?? 0);
      if (row >= layout.WORK_ROWS_MAX) {
        const unlisted = kindAt + (WORK_KIND.unlisted >> 2);
        i32[unlisted] = (i32[unlisted] ?? 0) + 1;
        return UNLISTED - kind;
      }
      i32[WORK_HEADER.rowsTop >> 2] = row + 1;
    }
    const at = (layout.WORK_ROWS_OFFSET + row * layout.WORK_ROW_BYTES) >> 2;
    const f64 = this.#f64;
    const nowMs = this.#now[0] ?? 0;
    i32[at + (WORK_ROW.kindAndName >> 2)] = kind | (name << 8);
    i32[at + (WORK_ROW.parent >> 2)] = parent;
    i32[at + (WORK_ROW.state >> 2)] = 0;
    const wide = at >> 1;
    f64[wide + (WORK_ROW.startMs >> 3)] = nowMs;
    f64[wide + (WORK_ROW.deadlineMs >> 3)] = deadlineMs;
    f64[wide + (WORK_ROW.progressMs >> 3)] = nowMs;
    f64[wide + (WORK_ROW.bytes >> 3)] = 0;
    f64[wide + (WORK_ROW.buffered >> 3)] = 0;
    const sequence = ((i32[at] ?? 0) + 1) | 1;
    i32[at] = sequence;
    return (((sequence >>> 1) & USE_MASK) << ROW_BITS) | row;
  }

  /** Where the row of a piece of work lies in the words; -1: it has ended, or is not listed. */
  #rowAt(work: number): number {
    if (work < 0) return -1;
    const at = (layout.WORK_ROWS_OFFSET + (work & ROW_MASK) * layout.WORK_ROW_BYTES) >> 2;
    const sequence = this.#i32[at] ?? 0;
    const isIt = (sequence & 1) === 1 && ((sequence >>> 1) & USE_MASK) === work >>> ROW_BITS;
    return isIt ? at : -1;
  }

  /** It has ended now. False, and counted, when it had ended before. */
  end(work: number, outcome: number): boolean {
    const i32 = this.#i32;
    const f64 = this.#f64;
    if (work < 0) return this.#endUnlisted(UNLISTED - work, outcome);
    const at = this.#rowAt(work);
    if (at < 0) {
      f64[WORK_HEADER.strayEnds >> 3] = (f64[WORK_HEADER.strayEnds >> 3] ?? 0) + 1;
      return false;
    }
    const kind = (i32[at + (WORK_ROW.kindAndName >> 2)] ?? 0) & 0xff;
    const kindAt = (layout.WORK_KINDS_OFFSET + kind * layout.WORK_KIND_BYTES) >> 2;
    const wide = kindAt >> 1;
    const startMs = f64[(at + (WORK_ROW.startMs >> 2)) >> 1] ?? 0;
    i32[at] = (i32[at] ?? 0) + 1;
    const row = work & ROW_MASK;
    this.#next[row] = this.#free;
    this.#free = row;
    const inFlight = kindAt + (WORK_KIND.inFlight >> 2);
    i32[inFlight] = (i32[inFlight] ?? 0) - 1;
    const count = wide + (WORK_KIND.outcomes >> 3) + outcome;
    f64[count] = (f64[count] ?? 0) + 1;
    const moved = f64[(at + (WORK_ROW.bytes >> 2)) >> 1] ?? 0;
    if (moved > 0) {
      const bytes = wide + (WORK_KIND.bytes >> 3);
      f64[bytes] = (f64[bytes] ?? 0) + moved;
    }
    this.#record(kindAt, startMs);
    return true;
  }

  #endUnlisted(kind: number, outcome: number): boolean {
    const kindAt = (layout.WORK_KINDS_OFFSET + kind * layout.WORK_KIND_BYTES) >> 2;
    const unlisted = kindAt + (WORK_KIND.unlisted >> 2);
    if (kind >= this.#kinds.size || (this.#i32[unlisted] ?? 0) <= 0) {
      this.#f64[WORK_HEADER.strayEnds >> 3] = this.strayEnds + 1;
      return false;
    }
    this.#i32[unlisted] = (this.#i32[unlisted] ?? 0) - 1;
    const inFlight = kindAt + (WORK_KIND.inFlight >> 2);
    this.#i32[inFlight] = (this.#i32[inFlight] ?? 0) - 1;
    const count = (kindAt >> 1) + (WORK_KIND.outcomes >> 3) + outcome;
    this.#f64[count] = (this.#f64[count] ?? 0) + 1;
    return true;
  }

  #record(kindAt: number, startMs: number): void {
    const f64 = this.#f64;
    const us = ((this.#now[0] ?? 0) - startMs) * 1000;
    const wide = kindAt >> 1;
    const bucket = bucketOf(us);
    const count = wide + (WORK_KIND.counts >> 3) + bucket;
    f64[count] = (f64[count] ?? 0) + 1;
    const sum = wide + (WORK_KIND.sumUs >> 3);
    if (us > 0) f64[sum] = (f64[sum] ?? 0) + us;
    const max = wide + (WORK_KIND.maxUs >> 3);
    if (us > (f64[max] ?? 0)) f64[max] = us;
    const lowest = kindAt + (WORK_KIND.lowest >> 2);
    const low = this.#i32[lowest] ?? 0;
    if (low === 0 || bucket + 1 < low) this.#i32[lowest] = bucket + 1;
    const highest = kindAt + (WORK_KIND.highest >> 2);
    if (bucket + 1 > (this.#i32[highest] ?? 0)) this.#i32[highest] = bucket + 1;
  }

  /** Work of which only the number counts: one more, or, with an outcome, one less. */
  tally(kind: number, outcome: WorkOutcome | null): void {
    const kindAt = (layout.WORK_KINDS_OFFSET + kind * layout.WORK_KIND_BYTES) >> 2;
    const inFlight = kindAt + (WORK_KIND.inFlight >> 2);
    this.#i32[inFlight] = (this.#i32[inFlight] ?? 0) + (outcome === null ? 1 : -1);
    if (outcome === null) return;
    const count = (kindAt >> 1) + (WORK_KIND.outcomes >> 3) + WORK_OUTCOMES.indexOf(outcome);
    this.#f64[count] = (this.#f64[count] ?? 0) + 1;
  }

  /** What it is at now. Work that has ended is left alone. */
  setState(work: number, state: number): void {
    const at = this.#rowAt(work);
    if (at >= 0) this.#i32[at + (WORK_ROW.state >> 2)] = state;
  }

  /** Its name turned out later. Work that has ended is left alone. */
  rename(work: number, name: number): void {
    const at = this.#rowAt(work) + (WORK_ROW.kindAndName >> 2);
    if (this.#rowAt(work) < 0) return;
    this.#i32[at] = ((this.#i32[at] ?? 0) & 0xff) | (name << 8);
  }

  /** It has moved bytes, or at least done something. */
  progress(work: number, bytes: number): void {
    const at = this.#rowAt(work);
    if (at < 0) return;
    const wide = at >> 1;
    this.#f64[wide + (WORK_ROW.progressMs >> 3)] = this.#now[0] ?? 0;
    if (bytes <= 0) return;
    const moved = wide + (WORK_ROW.bytes >> 3);
    this.#f64[moved] = (this.#f64[moved] ?? 0) + bytes;
  }

  /** Bytes that it holds in memory. */
  setBuffered(work: number, bytes: number): void {
    const at = this.#rowAt(work);
    if (at >= 0) this.#f64[(at + (WORK_ROW.buffered >> 2)) >> 1] = bytes;
  }

  inFlight(kind: number): number {
    const at = layout.WORK_KINDS_OFFSET + kind * layout.WORK_KIND_BYTES;
    return this.#i32[(at + WORK_KIND.inFlight) >> 2] ?? 0;
  }

  /** Ends of work that was not in flight. */
  get strayEnds(): number {
    return this.#f64[WORK_HEADER.strayEnds >> 3] ?? 0;
  }

  /** All that is in flight and listed, oldest first. */
  list(): readonly WorkView[] {
    const { rowsTop } = this.#sizes();
    const found: WorkView[] = [];
    for (let row = 0; row < rowsTop; row += 1) {
      const view = this.#view(row);
      if (view !== null) found.push(view);
    }
    return found.toSorted((a, b) => a.startMs - b.startMs);
  }

  /** Null: no such work is in flight. */
  get(work: number): WorkView | null {
    return this.#rowAt(work) < 0 ? null : this.#view(work & ROW_MASK);
  }

  #view(row: number): WorkView | null {
    const at = (layout.WORK_ROWS_OFFSET + row * layout.WORK_ROW_BYTES) >> 2;
    const sequence = this.#i32[at] ?? 0;
    if ((sequence & 1) === 0) return null;
    const i32 = (offset: number): number => this.#i32[at + (offset >> 2)] ?? 0;
    const f64 = (offset: number): number => this.#f64[(at + (offset >> 2)) >> 1] ?? 0;
    const kindAndName = i32(WORK_ROW.kindAndName);
    const view: WorkView = {
      work: (((sequence >>> 1) & USE_MASK) << ROW_BITS) | row,
      kind: this.#kindName(kindAndName & 0xff),
      name: this.#nameText(kindAndName >>> 8),
      parent: i32(WORK_ROW.parent),
      state: WORK_STATES[i32(WORK_ROW.state)] ?? "running",
      startMs: f64(WORK_ROW.startMs),
      deadlineMs: f64(WORK_ROW.deadlineMs),
      progressMs: f64(WORK_ROW.progressMs),
      bytes: f64(WORK_ROW.bytes),
      buffered: f64(WORK_ROW.buffered),
    };
    return this.#i32[at] === sequence ? view : null;
  }

  #kindName(kind: number): string {
    if (kind >= layout.WORK_KINDS_MAX) return OTHER_KIND;
    const at = layout.WORK_KINDS_OFFSET + kind * layout.WORK_KIND_BYTES;
    return this.#text(at + WORK_KIND.name, this.#i32[(at + WORK_KIND.nameBytes) >> 2] ?? 0, 128);
  }

  #nameText(index: number): string {
    if (index < 1 || index > layout.WORK_NAMES_MAX) return "";
    const at = layout.WORK_NAMES_OFFSET + (index - 1) * layout.WORK_NAME_BYTES;
    return this.#text(at + 4, this.#i32[at >> 2] ?? 0, layout.WORK_NAME_BYTES - 4);
  }

  #text(at: number, bytes: number, max: number): string {
    return this.#bytes.toString("utf8", at, at + Math.max(0, Math.min(bytes, max)));
  }

  /** All kinds that were ever begun. */
  kinds(): readonly KindView[] {
    return Array.from({ length: this.#sizes().kinds }, (_, kind) => this.kindView(kind));
  }

  kindView(kind: number): KindView {
    const at = layout.WORK_KINDS_OFFSET + kind * layout.WORK_KIND_BYTES;
    const i32 = (offset: number): number => this.#i32[(at + offset) >> 2] ?? 0;
    const f64 = (offset: number): number => this.#f64[(at + offset) >> 3] ?? 0;
    const highest = Math.min(i32(WORK_KIND.highest), 3840);
    const first = (at + WORK_KIND.counts) >> 3;
    const [p50Us = 0, p99Us = 0] = quantilesUs(
      this.#f64.subarray(first, first + highest),
      [0.5, 0.99],
    );
    const outcomes = Object.fromEntries(
      WORK_OUTCOMES.map((name, index) => [name, f64(WORK_KIND.outcomes + 8 * index)]),
    ) as Record<WorkOutcome, number>; // of each of them
    const ended = Object.values(outcomes).reduce((sum, each) => sum + each, 0);
    return {
      kind: this.#kindName(kind),
      inFlight: i32(WORK_KIND.inFlight),
      unlisted: i32(WORK_KIND.unlisted),
      opened: ended + i32(WORK_KIND.inFlight),
      outcomes,
      bytes: f64(WORK_KIND.bytes),
      meanUs: ended > 0 ? f64(WORK_KIND.sumUs) / ended : 0,
      p50Us,
      p99Us,
      maxUs: f64(WORK_KIND.maxUs),
    };
  }

  /** A gate's place in the table; null when there are too many. */
  gate(name: string): GateRow | null {
    const { gates } = this.#sizes();
    let gate = 0;
    while (gate < gates && this.#gateNameBytes(gate) > 0) gate += 1;
    if (gate === layout.WORK_GATES_MAX) return null;
    const at = layout.WORK_GATES_OFFSET + gate * layout.WORK_GATE_BYTES;
    this.#bytes.fill(0, at, at + layout.WORK_GATE_BYTES);
    this.#i32[(at + WORK_GATE.nameBytes) >> 2] = this.#write(name, at + WORK_GATE.name, 128);
    this.#i32[WORK_HEADER.gates >> 2] = Math.max(gates, gate + 1);
    return new GateRow(this.#i32, this.#f64, at);
  }

  #gateNameBytes(gate: number): number {
    const at = layout.WORK_GATES_OFFSET + gate * layout.WORK_GATE_BYTES;
    return this.#i32[(at + WORK_GATE.nameBytes) >> 2] ?? 0;
  }

  /** Those that are open. */
  gates(): readonly GateView[] {
    const all = Array.from({ length: this.#sizes().gates }, (_, gate) => gate);
    const used = all.filter((gate) => this.#gateNameBytes(gate) > 0);
    return used.map((gate) => {
      const at = layout.WORK_GATES_OFFSET + gate * layout.WORK_GATE_BYTES;
      const i32 = (offset: number): number => this.#i32[(at + offset) >> 2] ?? 0;
      const f64 = (offset: number): number => this.#f64[(at + offset) >> 3] ?? 0;
      const refused = Object.fromEntries(
        REFUSALS.map((reason, index) => [reason, f64(WORK_GATE.refused + 8 * index)]),
      ) as Record<Refusal, number>; // of each of them
      return {
        name: this.#text(at + WORK_GATE.name, i32(WORK_GATE.nameBytes), 128),
        observes: i32(WORK_GATE.observes) === 1,
        limit: f64(WORK_GATE.limit),
        inFlight: i32(WORK_GATE.inFlight),
        queued: i32(WORK_GATE.queued),
        oldestAtMs: f64(WORK_GATE.oldestAtMs),
        admitted: f64(WORK_GATE.admitted),
        refused,
        overloadedMs: f64(WORK_GATE.overloadedMs),
      };
    });
  }
}

/** What one gate writes down of itself. */
export class GateRow {
  readonly #i32: Int32Array;
  readonly #f64: Float64Array;
  readonly #at: number;

  constructor(i32: Int32Array, f64: Float64Array, at: number) {
    this.#i32 = i32;
    this.#f64 = f64;
    this.#at = at;
  }

  /** Changes often. */
  set(inFlight: number, queued: number): void {
    const at = this.#at >> 2;
    this.#i32[at + (WORK_GATE.inFlight >> 2)] = inFlight;
    this.#i32[at + (WORK_GATE.queued >> 2)] = queued;
  }

  /** The gate is closed: another one may have the row. */
  free(): void {
    this.#i32[(this.#at + WORK_GATE.nameBytes) >> 2] = 0;
  }

  setObserves(observes: boolean): void {
    this.#i32[(this.#at + WORK_GATE.observes) >> 2] = observes ? 1 : 0;
  }

  setLimit(limit: number): void {
    this.#f64[(this.#at + WORK_GATE.limit) >> 3] = limit;
  }

  setOldest(atMs: number): void {
    this.#f64[(this.#at + WORK_GATE.oldestAtMs) >> 3] = atMs;
  }

  admitted(): void {
    const at = (this.#at + WORK_GATE.admitted) >> 3;
    this.#f64[at] = (this.#f64[at] ?? 0) + 1;
  }

  setAdmitted(count: number): void {
    this.#f64[(this.#at + WORK_GATE.admitted) >> 3] = count;
  }

  refused(reason: Refusal): void {
    const at = (this.#at + WORK_GATE.refused + 8 * REFUSALS.indexOf(reason)) >> 3;
    this.#f64[at] = (this.#f64[at] ?? 0) + 1;
  }

  overloaded(ms: number): void {
    const at = (this.#at + WORK_GATE.overloadedMs) >> 3;
    this.#f64[at] = (this.#f64[at] ?? 0) + ms;
  }
}
