/**
 * ELF files (System V ABI, chapters 4 and 5; 64 bits, little endian): the node binary, the
 * libraries, and cores. What a file says is checked against its size: a header is not to be
 * trusted.
 *
 * ```
 *   header --> program headers --> PT_LOAD (what is mapped where), PT_NOTE, PT_TLS, PT_GNU_EH_FRAME
 *          `-> section headers --> .symtab .dynsym .eh_frame .note.gnu.build-id ...
 * ```
 */
import { HoldfastError } from "../../base/mod.ts";
import type { ByteSource } from "./byte-source.ts";
import { SymbolTable } from "./symbols.ts";

export const ET_EXEC = 2;
export const ET_DYN = 3;
export const ET_CORE = 4;
export const EM_X86_64 = 62;
export const EM_AARCH64 = 183;
export const PT_LOAD = 1;
export const PT_NOTE = 4;
export const PT_TLS = 7;
export const PT_GNU_EH_FRAME = 0x6474_e550;
export const PF_X = 1;
export const PF_W = 2;
export const PF_R = 4;
const SHT_SYMTAB = 2;
const SHT_DYNSYM = 11;
const NT_GNU_BUILD_ID = 3;
/** Program headers of a core: one for each mapping, of which Linux allows 65,530 by default. */
const HEADERS_MAX = 1_000_000;
const SECTIONS_MAX = 65_536;
/** Notes of a core: some hundred bytes for each thread and mapping. */
const NOTE_BYTES_MAX = 64 * 1024 * 1024;
/** `e_phnum` when there are more than it can say; the count is in the first section header. */
const PN_XNUM = 0xffff;

export interface ProgramHeader {
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly address: number;
  readonly fileBytes: number;
  readonly memoryBytes: number;
  readonly align: number;
}

export interface Section {
  readonly name: string;
  readonly type: number;
  readonly address: number;
  readonly offset: number;
  readonly bytes: number;
  readonly link: number;
  readonly entryBytes: number;
}

export interface Note {
  readonly name: string;
  readonly type: number;
  readonly bytes: Buffer;
}

function notElf(source: ByteSource, why: string): HoldfastError {
  return new HoldfastError(
    "ERR_HOLDFAST_AUTOPSY_NOT_ELF",
    `Cannot read ${source.path} as an ELF file: ${why}. Give a core file of a 64-bit Linux ` +
      `process, or the node binary that it ran.`,
  );
}

function unsigned64(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * 0x1_0000_0000;
}

/** A 64-bit ELF file. */
export class ElfFile {
  readonly source: ByteSource;
  readonly type: number;
  readonly machine: number;
  readonly entry: number;
  readonly programs: readonly ProgramHeader[];
  readonly sections: readonly Section[];
  /** Program headers that the file should have and does not: it ends within them. */
  #missingPrograms = 0;
  #symbols: SymbolTable | null = null;
  #buildId: string | null | undefined;

  /** @throws HoldfastError ERR_HOLDFAST_AUTOPSY_NOT_ELF when it is none, or another kind of one. */
  constructor(source: ByteSource) {
    this.source = source;
    const header = source.slice(0, 64);
    if (header.length < 64 || header.readUInt32BE(0) !== 0x7f45_4c46) {
      throw notElf(source, source.size === 0 ? "it is empty" : "it does not begin as one");
    }
    if (header[4] !== 2 || header[5] !== 1) throw notElf(source, "it is not 64-bit little endian");
    this.type = header.readUInt16LE(16);
    this.machine = header.readUInt16LE(18);
    this.entry = unsigned64(header, 24);
    this.sections = this.#readSections(header);
    this.programs = this.#readPrograms(header);
  }

  get path(): string {
    return this.source.path;
  }

  /** So many program headers are not there: the file is cut off before their end. */
  get missingPrograms(): number {
    return this.#missingPrograms;
  }

  section(name: string): Section | null {
    return this.sections.find((section) => section.name === name) ?? null;
  }

  /** The bytes of a section, as far as the file has them. */
  sectionBytes(section: Section): Buffer {
    return this.source.slice(section.offset, section.bytes);
  }

