/**
 * Isolates: which thread runs JavaScript, and where V8 keeps what it knows of its stack.
 *
 * A thread's isolate is in the thread-local variable `g_current_isolate_`. Of the Isolate only its
 * first member is read, IsolateData, whose offsets are taken from machine code of the same binary:
 * builtins address it through the root register (r13 = Isolate + bias).
 *
 * ```
 *   Builtins_CEntry_..NoBuiltinExit  49 89 AD d32   mov [r13+d], rbp     c_entry_fp
 *                                    49 89 B5 d32   mov [r13+d], rsi     context
 *                                    49 8D 55 d8    lea rdx, [r13-0x80]  bias
 *   Builtins_JSEntry                 49 8B 85 d32   mov rax, [r13+d]     js_entry_sp
 *   any builtin that calls C fast    49 89 AD d32   mov [r13+d], rbp     fast_c_call_caller_fp
 * ```
 */
import { PT_TLS } from "../target/elf.ts";
import type { ElfFile } from "../target/elf.ts";
import { NotInMemory } from "../target/memory.ts";
import type { Target, TargetThread } from "../target/target.ts";
import { BUILTINS, CURRENT_ISOLATE } from "../target/v8-names.ts";

const C_ENTRY = "Builtins_CEntry_Return1_ArgvOnStack_NoBuiltinExit";
const JS_ENTRY = "Builtins_JSEntry";
const BUILTIN_BYTES_MAX = 65_536;
/** All embedded builtins of a version take 2 MB. */
const BUILTINS_BYTES_MAX = 16 * 1024 * 1024;
/** Fewer are no majority: 1,129 in 12.4, 1,301 in 13.6, 1,376 in 14.6. */
const FRAME_STORES_MIN = 100;
/** `struct pthread`: the thread's id (glibc 2.3 to 2.41, x64). */
const GLIBC_TID = 0x2d0;
const CONTROL_SCAN_BYTES_MAX = 256 * 1024 * 1024;
const CONTROL_SCAN_BYTES = 1024 * 1024;
const SCAN_PAGE_BYTES = 4096;

/** Offsets from the Isolate. */
export interface IsolateDataOffsets {
  readonly cEntryFp: number;
  readonly context: number;
  readonly jsEntrySp: number;
  /** Null: no builtin was found that stores it. */
  readonly fastCCallCallerFp: number | null;
  /** The root register is so far behind the Isolate. */
  readonly rootBias: number;
}

export interface IsolateView {
  readonly address: number;
  readonly tid: number;
  /** Frame pointer of the last exit frame; 0 when no C++ was called from JavaScript. */
  readonly cEntryFp: number;
  readonly fastCCallCallerFp: number;
  /** Stack pointer at the outermost entry into JavaScript; 0 when none runs. */
  readonly jsEntrySp: number;
}

function codeOf(binary: ElfFile, name: string): Buffer {
  const symbol = binary.symbols.named(name);
  const offset = symbol === null ? null : binary.offsetOf(symbol.address);
  if (symbol === null || offset === null) return Buffer.alloc(0);
  return binary.source.slice(offset, Math.min(symbol.bytes, BUILTIN_BYTES_MAX));
}

/** 32-bit operands behind every occurrence of an opcode. */
function* operandsOf(code: Buffer, opcode: readonly number[]): Generator<number> {
  const pattern = Buffer.from(opcode);
  for (let at = code.indexOf(pattern); at >= 0; at = code.indexOf(pattern, at + 1)) {
    if (at + pattern.length + 4 <= code.length) yield code.readInt32LE(at + pattern.length);
  }
}

/**
 * Builtins store the frame pointer in one place before they call C directly
 * (`fast_c_call_caller_fp`,
 * more than 1,000 times), and in `c_entry_fp` in the few versions of CEntry.
 */
function mostFrequentFrameStore(
  binary: ElfFile,
  { start, end }: BuiltinCode,
  cEntryFp: number,
): number | null {
  const offset = binary.offsetOf(start);
  if (offset === null || end - start > BUILTINS_BYTES_MAX) return null;
  const code = binary.source.slice(offset, end - start);
  const votes = new Map<number, number>();
  const vote = (operand: number): void => {
    if (operand !== cEntryFp) votes.set(operand, (votes.get(operand) ?? 0) + 1);
  };
  for (const operand of operandsOf(code, [0x49, 0x89, 0xad])) vote(operand);
  // The same with a displacement of 8 bits.
  const short = Buffer.from([0x49, 0x89, 0x6d]);
  for (let at = code.indexOf(short); at >= 0; at = code.indexOf(short, at + 1)) {
    if (at + 3 < code.length) vote(code.readInt8(at + 3));
  }
  const [best] = [...votes].toSorted(([, left], [, right]) => right - left);
  return best === undefined || best[1] < FRAME_STORES_MIN ? null : best[0];
}

/** Where all of them lie. */
interface BuiltinCode {
  readonly start: number;
  readonly end: number;
}

