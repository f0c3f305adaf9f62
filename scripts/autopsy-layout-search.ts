/**
 * Constants of V8 found by looking for known content in the bytes of known objects: the offset of
 * `target` in a bound function is where the address of the function stands that was bound. A search
 * that finds nothing, or two places, fails: nothing is guessed.
 */
import type { Constant } from "../src/autopsy/v8/layout-table.ts";
import { isSmi, smiValue } from "../src/autopsy/v8/tagged.ts";
import { heapPages } from "./autopsy-layout-heap.ts";
import { Search } from "./autopsy-layout-scene.ts";
import type { Found, Scene } from "./autopsy-layout-scene.ts";

export function searchAll(scene: Scene): Found {
  const search = new Search(scene);
  return {
    ...functions(search),
    ...code(search),
    ...contexts(search),
    ...objects(search),
    ...promises(search),
    ...regExps(search),
    ...collections(search),
    ...elements(search),
    ...heapPages(search),
  };
}

function functions(search: Search) {
  const { heap } = search;
  const { layout } = heap;
  const compiled = search.shared("ran");
  const data = search.one("data of a compiled function", (offset) =>
    search.typeAt(compiled, offset).startsWith("BYTECODE_ARRAY"),
  );
  const script = heap.tagged(search.shared("placed"), layout.field("SharedFunctionInfo", "script"));
  const bytecode = heap.tagged(compiled, data);
  const builtin = search.one(
    "number of a builtin function",
    (offset) => (heap.smi(search.shared("builtin"), offset) ?? 0) > 0,
    8,
    8,
    layout.field("SharedFunctionInfo", "name_or_scope_info"),
  );
  return {
    sfiFunctionData: [data, "search: BytecodeArray in the SharedFunctionInfo of what ran"],
    sfiUntrustedData: [
      builtin === data ? -1 : builtin,
      "search: number of a builtin in the SharedFunctionInfo of Math.max",
    ],
    bytecodeFrameSize: [
      search.one(
        "size of a frame",
        (offset) => {
          const [narrow = 0, wide = 0] = ["narrow", "wide"].map((name) => {
            const code = heap.tagged(search.shared(name), data);
            return heap.unsigned(code, offset, 4);
          });
          return narrow > 0 && narrow % 8 === 0 && wide === narrow + 24;
        },
        8,
        4,
        layout.field("BytecodeArray", "data"),
      ),
      "search: a function with three registers more than another",
    ],
    scriptLineOffset: [
      search.one("line offset", (offset) => heap.smi(script, offset) === 4711),
      "search: vm.Script with lineOffset 4711",
    ],
    scriptColumnOffset: [
      search.one("column offset", (offset) => heap.smi(script, offset) === 815),
      "search: vm.Script with columnOffset 815",
    ],
    bytecodePositions: [
      // handlers may stand behind it, in a table of the same type
      [16, 24, 32, 40].find((offset) => {
        const type = search.typeAt(bytecode, offset);
        return /BYTE_ARRAY/u.test(type);
      }) ?? Number.NaN,
      "search: the first ByteArray of a BytecodeArray, behind its constants",
    ],
  } satisfies Partial<Found>;
}

function code(search: Search) {
  const { heap, scene } = search;
  const text = scene.subjects.get("inlined")?.text ?? "";
  const address = /- code: 0x([0-9a-f]+) <Code TURBOFAN/u.exec(text)?.[1];
  if (address === undefined) throw new Error("the subject inlined was not optimised");
  const object = Number.parseInt(address, 16) - 1;
  const deopt = search.one("deoptimisation data", (offset) =>
    /FIXED_ARRAY|DEOPT/u.test(search.typeAt(object, offset)),
  );
  const positions = search.one("position table", (offset) =>
    /BYTE_ARRAY/u.test(search.typeAt(object, offset)),
  );
  const data = heap.tagged(object, deopt);
  const length = heap.arrayLength(data);
  const item = (index: number): number => {
    const value = heap.arrayItem(data, index);
    return isSmi(value) ? smiValue(value) : Number.NaN;
  };
  // exits: start, how many eager ones, how many lazy ones; then a row of three for each
  const start = search.one(
    "start of the exits",
    (index) => item(index + 1) + item(index + 2) === (length - index - 3) / 3 && item(index) > 0,
    4,
    1,
  );
  return {
    codeDeoptimizationData: [deopt, "search: the array in the Code of an optimised function"],
    codePositionTable: [positions, "search: the ByteArray in the Code of an optimised function"],
    codeMetadataSize: search.carried("codeMetadataSize"),
    codeHandlerTable: search.carried("codeHandlerTable"),
    deoptExitStart: [start, "search: eager and lazy exits are as many as the rows behind"],
    deoptFirstEntry: [start + 3, "search: behind start, eager and lazy count"],
    hasStackSlots: search.carried("hasStackSlots"),
    interpreterRegisters: [
      registers(search),
      "search: three variables of a function that stands still",
    ],
  } satisfies Partial<Found>;
}

