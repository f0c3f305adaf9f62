/**
 * The memory of a process that runs: its mappings, and its pages through `/proc/PID/mem`; at once,
 * or as copies that were made while it stood still.
 *
 * ```
 *   LiveMemory.regions       a page is read when it is asked for: the process must stand still
 *   BlockCopy.copy(pages)    while it stands still: these pages; afterwards it may run on
 *   BlockCopy.regions        what was copied; what was not is read as it is now, and noted
 * ```
 */
import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import type { Region } from "./memory.ts";
import type { Mapping } from "./target.ts";

export const LIVE_PAGE_BYTES = 4096;
/** Bytes of one entry of `pagemap`. */
const PAGEMAP_ENTRY_BYTES = 8;
/** Bits 62 and 63 of an entry: swapped out, present. */
const TOUCHED = 0xc0;
/** Pages that are copied too where they lie between two that are wanted: one call for all. */
const GAP_PAGES_MAX = 2;
/** One call reads no more. */
const RUN_PAGES_MAX = 256;

/** `start-end rwxp offset device inode path` (proc_pid_maps(5)). */
const MAPS_LINE = /^([0-9a-f]+)-([0-9a-f]+) (.)(.)(.)(.) ([0-9a-f]+) \S+ \d+ *(.*)$/;
/** What of `/proc/PID/status` changes when a mapping comes, goes or gets other rights. */
const MAPPED_SIZES = /^Vm(?:Size|Data|Stk|Exe|Lib):.*$/gmu;

/** The text of `/proc/PID/maps`: to read it takes the kernel a microsecond for each mapping. */
export function mapsText(pid: number): string {
  return readFileSync(`/proc/${pid}/maps`, "latin1");
}

/** As long as it is the same, so are the mappings; much quicker than to read them. */
export function mapsSignature(pid: number): string {
  return (readFileSync(`/proc/${pid}/status`, "latin1").match(MAPPED_SIZES) ?? []).join();
}

/** Sorted by address, as the kernel gives them. */
export function parseMaps(text: string): readonly Mapping[] {
  const list: Mapping[] = [];
  for (const line of text.split("\n")) {
    const match = MAPS_LINE.exec(line);
    if (match === null) continue;
    const [, from = "", to = "", r, w, x, sharing, offset = "", name = ""] = match;
    const start = Number.parseInt(from, 16);
    const end = Number.parseInt(to, 16);
    const isReadable = r === "r" && name !== "[vvar]" && name !== "[vsyscall]";
    list.push({
      start,
      end,
      fileOffset: Number.parseInt(offset, 16),
      path:
        name === ""
          ? null
          : Buffer.from(name, "latin1")
              .toString()
              .replace(/ \(deleted\)$/, ""),
      isReadable,
      isWritable: w === "w",
      isExecutable: x === "x",
      isShared: sharing === "s",
      presentBytes: isReadable ? end - start : 0,
    });
  }
  return list;
}

/** Descriptors of a process's memory, open as long as somebody looks at it. */
export class LiveMemory {
  readonly #memory: number;
  readonly #pagemap: number;
  #isOpen = true;

