/**
 * What differs between the processors: where registers lie in the kernel's structures, and how
 * DWARF numbers them. x64 is tested; arm64 has its table so that nothing else needs to know.
 *
 * Sources: Linux arch/x86/include/asm/user_64.h, arch/arm64/include/uapi/asm/ptrace.h; System V
 * AMD64 ABI figure 3.36 (DWARF numbers); DWARF for the Arm 64-bit architecture, table 4.1.
 */
import { EM_AARCH64, EM_X86_64 } from "./elf.ts";

export interface Machine {
  readonly name: "x64" | "arm64";
  /** `user_regs_struct` or `user_pt_regs`: the names of its 64-bit words, in order. */
  readonly registers: readonly string[];
  readonly pc: string;
  readonly sp: string;
  readonly fp: string;
  /** DWARF register numbers to names. */
  readonly dwarf: readonly string[];
  /** DWARF number of the return address column. */
  readonly returnColumn: number;
}

const X64_REGISTERS =
  "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss " +
  "fs_base gs_base ds es fs gs";
const ARM64_GENERAL = Array.from({ length: 31 }, (_, index) => `x${index}`);

export const X64: Machine = {
  name: "x64",
  registers: X64_REGISTERS.split(" "),
  pc: "rip",
  sp: "rsp",
  fp: "rbp",
  dwarf: "rax rdx rcx rbx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip".split(" "),
  returnColumn: 16,
};

export const ARM64: Machine = {
  name: "arm64",
  registers: [...ARM64_GENERAL, "sp", "pc", "pstate"],
  pc: "pc",
  sp: "sp",
  fp: "x29",
  dwarf: [...ARM64_GENERAL, "sp"],
  returnColumn: 30,
};

/** The machine of an ELF file; null when it is another one. */
export function machineOf(elfMachine: number): Machine | null {
  if (elfMachine === EM_X86_64) return X64;
  return elfMachine === EM_AARCH64 ? ARM64 : null;
}

/**
 * What must be known of a target of this machine. On x64 stacks of JavaScript are read by what the
 * builtins look like (v8/isolates.ts) and by registers (stack/); for arm64 nobody has done that.
 */
export function machineRemarks({ name }: Machine): readonly string[] {
  if (name === "x64") return [];
  return [
    `this is an ${name} process: nothing was tried with such a one. Objects are read as on x64; ` +
      `frames of JavaScript are not`,
  ];
}

/** Registers of a thread, by the names of its machine. */
export interface Registers {
  readonly pc: number;
  readonly sp: number;
  /** Null: not known (a live process without ptrace). */
  readonly fp: number | null;
  /** As far as known; words above 2^53 are rounded. */
  readonly byName: ReadonlyMap<string, number>;
  /** All of them, exact, as the kernel gives them; null: only some are known. */
  readonly words: Buffer | null;
}

/** From the words of the kernel's structure; null when there are too few. */
export function registersFrom(machine: Machine, bytes: Buffer): Registers | null {
  if (bytes.length < machine.registers.length * 8) return null;
  const byName = new Map(
    machine.registers.map((name, index) => [
      name,
      bytes.readUInt32LE(8 * index) + bytes.readUInt32LE(8 * index + 4) * 0x1_0000_0000,
    ]),
  );
  const of = (name: string): number => byName.get(name) ?? 0;
  return { pc: of(machine.pc), sp: of(machine.sp), fp: of(machine.fp), byName, words: bytes };
}