/** From the frame of `standStill`: fp is where its own address stands 16 below. */
function registers(search: Search): number {
  const { heap, scene } = search;
  const wanted = ["one", "two", "three"].map((name) => search.at(name));
  const closure = search.at("standStill");
  for (let at = scene.sp; at < scene.sp + 65_536; at += 8) {
    if (heap.taggedAt(at) !== closure) continue;
    const fp = at + 16;
    for (let offset = -40; offset >= -120; offset -= 8) {
      if (wanted.every((address, index) => heap.taggedAt(fp + offset - 8 * index) === address)) {
        return offset;
      }
    }
  }
  throw new Error("the registers of standStill are not found");
}

function contexts(search: Search) {
  const { heap } = search;
  const { layout } = heap;
  const context = heap.tagged(search.at("closure"), layout.field("JSFunction", "context"));
  const one = search.at("one");
  const locals = search.one("first variable of a context", (offset) => {
    const value = heap.tagged(context, offset);
    return value === one || heap.tagged(value, 8) === one;
  });
  const scope = search.one("scope info", (offset) =>
    search.typeAt(context, offset).startsWith("SCOPE_INFO"),
  );
  const previous = search.one(
    "context around",
    (offset) => heap.isContext(heap.tagged(context, offset)),
    scope + 8,
    8,
    locals,
  );
  const hasCells = layout.findType("CONTEXT_CELL_TYPE") !== null;
  const none: Constant<number> = [-1, "the metadata has no CONTEXT_CELL_TYPE"];
  const cell = (name: "contextCellValue" | "contextCellState" | "contextCellNumber") =>
    hasCells ? search.carried(name) : none;
  return {
    contextLength: [
      search.one("length of a context", (offset) => heap.smi(context, offset) === 3),
      "search: a context of one variable has three slots",
    ],
    contextScopeInfo: [scope, "search: ScopeInfo in the context of a closure"],
    contextPrevious: [previous, "search: context in the context of a closure"],
    contextLocals: [locals, "search: the variable of a closure"],
    contextCellValue: cell("contextCellValue"),
    contextCellState: cell("contextCellState"),
    contextCellNumber: cell("contextCellNumber"),
  } satisfies Partial<Found>;
}

function objects(search: Search) {
  const { heap } = search;
  const array = search.at("array");
  const date = heap.double(search.at("date"), heap.layout.field("JSDate", "value"));
  return {
    objectProperties: [
      search.one(
        "properties",
        (offset) => {
          const store = heap.tagged(search.at("dictionary"), offset);
          return search.items(store).some((item) => heap.string(item, 100) === "three");
        },
        8,
        8,
        24,
      ),
      "search: dictionary of an object with deleted properties",
    ],
    objectElements: [
      search.one("elements", (offset) => {
        const store = heap.tagged(array, offset);
        return heap.arrayLength(store) === 7 && heap.arrayItem(store, 0) !== 0;
      }),
      "search: array of seven numbers",
    ],
    arrayLength: [
      search.one("length of an array", (offset) => heap.smi(array, offset) === 7),
      "search: array of seven numbers",
    ],
    proxyTarget: [search.pointer("proxy", "one"), "search: target of a Proxy"],
    proxyHandler: [search.pointer("proxy", "two"), "search: handler of a Proxy"],
    ...propertyCell(search),
    ...accessorPair(search),
    ...symbols(search),
    ...bigints(search),
    ...bound(search),
    weakRefTarget: [search.pointer("weakRef", "one"), "search: target of a WeakRef"],
    wrappedValue: [search.pointer("wrapped", "wrappedSymbol"), "search: Object(Symbol.iterator)"],
    dataViewBuffer: [
      search.one(
        "buffer of a DataView",
        (offset) => search.typeAt(search.at("dataView"), offset) === "JS_ARRAY_BUFFER_TYPE",
      ),
      "search: the ArrayBuffer of a DataView",
    ],
    isDateDouble: [date === 1_234_567_890_123 ? 1 : 0, "search: a Date"],
  } satisfies Partial<Found>;
}

