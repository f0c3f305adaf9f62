/**
 * Many idle connections, held by as many `holder.ts` processes as the descriptor limit asks for.
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";
import { Started } from "../support/mod.ts";
import type { FromHolder, ToHolder } from "./holder.ts";

/** Descriptors of a process that are not connections, with some to spare. */
const DESCRIPTORS_RESERVED = 600;
const CONNECTIONS_EACH_HOLDER = 15_000;

/**
 * Raises our own limit of descriptors, and so that of our children, if we may.
 * Returns how many connections one process can then hold, at most `wanted`.
 */
export function raiseDescriptorLimit(wanted: number): number {
  const needed = wanted + DESCRIPTORS_RESERVED;
  if (hardLimit() < needed) {
    spawnSync("prlimit", ["--pid", String(process.pid), `--nofile=${needed}:${needed}`]);
  }
  return Math.min(wanted, hardLimit() - DESCRIPTORS_RESERVED);
}

/** RLIMIT_NOFILE, hard: Node raises the soft limit of each process to it at its start. */
export function hardLimit(): number {
  const limits = readFileSync("/proc/self/limits", "utf8");
  const match = /^Max open files\s+\d+\s+(\d+|unlimited)/m.exec(limits);
  const value = match?.[1];
  return value === undefined || value === "unlimited" ? Infinity : Number(value);
}

export class Crowd {
  readonly #holders: readonly { readonly process: Started; readonly count: number }[];
  /** Open connections of each holder. */
  readonly #open: number[] = [];

  constructor(port: number, count: number) {
    const holders = Math.ceil(count / CONNECTIONS_EACH_HOLDER);
    const program = path.join(import.meta.dirname, "holder.ts");
    this.#holders = Array.from({ length: holders }, (_, i) => {
      const args = [program, String(port), String(i + 1)];
      const share = Math.floor(count / holders) + (i < count % holders ? 1 : 0);
      return { process: new Started(process.execPath, args, { ipc: true }), count: share };
    });
  }

  /**
   * Opens connections until `total` are open, one holder after the other.
   * @throws when one cannot be opened.
   */
  async open(total: number): Promise<void> {
    let before = 0;
    for (const [i, { process, count }] of this.#holders.entries()) {
      const wanted = Math.min(count, total - before) - (this.#open[i] ?? 0);
      before += count;
      if (wanted <= 0) continue;
      const answer = await order(process, { type: "open", count: wanted });
      if (answer.type !== "opened" || answer.failed > 0) {
        throw new Error(`connections could not be opened: ${JSON.stringify(answer)}`);
      }
      this.#open[i] = answer.open;
    }
  }

  /** A request on each connection, all at once. */
  async ask(): Promise<{ answered: number; failed: number; lastAt: number }> {
    const answers = await Promise.all(
      this.#holders.map(({ process }) => order(process, { type: "ask" })),
    );
    const total = { answered: 0, failed: 0, lastAt: 0 };
    for (const answer of answers) {
      if (answer.type !== "asked") throw new Error(`not an answer: ${answer.type}`);
      total.answered += answer.answered;
      total.failed += answer.failed;
      total.lastAt = Math.max(total.lastAt, answer.lastAt);
    }
    return total;
  }

  /** Ends the holders. */
  destroy(): void {
    for (const { process } of this.#holders) process.child.kill("SIGKILL");
  }
}

function order(holder: Started, message: ToHolder): Promise<FromHolder> {
  return new Promise((resolve, reject) => {
    const { child } = holder;
    child.once("message", (answer) => resolve(answer as FromHolder)); // our own program's word
    void holder.finished.then(({ output }) => reject(new Error(`a holder has ended: ${output}`)));
    child.send(message);
  });
}
