/** A process with V8 in it: everything that reads its JavaScript starts here. */
import type { Target } from "../target/target.ts";
import { FunctionReader } from "./functions.ts";
import { HeapView } from "./heap-view.ts";
import { deriveIsolateData, isolateOf } from "./isolates.ts";
import type { IsolateDataOffsets, IsolateView } from "./isolates.ts";
import { chooseLayout, Layout } from "./layout.ts";
import type { LayoutTable } from "./layout-table.ts";
import { LAYOUTS } from "./layouts/all.ts";
import { readMetadata } from "./metadata.ts";

export interface V8Process {
  readonly target: Target;
  readonly layout: Layout;
  readonly heap: HeapView;
  readonly functions: FunctionReader;
  /** Null: the builtins of this binary do not look as expected. */
  readonly isolateData: IsolateDataOffsets | null;
  /** One for each thread that has one: the main thread and workers. */
  readonly isolates: readonly IsolateView[];
}

/** What is read before a live process is stopped: it takes longest, and needs only the binary. */
export interface PreparedV8 {
  readonly layout: Layout;
  readonly isolateData: IsolateDataOffsets | null;
}

/**
 * @param tables those of `layouts/`; others in tests
 * @throws HoldfastError ERR_HOLDFAST_AUTOPSY_VERSION when this V8 is not known.
 */
export function prepareV8(
  executable: Target["executable"],
  tables: readonly LayoutTable[] = LAYOUTS,
): PreparedV8 {
  const metadata = readMetadata(executable);
  return {
    layout: new Layout(metadata, chooseLayout(metadata, tables)),
    isolateData: deriveIsolateData(executable),
  };
}

/** @throws HoldfastError ERR_HOLDFAST_AUTOPSY_VERSION when this V8 is not known. */
export function openV8(target: Target, prepared = prepareV8(target.executable)): V8Process {
  const { layout, isolateData } = prepared;
  const heap = new HeapView(target.memory, layout);
  const isolates: IsolateView[] = [];
  for (const thread of target.threads) {
    const isolate = isolateData === null ? null : isolateOf(target, isolateData, thread);
    if (isolate !== null) isolates.push(isolate);
  }
  return { target, layout, heap, functions: new FunctionReader(heap), isolateData, isolates };
}
