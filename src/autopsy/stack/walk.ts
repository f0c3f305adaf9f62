/**
 * From a thread's registers to its frames, through C++, builtins and compiled JavaScript alike.
 *
 * ```
 *   pc in a file with unwind tables    native      caller by the tables (target/unwind.ts)
 *   pc in a builtin or compiled code   V8's own    frame pointers:
 *
 *        fp+16   receiver, arguments                       or whatever the caller pushed
 *        fp+8    return address
 *   fp   fp      caller's fp
 *        fp-8    context, or the type of the frame << 1
 *        fp-16   function                                  of a JavaScript frame
 *        fp-24   count of arguments with the receiver
 *        fp-32   bytecode array                            of interpreter and baseline
 *        fp-40   offset in it                              of the interpreter
 * ```
 *
 * The code on top may not have made its frame yet, or already removed it: there the return address
 * lies at the stack pointer, which `#topCaller` works out from the instructions. Where a native
 * frame
 * has no table, V8's own note of the last exit from JavaScript (`c_entry_fp`) leads on; nothing is
 * searched for by looks alone.
 */
import { NotInMemory } from "../target/memory.ts";
import type { Registers } from "../target/machine.ts";
import { callerOf } from "../target/unwind.ts";
import type { Target } from "../target/target.ts";
import type { IsolateView } from "../v8/isolates.ts";
import type { FrameTypeName } from "../v8/layout.ts";
import type { HeapView } from "../v8/heap-view.ts";
import { isSmi } from "../v8/tagged.ts";
import { DeoptimizationData } from "./code-objects.ts";
import type { CodeFinder, CodeObject } from "./code-objects.ts";

/** A stack of 8 MB holds no more. */
const FRAMES_MAX = 100_000;
const MARKER_MAX = 256;
const BUILTIN_PREFIX = "Builtins_";
/** push rbp; mov rbp, rsp */
const FRAME_SETUP = Buffer.from([0x55, 0x48, 0x89, 0xe5]);
const RETURN_OPCODES: ReadonlySet<number> = new Set([0xc3, 0xc2]);
/** Bytes of a function in which its frame is made. */
const PROLOGUE_BYTES_MAX = 256;
/** The largest builtins have some 30 kB. */
const BUILTIN_BYTES_MAX = 256 * 1024;
/**
 * Words between the stack pointer and the frame of the caller that a builtin without frame pushes.
 */
const LEAF_WORDS_MAX = 64;
/** The frame on top is at most so large. */
const FRAME_SEARCH_WORDS_MAX = 4096;
const CALLEE_SAVED_OF_ENTRY = ["r12", "r13", "r14", "r15", "rbx"] as const;

export interface RawFrame {
  readonly kind: "native" | "v8" | "missing";
  readonly pc: number;
  readonly sp: number;
  /** Of a V8 frame: its own, made; null: it has none (yet). */
  readonly fp: number | null;
  /** The pc is that of the processor, not a return address. */
  readonly isTop: boolean;
  readonly builtin: string | null;
  readonly code: CodeObject | null;
  /** The type of a typed frame; null: it has a context, so it is a JavaScript frame. */
  readonly type: FrameTypeName | "unknown" | null;
  /** Registers, as far as they are known here; all of them on top only. */
  readonly registers: Registers;
  /** Of the frame below a handler of the interpreter on top: the registers of that handler. */
  readonly handler?: Registers;
  /** Why frames are missing here. */
  readonly note?: string;
}

interface Place {
  readonly registers: Registers;
  readonly isReturn: boolean;
}

export class StackWalker {
  readonly #target: Target;
  readonly #heap: HeapView;
  readonly #codes: CodeFinder;
  readonly #isolate: IsolateView | null;

  constructor(target: Target, heap: HeapView, codes: CodeFinder, isolate: IsolateView | null) {
    this.#target = target;
    this.#heap = heap;
    this.#codes = codes;
    this.#isolate = isolate;
  }

