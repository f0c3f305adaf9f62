/**
 * Why an object is alive: a shortest path from a root to it, found backwards, one step of holders
 * after the other, so that no graph is kept in memory.
 *
 * ```
 *   step 0   the object
 *   step 1   who holds it strongly
 *   step n   ... until one of them is a root
 * ```
 * The global object and the contexts of scripts and modules tell most. Other roots (handles of
 * native code, the stack) count only where none of these is found.
 */
import type { Heap } from "../heap/walk.ts";
import type { Target } from "../target/target.ts";
import type { HeapView } from "../v8/heap-view.ts";
import type { IsolateView } from "../v8/isolates.ts";
import type { HolderScan } from "./holders.ts";
import { nativeRoots } from "./native-roots.ts";

const STEPS_MAX = 60;
/** Objects on the way: what is referred to by everything would fill our memory. */
const SEEN_MAX = 3_000_000;

export interface WhyPath {
  /** What kind of root it begins at. */
  readonly root: "global" | "native" | null;
  /** False: what native memory has may be a stale word. */
  readonly areRootsExact: boolean;
  /** So many objects hold it, from near and far, that not all of them were looked at. */
  readonly isGivenUp: boolean;
  /** From the root to the object. */
  readonly nodes: readonly number[];
}

/**
 * Finds the path; yields now and then. `root` null: nothing holds it, it is garbage, unless the
 * search was given up.
 */
export function* findWhy(
  target: Target,
  heap: Heap,
  scan: HolderScan,
  object: number,
  isolates: readonly IsolateView[],
): Generator<unknown, WhyPath> {
  const { addresses: native, areExact: areRootsExact } = yield* nativeRoots(target, heap, isolates);
  const next = new Map<number, number>([[object, 0]]);
  let frontier = new Set([object]);
  let nativeEnd: number | null = null;
  let isGivenUp = false;
  for (let step = 0; step < STEPS_MAX && frontier.size > 0; step += 1) {
    for (const address of frontier) {
      if (isSureRoot(heap.view, address))
        return { root: "global", areRootsExact, isGivenUp, nodes: pathFrom(address, next) };
      if (nativeEnd === null && address !== object && native.has(address)) nativeEnd = address;
    }
    const found = new Set<number>();
    yield* scan.find(frontier, ({ from, to, isWeak }) => {
      if (isWeak || next.has(from)) return;
      isGivenUp ||= next.size >= SEEN_MAX;
      if (isGivenUp) return;
      next.set(from, to);
      found.add(from);
    });
    frontier = found;
  }
  if (nativeEnd !== null)
    return { root: "native", areRootsExact, isGivenUp, nodes: pathFrom(nativeEnd, next) };
  const isHeld = native.has(object);
  isGivenUp ||= frontier.size > 0;
  return { root: isHeld ? "native" : null, areRootsExact, isGivenUp, nodes: [object] };
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
