/** What the agent watches for traces: lines, and functions that only a debugger can reach. */
import type { WatchedLine } from "../base/mod.ts";
import { Bindings } from "./bindings.ts";
import { Lines } from "./lines.ts";
import { Samples } from "./samples.ts";

/** See the file's docstring. */
export class Watches {
  /**
   * V8 takes one breakpoint of a session for a place, and traces may want the same: one each. They
   * are used again, as a session is kept for life.
   */
  readonly #idle: Lines[] = [];
  readonly #samples: Samples = new Samples();
  readonly #bindings: Bindings = new Bindings();

  /** Until `ended` resolves; afterwards nothing is left of it. */
  async watch(watched: readonly WatchedLine[], ended: Promise<void>): Promise<null> {
    const bindings = watched.filter(({ isBinding }) => isBinding);
    const samples = watched.filter(({ hz }) => hz > 0);
    const lines = watched.filter(({ isBinding, hz }) => !isBinding && hz === 0);
    const calls: Promise<null>[] = [];
    /** In no scope: its calls can be seen, at its first line. */
    const unbound = (line: WatchedLine): void => void calls.push(this.#watchLines([line], ended));
    await Promise.all([
      ...(samples.length > 0 ? [this.#samples.watch(samples, ended)] : []),
      ...(lines.length > 0 ? [this.#watchLines(lines, ended)] : []),
      ...(bindings.length > 0 ? [this.#bindings.watch(bindings, ended, unbound)] : []),
    ]);
    await Promise.all(calls);
    return null;
  }

  async #watchLines(watched: readonly WatchedLine[], ended: Promise<void>): Promise<null> {
    const lines = this.#idle.pop() ?? new Lines();
    try {
      return await lines.watch(watched, ended);
    } finally {
      this.#idle.push(lines);
    }
  }
}