  /** Frames from the top on. */
  *frames(registers: Registers): Generator<RawFrame, void, undefined> {
    let place: Place | null = { registers: this.#withFrame(registers), isReturn: false };
    let sp = 0;
    let handler: Registers | undefined;
    for (let count = 0; place !== null && count < FRAMES_MAX; count += 1) {
      if (place.registers.sp < sp) return;
      ({ sp } = place.registers);
      const builtin = this.builtinAt(place.registers.pc, place.isReturn);
      const isCompiled = builtin === null && this.#codes.isCompiled(place.registers.pc);
      if (builtin === null && !isCompiled) {
        yield this.#native(place);
        place = callerOf(this.#target, place) ?? (yield* this.#leap(place));
        continue;
      }
      const frame = this.#v8Frame(place, builtin);
      yield handler === undefined ? frame : { ...frame, handler };
      handler = frame.isTop && builtin?.endsWith("Handler") === true ? frame.registers : undefined;
      place =
        frame.fp === null ? this.#topCaller(frame) : this.#callerByFrame(frame.fp, frame.type);
      if (place === null && this.#isInside(sp)) {
        yield this.#missing(frame.registers, "the frames below cannot be followed");
      }
    }
  }

  /**
   * The name of the builtin at an address, without prefix. The frames that a deoptimisation makes
   * return to the very start of a builtin (Deoptimizer::DoComputeUnoptimizedFrame); all others
   * return
   * behind a call, after which there is at least padding.
   */
  builtinAt(pc: number, isReturn: boolean): string | null {
    const { modules } = this.#target;
    const start = modules.symbolAt(pc);
    const symbol = isReturn && start?.offset !== 0 ? modules.symbolAt(pc - 1) : start;
    const name = symbol?.name;
    return name?.startsWith(BUILTIN_PREFIX) === true ? name.slice(BUILTIN_PREFIX.length) : null;
  }

  /**
   * Where the frame pointer is not known (a live process without ptrace), it is looked for above
   * the
   * stack pointer. Only that counts from which the chain of frames, each with a return address
   * behind
   * a call and a valid type or function, leads to the outermost entry that V8 has noted.
   */
  #withFrame(registers: Registers): Registers {
    const { pc, sp, fp, byName } = registers;
    const isV8 = this.#codes.isCompiled(pc) || this.builtinAt(pc, false) !== null;
    if (fp !== null || !isV8 || this.#isolate === null) return registers;
    for (let index = 0; index < FRAME_SEARCH_WORDS_MAX; index += 1) {
      const candidate = sp + 8 * index;
      if (!this.#leadsToEntry(candidate)) continue;
      return {
        pc,
        sp,
        fp: candidate,
        byName: new Map([...byName, ["rbp", candidate]]),
        words: null,
      };
    }
    return registers;
  }

  #leadsToEntry(start: number): boolean {
    const entry = this.#isolate?.jsEntrySp ?? 0;
    let fp = start;
    let isNative = false;
    for (let count = 0; count < FRAMES_MAX && fp < entry; count += 1) {
      const type = this.typeOf(fp);
      // Between two entries there is C++, which keeps frame pointers but has no types.
      if (type === "unknown" && !isNative) return false;
      if (type !== "unknown") isNative = type === "Entry" || type === "ConstructEntry";
      const next = this.#heap.word(fp, 0);
      if (next <= fp || !this.#isReturn(this.#heap.word(fp, 8), isNative)) return false;
      fp = next;
    }
    return fp === entry && start !== entry;
  }

  #isReturn(value: number, isNative: boolean): boolean {
    if (!isNative) return this.#isReturnAddress(value) || this.builtinAt(value, true) !== null;
    return this.#target.modules.symbolAt(value - 1) !== null && this.#isBehindCall(value);
  }

  /** True while JavaScript frames must follow: the outermost entry is not reached. */
  #isInside(sp: number): boolean {
    return this.#isolate !== null && this.#isolate.jsEntrySp > sp;
  }

  #native({ registers, isReturn }: Place): RawFrame {
    const { pc, sp } = registers;
    const base = { pc, sp, fp: null, isTop: !isReturn, builtin: null, code: null, type: null };
    return { kind: "native", ...base, registers };
  }

