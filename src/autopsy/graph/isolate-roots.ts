/**
 * What V8 itself holds alive, part by part, as `Heap::IterateRoots` visits it (V8 12.4 to 14.6).
 * Nothing else of native memory is a root: what Node and addons hold, they hold by handles.
 *
 * ```
 *   Isolate ..................................... every word: root table, Heap, ThreadLocalTop
 *     -> small objects, their small objects ..... every word: Debug, CompilationCache ...
 *     -> MicrotaskQueue -> ring ................. from start, as many as it has
 *     -> HandleScopeImplementer -> blocks ....... up to the next handle; not the spare one
 *     -> other lists of references .............. as long as they are such: EternalHandles ...
 *   GlobalHandles::NodeBlock .................... nodes that are in use, and not weak
 *   stack, from the last exit frame to the entry  every word of JavaScript's frames; registers
 * ```
 * V8's objects are found by following addresses of chunks of malloc, from the Isolate on.
 */
import type { Target } from "../target/target.ts";
import { HANDLE_BLOCK_BYTES, handleBlocks } from "../v8/handle-blocks.ts";
import type { IsolateView } from "../v8/isolates.ts";
import { taggedFromHalves } from "../v8/tagged.ts";
import type { Malloc } from "./malloc.ts";
import { liveHandles } from "./native-lists.ts";

/** From 12.4 to 14.6 it has 66 to 72 kB. */
const ISOLATE_BYTES_MAX = 160 * 1024;
/** The Isolate's objects, theirs, and what these refer to; then a list of persistent handles. */
const LEVELS = 4;
const CHUNKS_MAX = 500_000;
/** Objects of V8 with references of their own are smaller; larger are Node's, and buffers. */
const OBJECT_BYTES_MAX = 2_048;
const OBJECT_LEVELS = 2;
const LIST_BYTES_MAX = 64 * 1024 * 1024;
/** `TracedNodeBlock`: a head of some words, 256 nodes of 16 bytes. */
const TRACED_BLOCK_BYTES = [4_136, 4_320] as const;
/** A list is told by how it begins. */
const LIST_WORDS_MIN = 2;
/** What an exit frame has below its frame pointer. */
const EXIT_FRAME_BYTES = 64;

/** Takes the address of an object, without the tag. */
export type AddRoot = (address: number) => void;

/** A part of memory that V8 has made an object of. */
interface Part {
  readonly start: number;
  readonly words: Uint32Array;
}

/** Blocks of handles that are open, and where the handles of each end. */
type OpenBlocks = ReadonlyMap<number, number>;

/** Finds the roots of isolates. */
export class IsolateRoots {
  readonly #target: Target;
  readonly #malloc: Malloc;
  readonly #isInHeap: (address: number) => boolean;
  readonly #add: AddRoot;
  /** Everything that was asked for is there. */
  #isWhole = true;

  constructor(
    target: Target,
    malloc: Malloc,
    isInHeap: (address: number) => boolean,
    add: AddRoot,
  ) {
    this.#target = target;
    this.#malloc = malloc;
    this.#isInHeap = isInHeap;
    this.#add = add;
  }

