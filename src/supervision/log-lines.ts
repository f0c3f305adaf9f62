/**
 * Lines of our own log among what workers write: they go to the same place, and a worker may have
 * written half a line when we have something to say.
 *
 * ```
 *   worker ==> Tap ==> BetweenLines.pass(sink) ==> terminal, pipe or file
 *                           |  at the end of a line?
 *   log ==> BetweenLines ===+  yes: at once, in one write
 *                              no: when the line ends; after a second on a new line
 * ```
 */
import type { TextOutput } from "../base/mod.ts";
import type { Sink } from "./output.ts";

/** A worker that dies writes its last lines piece by piece; a prompt never ends. */
export const LINE_PATIENCE_MS = 1000;
/** Of our lines that wait; with more of them the line has lasted too long as well. */
const HELD_MAX = 64;
const NEWLINE = 10;

/** See the file's docstring. */
export class BetweenLines implements TextOutput {
  readonly isTTY: boolean;
  readonly #sink: Sink;
  readonly #held: string[] = [];
  #isInLine = false;
  #timer: NodeJS.Timeout | null = null;

  /** `sink`: where the log is written. */
  constructor(sink: Sink) {
    this.#sink = sink;
    this.isTTY = sink.isTTY;
  }

  /** A sink for workers, whose bytes come to the same place as the log. */
  pass(sink: Sink): Sink {
    return {
      isTTY: sink.isTTY,
      isAtOnce: sink.isAtOnce,
      onDrain: (listener) => sink.onDrain(listener),
      write: (bytes) => {
        const hasRoom = sink.write(bytes);
        if (bytes.length > 0) {
          this.#isInLine = bytes.at(-1) !== (typeof bytes === "string" ? "\n" : NEWLINE);
        }
        if (!this.#isInLine) this.release();
        return hasRoom;
      },
      flush: () => {
        this.release();
        return sink.flush();
      },
    };
  }

  /** Writes a whole line of ours, with its end. */
  write(line: string): void {
    this.#held.push(line);
    if (!this.#isInLine || this.#held.length > HELD_MAX) this.release();
    else this.#timer ??= setTimeout(() => this.release(), LINE_PATIENCE_MS).unref();
  }

  /** Writes what is held; on a new line, if it has to be. */
  release(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const lines = this.#held.splice(0).join("");
    if (lines === "") return;
    this.#sink.write(this.#isInLine ? `\n${lines}` : lines);
    this.#isInLine = false;
  }
}