  /** @throws the error of the file system: no such process, no permission. */
  constructor(pid: number) {
    this.#memory = openSync(`/proc/${pid}/mem`, "r");
    try {
      this.#pagemap = openSync(`/proc/${pid}/pagemap`, "r");
    } catch (error) {
      closeSync(this.#memory);
      throw error;
    }
  }

  /** The number of leading bytes that are there; a page that was never touched is made to be. */
  read(address: number, into: Buffer): number {
    try {
      return this.#isOpen ? readSync(this.#memory, into, 0, into.length, address) : 0;
    } catch (error) {
      // EIO: a page that is not there (a guard, a file that was cut off); ESRCH: it has gone
      const { code = "" } = error as NodeJS.ErrnoException; // of node:fs
      if (["EIO", "ESRCH", "EFAULT"].includes(code)) return 0;
      throw error;
    }
  }

  /** Entries of the pages of [start, end), as of now; fewer where the kernel has none. */
  pagemap(start: number, end: number): Buffer {
    const entries = Buffer.alloc(((end - start) / LIVE_PAGE_BYTES) * PAGEMAP_ENTRY_BYTES);
    const position = (start / LIVE_PAGE_BYTES) * PAGEMAP_ENTRY_BYTES;
    return this.#isOpen
      ? entries.subarray(0, readSync(this.#pagemap, entries, 0, entries.length, position))
      : entries.subarray(0, 0);
  }

  /** What can be read of these mappings, page by page, when it is asked for. */
  regions(mappings: readonly Mapping[]): readonly Region[] {
    return mappings
      .filter(({ isReadable }) => isReadable)
      .map((mapping) => {
        const { start, end } = mapping;
        let touched: Buffer | null = null;
        return {
          start,
          end,
          read: (offset: number, into: Buffer): number => {
            if (isOfFile(mapping)) return this.read(start + offset, into);
            touched ??= this.pagemap(start, end);
            return isTouched(touched, offset) ? this.read(start + offset, into) : 0;
          },
        };
      });
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    closeSync(this.#memory);
    closeSync(this.#pagemap);
  }
}

function isOfFile({ path }: Mapping): boolean {
  return path?.startsWith("/") === true;
}

/**
 * A page that was never touched counts as missing: to read it would make the kernel map one, and so
 * change what is looked at.
 */
function isTouched(entries: Buffer, offset: number): boolean {
  const entry = Math.floor(offset / LIVE_PAGE_BYTES) * PAGEMAP_ENTRY_BYTES;
  const bits = entries[entry + PAGEMAP_ENTRY_BYTES - 1];
  return bits === undefined || (bits & TOUCHED) !== 0;
}

/** See the file's docstring. */
export class BlockCopy {
  readonly #memory: LiveMemory;
  /** By address of the page; null: it was not there. */
  readonly #pages = new Map<number, Buffer | null>();
  /** Pages that somebody has asked for. */
  readonly asked = new Set<number>();
  /** How many of these were read from the running process. */
  missed = 0;

  constructor(memory: LiveMemory) {
    this.#memory = memory;
  }

  /** Copies pages, given by address; to be called while the process stands still. */
  copy(pages: Iterable<number>): void {
    const sorted = Float64Array.from(pages).toSorted();
    for (let from = 0; from < sorted.length;) {
      const start = sorted[from] as number; // below the length
      let to = from + 1;
      let end = start + LIVE_PAGE_BYTES;
      while (to < sorted.length) {
        const next = sorted[to] as number;
        if (next - end > GAP_PAGES_MAX * LIVE_PAGE_BYTES) break;
        if (next - start >= RUN_PAGES_MAX * LIVE_PAGE_BYTES) break;
        end = next + LIVE_PAGE_BYTES;
        to += 1;
      }
      this.#copyRun(start, end);
      from = to;
    }
  }

  #copyRun(start: number, end: number): void {
    const entries = this.#memory.pagemap(start, end);
    const bytes = Buffer.allocUnsafeSlow(end - start);
    for (let at = 0; at < bytes.length;) {
      const isThere = isTouched(entries, at) || entries.length === 0;
      const count = isThere ? this.#memory.read(start + at, bytes.subarray(at)) : 0;
      const whole = count - (count % LIVE_PAGE_BYTES);
      for (let page = at; page < at + whole; page += LIVE_PAGE_BYTES) {
        this.#pages.set(start + page, bytes.subarray(page, page + LIVE_PAGE_BYTES));
      }
      at += whole;
      if (at < bytes.length) this.#pages.set(start + at, null);
      at += LIVE_PAGE_BYTES;
    }
  }

  /** What these mappings have, from the copy. */
  regions(mappings: readonly Mapping[]): readonly Region[] {
    return this.#memory.regions(mappings).map((region) => {
      const { start, end } = region;
      return { start, end, read: (offset, into) => this.#read(region, offset, into) };
    });
  }

  #read(region: Region, offset: number, into: Buffer): number {
    let done = 0;
    while (done < into.length) {
      const address = region.start + offset + done;
      const page = address - (address % LIVE_PAGE_BYTES);
      const part = into.subarray(done, done + LIVE_PAGE_BYTES - (address - page));
      this.asked.add(page);
      const known = this.#pages.get(page);
      if (known === null) break;
      if (known === undefined) {
        this.missed += 1;
        if (region.read(offset + done, part) < part.length) break;
      } else known.copy(part, 0, address - page);
      done += part.length;
    }
    return done;
  }
}
