/** The memory of a process that has one mapping: for tests of what reads memory. */
import { RegionMemory } from "../../src/autopsy/target/memory.ts";
import type { Mapping } from "../../src/autopsy/target/target.ts";

const PAGE_BYTES = 4096;

export interface OneRegion {
  readonly memory: RegionMemory;
  readonly mappings: readonly [Mapping];
}

/** `bytes` from the address `start` on; what is changed in them later is seen. */
export function oneRegion(start: number, bytes: Buffer, path: string | null = null): OneRegion {
  const end = start + bytes.length;
  const read = (offset: number, into: Buffer): number =>
    bytes.copy(into, 0, offset, offset + into.length);
  const mapping: Mapping = {
    start,
    end,
    fileOffset: 0,
    path,
    isReadable: true,
    isWritable: true,
    isExecutable: false,
    presentBytes: bytes.length,
  };
  return { memory: new RegionMemory([{ start, end, read }], PAGE_BYTES), mappings: [mapping] };
}
