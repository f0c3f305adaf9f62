/**
 * Which pages of a live process are worth copying: those that were ever touched and that no file
 * has: stacks, heaps, compiled code (Documentation/admin-guide/mm/pagemap.rst).
 */
import { closeSync, openSync, readSync } from "node:fs";
import type { Mapping } from "./target.ts";

const PAGE_BYTES = 4096;
const ENTRY_BYTES = 8;
/** Bits 56 to 63 of an entry. */
const PRESENT_OR_SWAPPED = 0xc0;
const OF_FILE = 0x20;
const READ_BYTES = 64 * 1024;

/** Addresses [start, end), whole pages. */
export type Run = readonly [start: number, end: number];

/** The runs of each mapping; of a file's, those that differ from the file, and its first page. */
export function presentRuns(
  pid: number,
  mappings: readonly Mapping[],
): ReadonlyMap<Mapping, readonly Run[]> {
  const pagemap = openSync(`/proc/${pid}/pagemap`, "r");
  try {
    const entries = Buffer.alloc(READ_BYTES);
    return new Map(mappings.map((mapping) => [mapping, runsOf(pagemap, mapping, entries)]));
  } finally {
    closeSync(pagemap);
  }
}

/** Memory that several processes share, as the ledger is, has a name and no file. */
export function isOfFile({ path }: Mapping): boolean {
  return path?.startsWith("/") === true && !path.startsWith("/memfd:");
}

export function bytesOf(runs: ReadonlyMap<Mapping, readonly Run[]>): number {
  let bytes = 0;
  for (const each of runs.values()) for (const [start, end] of each) bytes += end - start;
  return bytes;
}

function runsOf(pagemap: number, mapping: Mapping, entries: Buffer): readonly Run[] {
  const { start, end, presentBytes, fileOffset } = mapping;
  if (presentBytes === 0) return [];
  const isFile = isOfFile(mapping);
  const runs: [number, number][] = [];
  for (let address = start; address < end;) {
    const wanted = Math.min(entries.length, ((end - address) / PAGE_BYTES) * ENTRY_BYTES);
    const bytes = readSync(pagemap, entries, 0, wanted, (address / PAGE_BYTES) * ENTRY_BYTES);
    if (bytes < ENTRY_BYTES) break;
    for (let at = 0; at + ENTRY_BYTES <= bytes; at += ENTRY_BYTES, address += PAGE_BYTES) {
      const bits = entries[at + 7] as number; // below the count that was read
      if ((bits & PRESENT_OR_SWAPPED) === 0 || (isFile && (bits & OF_FILE) !== 0)) continue;
      const last = runs.at(-1);
      if (last?.[1] === address) last[1] = address + PAGE_BYTES;
      else runs.push([address, address + PAGE_BYTES]);
    }
  }
  // the first page of a file tells which build it is
  if (isFile && fileOffset === 0 && runs[0]?.[0] !== start) {
    runs.unshift([start, Math.min(start + PAGE_BYTES, end)]);
  }
  return runs;
}
