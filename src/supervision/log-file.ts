/**
 * The log file of a service: JSON lines, bounded, two files.
 *
 * ```
 *   append --> queue (QUEUE_BYTES_MAX) --> <name>.log --full--> renamed to <name>.log.1
 *                |                              |
 *                +--full: lines lost, counted --+--disk full: lines lost, counted
 * ```
 * The log serves the operator and must never hold up the service: what cannot be queued or written
 * is dropped, and the next line that can be written says how many were.
 */
import { open, rename, truncate } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";

/** Of one of the two files. */
export const LOG_FILE_BYTES_MAX: number = 8 * 1024 * 1024;
/** What may wait for a slow disk: some seconds of a chatty service. */
export const QUEUE_BYTES_MAX: number = 4 * 1024 * 1024;

export interface LogFileLimits {
  readonly fileBytesMax: number;
  readonly queueBytesMax: number;
}

/** A line of the log file. */
export interface LogRecord {
  /** ISO 8601, UTC. */
  readonly time: string;
  readonly source: string;
  readonly stream: "stdout" | "stderr" | "log";
  readonly line: string;
  readonly [field: string]: string | number | boolean | null;
}

export class LogFile {
  readonly #path: string;
  readonly #limits: LogFileLimits;
  readonly #onTrouble: (message: string) => void;
  #queue: string[] = [];
  #queuedBytes = 0;
  #lost = 0;
  #lostEver = 0;
  #file: FileHandle | null = null;
  #fileBytes = 0;
  #writing: Promise<void> | null = null;
  #isInTrouble = false;

  /** @param onTrouble told once when writing starts to fail, until it works again */
  constructor(
    path: string,
    onTrouble: (message: string) => void,
    limits: LogFileLimits = { fileBytesMax: LOG_FILE_BYTES_MAX, queueBytesMax: QUEUE_BYTES_MAX },
  ) {
    this.#path = path;
    this.#onTrouble = onTrouble;
    this.#limits = limits;
  }

  /** Lines that could not be kept. */
  get lost(): number {
    return this.#lostEver;
  }

  append(record: LogRecord): void {
    const line = `${JSON.stringify(record)}\n`;
    if (this.#queuedBytes + line.length > this.#limits.queueBytesMax) {
      this.#lose(1);
      return;
    }
    this.#queue.push(line);
    this.#queuedBytes += line.length;
    this.#writing ??= this.#writeAll();
  }

  /** Resolves when nothing is queued any more. */
  async flush(): Promise<void> {
    while (this.#writing !== null) await this.#writing;
  }

  /** Writes what is queued, as far as that is possible, and closes the file. */
  async close(): Promise<void> {
    await this.flush();
    const file = this.#file;
    this.#file = null;
    await file?.close();
  }

  async #writeAll(): Promise<void> {
    while (this.#queue.length > 0) {
      const lines = this.#queue;
      this.#queue = [];
      this.#queuedBytes = 0;
      try {
        await this.#write(lines);
        this.#isInTrouble = false;
      } catch (error) {
        this.#lose(lines.length);
        await this.#failed(error);
      }
    }
    this.#writing = null;
  }

  async #write(lines: readonly string[]): Promise<void> {
    const lost = this.#lost;
    if (lost > 0) {
      await this.#writeText(`${JSON.stringify(lossNotice(lost))}\n`);
      this.#lost -= lost;
    }
    await this.#writeText(lines.join(""));
  }

  async #writeText(text: string): Promise<void> {
    const bytes = Buffer.from(text);
    if (this.#file !== null && this.#fileBytes + bytes.length > this.#limits.fileBytesMax) {
      await this.#rotate(this.#file);
    }
    this.#file ??= await this.#open();
    for (let from = 0; from < bytes.length;) {
      const { bytesWritten } = await this.#file.write(bytes, from);
      this.#fileBytes += bytesWritten;
      from += bytesWritten;
      if (bytesWritten === 0) throw new Error("nothing was taken");
    }
  }

  async #open(): Promise<FileHandle> {
    const file = await open(this.#path, "a+", 0o600);
    try {
      this.#fileBytes = (await file.stat()).size;
      await this.#endCutLine(file);
      return file;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** After a full disk, or the death of the last keeper, the last line may lack its end. */
  async #endCutLine(file: FileHandle): Promise<void> {
    if (this.#fileBytes === 0) return;
    const { buffer, bytesRead } = await file.read(Buffer.alloc(1), 0, 1, this.#fileBytes - 1);
    if (bytesRead === 0 || buffer[0] === 0x0a) return;
    const { bytesWritten } = await file.write("\n");
    this.#fileBytes += bytesWritten;
  }

  async #rotate(file: FileHandle): Promise<void> {
    this.#file = null;
    await file.close();
    try {
      await rename(this.#path, `${this.#path}.1`);
    } catch (error) {
      await truncate(this.#path); // the bound holds, whatever stands in the way of the older file
      throw error;
    }
  }

  async #failed(error: unknown): Promise<void> {
    const file = this.#file;
    this.#file = null;
    await file?.close().catch(() => undefined); // it has failed already, and that is reported
    if (this.#isInTrouble) return;
    this.#isInTrouble = true;
    const why = error instanceof Error ? error.message : String(error);
    this.#onTrouble(
      `cannot write the log ${this.#path}: ${why}; lines are lost until that is mended`,
    );
  }

  #lose(lines: number): void {
    this.#lost += lines;
    this.#lostEver += lines;
  }
}

function lossNotice(lost: number): LogRecord {
  const line = `${lost} lines of the log were lost here`;
  return { time: new Date().toISOString(), source: "keeper", stream: "log", line, lost };
}
