/**
 * Why an object is alive: a shortest path from a root to it, found backwards, one step of holders
 * after the other, so that no graph is kept in memory.
 *
 * ```
 *   step 0   the object
 *   step 1   who holds it strongly
 *   step n   ... until one of them is a root
 * ```
 * Sure roots are the global object and the contexts of scripts and modules. Everything that native
 * memory points to (handles, the stack) counts as a root only where no sure one is found: such a
 * word may be stale.
 */
import type { Heap } from "../heap/walk.ts";
import type { Target } from "../target/target.ts";
import type { HeapView } from "../v8/heap-view.ts";
import { taggedFromHalves } from "../v8/tagged.ts";
import { freeChunks } from "./free-memory.ts";
import type { HolderScan } from "./holders.ts";

const STEPS_MAX = 60;
const NATIVE_ROOTS_MAX = 8_000_000;
/** Objects of one step: a dictionary that everything refers to would explode. */
const FRONTIER_MAX = 2_000_000;
/** Below its stack pointer a function may use so much (System V ABI, x86-64). */
const RED_ZONE_BYTES = 128;
const PAGE_BYTES = 4096;
const READ_BYTES = 1024 * 1024;

export interface WhyPath {
  /** What kind of root it begins at. */
  readonly root: "global" | "native" | null;
  /** From the root to the object. */
  readonly nodes: readonly number[];
}

/** Finds the path; yields now and then. `root` null: nothing holds it, it is garbage. */
export function* findWhy(
  target: Target,
  heap: Heap,
  scan: HolderScan,
  object: number,
): Generator<unknown, WhyPath> {
  const native = yield* nativeRoots(target, heap);
  const next = new Map<number, number>([[object, 0]]);
  let frontier = new Set([object]);
  let nativeEnd: number | null = null;
  for (let step = 0; step < STEPS_MAX && frontier.size > 0; step += 1) {
    for (const address of frontier) {
      if (isSureRoot(heap.view, address)) return { root: "global", nodes: pathFrom(address, next) };
      if (nativeEnd === null && address !== object && native.has(address)) nativeEnd = address;
    }
    const found = new Set<number>();
    yield* scan.find(frontier, ({ from, to, isWeak }) => {
      if (isWeak || next.has(from) || found.size >= FRONTIER_MAX) return;
      next.set(from, to);
      found.add(from);
    });
    frontier = found;
  }
  if (nativeEnd !== null) return { root: "native", nodes: pathFrom(nativeEnd, next) };
  const isHeld = native.has(object);
  return { root: isHeld ? "native" : null, nodes: [object] };
}

function pathFrom(start: number, next: ReadonlyMap<number, number>): number[] {
  const nodes: number[] = [];
  for (let at = start; at !== 0 && nodes.length <= STEPS_MAX; at = next.get(at) ?? 0)
    nodes.push(at);
  return nodes;
}

function isSureRoot(view: HeapView, address: number): boolean {
  const { layout } = view;
  const type = view.instanceTypeOf(address);
  const names = ["JS_GLOBAL_OBJECT_TYPE", "JS_GLOBAL_PROXY_TYPE", "SCRIPT_CONTEXT_TABLE_TYPE"];
  // the ten kinds of contexts in alphabetical order: the native one
  return (
    names.some((name) => layout.findType(name) === type) ||
    type === layout.get("FirstContextType") + 7
  );
}

/** Heap addresses that native writable memory and registers hold. */
export function* nativeRoots(target: Target, heap: Heap): Generator<unknown, ReadonlySet<number>> {
  const roots = new Set<number>();
  const { pages } = heap;
  const [low, high] = [pages[0]?.start ?? 0, pages.at(-1)?.areaEnd ?? 0];
  const isPage = (address: number): boolean =>
    pages.some(({ start, areaEnd }) => address >= start && address < areaEnd);
  const add = (address: number): void => {
    if (address >= low && address < high && roots.size < NATIVE_ROOTS_MAX) roots.add(address);
  };
  const stacks = target.threads.flatMap(({ registers }) =>
    registers === null ? [] : [Math.floor(registers.sp / 8) * 8],
  );
  for (const { registers } of target.threads) {
    for (const value of registers?.byName.values() ?? []) if (value % 4 === 1) add(value - 1);
  }
  const piece = Buffer.alloc(READ_BYTES);
  for (const mapping of target.mappings) {
    const { start, isWritable, presentBytes } = mapping;
    // of a core, the beginning of a mapping is there; where it ends may be absurd
    const end = Math.min(mapping.end, start + presentBytes);
    if (!isWritable || presentBytes === 0) continue;
    const unused = freeChunks(target.memory, mapping);
    let next = 0;
    // of a stack, what functions that have returned left below its pointer is nobody's
    const used = stacks.find((sp) => sp >= start && sp < end) ?? start;
    for (let at = Math.max(start, used - RED_ZONE_BYTES); at < end;) {
      if (isPage(at)) {
        at += READ_BYTES;
        continue;
      }
      const bytes = piece.subarray(0, Math.min(READ_BYTES, end - at));
      const there = target.memory.readInto(at, bytes);
      for (let word = 0; word + 8 <= there; word += 8) {
        const lower = bytes.readUInt32LE(word);
        if ((lower & 3) !== 1) continue;
        while ((unused[next]?.end ?? Number.POSITIVE_INFINITY) <= at + word) next += 1;
        if (at + word < (unused[next]?.start ?? Number.POSITIVE_INFINITY))
          add(taggedFromHalves(lower, bytes.readUInt32LE(word + 4)));
      }
      yield at;
      // behind a page that is not there, others may be
      at += there === bytes.length ? there : there + PAGE_BYTES - ((at + there) % PAGE_BYTES);
    }
  }
  return roots;
}
