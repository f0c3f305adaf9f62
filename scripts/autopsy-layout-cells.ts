/** Constants of contexts, which have the variables of closures, and of cells for single ones. */
import type { Constant } from "../src/autopsy/v8/layout-table.ts";
import { readScopeInfo } from "../src/autopsy/v8/scope-info.ts";
import type { Found, Search } from "./autopsy-layout-scene.ts";

const WORD_BYTES = 8;
const CELL_BYTES = 64;
/** States of a cell are numbered from 0 on; a pointer or a variable of ours is more. */
const STATES_MAX = 16;

export function contexts(search: Search) {
  const { heap } = search;
  const context = heap.tagged(search.at("closure"), heap.layout.field("JSFunction", "context"));
  const one = search.at("one");
  const locals = search.one("first variable of a context", (offset) => {
    const value = heap.tagged(context, offset);
    return value === one || isCellOf(search, value, one);
  });
  // what lies behind the context may have one too
  const scope = search.one(
    "scope info",
    (offset) => search.typeAt(context, offset).startsWith("SCOPE_INFO"),
    WORD_BYTES,
    WORD_BYTES,
    locals,
  );
  const previous = search.one(
    "context around",
    (offset) => heap.isContext(heap.tagged(context, offset)),
    scope + WORD_BYTES,
    WORD_BYTES,
    locals,
  );
  return {
    contextLength: [
      search.one("length of a context", (offset) => heap.smi(context, offset) === 3),
      "search: a context of one variable has three slots",
    ],
    contextScopeInfo: [scope, "search: ScopeInfo in the context of a closure"],
    contextPrevious: [previous, "search: context in the context of a closure"],
    contextLocals: [locals, "search: the variable of a closure"],
    ...cells(search, { scope, locals }),
  } satisfies Partial<Found>;
}

function isCellOf(search: Search, cell: number, value: number): boolean {
  const { heap } = search;
  const type = heap.layout.findType("CONTEXT_CELL_TYPE");
  if (type === null || heap.instanceTypeOf(cell) !== type) return false;
  return [1, 2, 3, 4].some((word) => heap.tagged(cell, WORD_BYTES * word) === value);
}

interface ContextPlaces {
  readonly scope: number;
  readonly locals: number;
}

/** Variables of a script: an object that never changed, a Smi, a whole number, a fraction. */
function cells(search: Search, places: ContextPlaces) {
  const { heap } = search;
  if (heap.layout.findType("CONTEXT_CELL_TYPE") === null) {
    const none: Constant<number> = [-1, "the metadata has no CONTEXT_CELL_TYPE"];
    return {
      contextCellValue: none,
      contextCellState: none,
      contextCellNumber: none,
      contextCellInt32: none,
      contextCellFloat64: none,
    };
  }
  const names = ["cellConstant", "cellSmall", "cellWhole", "cellFraction"];
  const slots = names.map((name) => variableOf(search, places, name));
  const [constant = 0, small = 0, whole = 0, fraction = 0] = slots;
  const inCell = (what: string, holds: (offset: number) => boolean, step = WORD_BYTES): number =>
    search.one(what, holds, WORD_BYTES, step, CELL_BYTES);
  const stateOf = (cell: number, offset: number): number => heap.unsigned(cell, offset, 4);
  const state = inCell(
    "state of a cell",
    (offset) => {
      const states = slots.map((cell) => stateOf(cell, offset));
      return new Set(states).size === slots.length && states.every((one) => one < STATES_MAX);
    },
    4,
  );
  return {
    contextCellValue: [
      inCell("value of a cell", (offset) => {
        const isOurs = heap.tagged(constant, offset) === search.at("one");
        return isOurs && heap.smi(small, offset) === 77;
      }),
      "search: cells of an object and of a small integer",
    ],
    contextCellState: [state, "search: what differs in four cells of four kinds, and is small"],
    contextCellNumber: [
      inCell("number of a cell", (offset) => {
        const isOurs = heap.double(fraction, offset) === 1234.5678;
        return isOurs && heap.unsigned(whole, offset, 4) === 4939;
      }),
      "search: cells of a fraction and of a double that is whole",
    ],
    contextCellInt32: [stateOf(whole, state), "search: state of the cell of a whole double"],
    contextCellFloat64: [stateOf(fraction, state), "search: state of the cell of a fraction"],
  } satisfies Partial<Found>;
}

/** What stands in the context of `readVariables` for a variable, by its name. */
function variableOf(search: Search, { scope, locals }: ContextPlaces, name: string): number {
  const { heap } = search;
  const field = heap.layout.field("JSFunction", "context");
  const context = heap.tagged(search.at("readVariables"), field);
  const names = readScopeInfo(heap, heap.tagged(context, scope))?.contextLocals ?? [];
  const index = names.indexOf(name);
  if (index < 0) throw new Error(`no variable ${name} among ${names.join(", ")}`);
  return heap.tagged(context, locals + WORD_BYTES * index);
}