function symbols(search: Search) {
  const { heap } = search;
  const symbol = search.at("symbol");
  return {
    symbolFlags: [
      search.one(
        "flags of a symbol",
        (offset) => {
          const known = heap.unsigned(search.at("registered"), offset, 4);
          return known !== 0 && known < 64 && heap.unsigned(symbol, offset, 4) === 0;
        },
        8,
        4,
        heap.layout.field("Symbol", "name"),
      ),
      "search: Symbol.for() sets a flag, Symbol() does not",
    ],
    symbolPrivateMask: search.carried("symbolPrivateMask"),
  } satisfies Partial<Found>;
}

function bound(search: Search) {
  const { heap } = search;
  const object = search.at("bound");
  return {
    boundTarget: [search.pointer("bound", "compiled"), "search: target of a bound function"],
    boundReceiver: [search.pointer("bound", "one"), "search: receiver of a bound function"],
    boundArgs: [
      search.one("arguments of a bound function", (offset) => {
        const store = heap.tagged(object, offset);
        return heap.arrayLength(store) === 1 && heap.arrayItem(store, 0) === search.at("two");
      }),
      "search: argument of a bound function",
    ],
  } satisfies Partial<Found>;
}

function bigints(search: Search) {
  const { heap } = search;
  const bigint = search.at("bigint");
  return {
    bigintBits: [
      search.one("bits of a BigInt", (offset) => heap.unsigned(bigint, offset, 4) === 2),
      "search: a BigInt of one digit",
    ],
    bigintDigits: [
      search.one(
        "digits of a BigInt",
        (offset) => heap.bigWord(bigint, offset) === 0x1234_5678_9abc_def0n,
      ),
      "search: a BigInt of one digit",
    ],
  } satisfies Partial<Found>;
}

function propertyCell(search: Search) {
  const { heap } = search;
  // the cell is in a dictionary of the global object; the search goes over that dictionary
  const proxy = search.at("globalObject");
  const prototype = heap.tagged(heap.mapOf(proxy), heap.layout.field("Map", "prototype"));
  for (const offset of [8, 16, 24]) {
    const dictionary = heap.tagged(prototype, offset);
    for (let index = 0; index < heap.arrayLength(dictionary); index += 1) {
      const cell = heap.arrayItem(dictionary, index);
      if (!heap.isOfType(cell, "PROPERTY_CELL_TYPE")) continue;
      const isOurs = [8, 16, 24, 32].some(
        (at) => heap.string(heap.tagged(cell, at), 100) === "calibration",
      );
      if (!isOurs) continue;
      const name = search.one("name of a cell", (at) => heap.isString(heap.tagged(cell, at)));
      const value = search.one(
        "value of a cell",
        (at) => heap.tagged(cell, at) === search.at("one"),
      );
      return {
        cellName: [name, "search: cell of a global variable"],
        cellDetails: [
          search.one("details of a cell", (at) => at < 40 && heap.smi(cell, at) !== null),
          "search: cell of a global variable",
        ],
        cellValue: [value, "search: cell of a global variable"],
      } satisfies Partial<Found>;
    }
  }
  throw new Error("the cell of the global variable is not found");
}

function accessorPair(search: Search) {
  const { heap } = search;
  const { layout } = heap;
  const map = heap.mapOf(search.at("withAccessor"));
  const descriptors = heap.tagged(map, layout.get("class_Map__instance_descriptors_offset"));
  const header = layout.field("DescriptorArray", "header_size");
  const pair = heap.tagged(descriptors, header + 8 * layout.get("prop_desc_value"));
  const place = (of: string): number =>
    search.one(of, (offset) => offset < 24 && heap.tagged(pair, offset) === search.at(of));
  return {
    pairGetter: [place("getter"), "search: getter of a property"],
    pairSetter: [place("setter"), "search: setter of a property"],
  } satisfies Partial<Found>;
}

