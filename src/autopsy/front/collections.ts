/**
 * Garbage collections that a process was taken in the middle of. While V8 collects no allocation
 * area is open, and which part it is at the stack says:
 *
 * ```
 *   Heap::CollectGarbage                    objects may have moved, references may be old ones
 *     ScavengerCollector::CollectGarbage    and the half that they leave still has the others
 * ```
 */
import type { Stacks } from "../stack/mod.ts";
import type { V8Process } from "../v8/process.ts";

const COLLECTING = /\bHeap::CollectGarbage\(/u;
const SCAVENGING = /\bScavengerCollector::CollectGarbage\(/u;
/** Start, top and limit. */
const AREA_BYTES = 24;
/** A Heap lies within its Isolate, which has some 64 KiB. */
const ISOLATE_BYTES = 0x2_0000;

export interface Collections {
  /** Of any isolate. */
  readonly areUnderWay: boolean;
  /** Whether young objects of this heap are being moved (`HeapPage.heap`). */
  readonly isScavenged: (heap: number) => boolean;
}

/** @param stacks asked for only where a collection may be under way */
export function collectionsOf(v8: V8Process, stacks: () => Stacks): Collections {
  const closed = v8.isolates.filter(({ address }) => areAreasClosed(v8, address));
  const threads = closed.length === 0 ? [] : stacks().threads;
  const doing = (what: RegExp): readonly number[] =>
    closed
      .filter(({ tid }) =>
        threads.some((thread) => {
          const isOfIt = ({ kind, name }: { kind: string; name: string }): boolean =>
            kind === "native" && what.test(name);
          return thread.tid === tid && thread.frames.some(isOfIt);
        }),
      )
      .map(({ address }) => address);
  const scavenged = doing(SCAVENGING);
  return {
    areUnderWay: doing(COLLECTING).length > 0,
    isScavenged: (heap) =>
      scavenged.some((isolate) => heap > isolate && heap < isolate + ISOLATE_BYTES),
  };
}

function areAreasClosed({ target, layout }: V8Process, isolate: number): boolean {
  return layout.stated.allocationAreas.every((offset) => {
    return target.memory.read(isolate + offset, AREA_BYTES)?.every((byte) => byte === 0) === true;
  });
}