  /** `.symtab` and `.dynsym` together, read on first use. Addresses are those of the file. */
  get symbols(): SymbolTable {
    this.#symbols ??= new SymbolTable(
      this.#symbolSections().map((section) => {
        const strings = this.sections[section.link];
        return {
          entries: this.sectionBytes(section),
          strings: strings === undefined ? Buffer.alloc(0) : this.sectionBytes(strings),
        };
      }),
    );
    return this.#symbols;
  }

  /** The larger table has what the other one has, unless it was stripped: then it is smaller. */
  #symbolSections(): readonly Section[] {
    const all = this.sections.filter(({ type }) => type === SHT_SYMTAB || type === SHT_DYNSYM);
    const dynamicBytes = all.find(({ type }) => type === SHT_DYNSYM)?.bytes ?? 0;
    const whole = all.find(({ type, bytes }) => type === SHT_SYMTAB && bytes > dynamicBytes);
    return whole === undefined ? all : [whole];
  }

  /** The GNU build id in hex; null when the file has none. */
  get buildId(): string | null {
    if (this.#buildId === undefined) {
      this.#buildId = null;
      for (const { name, type, bytes } of this.notes()) {
        if (name === "GNU" && type === NT_GNU_BUILD_ID) this.#buildId = bytes.toString("hex");
      }
    }
    return this.#buildId;
  }

  /** Every note of every PT_NOTE, as far as they are whole. */
  *notes(): Generator<Note> {
    for (const { type, offset, fileBytes } of this.programs) {
      if (type !== PT_NOTE) continue;
      yield* readNotes(this.source.slice(offset, Math.min(fileBytes, NOTE_BYTES_MAX)));
    }
  }

  /** Where in the file the byte of an address is; null: in none of its segments. */
  offsetOf(address: number): number | null {
    for (const { type, address: start, fileBytes, offset } of this.programs) {
      if (type !== PT_LOAD || address < start || address >= start + fileBytes) continue;
      return offset + (address - start);
    }
    return null;
  }

  #readPrograms(header: Buffer): ProgramHeader[] {
    const offset = unsigned64(header, 32);
    const entryBytes = header.readUInt16LE(54);
    let count = header.readUInt16LE(56);
    if (count === PN_XNUM) {
      const first = this.source.slice(unsigned64(header, 40), 64);
      count = first.length === 64 ? first.readUInt32LE(44) : 0;
    }
    if (entryBytes < 56 || count > HEADERS_MAX) {
      if (count > 0) throw notElf(this.source, "its program headers make no sense");
      return [];
    }
    const bytes = this.source.slice(offset, count * entryBytes);
    const programs: ProgramHeader[] = [];
    for (let at = 0; at + 56 <= bytes.length; at += entryBytes) {
      programs.push({
        type: bytes.readUInt32LE(at),
        flags: bytes.readUInt32LE(at + 4),
        offset: unsigned64(bytes, at + 8),
        address: unsigned64(bytes, at + 16),
        fileBytes: unsigned64(bytes, at + 32),
        memoryBytes: unsigned64(bytes, at + 40),
        align: unsigned64(bytes, at + 48),
      });
    }
    this.#missingPrograms = count - programs.length;
    return programs;
  }

  /** A core has none, and a stripped file may have few: a missing one is no error. */
  #readSections(header: Buffer): Section[] {
    const offset = unsigned64(header, 40);
    const entryBytes = header.readUInt16LE(58);
    const count = header.readUInt16LE(60);
    if (offset === 0 || entryBytes < 64 || count > SECTIONS_MAX) return [];
    const bytes = this.source.slice(offset, count * entryBytes);
    const raw: (Omit<Section, "name"> & { readonly nameAt: number })[] = [];
    for (let at = 0; at + 64 <= bytes.length; at += entryBytes) {
      raw.push({
        nameAt: bytes.readUInt32LE(at),
        type: bytes.readUInt32LE(at + 4),
        address: unsigned64(bytes, at + 16),
        offset: unsigned64(bytes, at + 24),
        bytes: unsigned64(bytes, at + 32),
        link: bytes.readUInt32LE(at + 40),
        entryBytes: unsigned64(bytes, at + 56),
      });
    }
    const strings = raw[header.readUInt16LE(62)];
    const names =
      strings === undefined ? Buffer.alloc(0) : this.source.slice(strings.offset, strings.bytes);
    return raw.map(({ nameAt, type, address, offset: at, bytes: size, link, entryBytes: each }) => {
      const name = cString(names, nameAt);
      return { name, type, address, offset: at, bytes: size, link, entryBytes: each };
    });
  }
}

/** The text at `at` up to a NUL. */
export function cString(bytes: Buffer, at: number): string {
  if (at < 0 || at >= bytes.length) return "";
  const end = bytes.indexOf(0, at);
  return bytes.toString("latin1", at, end < 0 ? bytes.length : end);
}

/** Notes (System V ABI, "Note Section"; 4-byte alignment, as Linux writes them). */
export function* readNotes(bytes: Buffer): Generator<Note> {
  for (let at = 0; at + 12 <= bytes.length;) {
    const nameBytes = bytes.readUInt32LE(at);
    const descriptionBytes = bytes.readUInt32LE(at + 4);
    const type = bytes.readUInt32LE(at + 8);
    const nameAt = at + 12;
    const descriptionAt = nameAt + aligned(nameBytes);
    const end = descriptionAt + descriptionBytes;
    if (end > bytes.length) return;
    const name = cString(bytes.subarray(nameAt, nameAt + nameBytes), 0);
    yield { name, type, bytes: bytes.subarray(descriptionAt, end) };
    at = descriptionAt + aligned(descriptionBytes);
  }
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / 4) * 4;
}
