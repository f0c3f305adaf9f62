/**
 * Accounts: all work in flight is written down while it goes on, so that it can be seen from
 * outside, also while the process spins and after it died (`holdfast work`).
 *
 * ```
 *   const queries = account("sql");
 *   const work = queries.begin("orders by customer");
 *   try { ... } finally { queries.end(work, "ok"); }
 *   await queries.run("orders by customer", () => pool.query(...));     the same in one
 * ```
 */
import { WORK_OUTCOMES, WORK_STATES } from "../ledger/mod.ts";
import type { GateView, KindView, WorkOutcome, WorkState, WorkView } from "../ledger/mod.ts";
import { nowMs } from "./clock.ts";
import { currentContext, withContext } from "./context.ts";
import { DeadlineExceeded, Overloaded, refuseOption } from "./errors.ts";
import { processFlow } from "./process-flow.ts";

/**
 * A piece of work in flight: a whole number, so that beginning one allocates nothing. 0: none.
 * Negative: counted, but not listed, because thousands are.
 */
export type Work = number;

/** Objects, not maps: V8 finds a constant name in them five times as fast. */
const OUTCOME_NUMBERS = numbered(WORK_OUTCOMES);
const STATE_NUMBERS = numbered(WORK_STATES);

function numbered<Name extends string>(names: readonly Name[]): Readonly<Record<Name, number>> {
  // one of each name
  return Object.fromEntries(names.map((name, index) => [name, index])) as Record<Name, number>;
}

/** Of a kind's name. */
const KIND_CHARACTERS_MAX = 64;

/** All work of one kind. See the file's docstring. */
export class Account {
  readonly kind: string;
  readonly #table = processFlow().table;
  readonly #number: number;
  /** Of the last name, which most often is the next one too. */
  #name = "";
  #nameNumber = 0;

  constructor(kind: string) {
    this.kind = kind;
    this.#number = this.#table.kind(kind);
  }

  /**
   * A piece of work begins. `name`: one of few (a route, an origin), not one of each request.
   * `deadlineMs`: when it must be done, by `nowMs()`. `parent`: the work that it is part of, by
   * default that of the current context.
   */
  begin(name = "", deadlineMs = 0, parent: Work = currentContext()?.work ?? 0): Work {
    if (name !== this.#name) {
      this.#nameNumber = name === "" ? 0 : this.#table.name(name);
      this.#name = name;
    }
    this.#table.nowMs = nowMs();
    return this.#table.begin(this.#number, this.#nameNumber, parent, deadlineMs);
  }

  /** It has ended. False, and counted, when it had ended before. */
  end(work: Work, outcome: WorkOutcome = "ok"): boolean {
    this.#table.nowMs = nowMs();
    return this.#table.end(work, OUTCOME_NUMBERS[outcome] ?? 1);
  }

  state(work: Work, state: WorkState): void {
    this.#table.setState(work, STATE_NUMBERS[state] ?? 0);
  }

  /** What it is turned out later. */
  rename(work: Work, name: string): void {
    this.#table.rename(work, this.#table.name(name));
  }

  /** It has done something; `bytes` more have been moved. */
  progress(work: Work, bytes = 0): void {
    this.#table.nowMs = nowMs();
    this.#table.progress(work, bytes);
  }

  /** Bytes that it holds in memory now. */
  buffered(work: Work, bytes: number): void {
    this.#table.setBuffered(work, bytes);
  }

  /** Runs `f` as a piece of this work; what it begins is part of it. */
  async run<T>(name: string, f: () => T | Promise<T>): Promise<T> {
    const work = this.begin(name);
    try {
      const result = await withContext({ work }, f);
      this.end(work, "ok");
      return result;
    } catch (error) {
      this.end(work, outcomeOf(error));
      throw error;
    }
  }

  get inFlight(): number {
    return this.#table.inFlight(this.#number);
  }

  /** Age of the oldest that is listed; 0: nothing is in flight. */
  oldestMs(): number {
    const oldest = this.#table.list().find(({ kind }) => kind === this.kind);
    return oldest === undefined ? 0 : nowMs() - oldest.startMs;
  }

  totals(): KindView {
    return this.#table.kindView(this.#number);
  }
}

const accounts = new Map<string, Account>();

/**
 * The account of a kind of work, made when it is first asked for.
 * @throws FlowError ERR_HOLDFAST_FLOW_OPTION when the name is empty or long
 */
export function account(kind: string): Account {
  const known = accounts.get(kind);
  if (known !== undefined) return known;
  if (typeof kind !== "string" || kind === "" || kind.length > KIND_CHARACTERS_MAX) {
    refuseOption("kind", kind, `a text of 1 to ${KIND_CHARACTERS_MAX} characters`);
  }
  const made = new Account(kind);
  accounts.set(kind, made);
  return made;
}

/** How a piece of work that failed has ended. */
export function outcomeOf(error: unknown): WorkOutcome {
  if (error instanceof Overloaded) return "refused";
  if (error instanceof DeadlineExceeded) return "expired";
  const name = error instanceof Error ? error.name : "";
  if (name === "TimeoutError") return "expired";
  return name === "AbortError" ? "cancelled" : "error";
}

/** All work of this process that is in flight and listed, oldest first. */
export function inFlight(): readonly WorkView[] {
  const { table, requests } = processFlow();
  return [...table.list(), ...requests()].toSorted((a, b) => a.startMs - b.startMs);
}

/** What is known of each kind of work. */
export function totals(): readonly KindView[] {
  return processFlow().table.kinds();
}

/** The gates of this process. */
export function gates(): readonly GateView[] {
  return processFlow().table.gates();
}
