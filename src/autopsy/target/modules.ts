/**
 * The ELF files that are mapped into a process: names for its addresses. A module is opened when an
 * address in it is asked for.
 */
import { existsSync } from "node:fs";
import path from "node:path";
import { openByteSource } from "./byte-source.ts";
import { ElfFile, PT_LOAD } from "./elf.ts";
import type { Symbol } from "./symbols.ts";
import type { Mapping } from "./target.ts";

export interface Located {
  readonly module: Module;
  /** The address as the file has it. */
  readonly fileAddress: number;
}

export interface NamedAddress {
  readonly name: string;
  readonly offset: number;
  readonly module: Module;
}

/** One mapped ELF file. */
export interface Module {
  readonly path: string;
  readonly elf: ElfFile;
  /** What is to be added to an address of the file. */
  readonly bias: number;
}

/** What is mapped from ELF files, by address. */
export class Modules {
  readonly #mappings: readonly Mapping[];
  readonly #executable: ElfFile;
  readonly #executablePath: string;
  readonly #root: string;
  readonly #opened: Map<string, ElfFile | null>;

  /**
   * `executablePath`: as the mappings name it; its file may lie elsewhere here. `root`: where the
   * paths of the others begin (`/proc/PID/root` of a container).
   */
  constructor(
    mappings: readonly Mapping[],
    executable: ElfFile,
    executablePath: string,
    root: string,
    opened = new Map<string, ElfFile | null>(),
  ) {
    this.#opened = opened;
    this.#mappings = mappings.filter((mapping) => mapping.path?.startsWith("/") === true);
    this.#executable = executable;
    this.#executablePath = executablePath;
    this.#root = root;
  }

  /** The same files, of which others are mapped, or elsewhere; one of both is to be closed. */
  withMappings(mappings: readonly Mapping[]): Modules {
    return new Modules(mappings, this.#executable, this.#executablePath, this.#root, this.#opened);
  }

  /** The module at an address and the address in its file. Parts that were remapped count too. */
  locate(address: number): Located | null {
    const mapping = this.#mappings.find(({ start, end }) => address >= start && address < end);
    if (mapping === undefined || mapping.path === null) return null;
    const elf = this.#open(mapping.path);
    if (elf === null) return null;
    const fileOffset = mapping.fileOffset + (address - mapping.start);
    for (const { type, offset, fileBytes, memoryBytes, address: start } of elf.programs) {
      const bytes = Math.max(fileBytes, memoryBytes);
      if (type !== PT_LOAD || fileOffset < offset || fileOffset >= offset + bytes) continue;
      const fileAddress = start + (fileOffset - offset);
      return { module: { path: mapping.path, elf, bias: address - fileAddress }, fileAddress };
    }
    return null;
  }

  /** The function at an address. */
  symbolAt(address: number): NamedAddress | null {
    const located = this.locate(address);
    const found = located?.module.elf.symbols.at(located.fileAddress);
    if (located === null || found === null || found === undefined) return null;
    return { name: found.symbol.name, offset: found.offset, module: located.module };
  }

  /** A symbol of the node binary, at its address in the process (not of thread-local variables). */
  address(name: string): number | null {
    const symbol = this.#executable.symbols.named(name);
    return symbol === null ? null : symbol.address + this.executableBias;
  }

  /** The symbol of the node binary itself. */
  symbol(name: string): Symbol | null {
    return this.#executable.symbols.named(name);
  }

  /** What is to be added to an address of the node binary: 0 unless it is relocatable. */
  get executableBias(): number {
    const first = this.#mappings.find(({ path: file }) => file === this.#executablePath);
    const load = this.#executable.programs.find(({ type }) => type === PT_LOAD);
    if (first === undefined || load === undefined) return 0;
    return first.start - first.fileOffset - (load.address - load.offset);
  }

  close(): void {
    for (const elf of this.#opened.values()) elf?.source.close();
    this.#opened.clear();
    this.#executable.source.close();
  }

  #open(file: string): ElfFile | null {
    if (file === this.#executablePath) return this.#executable;
    const known = this.#opened.get(file);
    if (known !== undefined) return known;
    const opened = openElf(path.join(this.#root, file));
    this.#opened.set(file, opened);
    return opened;
  }
}

/** An ELF file; null when it is none, or cannot be read: names are missing then, nothing else. */
function openElf(file: string): ElfFile | null {
  if (!existsSync(file)) return null;
  try {
    return new ElfFile(openByteSource(file));
  } catch {
    return null; // a font, a data file, a library that was replaced: it has no names for us
  }
}
