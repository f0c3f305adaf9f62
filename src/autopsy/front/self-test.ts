/**
 * Is the layout right for this process? Objects of each kind that a constant is needed for are
 * taken from the heap, and must look as such objects do: a bound function refers to a function, a
 * RegExp to a text, the table of a Map is as long as its counts say. With known-objects.ts this is
 * what a table of constants must pass before an unknown version of V8 is read with it, and what
 * `info` tells of a known one.
 */
import type { Heap } from "../heap/walk.ts";
import { readParser } from "../graph/http-parser.ts";
import type { HeapPage } from "../heap/pages.ts";
import { heapLimitOf } from "../stack/cause.ts";
import { CodeFinder, DeoptimizationData } from "../stack/code-objects.ts";
import { readSafepoints, safepointBytes } from "../stack/safepoints.ts";
import { sourcePositions } from "../stack/source-positions.ts";
import { readWasmCode, scriptOfModule } from "../stack/wasm-code.ts";
import { NativeModules } from "../stack/wasm-modules.ts";
import { check, confidenceOf } from "../v8/checks.ts";
import type { Check, Confidence } from "../v8/checks.ts";
import { knownObjectChecks, tableChecks } from "../v8/known-objects.ts";
import type { ObjectReader } from "../v8/objects.ts";
import type { V8Process } from "../v8/process.ts";
import { HOLDS_SHARE, HeapSamples, PAGES_MAX, SAMPLES_MAX } from "./self-test-samples.ts";
import type { Look, Sample } from "./self-test-samples.ts";
import { readScopeInfo } from "../v8/scope-info.ts";
import { CLEARED, isSmi, smiValue } from "../v8/tagged.ts";
import type { Tagged } from "../v8/tagged.ts";

const NATIVE_SLOTS_MIN = 200;
/** Bytes that may be passed over in a heap that is understood, where much is dead. */
const SKIPPED_SHARE = 0.02;

/** Registers of one function: a generated one has some thousands. */
const FRAME_BYTES_MAX = 4 * 1024 * 1024;
/** Tables of integers follow each other at multiples of four bytes. */
const TABLE_PADDING_MAX = 4;
/** `kAnonymousFuncIndex`: code of a module that is no function of it. */
const NO_FUNCTION = 0xffff_ffff;
/** Each module has two tables of jumps and one for what is compiled when it is called. */
const WASM_TABLES = 3;

/** Without it, no time of a parser is told (request-ages.ts). */
export const PARSER_CHECK = "HTTP parsers";
/** A machine that has run for longer would be an exception. */
const UPTIME_MS_MAX = 10 * 365 * 86_400_000;

/** What a SharedFunctionInfo has of its function, by the names of the types. */
const FUNCTION_DATA =
  /BYTECODE_ARRAY|CODE|INTERPRETER_DATA|UNCOMPILED_DATA|TEMPLATE_INFO|WASM|ODDBALL/u;

/** Null in place of the heap: a core without one, where only what needs none is looked at. */
export function selfTest(v8: V8Process, objects: ObjectReader, heap: Heap | null): Confidence {
  const checks: Check[] = [...tableChecks(v8.layout.stated), ...knownObjectChecks(v8, objects)];
  if (heap !== null) checks.push(...new SampleChecks(v8, objects, heap).all());
  return confidenceOf(checks);
}

class SampleChecks {
  readonly #v8: V8Process;
  readonly #objects: ObjectReader;
  readonly #heap: Heap;
  readonly #samples: HeapSamples;
  readonly #codes: CodeFinder;

  constructor(v8: V8Process, objects: ObjectReader, heap: Heap) {
    this.#v8 = v8;
    this.#objects = objects;
    this.#heap = heap;
    this.#codes = new CodeFinder(v8.target, v8.heap);
    this.#samples = new HeapSamples(v8.layout, objects, heap);
  }

