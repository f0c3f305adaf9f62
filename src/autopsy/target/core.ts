/**
 * A core file as a target.
 *
 * ```
 *   PT_LOAD with bytes ----------> memory from the core
 *   PT_LOAD or NT_FILE without --> memory from the mapped file
 * ```
 */
import path from "node:path";
import { statSync } from "node:fs";
import { HoldfastError } from "../../base/mod.ts";
import { openByteSource } from "./byte-source.ts";
import type { ByteSource } from "./byte-source.ts";
import { ElfFile, ET_CORE, PF_R, PF_W, PF_X, PT_LOAD } from "./elf.ts";
import { readCoreNotes } from "./core-notes.ts";
import type { CoreNotes, MappedFile } from "./core-notes.ts";
import { buildIdInMemory, findExecutable } from "./executable.ts";
import { machineOf } from "./machine.ts";
import type { Machine } from "./machine.ts";
import { RegionMemory } from "./memory.ts";
import type { Region } from "./memory.ts";
import { Modules } from "./modules.ts";
import { readProcessText } from "./process-text.ts";
import type { Mapping, Target } from "./target.ts";

const BLOCK_BYTES = 64 * 1024;
const AT_PHDR = 3;
const AT_ENTRY = 9;

export interface CoreOptions {
  /** `--node`: the binary that the process ran. */
  readonly node: string | null;
  readonly environment: NodeJS.ProcessEnv;
  /** What is shown as the target's name; the core itself may be a decompressed copy. */
  readonly title: string;
}

/**
 * Opens an uncompressed core file.
 * @throws HoldfastError ERR_HOLDFAST_AUTOPSY_NOT_ELF, ERR_HOLDFAST_AUTOPSY_NOT_CORE,
 *   ERR_HOLDFAST_AUTOPSY_BINARY, ERR_HOLDFAST_AUTOPSY_NOT_NODE
 */
export function openCore(source: ByteSource, options: CoreOptions): Target {
  const elf = new ElfFile(source);
  const machine = coreMachine(elf);
  const notes = readCoreNotes(elf, machine);
  const parts = partsOf(elf, notes);
  const executablePath = executableOf(notes);
  const coreOnly = new RegionMemory(parts.regions, BLOCK_BYTES);
  const start = notes.files.find((file) => file.path === executablePath && file.fileOffset === 0);
  const { elf: executable, remarks } = findExecutable({
    given: options.node,
    path: executablePath,
    buildId: start === undefined ? null : buildIdInMemory(coreOnly, start.start),
    environment: options.environment,
  });
  const files = new MappedFiles(executable, executablePath);
  const regions = [...parts.regions, ...files.regionsFor(parts.absent)].toSorted(
    (a, b) => a.start - b.start,
  );
  const memory = new RegionMemory(regions, BLOCK_BYTES);
  const modules = new Modules(parts.mappings, executable, executablePath ?? "", "/");
  return {
    kind: "core",
    title: options.title,
    pid: notes.pid,
    machine,
    memory,
    mappings: parts.mappings,
    threads: notes.threads,
    signal: notes.signal,
    ...(notes.takenAtMs === null ? {} : { takenAtMs: notes.takenAtMs }),
    ...descriptorsOf(notes),
    executable,
    modules,
    auxiliary: notes.auxiliary,
    ...readProcessText(memory, notes.auxiliary, notes.command),
    remarks: [...parts.remarks, ...remarks],
    close() {
      modules.close();
      files.close();
      source.close();
    },
  };
}

function descriptorsOf({
  descriptors,
  socketTimes,
}: CoreNotes): Pick<Target, "descriptors" | "socketTimes"> {
  return {
    ...(descriptors === null ? {} : { descriptors: () => descriptors }),
    ...(socketTimes === null ? {} : { socketTimes: () => socketTimes }),
  };
}

function coreMachine(elf: ElfFile): Machine {
  const machine = machineOf(elf.machine);
  if (elf.type === ET_CORE && machine !== null) return machine;
  const what = elf.type === ET_CORE ? `of machine ${elf.machine}` : "a program, not a core file";
  throw new HoldfastError(
    "ERR_HOLDFAST_AUTOPSY_NOT_CORE",
    `Cannot read ${elf.path}: it is ${what}. Give a core file of a 64-bit x86 or ARM process ` +
      `(of a crash, of gcore, or of \`holdfast autopsy dump <pid>\`), or a process id.`,
  );
}

/** The program itself: where the kernel says that its headers or its entry are. */
function executableOf({ files, auxiliary }: CoreNotes): string | null {
  for (const type of [AT_PHDR, AT_ENTRY]) {
    const address = auxiliary.get(type);
    if (address === undefined) continue;
    const found = files.find(({ start, end }) => address >= start && address < end);
    if (found !== undefined) return found.path;
  }
  return files.find(({ path: file }) => path.basename(file).startsWith("node"))?.path ?? null;
}

/** A file-backed mapping, or the rest of one, that the core has no bytes of. */
interface Absent {
  readonly start: number;
  readonly end: number;
  readonly file: MappedFile;
}

