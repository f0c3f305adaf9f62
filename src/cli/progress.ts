/** Progress of long work: one line on a terminal, which is taken away before anything is said. */
import type { World } from "./verb.ts";

const PROGRESS_MS = 200;

/** See the file's docstring. Says nothing where stderr is no terminal. */
export class Progress {
  readonly #stderr: World["stderr"];
  #shownAt = performance.now();
  #isShown = false;

  constructor(stderr: World["stderr"]) {
    this.#stderr = stderr;
  }

  /** At most five times a second; `total` 0: nobody knows. */
  show(what: string, done: number, total: number): void {
    if (this.#stderr.isTTY !== true || performance.now() - this.#shownAt < PROGRESS_MS) return;
    this.#shownAt = performance.now();
    this.#isShown = true;
    const percent = total > 0 ? ` ${Math.min(99, Math.floor((100 * done) / total))} %` : "";
    this.#stderr.write(`\r\u001B[K${what}${percent}`);
  }

  clear(): void {
    if (this.#isShown) this.#stderr.write("\r\u001B[K");
    this.#isShown = false;
  }
}
