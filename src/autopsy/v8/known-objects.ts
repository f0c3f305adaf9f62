/**
 * Objects that every process with V8 has, and how they must look: the quick half of the self-test,
 * some hundred reads. A wrong layout cannot show them all as they are.
 *
 * ```
 *   any object --map--> its map --map--> meta map --> native context --> global object
 *                                                                          Object, Math, String ...
 * ```
 * Also what can be said of a table alone: fields of one object do not overlap.
 */
import { check } from "./checks.ts";
import type { Check } from "./checks.ts";
import type { Stated } from "./layout-table.ts";
import type { ObjectReader, Property } from "./objects.ts";
import type { V8Process } from "./process.ts";
import { CLEARED, isSmi } from "./tagged.ts";
import type { Tagged } from "./tagged.ts";
import { ValueReader } from "./values.ts";

const NATIVE_CONTEXT_SLOTS_MIN = 200;
const CONTEXTS_MAX = 50;
const GLOBALS_MAX = 1_000;
const STACK_BYTES_MAX = 256 * 1024;

/** Fields of one object each: multiples of a word, behind the map, none in the place of another. */
const FIELDS_OF_ONE: readonly (readonly (keyof Stated)[])[] = [
  ["sfiFunctionData", "sfiUntrustedData"],
  ["scriptLineOffset", "scriptColumnOffset"],
  ["codeDeoptimizationData", "codePositionTable"],
  ["contextLength", "contextScopeInfo", "contextPrevious", "contextLocals"],
  ["objectProperties", "objectElements", "arrayLength"],
  ["proxyTarget", "proxyHandler"],
  ["cellName", "cellDetails", "cellValue"],
  ["pairGetter", "pairSetter"],
  ["promiseReactionsOrResult", "promiseFlags"],
  ["reactionReject", "reactionFulfill", "reactionPromise"],
  ["generatorFunction", "generatorInput", "generatorContinuation"],
  ["boundTarget", "boundReceiver", "boundArgs"],
  ["regExpSource", "regExpFlags"],
  ["bigintBits", "bigintDigits"],
  ["pageHeap", "pageAreaStart", "pageAreaEnd"],
  ["capabilityPromise"],
  ["weakRefTarget"],
  ["weakCellTarget", "weakCellToken"],
  ["wrappedValue"],
  ["collectionTable"],
  ["dataViewBuffer"],
  ["bytecodePositions"],
  ["contextCellValue", "contextCellState", "contextCellNumber"],
];

/** Fields that follow each other, word by word, in every version so far. */
const IN_A_ROW: readonly (readonly (keyof Stated)[])[] = [
  ["scriptLineOffset", "scriptColumnOffset"],
  ["codeDeoptimizationData", "codePositionTable"],
  ["contextLength", "contextScopeInfo", "contextPrevious"],
  ["proxyTarget", "proxyHandler"],
  ["cellName", "cellDetails", "cellValue"],
  ["pairGetter", "pairSetter"],
  ["promiseReactionsOrResult", "promiseFlags"],
  ["reactionReject", "reactionFulfill", "reactionPromise"],
  ["boundTarget", "boundReceiver", "boundArgs"],
  ["regExpSource", "regExpFlags"],
  ["bigintBits", "bigintDigits"],
];

