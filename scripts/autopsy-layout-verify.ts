/**
 * Reads the process that a table was made from with that table: the self-test of `holdfast autopsy`
 * must hold, and what stands beside the code, because it was the same in every version so far, must
 * be so in this one too.
 */
import { readFileSync } from "node:fs";
import { selfTest } from "../src/autopsy/front/self-test.ts";
import { allocationAreas } from "../src/autopsy/heap/allocation-areas.ts";
import { readErrorStack } from "../src/autopsy/heap/error-stack.ts";
import { Heap } from "../src/autopsy/heap/walk.ts";
import { positionAt } from "../src/autopsy/stack/source-positions.ts";
import type { Target } from "../src/autopsy/target/target.ts";
import type { LayoutTable } from "../src/autopsy/v8/layout-table.ts";
import { ObjectReader } from "../src/autopsy/v8/objects.ts";
import { openV8, prepareV8 } from "../src/autopsy/v8/process.ts";
import type { V8Process } from "../src/autopsy/v8/process.ts";
import { readScopeInfo } from "../src/autopsy/v8/scope-info.ts";
import { ValueReader } from "../src/autopsy/v8/values.ts";
import type { Scene } from "./autopsy-layout-scene.ts";

const NATIVE_SLOTS_MIN = 200;
const NATIVE_KIND = 7;

type Subjects = Scene["subjects"];

/** @throws Error that names what does not hold */
export function verify(
  target: Target,
  table: LayoutTable,
  { subjects, file }: { readonly subjects: Subjects; readonly file: string },
): void {
  const v8 = openV8(target, prepareV8(target.executable, [table]));
  const objects = new ObjectReader(v8.heap, v8.functions);
  const { failed } = selfTest(v8, objects, new Heap(target, v8.heap, allocationAreas(v8)));
  const at = (name: string): number => subjects.get(name)?.address ?? 0;
  const source = readFileSync(file, "utf8");
  const line = source.split("\n").findIndex((text) => text.includes('new Error("failed")')) + 1;
  const wrong = [
    ...failed,
    ...(isBigInt(v8, at("bigint")) ? [] : ["BigInt behind Symbol (values.ts, sizes.ts)"]),
    ...(isNative(v8, at("closure")) ? [] : ["the kind of the native context (sizes.ts)"]),
    ...(hasScope(v8, at("closure")) ? [] : ["order of a ScopeInfo (scope-info.ts)"]),
    ...(errorLine(v8, at("failed")).includes(`${file}:${line}:`)
      ? []
      : ["frames that an error records (error-stack.ts)"]),
  ];
  if (wrong.length > 0) throw new Error(`the table does not read its process: ${wrong.join("; ")}`);
}

function isBigInt({ heap, functions }: V8Process, address: number): boolean {
  const values = new ValueReader(new ObjectReader(heap, functions));
  return values.isBigInt(address) && values.bigint(address) === 0x1234_5678_9abc_def0n;
}

/** The outermost context: the eighth kind of them, which ends with one word more. */
function isNative({ heap }: V8Process, closure: number): boolean {
  const { layout } = heap;
  let context = heap.tagged(closure, layout.field("JSFunction", "context"));
  while (heap.isContext(context) && heap.arrayLength(context) < NATIVE_SLOTS_MIN) {
    context = heap.tagged(context, layout.stated.contextPrevious);
  }
  return heap.instanceTypeOf(context) === layout.get("FirstContextType") + NATIVE_KIND;
}

/** The context of a closure over one variable is of the function around it. */
function hasScope({ heap, functions }: V8Process, closure: number): boolean {
  const { layout } = heap;
  const context = heap.tagged(closure, layout.field("JSFunction", "context"));
  const scope = readScopeInfo(heap, heap.tagged(context, layout.stated.contextScopeInfo));
  const source = functions.scriptOf(functions.sharedOf(closure))?.source ?? "";
  const text = source.slice(scope?.range?.start, scope?.range?.end);
  return (
    scope?.functionName === "closureOver" &&
    scope.contextLocals?.join() === "value" &&
    text.startsWith("(value) {") &&
    text.endsWith("}") &&
    heap.isOfType(scope.outer, "SCOPE_INFO_TYPE")
  );
}

/** Where the error was made, by what it recorded. */
function errorLine({ heap, functions, layout }: V8Process, error: number): string {
  const objects = new ObjectReader(heap, functions);
  const format = layout.metadata.hasBreakablePositions ? "flags" : "sign";
  const recorded = readErrorStack(
    heap,
    functions,
    objects.properties(error),
    (bytes, offset) => positionAt(bytes, format, offset)?.scriptOffset ?? null,
  );
  return recorded?.lines[0] ?? "";
}
