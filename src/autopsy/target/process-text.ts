/**
 * Arguments and environment of a process, as it was started with: the kernel puts pointers to them
 * below the auxiliary vector, at the top of the first thread's stack (fs/binfmt_elf.c).
 *
 * ```
 *   argc | argv[0] .. | 0 | envp[0] .. | 0 | auxiliary vector | ... strings
 * ```
 */
import { NotInMemory } from "./memory.ts";
import type { Memory } from "./memory.ts";

const AT_RANDOM = 25;
/** Auxiliary types are small numbers. */
const AT_MAX = 64;
/** How far below the strings the vectors may lie: `ARG_MAX` allows 2 MiB of them by default. */
const SEARCH_BYTES_MAX = 8 * 1024 * 1024;
const POINTERS_MAX = 100_000;
const STRING_BYTES_MAX = 128 * 1024;

export interface ProcessText {
  /** Null: not there. */
  readonly args: readonly string[] | null;
  readonly environment: ReadonlyMap<string, string> | null;
}

/**
 * Reads them from the stack. `command`: the beginning of the arguments as `ps` shows it, for a core
 * without a stack; null where there is none either.
 */
export function readProcessText(
  memory: Memory,
  auxiliary: ReadonlyMap<number, number>,
  command: string | null,
): ProcessText {
  try {
    const found = fromStack(memory, auxiliary.get(AT_RANDOM));
    if (found !== null) return found;
  } catch (error) {
    if (!(error instanceof NotInMemory)) throw error;
  }
  return { args: command === null ? null : command.split(" "), environment: null };
}

function fromStack(memory: Memory, random: number | undefined): ProcessText | null {
  if (random === undefined) return null;
  let at = findPair(memory, random);
  if (at === null) return null;
  // to the beginning of the auxiliary vector: pairs whose type can be one
  while (memory.word(at - 16) > 0 && memory.word(at - 16) < AT_MAX) at -= 16;
  const variables = pointersBefore(memory, at - 8);
  const args = variables === null ? null : pointersBefore(memory, variables.start - 8);
  if (variables === null || args === null) return null;
  // the first "pointer" before the arguments is their count
  if (memory.word(args.start - 8) !== args.pointers.length) return null;
  const environment = new Map<string, string>();
  for (const pointer of variables.pointers) {
    const text = stringAt(memory, pointer);
    const equals = text.indexOf("=");
    if (equals > 0) environment.set(text.slice(0, equals), text.slice(equals + 1));
  }
  return { args: args.pointers.map((pointer) => stringAt(memory, pointer)), environment };
}

/** Where the auxiliary vector says (AT_RANDOM, random), below that address. */
function findPair(memory: Memory, random: number): number | null {
  const top = random - (random % 16);
  for (let at = top; at > top - SEARCH_BYTES_MAX; at -= 8) {
    if (memory.word(at) === AT_RANDOM && memory.word(at + 8) === random) return at;
  }
  return null;
}

/** A vector of pointers that ends with the zero at `end`. */
function pointersBefore(
  memory: Memory,
  end: number,
): { readonly start: number; readonly pointers: readonly number[] } | null {
  if (memory.word(end) !== 0) return null;
  const pointers: number[] = [];
  let at = end - 8;
  // a count of arguments is no address of anything
  for (; pointers.length < POINTERS_MAX && memory.word(at) > POINTERS_MAX; at -= 8) {
    pointers.push(memory.word(at));
  }
  return { start: at + 8, pointers: pointers.toReversed() };
}

/** A C string, bounded. */
function stringAt(memory: Memory, address: number): string {
  const bytes = Buffer.alloc(STRING_BYTES_MAX);
  const there = memory.readInto(address, bytes);
  const end = bytes.subarray(0, there).indexOf(0);
  return bytes.toString("utf8", 0, end < 0 ? there : end);
}
