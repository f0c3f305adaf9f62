/**
 * Constants of V8 found by looking for known content in the bytes of known objects: the offset of
 * `target` in a bound function is where the address of the function stands that was bound. A search
 * that finds nothing, or two places, fails: nothing is guessed.
 */
import type { Constant } from "../src/autopsy/v8/layout-table.ts";
import { isSmi, smiValue } from "../src/autopsy/v8/tagged.ts";
import { contexts } from "./autopsy-layout-cells.ts";
import { compiledCode } from "./autopsy-layout-code.ts";
import { heapPages } from "./autopsy-layout-heap.ts";
import { nodeObjects } from "./autopsy-layout-node.ts";
import { Search } from "./autopsy-layout-scene.ts";
import type { Found, Scene } from "./autopsy-layout-scene.ts";
import { wasmCode } from "./autopsy-layout-wasm.ts";

/** Bits that the flags of a symbol may have. */
const SYMBOL_FLAGS = 8;
/** One of each kind of elements that lie one after the other, as they are or as doubles. */
const FAST_ARRAYS = [
  "array",
  "holey_small",
  "packedDoubles",
  "holeyDoubles",
  ...["extensible", "inextensible", "sealed", "frozen"].flatMap((limit) => [
    `packed_${limit}`,
    `holey_${limit}`,
  ]),
];

export function searchAll(scene: Scene): Found {
  const search = new Search(scene);
  return {
    ...functions(search),
    ...compiledCode(search),
    ...contexts(search),
    ...objects(search),
    ...promises(search),
    ...regExps(search),
    ...collections(search),
    ...elements(search),
    ...wasmCode(search),
    ...heapPages(search),
    ...nodeObjects(search),
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
    ...weakCell(search),
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
  const flags = search.one(
    "flags of a symbol",
    (offset) => {
      const known = heap.unsigned(search.at("registered"), offset, 4);
      return known !== 0 && known < 64 && heap.unsigned(symbol, offset, 4) === 0;
    },
    8,
    4,
    heap.layout.field("Symbol", "name"),
  );
  const flagsOf = (address: number): number => heap.unsigned(address, flags, 4);
  const seen = [...search.scene.subjects].filter(([name]) => name.startsWith("public_"));
  const open = [symbol, search.at("registered"), ...seen.map(([, { address }]) => address)];
  const hidden = ["privateObject", "branded", "failed"].flatMap((name) => search.symbolKeys(name));
  return {
    symbolFlags: [flags, "search: Symbol.for() sets a flag, Symbol() does not"],
    symbolPrivateMask: [
      privateMask(hidden.map(flagsOf), open.map(flagsOf)),
      "search: the fewest bits of which all hidden symbols have one, and others none",
    ],
  } satisfies Partial<Found>;
}

/** The fewest bits of which each of these has one, and none of the others any. */
function privateMask(hidden: readonly number[], open: readonly number[]): number {
  const bits = Array.from({ length: SYMBOL_FLAGS }, (_, bit) => 1 << bit);
  const free = bits.filter((bit) => open.every((flags) => (flags & bit) === 0));
  const masks = Array.from({ length: 1 << free.length }, (_, number) =>
    free.filter((_bit, index) => (number >>> index) & 1).reduce((all, bit) => all | bit, 0),
  ).filter((mask) => hidden.every((flags) => (flags & mask) !== 0));
  const countOf = (mask: number): number => bits.filter((bit) => (mask & bit) !== 0).length;
  const fewest = Math.min(...masks.map(countOf));
  const [mask, other] = masks.filter((one) => countOf(one) === fewest);
  if (mask === undefined || other !== undefined || new Set(hidden).size < 3) {
    throw new Error(
      `flags of private symbols: ${hidden.join(", ")}, of others: ${open.join(", ")}`,
    );
  }
  return mask;
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
      const inCell = (what: string, holds: (at: number) => boolean): number =>
        search.one(what, holds, 8, 8, search.bytesOf(cell));
      const source = "search: cell of a global variable";
      return {
        cellName: [inCell("name of a cell", (at) => heap.isString(heap.tagged(cell, at))), source],
        cellDetails: [inCell("details of a cell", (at) => heap.smi(cell, at) !== null), source],
        cellValue: [
          inCell("value of a cell", (at) => heap.tagged(cell, at) === search.at("one")),
          source,
        ],
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

/** What a registry has of each object that it watches. */
function weakCell(search: Search) {
  const { heap } = search;
  const registry = search.at("registry");
  const at = search.one("cell of a registry", (offset) => {
    return search.typeAt(registry, offset) === "WEAK_CELL_TYPE";
  });
  const cell = heap.tagged(registry, at);
  const offsetOf = (what: string, name: string): number =>
    search.one(
      what,
      (offset) => heap.tagged(cell, offset) === search.at(name),
      8,
      8,
      search.bytesOf(cell),
    );
  return {
    weakCellTarget: [
      offsetOf("target of a cell", "two"),
      "search: what a FinalizationRegistry watches",
    ],
    weakCellToken: [
      offsetOf("token of a cell", "one"),
      "search: the token that it was registered with",
    ],
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
    capabilityPromise: [
      capabilityPromise(search, result, inReaction("derived")),
      "search: promise of then() of a subclass, in what its reaction has for it",
    ],
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

/** `then` of a subclass makes a PromiseCapability: the promise that it gives, and its functions. */
function capabilityPromise(search: Search, reactions: number, target: number): number {
  const { heap } = search;
  const capability = heap.tagged(heap.tagged(search.at("thenable"), reactions), target);
  return search.one(
    "promise of a capability",
    (offset) => heap.tagged(capability, offset) === search.at("thenableDerived"),
    8,
    8,
    search.bytesOf(capability),
  );
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
  const fast = FAST_ARRAYS.map((name) => search.elementsKind(name));
  const last = Math.max(...fast);
  // each of them up to the last is one of these: no other kind is among them
  if (new Set(fast).size !== last + 1 || last >= dictionary[0]) {
    throw new Error(`kinds of simple elements: ${fast.join(", ")}`);
  }
  return {
    elementsPackedDouble: kind("packedDoubles"),
    elementsHoleyDouble: kind("holeyDoubles"),
    elementsLastFast: [
      last,
      "search: the last kind of arrays with holes and without, frozen ones too",
    ],
    elementsDictionary: dictionary,
    elementsFastArguments: kind("fastArguments"),
    elementsSlowArguments: kind("slowArguments"),
    elementsFastStringWrapper: kind("wrappedString"),
    elementsSlowStringWrapper: kind("slowWrapper"),
  } satisfies Partial<Found>;
}
