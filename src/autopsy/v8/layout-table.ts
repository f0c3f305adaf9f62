/**
 * The form of a table of constants: what one version of V8 keeps where. A table is a file of
 * `layouts/`, written by `scripts/autopsy-layout.ts` from a binary of that version; each constant
 * says where it is from. Offsets are from the first byte of an object, in bytes.
 */

/** A value and where it is from. */
export type Constant<Value> = readonly [value: Value, source: string];

/** What the constants for debuggers (`v8dbg_*`) of a binary leave out. */
export interface Stated {
  /** SharedFunctionInfo: bytecode, baseline code, or data of a function not compiled yet. */
  readonly sfiFunctionData: number;
  /** Its second field of that kind; -1: there is one for all. */
  readonly sfiUntrustedData: number;
  /** Script: line and column at which its source begins. */
  readonly scriptLineOffset: number;
  readonly scriptColumnOffset: number;
  /** BytecodeArray: the table of source positions. */
  readonly bytecodePositions: number;
  /** BytecodeArray: bytes of its registers, a 32-bit integer. */
  readonly bytecodeFrameSize: number;
  /** Code: deoptimisation or interpreter data, and the table of positions or offsets. */
  readonly codeDeoptimizationData: number;
  readonly codePositionTable: number;
  /** The same, from `instruction_size` on: size of the metadata, where safepoints end in it. */
  readonly codeMetadataSize: number;
  readonly codeHandlerTable: number;
  /** DeoptimizationData: index of the start of the exits, of the first row of three. */
  readonly deoptExitStart: number;
  readonly deoptFirstEntry: number;
  /** Safepoint tables begin with the number of stack slots: 1, or 0. */
  readonly hasStackSlots: number;
  /** Interpreter frames: register r0 from the frame pointer. */
  readonly interpreterRegisters: number;
  /** Context: its length, ScopeInfo, the one around it, its first variable. */
  readonly contextLength: number;
  readonly contextScopeInfo: number;
  readonly contextPrevious: number;
  readonly contextLocals: number;
  /** ContextCell: value, state, number beside it; -1: this version has none. */
  readonly contextCellValue: number;
  readonly contextCellState: number;
  readonly contextCellNumber: number;
  /** States of a cell whose number is an integer, or a double. */
  readonly contextCellInt32: number;
  readonly contextCellFloat64: number;
  /** JSObject: properties or hash, elements; PropertyArray and FixedArray are in the metadata. */
  readonly objectProperties: number;
  readonly objectElements: number;
  readonly arrayLength: number;
  readonly proxyTarget: number;
  readonly proxyHandler: number;
  readonly cellName: number;
  readonly cellDetails: number;
  readonly cellValue: number;
  readonly pairGetter: number;
  readonly pairSetter: number;
  /** Symbol: the flags, and those of its bits that mean "no program can see it". */
  readonly symbolFlags: number;
  readonly symbolPrivateMask: number;
  readonly promiseReactionsOrResult: number;
  readonly promiseFlags: number;
  /** PromiseReaction: its two functions, promise or capability; PromiseCapability: promise. */
  readonly reactionReject: number;
  readonly reactionFulfill: number;
  readonly reactionPromise: number;
  readonly capabilityPromise: number;
  readonly generatorFunction: number;
  /** JSGeneratorObject: the offset in the bytecode, while it is suspended. */
  readonly generatorInput: number;
  readonly generatorContinuation: number;
  readonly boundTarget: number;
  readonly boundReceiver: number;
  readonly boundArgs: number;
  readonly regExpSource: number;
  readonly regExpFlags: number;
  /** Bits of the flags, for the letters d, g, i, m, s, u, v, y. */
  readonly regExpBits: readonly number[];
  /** Map, Set, WeakMap, WeakSet: the table. */
  readonly collectionTable: number;
  /** OrderedHashTable: words before the buckets; HashTable: before the entries. */
  readonly orderedHeader: number;
  readonly hashHeader: number;
  readonly weakRefTarget: number;
  /** WeakCell, of what a FinalizationRegistry watches: the object, the token to end that. */
  readonly weakCellTarget: number;
  readonly weakCellToken: number;
  readonly wrappedValue: number;
  readonly dataViewBuffer: number;
  readonly bigintBits: number;
  readonly bigintDigits: number;
  /** JSDate: the value is a double (1) or a tagged number (0). */
  readonly isDateDouble: number;
  /** Elements kinds: doubles packed and with holes, the last simple one, sparse ... */
  readonly elementsPackedDouble: number;
  readonly elementsHoleyDouble: number;
  readonly elementsLastFast: number;
  readonly elementsDictionary: number;
  readonly elementsFastArguments: number;
  readonly elementsSlowArguments: number;
  readonly elementsFastStringWrapper: number;
  readonly elementsSlowStringWrapper: number;
  /** FreeSpace: bytes of one unit of its size. */
  readonly freeSpaceUnit: number;
  /**
   * WasmCode (C++): pointer to its tables, sizes from that of its instructions on, size of the list
   * of protected instructions, number of its function.
   */
  readonly wasmCodeTables: number;
  readonly wasmCodeSizes: number;
  readonly wasmCodeProtected: number;
  readonly wasmCodeIndex: number;
  /** Pages: the header has all (1), or a pointer to metadata at +8 (0). Offsets in either. */
  readonly isPageInline: number;
  readonly pageHeap: number;
  readonly pageAreaStart: number;
  readonly pageAreaEnd: number;
  /**
   * The limit of the old generation, in bytes (`max_old_generation_size`): its offset from the
   * Isolate, or the offset of a pointer and from there.
   */
  readonly heapLimitPath: readonly number[];
  /** From the Isolate: allocation areas (start, top, limit) of the young and old generation. */
  readonly allocationAreas: readonly number[];
  /** Node's parser of HTTP (C++): when the message that it receives began (`uv_hrtime`). */
  readonly parserMessageStart: number;
}

/** One version of V8. */
export interface LayoutTable {
  /** "13.6": within it, nothing of this changes. */
  readonly version: string;
  /** The binary that it was made from. */
  readonly from: {
    readonly node: string;
    readonly v8: string;
    readonly buildId: string;
  };
  readonly stated: { readonly [Name in keyof Stated]: Constant<Stated[Name]> };
  /** All `v8dbg_*` of that binary: its own come first, these tell when they differ. */
  readonly metadata: Readonly<Record<string, number>>;
}

/** The values alone. */
export function valuesOf({ stated }: LayoutTable): Stated {
  const values = Object.entries(stated).map(([name, [value]]) => [name, value]);
  return Object.fromEntries(values);
}