  #missing(registers: Registers, note: string): RawFrame {
    const frame = this.#native({ registers, isReturn: true });
    return { ...frame, kind: "missing", note };
  }

  /** Where tables end but JavaScript frames remain: to the frame from which V8 called C++. */
  *#leap({ registers, isReturn }: Place): Generator<RawFrame, Place | null, undefined> {
    const isolate = this.#isolate;
    if (isolate === null || !this.#isInside(registers.sp)) return null;
    const { cEntryFp, fastCCallCallerFp } = isolate;
    const isFast =
      fastCCallCallerFp > registers.sp && (cEntryFp === 0 || fastCCallCallerFp < cEntryFp);
    try {
      const fp = isFast ? fastCCallCallerFp : cEntryFp;
      if (fp <= registers.sp) {
        const reached = isReturn ? "above" : "at the top";
        yield this.#missing(registers, `native frames ${reached} cannot be followed`);
        return null;
      }
      yield this.#missing(registers, "native frames left out");
      const { memory } = this.#target;
      // A fast call leaves no frame of its own: its caller's frame is the next one.
      const sp = isFast ? registers.sp : memory.word(fp - 16);
      const pc = isFast ? memory.word(fp + 8) : memory.word(sp - 8);
      const next = isFast ? memory.word(fp) : fp;
      return { registers: bare(pc, isFast ? fp + 16 : sp, next), isReturn: true };
    } catch (error) {
      if (error instanceof NotInMemory) return null;
      throw error;
    }
  }

  #v8Frame({ registers, isReturn }: Place, builtin: string | null): RawFrame {
    const { pc, sp } = registers;
    const code = builtin === null ? this.#codes.at(isReturn ? pc - 1 : pc) : null;
    const hasFrame = isReturn || this.#hasFrame(registers, builtin, code);
    const fp = hasFrame ? registers.fp : null;
    const type = fp === null ? null : this.typeOf(fp);
    return { kind: "v8", pc, sp, fp, isTop: !isReturn, builtin, code, type, registers };
  }

  /** The type of the frame at `fp`; null for a JavaScript frame. */
  typeOf(fp: number): FrameTypeName | "unknown" | null {
    const marker = this.#heap.word(fp, -8);
    if (marker % 2 === 0 && marker < MARKER_MAX) {
      return this.#heap.layout.frameType(marker / 2) ?? "unknown";
    }
    const context = this.#heap.tagged(fp, -8);
    const isJavaScript = !isSmi(context) && this.#heap.isContext(context);
    return isJavaScript && this.#heap.isFunction(this.#heap.tagged(fp, -16)) ? null : "unknown";
  }

  /** Whether the code on top has its own frame: it has passed its prologue and not its epilogue. */
  #hasFrame(registers: Registers, builtin: string | null, code: CodeObject | null): boolean {
    const { pc, fp } = registers;
    if (fp === null || fp < registers.sp) return false;
    const start = builtin === null ? code?.start : this.#startOf(pc);
    if (start === undefined || start === null) return true;
    const setup = this.#setupAt(start);
    if (setup !== null && pc < start + setup + FRAME_SETUP.length) return false;
    if (RETURN_OPCODES.has(this.#byte(pc))) return false;
    if (builtin !== null) return this.#isOwnFrame(builtin, start, registers);
    return registers.words !== null || code === null || this.#isFrameOf(code, fp);
  }

  /** Whether a frame that was searched for belongs to the code on top, not to its caller. */
  #isFrameOf(code: CodeObject, fp: number): boolean {
    const heap = this.#heap;
    if (this.typeOf(fp) !== null) return false;
    if (code.kind === "baseline") return heap.tagged(fp, -32) === code.deoptimizationData;
    const shared = new DeoptimizationData(heap, code.deoptimizationData).shared;
    return heap.tagged(heap.tagged(fp, -16), heap.layout.field("JSFunction", "shared")) === shared;
  }

  /**
   * A builtin without a frame of its own runs in its caller's. Some make theirs late, on a slow
   * path.
   * Stubs mark their frames; a builtin with JavaScript linkage has its function in its frame.
   */
  #isOwnFrame(builtin: string, start: number, { pc, sp, fp }: Registers): boolean {
    if (fp === null || !this.#makesFrame(start, pc)) return false;
    const type = this.typeOf(fp);
    if (type === null) return !builtin.endsWith("Handler") && !this.#isFrameOfCode(fp);
    // The frame may be that of a stub that called this one: then the return address is on top.
    return type !== "unknown" && !this.#isReturnAddress(this.#heap.word(sp, 0));
  }

  #makesFrame(start: number, pc: number): boolean {
    const code = this.#target.memory.read(start, Math.min(pc - start, BUILTIN_BYTES_MAX));
    return code !== null && code.includes(FRAME_SETUP);
  }

  /** True when the JavaScript frame belongs to bytecode or compiled code, not to a builtin. */
  #isFrameOfCode(fp: number): boolean {
    const { layout } = this.#heap;
    const shared = this.#heap.tagged(
      this.#heap.tagged(fp, -16),
      layout.field("JSFunction", "shared"),
    );
    const script = this.#heap.tagged(shared, layout.field("SharedFunctionInfo", "script"));
    return this.#heap.isOfType(script, "SCRIPT_TYPE");
  }

  #startOf(pc: number): number | null {
    const symbol = this.#target.modules.symbolAt(pc);
    return symbol === null ? null : pc - symbol.offset;
  }

  /** Where in the prologue the frame is made; null: nowhere. */
  #setupAt(start: number): number | null {
    const prologue = Buffer.alloc(PROLOGUE_BYTES_MAX);
    const length = this.#target.memory.readInto(start, prologue);
    const at = prologue.subarray(0, length).indexOf(FRAME_SETUP);
    return at < 0 ? null : at;
  }

  #byte(address: number): number {
    return this.#heap.unsigned(address, 0, 1);
  }

  #callerByFrame(fp: number, type: RawFrame["type"]): Place | null {
    try {
      const { memory } = this.#target;
      const next = memory.word(fp);
      const pc = memory.word(fp + 8);
      if (pc === 0) return null;
      const saved: [string, number][] = [];
      if (type === "Entry" || type === "ConstructEntry") {
        for (const [index, name] of CALLEE_SAVED_OF_ENTRY.entries()) {
          saved.push([name, memory.word(fp - 24 - 8 * index)]);
        }
      }
      return { registers: bare(pc, fp + 16, next, saved), isReturn: true };
    } catch (error) {
      if (error instanceof NotInMemory) return null;
      throw error;
    }
  }

  /** The caller of code on top that has no frame: its return address is at or near the top. */
  #topCaller({ registers, builtin, code, pc }: RawFrame): Place | null {
    const { sp, fp } = registers;
    const { memory } = this.#target;
    const start = builtin === null ? (code?.start ?? null) : this.#startOf(pc);
    const setup = start === null ? null : this.#setupAt(start);
    const pushed = setup !== null && start !== null && pc === start + setup + 1 ? 1 : 0;
    const isPushed = setup !== null && start !== null && pc === start + setup + 4 ? 1 : 0;
    try {
      for (let index = pushed + isPushed; index < LEAF_WORDS_MAX; index += 1) {
        const address = sp + 8 * index;
        if (fp !== null && address >= fp && fp > sp) break;
        const value = memory.word(address);
        if (!this.#isReturnAddress(value)) continue;
        const caller = isPushed === 1 ? memory.word(sp) : fp;
        return { registers: bare(value, address + 8, caller ?? 0), isReturn: true };
      }
    } catch (error) {
      if (!(error instanceof NotInMemory)) throw error;
    }
    return null;
  }

  /** In code of V8, and behind a call. */
  #isReturnAddress(value: number): boolean {
    const isCode = this.#codes.isCompiled(value) || this.builtinAt(value, true) !== null;
    if (!isCode) return false;
    return this.#isBehindCall(value);
  }

  #isBehindCall(value: number): boolean {
    const before = this.#target.memory.read(value - 7, 7);
    return before !== null && endsWithCall(before);
  }
}

/** E8 rel32, or FF /2 in its lengths (Intel SDM, CALL). */
function endsWithCall(bytes: Buffer): boolean {
  const { length } = bytes;
  if (bytes[length - 5] === 0xe8) return true;
  for (const size of [2, 3, 4, 6, 7]) {
    const opcode = bytes[length - size];
    const modrm = bytes[length - size + 1];
    if (opcode === 0xff && modrm !== undefined && ((modrm >> 3) & 7) === 2) return true;
  }
  return false;
}

/** Registers of a frame of which only these are known. */
function bare(
  pc: number,
  sp: number,
  fp: number,
  saved: readonly (readonly [string, number])[] = [],
): Registers {
  const byName = new Map([["rip", pc], ["rsp", sp], ["rbp", fp], ...saved]);
  return { pc, sp, fp, byName, words: null };
}