  all(): readonly Check[] {
    const type = (name: string, look: Look): Check => this.#each(name, [name], look);
    return [
      check("pages of the heap", () => this.#pages()),
      check("sizes of objects", () => this.#sizes()),
      check("sizes of free space", () => this.#freeSpaces()),
      check("limit of the heap", () => this.#heapLimit()),
      check("allocation areas", () => this.#areas()),
      type("JS_PROMISE_TYPE", (sample) => this.#promise(sample)),
      type("PROMISE_REACTION_TYPE", (sample) => this.#reaction(sample)),
      type("PROMISE_CAPABILITY_TYPE", (sample) => this.#capability(sample)),
      type("JS_BOUND_FUNCTION_TYPE", (sample) => this.#bound(sample)),
      type("JS_REG_EXP_TYPE", (sample) => this.#regExp(sample)),
      type("JS_MAP_TYPE", (sample) => this.#collection(sample, 3)),
      type("JS_SET_TYPE", (sample) => this.#collection(sample, 2)),
      type("JS_WEAK_MAP_TYPE", (sample) => this.#weakCollection(sample)),
      type("JS_WEAK_REF_TYPE", (sample) => this.#weakRef(sample)),
      type("WEAK_CELL_TYPE", (sample) => this.#weakCell(sample)),
      type("JS_DATA_VIEW_TYPE", (sample) => this.#dataView(sample)),
      type("JS_DATE_TYPE", (sample) => this.#date(sample)),
      type("JS_PROXY_TYPE", (sample) => this.#proxy(sample)),
      type("JS_ARRAY_TYPE", (sample) => this.#array(sample)),
      type("SYMBOL_TYPE", (sample) => this.#symbol(sample)),
      this.#privateSymbols(),
      type("SCRIPT_TYPE", (sample) => this.#script(sample)),
      type("SHARED_FUNCTION_INFO_TYPE", (sample) => this.#shared(sample)),
      this.#must(type("BYTECODE_ARRAY_TYPE", (sample) => this.#bytecode(sample))),
      type("CODE_TYPE", (sample) => this.#code(sample)),
      this.#each("optimised code", ["CODE_TYPE"], (sample) => this.#optimised(sample)),
      type("WASM_MODULE_OBJECT_TYPE", (sample) => this.#webAssembly(sample)),
      this.#contexts(),
      type("CONTEXT_CELL_TYPE", (sample) => this.#contextCell(sample)),
      this.#each(
        "generators",
        ["JS_ASYNC_FUNCTION_OBJECT_TYPE", "JS_ASYNC_GENERATOR_OBJECT_TYPE"],
        (sample) => this.#generator(sample),
      ),
      this.#bigints(),
      this.#samples.judge(PARSER_CHECK, this.#samples.parsers, (one) => this.#parser(one), true),
    ];
  }

  /** Every process has some: that none was found in all of its heap is a failure. */
  #must(one: Check): Check {
    const isMissing = one.outcome === "absent" && this.#heap.pages.length <= PAGES_MAX;
    return isMissing ? { ...one, outcome: "fails" } : one;
  }

  #each(name: string, types: readonly string[], look: Look): Check {
    const { layout } = this.#v8;
    const samples = types.flatMap((type) => {
      const number = layout.findType(type);
      return number === null ? [] : this.#samples.ofType(number);
    });
    return this.#samples.judge(name, samples, look);
  }

  #pages(): boolean | null {
    const { pages } = this.#heap;
    const heaps = new Set(pages.map(({ heap }) => heap).filter((heap) => heap !== 0));
    const { isolates } = this.#v8;
    if (isolates.length === 0) return null;
    // one Heap lies in each Isolate
    const near = [...heaps].filter((heap) =>
      isolates.some(({ address }) => heap > address && heap < address + 0x2_0000),
    );
    return pages.length >= 4 && near.length >= 1 && near.length === heaps.size;
  }

  #sizes(): boolean | null {
    const counts = this.#samples.counts;
    if (counts === null) return false;
    return counts.objects > 1_000 && counts.skippedBytes < counts.bytes * SKIPPED_SHARE;
  }

  /** Behind each begins an object, or its page ends. */
  #freeSpaces(): boolean | null {
    const { freeSpaces = 0, freeSpacesLost = 0 } = this.#samples.counts ?? {};
    return freeSpaces === 0 ? null : freeSpacesLost <= freeSpaces * (1 - HOLDS_SHARE);
  }

  /** A size that a heap can have. */
  #heapLimit(): boolean | null {
    const { isolates, layout, target } = this.#v8;
    const limits = isolates.map(({ address }) => heapLimitOf(target.memory, layout, address));
    if (limits.length === 0) return null;
    return limits.every((limit) => limit !== null);
  }

  #areas(): boolean | null {
    const { isolates, layout, target } = this.#v8;
    const outcomes = isolates.flatMap(({ address }) =>
      layout.stated.allocationAreas.map((offset) => {
        const words = target.memory.read(address + offset, 24);
        if (words === null) return false;
        const [start, top, limit] = [0, 8, 16].map((at) => Number(words.readBigUInt64LE(at)));
        if (start === undefined || top === undefined || limit === undefined) return false;
        if (start === 0 && top === 0 && limit === 0) return true; // none is open
        const page = this.#heap.pages.find(({ areaStart, areaEnd }) => {
          return start >= areaStart && start < areaEnd;
        });
        return start <= top && top <= limit && page !== undefined && limit <= page.areaEnd;
      }),
    );
    return outcomes.length === 0 ? null : outcomes.every(Boolean);
  }

  #isOneOf(value: Tagged, types: readonly string[]): boolean {
    const { layout, heap } = this.#v8;
    const name = isSmi(value) ? null : layout.typeName(heap.instanceTypeOf(value));
    return name !== null && types.includes(name);
  }

  #isUndefined(value: Tagged): boolean {
    return this.#objects.oddball(value) === "undefined";
  }

  #isCallable(value: Tagged): boolean {
    const { heap } = this.#v8;
    return (
      heap.isFunction(value) || this.#isOneOf(value, ["JS_BOUND_FUNCTION_TYPE", "JS_PROXY_TYPE"])
    );
  }

  #promise({ address }: Sample): boolean {
    const { heap, layout } = this.#v8;
    const { promiseFlags, promiseReactionsOrResult } = layout.stated;
    const flags = heap.smi(address, promiseFlags);
    if (flags === null || flags < 0 || (flags & 3) === 3) return false;
    const value = heap.tagged(address, promiseReactionsOrResult);
    const isReaction = this.#isOneOf(value, ["PROMISE_REACTION_TYPE"]);
    const isWaiting = isReaction || (isSmi(value) && smiValue(value) === 0);
    return (flags & 3) === 0 ? isWaiting : !isReaction;
  }

  #reaction({ address }: Sample): boolean {
    const { heap, layout } = this.#v8;
    const { reactionFulfill, reactionReject, reactionPromise } = layout.stated;
    const handlers = [reactionFulfill, reactionReject].map((at) => heap.tagged(address, at));
    const target = heap.tagged(address, reactionPromise);
    return (
      handlers.every((handler) => this.#isUndefined(handler) || this.#isCallable(handler)) &&
      (this.#isUndefined(target) ||
        this.#isOneOf(target, ["JS_PROMISE_TYPE", "PROMISE_CAPABILITY_TYPE"]))
    );
  }

  #capability({ address }: Sample): boolean {
    const { heap, layout } = this.#v8;
    const promise = heap.tagged(address, layout.stated.capabilityPromise);
    return this.#isUndefined(promise) || this.#isOneOf(promise, ["JS_PROMISE_TYPE"]);
  }

  #bound({ address, bytes }: Sample): boolean {
    const { heap, layout } = this.#v8;
    const { boundTarget, boundReceiver, boundArgs } = layout.stated;
    const receiver = heap.tagged(address, boundReceiver);
    return (
      Math.max(boundTarget, boundReceiver, boundArgs) + 8 <= bytes &&
      this.#isCallable(heap.tagged(address, boundTarget)) &&
      this.#isOneOf(heap.tagged(address, boundArgs), ["FIXED_ARRAY_TYPE"]) &&
      !this.#isOneOf(receiver, ["FIXED_ARRAY_TYPE"])
    );
  }

  #regExp({ address }: Sample): boolean {
    const { heap, layout } = this.#v8;
    const { regExpSource, regExpFlags, regExpBits } = layout.stated;
    const source = heap.tagged(address, regExpSource);
    const flags = heap.smi(address, regExpFlags);
    const known = regExpBits.reduce((all, bit) => all | bit, 0);
    // RegExp.prototype is not one; an object that was just made has no source yet
    if (isSmi(source) || this.#isUndefined(source)) return true;
    return heap.isString(source) && flags !== null && (flags & ~known) === 0;
  }

  /** elements, deleted, buckets; the buckets; room for twice as many rows of `width` words. */
  #collection({ address }: Sample, width: number): boolean | null {
    const { heap, layout } = this.#v8;
    const { collectionTable, orderedHeader } = layout.stated;
    const table = heap.tagged(address, collectionTable);
    const length = heap.arrayLength(table);
    const number = (index: number): number => {
      const value = heap.arrayItem(table, index);
      return isSmi(value) ? smiValue(value) : -1;
    };
    const [present, deleted, buckets] = [number(0), number(1), number(orderedHeader - 1)];
    const rows = 2 * buckets;
    if (present < 0 || deleted < 0 || buckets < 0) return false;
    if (length === orderedHeader && buckets === 0) return null;
    return present + deleted <= rows && length === orderedHeader + buckets + rows * width;
  }

  #weakCollection({ address }: Sample): boolean {
    const { heap, layout } = this.#v8;
    const { collectionTable, hashHeader } = layout.stated;
    const table = heap.tagged(address, collectionTable);
    const capacity = heap.arrayItem(table, hashHeader - 1);
    if (!isSmi(capacity)) return false;
    return heap.arrayLength(table) === hashHeader + 2 * smiValue(capacity);
  }

  #weakRef({ address, bytes }: Sample): boolean {
    const { heap, layout } = this.#v8;
    const { weakRefTarget } = layout.stated;
    const value = heap.tagged(address, weakRefTarget);
    const isLive = this.#objects.isReceiver(value) || this.#isOneOf(value, ["SYMBOL_TYPE"]);
    return weakRefTarget + 8 <= bytes && (isLive || this.#isUndefined(value));
  }

  /** Neither is the registry, nor what is kept for it, which may be anything. */
  #weakCell({ address, bytes }: Sample): boolean {
    const { heap, layout } = this.#v8;
    const { weakCellTarget, weakCellToken } = layout.stated;
    return [weakCellTarget, weakCellToken].every((at) => {
      const value = heap.tagged(address, at);
      const isWatched = this.#objects.isReceiver(value) || this.#isOneOf(value, ["SYMBOL_TYPE"]);
      const isRegistry = this.#isOneOf(value, ["JS_FINALIZATION_REGISTRY_TYPE"]);
      return at + 8 <= bytes && !isRegistry && (isWatched || this.#isUndefined(value));
    });
  }

  #dataView({ address }: Sample): boolean {
    const { heap, layout } = this.#v8;
    return this.#isOneOf(heap.tagged(address, layout.stated.dataViewBuffer), [
      "JS_ARRAY_BUFFER_TYPE",
    ]);
  }

  #date({ address }: Sample): boolean | null {
    const { heap, layout } = this.#v8;
    const at = layout.field("JSDate", "value");
    const tagged = heap.tagged(address, at);
    const isTagged = isSmi(tagged) || this.#isOneOf(tagged, ["HEAP_NUMBER_TYPE"]);
    const value = heap.double(address, at);
    if (value === 0) return null; // 1970 is a word of zeros in either form
    // ECMA-262: 8.64e15 ms at most; as a double, an address is some 1e-310
    const isDouble = Number.isNaN(value) || (Math.abs(value) <= 8.64e15 && Math.abs(value) >= 1);
    return layout.stated.isDateDouble === 1 ? isDouble : isTagged && !isDouble;
  }

  #proxy({ address }: Sample): boolean {
    const { target, handler } = this.#objects.proxy(address);
    const isRevoked = this.#objects.oddball(target) === "null";
    return isRevoked || (this.#objects.isReceiver(target) && this.#objects.isReceiver(handler));
  }

  #array({ address }: Sample): boolean {
    const { heap, layout } = this.#v8;
    const { stated } = layout;
    const length = this.#objects.arrayLength(address);
    const store = heap.tagged(address, stated.objectElements);
    const bits = heap.unsigned(heap.mapOf(address), layout.field("Map", "bit_field2"), 1);
    const mask = layout.get("bit_field2_elements_kind_mask");
    const kind = (bits & mask) >>> layout.get("bit_field2_elements_kind_shift");
    if (length === null || length < 0) return false;
    const isDouble = kind === stated.elementsPackedDouble || kind === stated.elementsHoleyDouble;
    const isFast = kind <= stated.elementsLastFast;
    const hasRoom = heap.arrayLength(store) >= length;
    if (isDouble && length > 0) return hasRoom && this.#isOneOf(store, ["FIXED_DOUBLE_ARRAY_TYPE"]);
    if (isFast) return hasRoom && !this.#isOneOf(store, ["FIXED_DOUBLE_ARRAY_TYPE"]);
    return kind === stated.elementsDictionary;
  }

  #symbol({ address }: Sample): boolean {
    const { heap, layout } = this.#v8;
    const { symbolFlags } = layout.stated;
    const isInside = symbolFlags >= 8 && symbolFlags + 4 <= layout.field("Symbol", "name");
    return isInside && heap.unsigned(address, symbolFlags, 4) < 256;
  }

  /** Names of a class's `#fields` and V8's own are private; well-known symbols are not. */
  #privateSymbols(): Check {
    const { heap, layout } = this.#v8;
    const { symbolFlags, symbolPrivateMask } = layout.stated;
    const fields = new Set<number>();
    const own = new Set<number>();
    const readOnly = this.#heap.pages.filter((page) => page.heap === 0);
    const outcome = this.#each("private symbols", ["SYMBOL_TYPE"], ({ address }) => {
      const name = heap.string(heap.tagged(address, layout.field("Symbol", "name")), 100);
      const flags = heap.unsigned(address, symbolFlags, 4);
      if (name?.startsWith("Symbol.") === true) return (flags & symbolPrivateMask) === 0;
      // V8's own have no description, and are where no program makes any
      const isInside = ({ areaStart, areaEnd }: HeapPage): boolean =>
        address >= areaStart && address < areaEnd;
      const isOwn = name === null && readOnly.some(isInside);
      if (!isOwn && name?.startsWith("#") !== true) return null;
      (isOwn ? own : fields).add(flags);
      return (flags & symbolPrivateMask) !== 0;
    });
    if (outcome.outcome !== "holds" || own.size === 0 || fields.size === 0) return outcome;
    const isNeeded = isEachBitNeeded(symbolPrivateMask, [...own, ...fields]);
    return isNeeded ? outcome : { ...outcome, outcome: "fails" };
  }

  #script({ address }: Sample): boolean {
    const { heap, layout } = this.#v8;
    const { scriptLineOffset, scriptColumnOffset } = layout.stated;
    return [scriptLineOffset, scriptColumnOffset].every((at) => {
      const value = heap.smi(address, at);
      return value !== null && value >= 0 && value < 1_000_000;
    });
  }

  /** Either field: data of a kind that functions have, or a number, or nothing. */
  #shared({ address }: Sample): boolean {
    const { heap, layout } = this.#v8;
    const { sfiFunctionData, sfiUntrustedData } = layout.stated;
    const isData = (at: number): boolean => {
      const value = heap.tagged(address, at);
      if (isSmi(value) || value === CLEARED) return true;
      const name = layout.typeName(heap.instanceTypeOf(value)) ?? "";
      return FUNCTION_DATA.test(name);
    };
    return isData(sfiFunctionData) && (sfiUntrustedData < 0 || isData(sfiUntrustedData));
  }

  /** Whole words of registers; positions of instructions that it has, one after the other. */
  #bytecode({ address }: Sample): boolean | null {
    const { heap, layout } = this.#v8;
    const { bytecodeFrameSize } = layout.stated;
    const frame = heap.unsigned(address, bytecodeFrameSize, 4);
    if (frame % 8 !== 0 || frame > FRAME_BYTES_MAX) return false;
    if (bytecodeFrameSize + 4 > layout.field("BytecodeArray", "data")) return false;
    const value = heap.tagged(address, layout.stated.bytecodePositions);
    if (!this.#isOneOf(value, ["BYTE_ARRAY_TYPE", "TRUSTED_BYTE_ARRAY_TYPE"])) {
      const isNone = this.#objects.oddball(value) !== null || this.#objects.isHole(value);
      return isNone ? null : false;
    }
    const length = heap.smi(address, layout.field("FixedArrayBase", "length")) ?? 0;
    const format = layout.metadata.hasBreakablePositions ? "flags" : "sign";
    let last = -1;
    for (const { codeOffset, scriptOffset } of sourcePositions(heap.byteArray(value), format)) {
      if (codeOffset < last || codeOffset >= length || scriptOffset < 0) return false;
      last = codeOffset;
    }
    return last >= 0; // also an empty function returns somewhere
  }

  #code({ address }: Sample): boolean {
    const { heap, layout } = this.#v8;
    const { codeDeoptimizationData, codePositionTable } = layout.stated;
    const deopt = heap.tagged(address, codeDeoptimizationData);
    const positions = heap.tagged(address, codePositionTable);
    const isData = /ARRAY|INTERPRETER_DATA|BYTECODE/u;
    const nameOf = (value: Tagged): string =>
      isSmi(value) ? "" : (layout.typeName(heap.instanceTypeOf(value)) ?? "");
    if (!isSmi(deopt) && !isData.test(nameOf(deopt))) return false;
    return isSmi(positions) || nameOf(positions).includes("BYTE_ARRAY");
  }

  /** Its safepoints are within it, and lead to deoptimisation points that it has. */
  #optimised({ address }: Sample): boolean | null {
    const { heap, layout } = this.#v8;
    const flags = heap.unsigned(address, layout.field("Code", "flags"), 4);
    const kind = (flags & layout.get("CodeKindFieldMask")) - layout.get("CodeKindBaseline");
    if (kind !== 1 && kind !== 2) return null;
    const start = heap.word(address, layout.field("Code", "instruction_start"));
    const code = this.#codes.at(start);
    if (code === null || (code.kind !== "turbofan" && code.kind !== "maglev")) return null;
    const data = new DeoptimizationData(heap, code.deoptimizationData);
    const length = Math.min(code.handlerTableOffset, code.metadataBytes);
    const bytes = heap.memory.read(code.start + code.bytes, Math.min(length, 1_000_000));
    const bounds = { codeBytes: code.bytes, deoptCount: data.count };
    const hasStackSlots = layout.stated.hasStackSlots === 1;
    const { start: exits, eagerCount } = data.exits;
    if (bytes === null || code.handlerTableOffset > code.metadataBytes) return false;
    if (exits > code.bytes || eagerCount > data.count) return false;
    if (readSafepoints(bytes, code.kind, { hasStackSlots }, bounds) === null) return false;
    // where it ends, the handlers begin
    const rest = length - safepointBytes(bytes, code.kind, { hasStackSlots });
    return rest >= 0 && rest < TABLE_PADDING_MAX;
  }

  /** Code of its functions: their numbers are those of the module, positions lie within it. */
  #webAssembly({ address }: Sample): boolean | null {
    const { heap, layout } = this.#v8;
    const modules = new NativeModules(heap);
    const module = modules.of(scriptOfModule(heap, address));
    if (module === null || module.bytes === null) return null;
    const { functionCount, importedCount } = module.bytes;
    const format = layout.metadata.hasBreakablePositions ? "flags" : "sign";
    const codes = [...modules.codesOf(module)].slice(0, SAMPLES_MAX);
    let bodies = 0;
    for (const one of codes) {
      const code = readWasmCode(heap, one, layout.stated);
      if (code === null || code.bytes === 0) return false;
      // what stands for an imported function has its number, or none
      if (code.index < importedCount || code.index === NO_FUNCTION) continue;
      if (code.index >= functionCount) return false;
      bodies += 1;
      let last = -1;
      for (const { codeOffset } of sourcePositions(code.positions, format)) {
        if (codeOffset < last || codeOffset > code.bytes) return false;
        last = codeOffset;
      }
    }
    // of a module of which nothing was called yet there are tables alone
    return bodies > 0 ? true : codes.length > importedCount + WASM_TABLES ? false : null;
  }

  /** Contexts of all kinds but native ones, which have no such names. */
  #contexts(): Check {
    const { heap, layout } = this.#v8;
    const [first, last] = [layout.get("FirstContextType"), layout.get("LastContextType")];
    const types = this.#samples.types.filter((type) => type >= first && type <= last);
    const samples = types.flatMap((type) => this.#samples.ofType(type));
    return this.#samples.judge("contexts", samples, (sample) => {
      const isNative = heap.arrayLength(sample.address) > NATIVE_SLOTS_MIN;
      return isNative ? null : this.#context(sample);
    });
  }

  /** As many slots as its ScopeInfo has names, and the two or three before them. */
  #context({ address }: Sample): boolean | null {
    const { heap, layout } = this.#v8;
    const { contextLength, contextScopeInfo, contextPrevious, contextLocals } = layout.stated;
    const length = heap.smi(address, contextLength) ?? -1;
    const scope = readScopeInfo(heap, heap.tagged(address, contextScopeInfo));
    const previous = heap.tagged(address, contextPrevious);
    if (this.#isUndefined(previous)) return null; // of V8's own functions: promises, await
    if (scope === null || !heap.isContext(previous)) return false;
    const names = scope.contextLocals;
    if (names === null) return length > 0;
    const before = (contextLocals - contextScopeInfo) / 8;
    return length >= before + names.length && length <= before + names.length + 2;
  }

  #contextCell({ address, bytes }: Sample): boolean {
    const { heap, layout } = this.#v8;
    const { contextCellValue, contextCellState, contextCellNumber } = layout.stated;
    const state = heap.unsigned(address, contextCellState, 4);
    const value = heap.tagged(address, contextCellValue);
    if (this.#isOneOf(value, ["WEAK_ARRAY_LIST_TYPE", "DEPENDENT_CODE_TYPE"])) return false;
    return state <= 4 && contextCellNumber + 8 <= bytes && contextCellNumber > contextCellState;
  }

  #generator({ address, bytes }: Sample): boolean {
    const { heap, layout } = this.#v8;
    const { generatorFunction, generatorInput, generatorContinuation } = layout.stated;
    const continuation = heap.smi(address, generatorContinuation);
    if (continuation === null || continuation < -2 || continuation > 10_000) return false;
    if (generatorContinuation + 8 > bytes) return false;
    const input = heap.smi(address, generatorInput);
    // a suspended one keeps the offset of its bytecode there, from behind the header on
    const isSuspended = continuation >= 0;
    if (isSuspended && (input === null || input < layout.field("BytecodeArray", "data") - 1)) {
      return false;
    }
    return heap.isFunction(heap.tagged(address, generatorFunction));
  }

  /**
   * It waits, or receives a message since a time that has been. Node makes it in two parts, of
   * which the second may take long the first time.
   */
  #parser({ address }: Sample): boolean | null {
    const { heap, target } = this.#v8;
    const state = readParser(heap, address);
    if (state === null || state === "unlike") return state === null ? null : false;
    const { messageStartMs } = state;
    return messageStartMs === null || messageStartMs <= (target.takenAtMs ?? UPTIME_MS_MAX);
  }

  /** The type behind SYMBOL_TYPE, which the metadata leaves out. */
  #bigints(): Check {
    const { heap, layout } = this.#v8;
    const samples = this.#samples.ofType(layout.type("SYMBOL_TYPE") + 1);
    return check("BigInts", () => {
      if (samples.length === 0) return null;
      const { bigintBits, bigintDigits } = layout.stated;
      return samples.every(({ address, bytes }) => {
        const digits = (heap.unsigned(address, bigintBits, 4) & 0x7fff_fffe) >>> 1;
        return bigintDigits + 8 * digits === bytes;
      });
    });
  }
}

/** Without a bit of the mask, some of these would have none of it. */
function isEachBitNeeded(mask: number, flags: readonly number[]): boolean {
  return Array.from({ length: 32 }, (_, shift) => (1 << shift) >>> 0).every((bit) => {
    const isOf = (mask & bit) !== 0;
    return !isOf || flags.some((one) => (one & mask & ~bit) === 0);
  });
}