/** What holds for every version so far, whatever the process. */
export function tableChecks(stated: Stated): readonly Check[] {
  const isField = (value: number): boolean => value === -1 || (value >= 8 && value % 8 === 0);
  const kinds = [
    stated.elementsPackedDouble,
    stated.elementsHoleyDouble,
    stated.elementsLastFast,
    stated.elementsDictionary,
    stated.elementsFastArguments,
    stated.elementsSlowArguments,
    stated.elementsFastStringWrapper,
    stated.elementsSlowStringWrapper,
  ];
  const isBit = (value: number): boolean => value > 0 && (value & (value - 1)) === 0;
  return [
    check("fields do not overlap", () =>
      FIELDS_OF_ONE.every((names) => {
        const values = names.map((name) => Number(stated[name]));
        const known = values.filter((value) => value !== -1);
        return values.every(isField) && new Set(known).size === known.length;
      }),
    ),
    check("fields in a row", () =>
      IN_A_ROW.every((names) => {
        const values = names.map((name) => Number(stated[name]));
        return values.every((value, index) => value === (values[0] ?? 0) + 8 * index);
      }),
    ),
    check("integers and addresses are aligned", () => {
      const { bytecodeFrameSize, heapLimitPath } = stated;
      return bytecodeFrameSize % 4 === 0 && heapLimitPath.every((offset) => offset % 8 === 0);
    }),
    check("continuation of generators", () => {
      // between them stands the mode of resumption
      return stated.generatorContinuation === stated.generatorInput + 16;
    }),
    check("kinds of elements ascend", () =>
      kinds.every((kind, index) => kind < 32 && kind > (kinds[index - 1] ?? -1)),
    ),
    check("kinds of elements come in pairs", () => {
      const pairs = [
        [stated.elementsPackedDouble, stated.elementsHoleyDouble],
        [stated.elementsFastArguments, stated.elementsSlowArguments],
        [stated.elementsFastStringWrapper, stated.elementsSlowStringWrapper],
      ];
      // behind the last simple kind come one of shared arrays, and the sparse one
      const areTwoApart = stated.elementsDictionary === stated.elementsLastFast + 2;
      return areTwoApart && pairs.every(([first = 0, second = 0]) => second === first + 1);
    }),
    check("flags of RegExps are bits", () => {
      return stated.regExpBits.every(isBit) && new Set(stated.regExpBits).size === 8;
    }),
    check("switches are 0 or 1", () =>
      [stated.hasStackSlots, stated.isDateDouble, stated.isPageInline].every(
        (value) => value === 0 || value === 1,
      ),
    ),
    ...orderChecks(stated),
  ];
}

/** Members that follow each other in every version so far. */
function orderChecks(stated: Stated): readonly Check[] {
  return [
    check("size of metadata follows that of instructions", () => stated.codeMetadataSize === 4),
    check("members of a WasmCode follow each other", () => {
      const { wasmCodeTables, wasmCodeSizes, wasmCodeProtected, wasmCodeIndex } = stated;
      const areSizes = wasmCodeSizes === wasmCodeTables + 8 && wasmCodeProtected > wasmCodeSizes;
      return wasmCodeTables % 8 === 0 && areSizes && wasmCodeIndex === wasmCodeProtected + 4;
    }),
    check("states of cells follow each other", () => {
      const { contextCellInt32, contextCellFloat64, contextCellState } = stated;
      if (contextCellState === -1) return contextCellInt32 === -1 && contextCellFloat64 === -1;
      return contextCellInt32 > 0 && contextCellFloat64 === contextCellInt32 + 1;
    }),
    check("deoptimisation rows follow their counts", () => {
      return stated.deoptFirstEntry === stated.deoptExitStart + 3;
    }),
  ];
}

/** Known objects of the first isolate whose heap is there. */
export function knownObjectChecks(v8: V8Process, objects: ObjectReader): readonly Check[] {
  const global = globalObjectOf(v8);
  const known = new KnownObjects(v8, objects, global);
  return [
    check("global object", () => known.hasGlobal()),
    check("offsets in the Isolate", () => (v8.isolateData === null ? false : known.hasContext())),
    check("undefined, NaN and Infinity", () => known.constants()),
    check("names of built-in functions", () => known.functionNames()),
    check("chain of prototypes", () => known.prototypes()),
    check("Math.PI", () => known.pi()),
    check("getters and setters", () => known.accessors()),
    check("String.prototype wraps the empty string", () => known.emptyString()),
    check("Array.prototype is an empty array", () => known.emptyArray()),
    check("Symbol.iterator is a symbol that programs see", () => known.iterator()),
    check("functions of Node have their source", () => known.sources()),
    check("kinds of elements are those of the binary", () => {
      const { layout } = v8;
      const dictionary = layout.find("elements_dictionary_elements");
      return dictionary === null ? null : layout.stated.elementsDictionary === dictionary;
    }),
    check("interpreter's registers follow its own words", () => {
      const { layout } = v8;
      const offset = layout.find("off_fp_bytecode_offset");
      // bytecode offset, feedback vector, registers (frame-constants.h)
      return offset === null ? null : layout.stated.interpreterRegisters === offset - 16;
    }),
  ];
}

