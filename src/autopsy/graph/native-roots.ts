/**
 * What native memory holds alive. Where the isolates and the memory of malloc are known: V8's own
 * roots (isolate-roots.ts). Else words of it, and registers, that refer to objects of the heap.
 *
 * ```
 *   stacks above their pointers, data of libraries, chunks of malloc    --> objects
 *   left out: what was given back, and V8's own that holds nothing alive (native-lists.ts)
 * ```
 * Of these, one that only looks like a reference counts too: more may be alive here than is, never
 * less.
 */
import type { Heap } from "../heap/walk.ts";
import type { Mapping, Target } from "../target/target.ts";
import { taggedFromHalves } from "../v8/tagged.ts";
import type { IsolateView } from "../v8/isolates.ts";
import { IsolateRoots } from "./isolate-roots.ts";
import { readMalloc } from "./malloc.ts";
import type { Malloc } from "./malloc.ts";
import { holdNothing } from "./native-lists.ts";
import { RangeList } from "./ranges.ts";

/** The Heap is a member of the Isolate. */
const ISOLATE_BYTES_MAX = 256 * 1024;
const NATIVE_ROOTS_MAX = 8_000_000;
/** Below its stack pointer a function may use so much (System V ABI, x86-64). */
const RED_ZONE_BYTES = 128;
const PAGE_BYTES = 4096;
const READ_BYTES = 1024 * 1024;
/** 1 GiB of one mapping that is not there: what says how long it is, is damaged. */
const MISSING_PAGES_MAX = 262_144;

const UNKNOWN_MALLOC =
  "what native code has given back to malloc cannot be told from what it uses (made for glibc): " +
  "garbage of the last collections may count as alive";
const ABSENT = "what is alive may count as garbage: too little is there of the memory from";
const TOO_MANY =
  `native memory refers to more than ${NATIVE_ROOTS_MAX} objects, of which the rest is left out: ` +
  `what is alive may count as garbage`;

export interface NativeRoots {
  readonly addresses: ReadonlySet<number>;
  /** They are V8's own roots, part by part; else everything that looks like one is among them. */
  readonly areExact: boolean;
  /** Why they may be more, or less, than there are. */
  readonly remarks: readonly string[];
}

/** Heap addresses that native writable memory and registers hold; yields now and then. */
export function* nativeRoots(
  target: Target,
  heap: Heap,
  isolates: readonly IsolateView[],
): Generator<unknown, NativeRoots> {
  const malloc = readMalloc(target);
  yield malloc;
  const exact = yield* exactRoots(target, heap, malloc, isolates);
  if (exact !== null) return { addresses: exact, areExact: true, remarks: [] };
  return yield* allThatLooksLikeOne(target, heap, malloc);
}

/** Null: an isolate is not known, or what malloc has is not. */
function* exactRoots(
  target: Target,
  heap: Heap,
  malloc: Malloc,
  isolates: readonly IsolateView[],
): Generator<unknown, ReadonlySet<number> | null> {
  const heaps = new Set(heap.pages.map((page) => page.heap).filter((address) => address !== 0));
  const areKnown = [...heaps].every((address) =>
    isolates.some((each) => address > each.address && address < each.address + ISOLATE_BYTES_MAX),
  );
  if (!malloc.isWhole || !areKnown || heaps.size === 0) return null;
  const addresses = new Set<number>();
  const pages = RangeList.of(
    heap.pages.map(({ areaStart, areaEnd }) => ({ start: areaStart, end: areaEnd })),
  );
  const isInHeap = (address: number): boolean => pages.startOf(pages.after(address)) <= address;
  const roots = new IsolateRoots(target, malloc, isInHeap, (address) => {
    if (isInHeap(address) && addresses.size < NATIVE_ROOTS_MAX) addresses.add(address);
  });
  for (const isolate of isolates) if (!(yield* roots.find(isolate))) return null;
  yield* roots.findGlobal();
  return addresses.size < NATIVE_ROOTS_MAX ? addresses : null;
}

function* allThatLooksLikeOne(
  target: Target,
  heap: Heap,
  malloc: Malloc,
): Generator<unknown, NativeRoots> {
  const addresses = new Set<number>();
  const [low, high] = [heap.pages[0]?.start ?? 0, heap.pages.at(-1)?.areaEnd ?? 0];
  const add = (address: number): void => {
    if (address >= low && address < high && addresses.size < NATIVE_ROOTS_MAX)
      addresses.add(address);
  };
  for (const { registers } of target.threads) {
    for (const value of registers?.byName.values() ?? []) if (value % 4 === 1) add(value - 1);
  }
  const dead = [...holdNothing(target.memory, malloc)];
  const ignored = RangeList.of([...malloc.free, ...dead]);
  yield ignored;
  const pages = RangeList.of(heap.pages.map(({ start, areaEnd: end }) => ({ start, end })));
  const remarks: string[] = [];
  for (const mapping of target.mappings) {
    if (!mapping.isWritable || mapping.presentBytes === 0) continue;
    const isWhole = yield* scanMapping(target, mapping, pages, ignored, add);
    if (!isWhole) remarks.push(`${ABSENT} 0x${mapping.start.toString(16)} on`);
  }
  if (!malloc.isWhole) remarks.push(UNKNOWN_MALLOC);
  if (addresses.size >= NATIVE_ROOTS_MAX) remarks.push(TOO_MANY);
  return { addresses, areExact: false, remarks };
}

/** @returns false when it was given up */
function* scanMapping(
  { memory, threads }: Target,
  { start, end: mappingEnd, presentBytes }: Mapping,
  pages: RangeList,
  ignored: RangeList,
  add: (address: number) => void,
): Generator<unknown, boolean> {
  // of a core, the beginning of a mapping is there; where it ends may be absurd
  const end = Math.min(mappingEnd, start + presentBytes);
  // of a stack, what functions that have returned left below its pointer is nobody's
  const stack = threads.find(({ registers }) => {
    const sp = registers?.sp ?? 0;
    return sp >= start && sp < mappingEnd;
  });
  const used = Math.floor((stack?.registers?.sp ?? start) / 8) * 8;
  const piece = Buffer.alloc(Math.min(READ_BYTES, end - start));
  let next = ignored.after(start);
  let missing = 0;
  for (let at = Math.max(start, used - RED_ZONE_BYTES); at < end;) {
    const page = pages.after(at);
    if (pages.startOf(page) <= at) {
      at = pages.endOf(page);
      continue;
    }
    const bytes = piece.subarray(0, Math.min(READ_BYTES, end - at, pages.startOf(page) - at));
    const there = memory.readInto(at, bytes);
    for (let word = 0; word + 8 <= there; word += 8) {
      const lower = bytes.readUInt32LE(word);
      if ((lower & 3) !== 1) continue;
      while (ignored.endOf(next) <= at + word) next += 1;
      if (at + word < ignored.startOf(next))
        add(taggedFromHalves(lower, bytes.readUInt32LE(word + 4)));
    }
    yield at;
    // behind a page that is not there, others may be
    if (there < bytes.length) missing += 1;
    if (missing > MISSING_PAGES_MAX) return false;
    at += there === bytes.length ? there : there + PAGE_BYTES - ((at + there) % PAGE_BYTES);
  }
  return true;
}
