/**
 * What the processes of a run write: passed on unchanged, and looked at on the way.
 *
 * ```
 *   worker's stdout ==> Tap ==> our stdout         (back pressure: a full pipe pauses the worker)
 *                        +--> lines, for the log file
 *                        +--> the last 4 KiB, for the report of its exit
 * ```
 */
import { fstatSync, writeSync } from "node:fs";
import type { Readable, Writable } from "node:stream";
import { StringDecoder } from "node:string_decoder";
import type { TextOutput } from "../base/mod.ts";
import { BetweenLines } from "./log-lines.ts";

/** What a worker wrote last, kept for the message about its exit. */
export const TAIL_BYTES_MAX = 4096;
/** A longer line is cut in two in the log file; what is passed on is not. */
const LINE_CHARACTERS_MAX: number = 16 * 1024;

/** Where output goes: one of our own streams. Its reader may be slow, or gone. */
export interface Sink {
  /** False: wait for `onDrain` before writing more. Bytes that nobody can take are dropped. */
  write(bytes: Uint8Array | string): boolean;
  onDrain(listener: () => void): void;
  /** Resolves when everything written has been taken, or nobody will ever take it. */
  flush(): Promise<void>;
  readonly isTTY: boolean;
  /** Whether node writes to such a stream without waiting (a file, a terminal). */
  readonly isAtOnce: boolean;
}

/** Where a service writes to. */
export interface StandardSinks {
  /** For workers. */
  readonly stdout: Sink;
  readonly stderr: Sink;
  /** For our log, on stderr: between the lines of workers. */
  readonly log: TextOutput;
}

/** Our stdout and stderr, to be asked for once: they may be one terminal, pipe or file. */
export function standardSinks(): StandardSinks {
  const stdout = standardSink(1, process.stdout);
  const stderr = standardSink(2, process.stderr);
  const log = new BetweenLines(stderr);
  process.on("exit", () => log.release());
  return { stdout: isSame(1, 2) ? log.pass(stdout) : stdout, stderr: log.pass(stderr), log };
}

function standardSink(fd: 1 | 2, stream: Writable): Sink {
  const isTTY = "isTTY" in stream && stream.isTTY === true;
  return fstatSync(fd).isFile() ? new FileSink(fd) : new StreamSink(stream, isTTY);
}

function isSame(one: number, other: number): boolean {
  const [a, b] = [fstatSync(one), fstatSync(other)];
  return a.dev === b.dev && a.ino === b.ino;
}

/** A file. A full disk loses bytes and is tried again with the next ones. */
class FileSink implements Sink {
  readonly #fd: number;
  readonly isTTY = false;
  readonly isAtOnce = true;

  constructor(fd: number) {
    this.#fd = fd;
  }

  write(bytes: Uint8Array | string): boolean {
    const buffer = typeof bytes === "string" ? Buffer.from(bytes) : bytes;
    try {
      for (let from = 0; from < buffer.length;) {
        from += writeSync(this.#fd, buffer, from);
      }
    } catch {
      // ENOSPC, EIO: the service goes on without this piece of its output, as it would with a
      // pipe that nobody reads; there is nowhere left to say so.
    }
    return true;
  }

  onDrain(): void {
    // A file takes everything at once.
  }

  flush(): Promise<void> {
    return Promise.resolve();
  }
}

/** A pipe, a socket or a terminal. */
export class StreamSink implements Sink {
  readonly #stream: Writable;
  readonly isTTY: boolean;
  readonly isAtOnce: boolean;
  #isBroken = false;
  readonly #drainListeners: (() => void)[] = [];

  constructor(stream: Writable, isTTY: boolean) {
    this.#stream = stream;
    this.isTTY = isTTY;
    this.isAtOnce = isTTY;
    stream.on("error", () => {
      this.#isBroken = true; // EPIPE: our reader has gone; the service has not
      this.#drained();
    });
    stream.on("drain", () => this.#drained());
  }

  write(bytes: Uint8Array | string): boolean {
    return this.#isBroken || this.#stream.destroyed ? true : this.#stream.write(bytes);
  }

  onDrain(listener: () => void): void {
    this.#drainListeners.push(listener);
  }

  flush(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#isBroken || this.#stream.writableLength === 0) resolve();
      else this.onDrain(() => void this.flush().then(resolve));
    });
  }

  #drained(): void {
    for (const listener of this.#drainListeners.splice(0)) listener();
  }
}

/** One output stream of one process. */
export class Tap {
  readonly #stream: Readable;
  readonly #sink: Sink;
  readonly #decoder = new StringDecoder("utf8");
  readonly #onLine: (line: string) => void;
  readonly #onBytes: (bytes: Buffer) => void;
  #line = "";
  #isEnded = false;
  #isPaused = false;
  #activity = 0;

  constructor(
    stream: Readable,
    sink: Sink,
    onLine: (line: string) => void,
    onBytes: (bytes: Buffer) => void,
  ) {
    this.#stream = stream;
    this.#sink = sink;
    this.#onLine = onLine;
    this.#onBytes = onBytes;
    stream.on("data", (bytes: Buffer) => this.#take(bytes));
    stream.on("error", () => this.#end()); // a pipe of ours that broke: the same as its end
    stream.on("close", () => this.#end());
  }

  /** Whether nothing more will come. */
  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** Whether it waits for the reader of our output. */
  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** Rises with everything that comes. */
  get activity(): number {
    return this.#activity;
  }

  /** Calls back when nothing more will come; at once if that is so already. */
  onceEnded(listener: () => void): void {
    if (this.#isEnded) listener();
    else this.#stream.once("close", listener);
  }

  /** Stops listening: what holds the other end now is not ours. */
  destroy(): void {
    this.#stream.destroy();
  }

  #take(bytes: Buffer): void {
    this.#activity += 1;
    this.#onBytes(bytes);
    if (!this.#sink.write(bytes)) this.#pause();
    this.#split(this.#decoder.write(bytes));
  }

  #pause(): void {
    this.#isPaused = true;
    this.#stream.pause();
    this.#sink.onDrain(() => {
      this.#isPaused = false;
      this.#stream.resume();
    });
  }

  #split(text: string): void {
    const lines = `${this.#line}${text}`.split("\n");
    this.#line = lines.pop() ?? "";
    for (const line of lines) this.#onLine(line);
    while (this.#line.length > LINE_CHARACTERS_MAX) {
      this.#onLine(this.#line.slice(0, LINE_CHARACTERS_MAX));
      this.#line = this.#line.slice(LINE_CHARACTERS_MAX);
    }
  }

  #end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    const rest = `${this.#line}${this.#decoder.end()}`;
    this.#line = "";
    if (rest !== "") this.#onLine(rest);
  }
}

/** The last bytes of something long. */
export class Tail {
  #bytes: Buffer = Buffer.alloc(0);

  add(bytes: Buffer): void {
    const all = bytes.length >= TAIL_BYTES_MAX ? bytes : Buffer.concat([this.#bytes, bytes]);
    // A copy: a slice would keep alive the whole chunk that it is a part of.
    this.#bytes = Buffer.from(all.subarray(-TAIL_BYTES_MAX));
  }

  /** As text, from the beginning of a line if some were cut. */
  toString(): string {
    const text = this.#bytes.toString("utf8");
    const isCut = this.#bytes.length >= TAIL_BYTES_MAX;
    const lineAt = text.indexOf("\n") + 1;
    return isCut && lineAt > 0 && lineAt < text.length ? text.slice(lineAt) : text;
  }
}
