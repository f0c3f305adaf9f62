/**
 * The end of the keeper's log file, and what is added to it: `holdfast logs`.
 *
 * ```
 *   <name>.log.1   (full, older)      <name>.log   (being written)
 *   ..............#################### ################......  -> follow
 *                 the last n lines
 * ```
 * When the keeper renames a full file, following goes on with the rest of it and then with the new
 * one, so no line is missed. A line that is not JSON (a disk that was full cut it) is left out.
 */
import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";

/** About 1 MiB of records. */
export const LOG_LINES_MAX = 10_000;
/** Bytes read from the end of each file; the writer's bound for one file. */
const TAIL_BYTES_MAX: number = 8 * 1024 * 1024;
const CHUNK_BYTES: number = 64 * 1024;
/** A line longer than this is dropped while following. */
const LINE_BYTES_MAX: number = 1024 * 1024;
/** How often a followed file is looked at. */
const FOLLOW_INTERVAL_MS = 200;

export interface TailOptions {
  readonly lines: number;
  readonly follow: boolean;
  readonly signal: AbortSignal;
}

/** The records at the end of the log, oldest first; with `follow` until the signal. */
export async function* tailLog(path: string, options: TailOptions): AsyncGenerator<unknown, void> {
  let file = await openIfThere(path);
  try {
    const size = file === null ? 0 : (await file.stat()).size;
    for (const line of await lastLines(path, file, size, options.lines)) yield* record(line);
    const reader = new LineReader(size);
    while (options.follow && !options.signal.aborted) {
      if (file !== null) for (const line of await reader.read(file)) yield* record(line);
      const next = await replacement(path, file);
      if (next !== null) {
        if (file !== null) for (const line of await reader.read(file)) yield* record(line);
        await file?.close();
        file = next;
        reader.restart();
      } else
        await delay(FOLLOW_INTERVAL_MS, undefined, { signal: options.signal }).catch(ignoreAbort);
    }
  } finally {
    await file?.close();
  }
}

async function openIfThere(path: string): Promise<FileHandle | null> {
  try {
    return await open(path, "r");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    throw error;
  }
}

/** The file that is now at `path`, if it is another one than `file`. */
async function replacement(path: string, file: FileHandle | null): Promise<FileHandle | null> {
  const next = await openIfThere(path);
  if (next === null || file === null) return next;
  const [a, b] = await Promise.all([file.stat(), next.stat()]);
  if (a.ino !== b.ino || a.dev !== b.dev) return next;
  await next.close();
  return null;
}

async function lastLines(
  path: string,
  file: FileHandle | null,
  size: number,
  count: number,
): Promise<string[]> {
  if (count === 0) return [];
  const lines = file === null ? [] : await linesBefore(file, size, count);
  if (lines.length >= count) return lines;
  const older = await openIfThere(`${path}.1`);
  if (older === null) return lines;
  try {
    return [
      ...(await linesBefore(older, (await older.stat()).size, count - lines.length)),
      ...lines,
    ];
  } finally {
    await older.close();
  }
}

/** At most `count` complete lines that end before `end`. */
async function linesBefore(file: FileHandle, end: number, count: number): Promise<string[]> {
  const chunks: Buffer[] = [];
  let start = end;
  let newlines = 0;
  const lowest = Math.max(0, end - TAIL_BYTES_MAX);
  while (start > lowest && newlines <= count) {
    const from = Math.max(lowest, start - CHUNK_BYTES);
    const chunk = await readFully(file, from, start - from);
    newlines += chunk.toString("latin1").split("\n").length - 1;
    chunks.unshift(chunk);
    start = from;
  }
  const lines = Buffer.concat(chunks).toString("utf8").split("\n");
  lines.pop(); // empty, or not complete
  if (start > 0) lines.shift(); // cut at its beginning
  return lines.slice(-count);
}

async function readFully(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, position);
  return buffer.subarray(0, bytesRead);
}

/** Complete lines of a growing file. */
class LineReader {
  #offset: number;
  #rest: Buffer = Buffer.alloc(0);

  constructor(offset: number) {
    this.#offset = offset;
  }

  /** The next file begins. */
  restart(): void {
    this.#offset = 0;
    this.#rest = Buffer.alloc(0);
  }

  async read(file: FileHandle): Promise<string[]> {
    const lines: string[] = [];
    for (;;) {
      const chunk = await readFully(file, this.#offset, CHUNK_BYTES);
      if (chunk.length === 0) return lines;
      this.#offset += chunk.length;
      const bytes = Buffer.concat([this.#rest, chunk]);
      const end = bytes.lastIndexOf(0x0a) + 1;
      if (end > 0)
        lines.push(
          ...bytes
            .subarray(0, end - 1)
            .toString("utf8")
            .split("\n"),
        );
      this.#rest = bytes.length - end > LINE_BYTES_MAX ? Buffer.alloc(0) : bytes.subarray(end);
    }
  }
}

function* record(line: string): Generator<unknown, void> {
  try {
    yield JSON.parse(line);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
}

function ignoreAbort(error: unknown): void {
  if (!(error instanceof Error) || error.name !== "AbortError") throw error;
}
