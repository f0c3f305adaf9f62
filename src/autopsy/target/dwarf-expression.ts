/**
 * Expressions of DWARF (version 5, section 2.5), as far as unwind tables use them: procedure
 * linkage tables and the frames of signal handlers.
 */
import { DwarfCursor } from "./dwarf-cursor.ts";
import type { Memory } from "./memory.ts";

const OPERATIONS_MAX = 1_000;
const STACK_MAX = 256;
const WORD = 1n << 64n;

/** Evaluates over the registers of one frame. */
export class Expression {
  readonly #memory: Memory;
  readonly #register: (column: number) => number | undefined;

  constructor(memory: Memory, register: (column: number) => number | undefined) {
    this.#memory = memory;
    this.#register = register;
  }

  /** The top of the stack at the end; undefined when a register is not known. */
  evaluate(bytes: Buffer, initial: number | null): number | undefined {
    const cursor = new DwarfCursor(bytes, 0);
    const stack: bigint[] = initial === null ? [] : [BigInt(initial)];
    const pop = (): bigint => {
      const value = stack.pop();
      if (value === undefined) throw new RangeError("empty stack");
      return value;
    };
    for (let count = 0; !cursor.isAtEnd; count += 1) {
      if (count > OPERATIONS_MAX || stack.length > STACK_MAX) throw new RangeError("too long");
      const code = cursor.u8();
      if (code >= 0x30 && code <= 0x4f) stack.push(BigInt(code - 0x30));
      else if (code >= 0x70 && code <= 0x8f) {
        const value = this.#register(code - 0x70);
        const offset = cursor.signed();
        if (value === undefined) return undefined;
        stack.push(BigInt(value) + BigInt(offset));
      } else if (code === 0x06) stack.push(BigInt(this.#memory.word(Number(wrap(pop())))));
      else if (code === 0x23) stack.push(pop() + BigInt(cursor.unsigned()));
      else if (code === 0x12) {
        const top = pop();
        stack.push(top, top);
      } else if (code === 0x13) pop();
      else {
        const constant = constantOf(code, cursor);
        if (constant === null) stack.push(binary(code, pop(), pop()));
        else stack.push(constant);
      }
    }
    return Number(wrap(pop()));
  }
}

function wrap(value: bigint): bigint {
  return ((value % WORD) + WORD) % WORD;
}

function constantOf(code: number, cursor: DwarfCursor): bigint | null {
  switch (code) {
    case 0x08:
      return BigInt(cursor.u8());
    case 0x09:
      return BigInt((cursor.u8() << 24) >> 24);
    case 0x0a:
      return BigInt(cursor.u16());
    case 0x0b:
      return BigInt((cursor.u16() << 16) >> 16);
    case 0x0c:
      return BigInt(cursor.u32());
    case 0x0d:
      return BigInt(cursor.u32() | 0);
    case 0x0e:
      return BigInt(cursor.u64());
    case 0x0f:
      return BigInt(cursor.i64());
    case 0x10:
      return BigInt(cursor.unsigned());
    case 0x11:
      return BigInt(cursor.signed());
    default:
      return null;
  }
}

/** `second` was below `top` on the stack. */
function binary(code: number, top: bigint, second: bigint): bigint {
  switch (code) {
    case 0x1a:
      return second & top;
    case 0x1c:
      return second - top;
    case 0x1e:
      return second * top;
    case 0x21:
      return second | top;
    case 0x22:
      return second + top;
    case 0x24:
      return second << (top & 63n);
    case 0x25:
      return wrap(second) >> (top & 63n);
    case 0x27:
      return second ^ top;
    case 0x29:
      return second === top ? 1n : 0n;
    case 0x2a:
      return second >= top ? 1n : 0n;
    case 0x2b:
      return second > top ? 1n : 0n;
    case 0x2c:
      return second <= top ? 1n : 0n;
    case 0x2d:
      return second < top ? 1n : 0n;
    case 0x2e:
      return second === top ? 0n : 1n;
    default:
      throw new RangeError(`operation ${code}`);
  }
}
