/** Counting what became of requests, in the words of `connection.ts`. */
import type { Outcome } from "./connection.ts";

/** How often each kind of failure was seen: `fin`, `timeout`, `status 502`, ... */
export class Counts {
  readonly #counts = new Map<string, number>();

  add(kind: string): void {
    this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1);
  }

  /** Counts an outcome unless it is `ok`. */
  addOutcome(outcome: Outcome): void {
    if (outcome.kind !== "ok") this.add(nameOf(outcome));
  }

  get total(): number {
    return [...this.#counts.values()].reduce((sum, count) => sum + count, 0);
  }

  of(kind: string): number {
    return this.#counts.get(kind) ?? 0;
  }

  /** `0`, or `12 fin 3 timeout`. */
  get text(): string {
    if (this.#counts.size === 0) return "0";
    return [...this.#counts].map(([kind, count]) => `${count} ${kind}`).join(" ");
  }

  toJSON(): Record<string, number> {
    return Object.fromEntries(this.#counts);
  }
}

/** `ok`, `fin`, `503`, ... */
export function nameOf(outcome: Outcome): string {
  return outcome.kind === "status" ? String(outcome.response.status) : outcome.kind;
}