function builtinCode(binary: ElfFile): BuiltinCode {
  let start = Number.POSITIVE_INFINITY;
  let end = 0;
  for (const { address, bytes } of binary.symbols.beginning(BUILTINS)) {
    start = Math.min(start, address);
    end = Math.max(end, address + bytes);
  }
  return { start, end };
}

/** @returns null when the binary's builtins do not look as expected */
export function deriveIsolateData(binary: ElfFile): IsolateDataOffsets | null {
  const builtins = builtinCode(binary);
  const entry = codeOf(binary, C_ENTRY);
  const biasAt = entry.indexOf(Buffer.from([0x49, 0x8d, 0x55]));
  const rootBias = biasAt < 0 ? 0 : -entry.readInt8(biasAt + 3);
  const [fp] = operandsOf(entry, [0x49, 0x89, 0xad]);
  const [context] = operandsOf(entry, [0x49, 0x89, 0xb5]);
  const [entrySp] = operandsOf(codeOf(binary, JS_ENTRY), [0x49, 0x8b, 0x85]);
  if (fp === undefined || context === undefined || entrySp === undefined) return null;
  const fastCall = mostFrequentFrameStore(binary, builtins, fp);
  return {
    cEntryFp: fp + rootBias,
    context: context + rootBias,
    jsEntrySp: entrySp + rootBias,
    fastCCallCallerFp: fastCall === null ? null : fastCall + rootBias,
    rootBias,
  };
}

/**
 * The thread pointer of a thread whose registers are not known: glibc's control block begins with
 * its
 * own address, twice, and has the thread's id (`tcbhead_t`, `struct pthread`). It lies at
 * the end of the thread's stack, or, for the main thread, in a small mapping of its own.
 */
function threadPointer(target: Target, thread: TargetThread): number | null {
  const sp = thread.registers?.sp ?? 0;
  const writable = target.mappings.filter(
    ({ isWritable, path }) => isWritable && (path === null || path.startsWith("[")),
  );
  // Another thread's lies on its stack. The main thread's may be merged with what is beside it.
  const isMain = thread.tid === target.pid;
  const candidates = isMain
    ? writable.toSorted((left, right) => left.end - left.start - (right.end - right.start))
    : writable.filter(({ start, end }) => sp >= start && sp < end);
  let budget = CONTROL_SCAN_BYTES_MAX;
  for (const { start, end } of candidates) {
    const from = isMain ? start : Math.max(start, end - CONTROL_SCAN_BYTES);
    budget -= end - from;
    if (budget < 0) return null;
    const found = scanForThread(target, thread.tid, from, end);
    if (found !== null) return found;
  }
  return null;
}

/**
 * From the end, where it lies on the stack of a thread; pages that are not there are passed over.
 */
function scanForThread(target: Target, tid: number, from: number, end: number): number | null {
  const words = new Uint32Array(SCAN_PAGE_BYTES / 4);
  const page = Buffer.from(words.buffer);
  for (let start = end - SCAN_PAGE_BYTES; start >= from; start -= SCAN_PAGE_BYTES) {
    if (target.memory.readInto(start, page) < SCAN_PAGE_BYTES) continue;
    const high = Math.floor(start / 0x1_0000_0000);
    for (let at = words.length - 6; at >= 0; at -= 2) {
      const low = (start + 4 * at) % 0x1_0000_0000;
      if (words[at] !== low || words[at + 4] !== low || words[at + 1] !== high) continue;
      const bytes = target.memory.read(start + 4 * at + GLIBC_TID, 4);
      if (bytes !== null && bytes.readUInt32LE(0) === tid) return start + 4 * at;
    }
  }
  return null;
}

/** Finds the isolate of a thread; null for a thread without one. */
export function isolateOf(
  target: Target,
  offsets: IsolateDataOffsets,
  thread: TargetThread,
): IsolateView | null {
  const fsBase = thread.registers?.byName.get("fs_base") ?? threadPointer(target, thread);
  const variable = target.executable.symbols.named(CURRENT_ISOLATE);
  const segment = target.executable.programs.find(({ type }) => type === PT_TLS);
  if (fsBase === null || fsBase === 0 || variable === null || segment === undefined) return null;
  const align = Math.max(1, segment.align);
  const start = fsBase - Math.ceil(segment.memoryBytes / align) * align;
  try {
    const address = target.memory.word(start + variable.address);
    if (address === 0 || !Number.isSafeInteger(address)) return null;
    const at = (offset: number | null): number =>
      offset === null ? 0 : target.memory.word(address + offset);
    return {
      address,
      tid: thread.tid,
      cEntryFp: at(offsets.cEntryFp),
      fastCCallCallerFp: at(offsets.fastCCallCallerFp),
      jsEntrySp: at(offsets.jsEntrySp),
    };
  } catch (error) {
    if (error instanceof NotInMemory) return null;
    throw error;
  }
}