  /** The isolate's own; false: some of its memory is not there. Yields now and then. */
  *find(isolate: IsolateView): Generator<unknown, boolean> {
    const own = this.#partAt(isolate.address, ISOLATE_BYTES_MAX);
    if (own === null) return false;
    this.#addAll(own, 0, own.words.length);
    this.#addStack(isolate);
    const blocks = handleBlocks(this.#target.memory, isolate.address);
    const open: OpenBlocks = new Map(blocks.map(({ start, bytes }) => [start, bytes]));
    const seen = new Set<number>();
    let level: readonly Part[] = [own];
    for (let depth = 1; depth <= LEVELS; depth += 1) {
      const next: Part[] = [];
      for (const parent of level) {
        for (const at of this.#chunksOf(parent)) {
          if (seen.has(at) || seen.size >= CHUNKS_MAX) continue;
          seen.add(at);
          const part = this.#partAt(at, LIST_BYTES_MAX);
          if (part !== null && this.#take(part, parent, depth, open)) next.push(part);
        }
        yield parent;
      }
      level = next;
    }
    return this.#isWhole;
  }

  /** Global handles of all isolates. */
  *findGlobal(): Generator<unknown, void> {
    const { chunks } = this.#malloc;
    for (let index = 0; index < chunks.length; index += 1) {
      const [start, end] = [chunks.startOf(index), chunks.endOf(index)];
      for (const address of liveHandles(this.#target.memory, start, end - start))
        this.#add(address);
      if (index % 10_000 === 0) yield index;
    }
  }

  /** Adds what a chunk holds; whether what it refers to is to be looked at too. */
  #take(part: Part, parent: Part, depth: number, open: OpenBlocks): boolean {
    const { start, words } = part;
    const bytes = 4 * words.length;
    const handleBytes = open.get(start);
    if (handleBytes !== undefined) {
      this.#addAll(part, 0, handleBytes >>> 2);
      return false;
    }
    const ring = ringOf(parent, part);
    if (ring !== null) {
      for (let index = 0; index < ring.count; index += 1) {
        const at = 2 * ((ring.first + index) % ring.capacity);
        this.#addAll(part, at, at + 2);
      }
      return false;
    }
    const isBlock = bytes === HANDLE_BLOCK_BYTES + 8;
    // one for the next scope that needs more: V8 keeps it as it was left
    if (isBlock && depth === 2) return false;
    const [least, most] = TRACED_BLOCK_BYTES;
    const isTraced = depth === 2 && bytes >= least && bytes <= most;
    if (isTraced || (depth <= OBJECT_LEVELS && bytes <= OBJECT_BYTES_MAX)) {
      this.#addAll(part, 0, words.length);
      return true;
    }
    const end = this.#listEnd(part);
    this.#addAll(part, 0, end);
    return end === 0 && depth < LEVELS && bytes <= 8 * OBJECT_BYTES_MAX;
  }

  /** JavaScript's frames: what C++ has on the stack it has by handles. */
  #addStack({ tid, cEntryFp, fastCCallCallerFp, jsEntrySp }: IsolateView): void {
    const thread = this.#target.threads.find((each) => each.tid === tid);
    if (jsEntrySp === 0 || thread?.registers === undefined || thread.registers === null) return;
    const { sp, byName } = thread.registers;
    const exits = [cEntryFp, fastCCallCallerFp].filter((fp) => fp > sp && fp < jsEntrySp);
    const from = exits.length === 0 ? sp : Math.min(...exits) - EXIT_FRAME_BYTES;
    const bytes = Buffer.alloc(Math.max(0, jsEntrySp - from));
    const there = this.#target.memory.readInto(from - (from % 8), bytes);
    if (there < bytes.length) this.#isWhole = false;
    this.#addAll(partOf(from, bytes, there), 0, there >>> 2);
    if (exits.length > 0) return;
    for (const value of byName.values()) if (value % 4 === 1) this.#add(value - 1);
  }

  /** Chunks that a part has the addresses of. */
  *#chunksOf(part: Part): Generator<number> {
    const { chunks } = this.#malloc;
    for (let at = 0; at + 2 <= part.words.length; at += 2) {
      const low = part.words[at] ?? 0;
      if (low === 0 || (low & 7) !== 0) continue;
      const address = wordOf(part, at);
      if (chunks.startingAt(address) >= 0) yield address;
    }
  }

  /** How many halves of words from the beginning are references, small integers or nothing. */
  #listEnd(part: Part): number {
    let at = 0;
    let references = 0;
    for (; at + 2 <= part.words.length; at += 2) {
      const [low, high] = [part.words[at] ?? 0, part.words[at + 1] ?? 0];
      if ((low & 3) === 1 && this.#isInHeap(taggedFromHalves(low, high))) references += 1;
      else if (low !== 0) break;
    }
    return references >= LIST_WORDS_MIN ? at : 0;
  }

  #addAll({ words }: Part, from: number, end: number): void {
    for (let at = from; at + 2 <= end; at += 2) {
      const low = words[at] ?? 0;
      if ((low & 3) === 1) this.#add(taggedFromHalves(low, words[at + 1] ?? 0));
    }
  }

  /** The chunk that begins there; of what is no chunk, so many bytes. */
  #partAt(start: number, bytesMax: number): Part | null {
    const { chunks } = this.#malloc;
    const index = chunks.startingAt(start);
    const end = index < 0 ? start + bytesMax : Math.min(chunks.endOf(index), start + bytesMax);
    const bytes = Buffer.alloc(end - start);
    const there = this.#target.memory.readInto(start, bytes);
    if (index >= 0 && there < bytes.length) this.#isWhole = false;
    return there < 8 ? null : partOf(start, bytes, there);
  }
}

function partOf(start: number, bytes: Buffer, there: number): Part {
  // what was allocated is aligned; a buffer of the pool may not be
  const aligned = Buffer.from(new ArrayBuffer(there - (there % 8)));
  bytes.copy(aligned);
  return { start, words: new Uint32Array(aligned.buffer) };
}

/** A word of 64 bits, by the index of its lower half. */
function wordOf({ words }: Part, at: number): number {
  return (words[at] ?? 0) + (words[at + 1] ?? 0) * 2 ** 32;
}

interface Ring {
  readonly first: number;
  readonly count: number;
  readonly capacity: number;
}

/** `MicrotaskQueue`: size, capacity and start stand before the address of the ring. */
function ringOf(queue: Part, ring: Part): Ring | null {
  for (let at = 6; at + 2 <= queue.words.length; at += 2) {
    if (wordOf(queue, at) !== ring.start) continue;
    const [count, capacity, first] = [6, 4, 2].map((before) => wordOf(queue, at - before));
    if (count === undefined || capacity === undefined || first === undefined) continue;
    const isPower = capacity >= 8 && capacity % 8 === 0 && Math.log2(capacity) % 1 === 0;
    const isSane = isPower && count <= capacity && first < capacity;
    if (isSane && 8 * capacity <= 4 * ring.words.length) return { first, count, capacity };
  }
  return null;
}