interface Parts {
  readonly regions: readonly Region[];
  readonly mappings: readonly Mapping[];
  readonly absent: readonly Absent[];
  readonly remarks: readonly string[];
}

function partsOf(elf: ElfFile, notes: CoreNotes): Parts {
  const regions: Region[] = [];
  const mappings: Mapping[] = [];
  const absent: Absent[] = [];
  let missingBytes = 0;
  const { source } = elf;
  const files = fileFinder(notes.files);
  for (const { type, address, fileBytes, memoryBytes, offset, flags } of elf.programs) {
    if (type !== PT_LOAD || memoryBytes === 0) continue;
    const there = Math.max(0, Math.min(fileBytes, memoryBytes, source.size - offset));
    missingBytes += Math.min(fileBytes, memoryBytes) - there;
    const end = address + memoryBytes;
    const file = files(address);
    if (there > 0) {
      regions.push({
        start: address,
        end: address + there,
        read: (at, into) => source.read(offset + at, into.subarray(0, Math.max(0, there - at))),
      });
    }
    // Linux writes all of a mapping in which a page was changed: the rest is as in the file
    const isFromFile = fileBytes < memoryBytes && file !== null;
    if (isFromFile) absent.push({ start: address + fileBytes, end: Math.min(end, file.end), file });
    mappings.push({
      start: address,
      end,
      fileOffset: file === null ? 0 : file.fileOffset + (address - file.start),
      path: file?.path ?? null,
      isReadable: (flags & PF_R) !== 0,
      isWritable: (flags & PF_W) !== 0,
      isExecutable: (flags & PF_X) !== 0,
      // what the header says may be absurd
      presentBytes: isFromFile ? Math.max(there, Math.min(end, file.end) - address) : there,
    });
  }
  addUnlisted(notes.files, mappings, absent);
  const sorted = mappings.toSorted((a, b) => a.start - b.start);
  const remarks = missingBytes > 0 ? [truncated(missingBytes, source.size)] : [];
  const lost = elf.missingPrograms;
  if (lost > 0) remarks.push(`the core file is cut off within its headers: ${lost} are missing`);
  return {
    regions: regions.toSorted((a, b) => a.start - b.start),
    mappings: sorted,
    absent,
    remarks,
  };
}

/** gcore leaves out what it can be read from a file; NT_FILE still tells of it. */
function addUnlisted(files: readonly MappedFile[], mappings: Mapping[], absent: Absent[]): void {
  const listed = mappings.toSorted((a, b) => a.start - b.start);
  for (const file of files) {
    if (listed.some(({ start, end }) => start < file.end && end > file.start)) continue;
    const { start, end, fileOffset, path: filePath } = file;
    absent.push({ start, end, file });
    mappings.push({
      start,
      end,
      fileOffset,
      path: filePath,
      isReadable: true,
      isWritable: false,
      isExecutable: false,
      presentBytes: end - start,
    });
  }
}

function truncated(missingBytes: number, size: number): string {
  const there = ((100 * size) / (size + missingBytes)).toFixed(0);
  return `the core file is cut off: ${missingBytes} bytes are missing (about ${there} % are there)`;
}

function fileFinder(files: readonly MappedFile[]): (address: number) => MappedFile | null {
  const sorted = files.toSorted((a, b) => a.start - b.start);
  return (address) => {
    let low = 0;
    let high = sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((sorted[middle] as MappedFile).start <= address) low = middle + 1;
      else high = middle;
    }
    const found = sorted[low - 1];
    return found !== undefined && address < found.end ? found : null;
  };
}

/** Files that were mapped, as far as they are here: memory that a core leaves out. */
class MappedFiles {
  readonly #executable: ElfFile;
  readonly #executablePath: string | null;
  readonly #opened = new Map<string, ByteSource | null>();

  constructor(executable: ElfFile, executablePath: string | null) {
    this.#executable = executable;
    this.#executablePath = executablePath;
  }

  regionsFor(absent: readonly Absent[]): Region[] {
    return absent.flatMap(({ start, end, file }) => {
      const source = this.#open(file.path);
      if (source === null) return [];
      const offset = file.fileOffset + (start - file.start);
      const read = (at: number, into: Buffer): number => {
        const count = source.read(offset + at, into);
        into.fill(0, count); // the last page of a file
        return count === 0 ? 0 : into.length;
      };
      return [{ start, end, read }];
    });
  }

  close(): void {
    for (const source of this.#opened.values()) source?.close();
  }

  /** Only the node binary is known to be the same file: of a library, names alone are used. */
  #open(file: string): ByteSource | null {
    if (file === this.#executablePath) return this.#executable.source;
    const known = this.#opened.get(file);
    if (known !== undefined) return known;
    const isLibrary =
      /\.so(\.|$)/.test(file) && statSync(file, { throwIfNoEntry: false })?.isFile() === true;
    const opened = isLibrary ? openByteSource(file) : null;
    this.#opened.set(file, opened);
    return opened;
  }
}
