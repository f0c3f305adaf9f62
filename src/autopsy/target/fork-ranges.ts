/**
 * What a process keeps from its children: V8 asks so for its heap (MADV_DONTFORK, madvise(2)), to
 * start programs quickly. A snapshot needs it all the same.
 *
 * ```
 *   mappings   | of a file | heap | heap | new | heap | stack |
 *   given                  |------ asked for ----------|         MADV_DOFORK, before the fork
 *   taken back             |-- again --|     |- again -|         MADV_DONTFORK, after it
 * ```
 * What was mapped since `smaps` was read may be the heap's too: it is given, and not taken back,
 * which costs the process some microseconds when it starts a program.
 */
import { readFileSync } from "node:fs";
import type { Run } from "./page-runs.ts";
import type { Mapping } from "./target.ts";

/** Where a mapping begins in `/proc/PID/smaps`, and the line that tells its flags. */
const HEAD = /^([0-9a-f]+)-([0-9a-f]+) /u;
const FLAGS = "VmFlags:";
const WITHHELD = /\bdc\b/u;

/** Mappings by where they begin. */
export type KnownMappings = ReadonlyMap<
  number,
  { readonly end: number; readonly isWithheld: boolean }
>;

export interface ForkRanges {
  readonly given: readonly Run[];
  readonly takenBack: readonly Run[];
}

/** Takes the kernel 100 ms a gigabyte, in which the process runs. */
export function readKnownMappings(pid: number): KnownMappings {
  return knownMappings(readFileSync(`/proc/${pid}/smaps`, "latin1"));
}

/** From the text of `smaps` (proc_pid_smaps(5)). */
export function knownMappings(text: string): KnownMappings {
  const known = new Map<number, { readonly end: number; readonly isWithheld: boolean }>();
  let [start, end] = [0, 0];
  for (const line of text.split("\n")) {
    const head = HEAD.exec(line);
    if (head !== null) {
      start = Number.parseInt(head[1] ?? "", 16);
      end = Number.parseInt(head[2] ?? "", 16);
    } else if (line.startsWith(FLAGS)) known.set(start, { end, isWithheld: WITHHELD.test(line) });
  }
  return known;
}

/** Neighbours are one range, whatever lies unmapped between them. */
export function forkRanges(mappings: readonly Mapping[], known: KnownMappings): ForkRanges {
  const isWithheld = ({ start, end }: Mapping): boolean => {
    const found = known.get(start);
    return found?.end === end && found.isWithheld;
  };
  const isNew = ({ start, end, path, isShared }: Mapping): boolean =>
    path === null && isShared !== true && known.get(start)?.end !== end;
  return {
    given: joined(mappings, (mapping) => isWithheld(mapping) || isNew(mapping)),
    takenBack: joined(mappings, isWithheld),
  };
}

function joined(mappings: readonly Mapping[], isWanted: (mapping: Mapping) => boolean): Run[] {
  const runs: [number, number][] = [];
  let last: [number, number] | null = null;
  for (const mapping of mappings) {
    if (!isWanted(mapping)) last = null;
    else if (last === null) runs.push((last = [mapping.start, mapping.end]));
    else last[1] = mapping.end;
  }
  return runs;
}