/** The global object of a process; CLEARED when no way leads to it. */
function globalObjectOf(v8: V8Process): Tagged {
  for (const context of contextsOf(v8)) {
    const found = globalOfContext(v8, context);
    if (found !== CLEARED) return found;
  }
  return CLEARED;
}

/** That of the isolate; while JavaScript runs it has none, and those of frames are on the stack. */
function* contextsOf({ heap, isolates, isolateData, target }: V8Process): Generator<Tagged> {
  if (isolateData === null) return;
  for (const { address } of isolates) yield heap.taggedAt(address + isolateData.context);
  for (const { tid, jsEntrySp } of isolates) {
    const sp = target.threads.find((thread) => thread.tid === tid)?.registers?.sp ?? jsEntrySp;
    const end = Math.min(jsEntrySp, sp + STACK_BYTES_MAX);
    for (let at = sp; at < end; at += 8) {
      const word = heap.taggedAt(at);
      if (!isSmi(word) && heap.isContext(word)) yield word;
    }
  }
}

function globalOfContext({ heap, layout }: V8Process, first: Tagged): Tagged {
  let context = first;
  for (let count = 0; count < CONTEXTS_MAX && heap.isContext(context); count += 1) {
    if (heap.arrayLength(context) > NATIVE_CONTEXT_SLOTS_MIN) break;
    context = heap.tagged(context, layout.stated.contextPrevious);
  }
  const length = Math.min(heap.arrayLength(context), 10);
  for (let index = 0; index < length; index += 1) {
    const item = heap.arrayItem(context, index);
    if (heap.isOfType(item, "JS_GLOBAL_OBJECT_TYPE")) return item;
  }
  return CLEARED;
}

class KnownObjects {
  readonly #v8: V8Process;
  readonly #objects: ObjectReader;
  readonly #values: ValueReader;
  readonly #globals = new Map<string, Property>();
  readonly #global: Tagged;

  constructor(v8: V8Process, objects: ObjectReader, global: Tagged) {
    this.#v8 = v8;
    this.#objects = objects;
    this.#values = new ValueReader(objects);
    this.#global = global;
    if (global === CLEARED) return;
    for (const property of objects.properties(global)) {
      if (this.#globals.size < GLOBALS_MAX) this.#globals.set(property.name, property);
    }
  }

  hasGlobal(): boolean | null {
    if (this.#global === CLEARED) return this.#v8.isolates.length === 0 ? null : false;
    return ["Object", "Array", "Promise", "Math", "globalThis", "Reflect"].every(
      (name) => this.#globals.get(name)?.isEnumerable === false,
    );
  }

  hasContext(): boolean | null {
    const { heap, isolates, isolateData, target } = this.#v8;
    if (isolateData === null) return false;
    if (isolates.length === 0) return null;
    const seen = isolates.map(({ address, jsEntrySp }) => {
      const isMapped = target.mappings.some(({ start, end }) => {
        return jsEntrySp >= start && jsEntrySp < end;
      });
      // none is set while JavaScript runs (Isolate::set_context, kNoContext)
      if (isMapped && heap.word(address, isolateData.context) === 0) return null;
      const context = heap.taggedAt(address + isolateData.context);
      return heap.isContext(context) && (jsEntrySp === 0 || isMapped);
    });
    return seen.includes(true) || (seen.includes(null) ? null : false);
  }

  constants(): boolean | null {
    const value = (name: string): Tagged => this.#globals.get(name)?.value ?? CLEARED;
    if (this.#globals.size === 0) return null;
    return (
      this.#objects.oddball(value("undefined")) === "undefined" &&
      Number.isNaN(this.#objects.number(value("NaN"))) &&
      this.#objects.number(value("Infinity")) === Number.POSITIVE_INFINITY
    );
  }

  functionNames(): boolean | null {
    const names = ["Object", "Array", "Promise", "Map", "parseInt", "RegExp", "decodeURI"];
    return this.#whenGlobal(() =>
      names.every((name) => this.#functionName(this.#globals.get(name)?.value) === name),
    );
  }

  prototypes(): boolean | null {
    return this.#whenGlobal(() => {
      const [objectPrototype, arrayPrototype] = [
        this.#prototype("Object"),
        this.#prototype("Array"),
      ];
      const end = this.#objects.prototypeOf(objectPrototype);
      return (
        this.#objects.oddball(end) === "null" &&
        this.#objects.prototypeOf(arrayPrototype) === objectPrototype &&
        this.#objects.get(arrayPrototype, "constructor") === this.#globals.get("Array")?.value
      );
    });
  }

  pi(): boolean | null {
    return this.#whenGlobal(() => {
      const math = this.#globals.get("Math")?.value ?? CLEARED;
      return this.#objects.number(this.#objects.get(math, "PI") ?? CLEARED) === Math.PI;
    });
  }