function promises(search: Search) {
  const { heap } = search;
  const value = (name: string, offset: number): number => heap.smi(search.at(name), offset) ?? -99;
  const result = search.pointer("fulfilled", "two");
  const reaction = heap.tagged(search.at("pending"), result);
  const inReaction = (name: string): number =>
    search.one(
      `reaction -> ${name}`,
      (offset) => heap.tagged(reaction, offset) === search.at(name),
      8,
      8,
      search.bytesOf(reaction),
    );
  const [first, second, done] = ["generatorFirst", "generatorSecond", "generatorDone"] as const;
  return {
    promiseReactionsOrResult: [result, "search: value of a fulfilled promise"],
    promiseFlags: [
      search.one("flags of a promise", (offset) => {
        const status = ["pending", "fulfilled", "rejected"].map((name) => value(name, offset) & 3);
        return status.join() === "0,1,2";
      }),
      "search: a pending, a fulfilled and a rejected promise",
    ],
    reactionReject: [inReaction("never"), "search: second function of pending.then()"],
    reactionFulfill: [inReaction("compiled"), "search: first function of pending.then()"],
    reactionPromise: [inReaction("derived"), "search: promise of pending.then()"],
    capabilityPromise: search.carried("capabilityPromise"),
    generatorFunction: [search.pointer(first, "counting"), "search: function of a generator"],
    generatorInput: [
      search.one(
        "offset of a suspended generator",
        (offset) => value(first, offset) > 8 && value(second, offset) > value(first, offset),
        24,
      ),
      "search: generators at their first and second yield",
    ],
    generatorContinuation: [
      search.one("continuation", (offset) => {
        const [one, two] = [value(first, offset), value(second, offset)];
        return one >= 0 && two > one && two < 8 && value(done, offset) === -1;
      }),
      "search: generators at their first and second yield, and a closed one",
    ],
  } satisfies Partial<Found>;
}

function regExps(search: Search) {
  const { heap } = search;
  const letters = ["d", "g", "i", "m", "s", "u", "v", "y"];
  const bits = (offset: number): readonly number[] =>
    letters.map((letter) => heap.smi(search.at(`regExp_${letter}`), offset) ?? 0);
  const flags = search.one("flags of a RegExp", (offset) => new Set(bits(offset)).size === 8);
  return {
    regExpSource: [
      search.one(
        "source of a RegExp",
        (offset) => heap.string(heap.tagged(search.at("regExp"), offset), 100) === "one(two)",
      ),
      "search: a RegExp",
    ],
    regExpFlags: [flags, "search: RegExps with one flag each"],
    regExpBits: [bits(flags), "search: RegExps with one flag each: d, g, i, m, s, u, v, y"],
  } satisfies Partial<Found>;
}

function collections(search: Search) {
  const { heap } = search;
  const map = search.at("map");
  const table = search.one(
    "table of a Map",
    (offset) => search.items(heap.tagged(map, offset)).includes(search.at("two")),
    16,
    8,
    40,
  );
  const store = heap.tagged(map, table);
  // elements, deleted, buckets; then the buckets, then rows of (key, value, chain)
  const key = search.items(store).indexOf(search.at("two"));
  const header = [2, 3, 4, 5].find((words) => {
    const buckets = heap.arrayItem(store, words - 1);
    return isSmi(buckets) && words + smiValue(buckets) + 3 === key;
  });
  const weak = heap.tagged(search.at("weakMap"), table);
  const entry = search.items(weak).indexOf(search.at("one"));
  if (header === undefined || entry < 0) throw new Error("entries are not found");
  return {
    collectionTable: [table, "search: table of a Map"],
    orderedHeader: [header, "search: entries of a Map with a deleted one"],
    hashHeader: [2 + (entry % 2), "search: entry of a WeakMap"],
  } satisfies Partial<Found>;
}

function elements(search: Search) {
  const kind = (name: string): Constant<number> => [
    search.elementsKind(name),
    "search: an object with such elements",
  ];
  const dictionary = kind("sparse");
  return {
    elementsPackedDouble: kind("packedDoubles"),
    elementsHoleyDouble: kind("holeyDoubles"),
    elementsLastFast: search.carried("elementsLastFast"),
    elementsDictionary: dictionary,
    elementsFastArguments: kind("fastArguments"),
    elementsSlowArguments: kind("slowArguments"),
    elementsFastStringWrapper: kind("wrappedString"),
    elementsSlowStringWrapper: kind("slowWrapper"),
  } satisfies Partial<Found>;
}