  accessors(): boolean | null {
    return this.#whenGlobal(() => {
      const prototype = this.#prototype("Object");
      const property = [...this.#objects.properties(prototype)].find(
        ({ name }) => name === "__proto__",
      );
      const accessor = property?.accessor ?? null;
      return (
        this.#functionName(accessor?.getter) === "get __proto__" &&
        this.#functionName(accessor?.setter) === "set __proto__"
      );
    });
  }

  emptyString(): boolean | null {
    return this.#whenGlobal(() => {
      const wrapped = this.#values.wrapped(this.#prototype("String"));
      return this.#v8.heap.string(wrapped) === "";
    });
  }

  emptyArray(): boolean | null {
    return this.#whenGlobal(() => {
      const prototype = this.#prototype("Array");
      const elements = [...this.#objects.elements(prototype)];
      return this.#objects.arrayLength(prototype) === 0 && elements.length === 0;
    });
  }

  iterator(): boolean | null {
    return this.#whenGlobal(() => {
      const symbol = this.#globals.get("Symbol")?.value ?? CLEARED;
      const value = this.#objects.get(symbol, "iterator") ?? CLEARED;
      const key = [...this.#objects.properties(this.#prototype("Array"))].find(
        (property) => property.key === value,
      );
      return (
        this.#values.symbol(value) === "Symbol.iterator" &&
        key?.isInternal === false &&
        !key.isPrivate
      );
    });
  }

  /** `setTimeout` and its kin are written in JavaScript; null where somebody has replaced them. */
  sources(): boolean | null {
    const { functions } = this.#v8;
    const outcomes = ["setTimeout", "setImmediate", "clearTimeout"].flatMap((name) => {
      const value = this.#globals.get(name)?.value ?? CLEARED;
      const shared = functions.sharedOf(value);
      const script = functions.scriptOf(shared);
      if (script?.name !== "node:timers") return [];
      const range = functions.rangeOf(shared);
      const at = range === null ? null : functions.lineColumn(script, range.start);
      const text = script.source?.slice(range?.start, range?.end) ?? "";
      const isFirst = at !== null && at.line > 1 && at.line < 10_000 && at.column < 1_000;
      return [isFirst && text.startsWith("(") && text.endsWith("}")];
    });
    return outcomes.length === 0 ? null : outcomes.every(Boolean);
  }

  #whenGlobal(look: () => boolean): boolean | null {
    return this.#globals.size === 0 ? null : look();
  }

  #functionName(value: Tagged | undefined): string {
    if (value === undefined || isSmi(value)) return "";
    const { functions } = this.#v8;
    return functions.nameOf(functions.sharedOf(value));
  }

  /** Behind `prototype_or_initial_map`: what instances of a built-in class inherit from. */
  #prototype(name: string): Tagged {
    const { heap, layout } = this.#v8;
    const value = this.#globals.get(name)?.value ?? CLEARED;
    const field = layout.field("JSFunction", "prototype_or_initial_map");
    const initial = heap.tagged(value, field);
    return heap.isMap(initial) ? heap.tagged(initial, layout.field("Map", "prototype")) : CLEARED;
  }
}
