/** What is refused, what came too late, and options that make no sense. */
import { HoldfastError, didYouMean } from "../base/mod.ts";
import type { Refusal } from "../ledger/mod.ts";

/** The base of everything that `holdfast/flow` throws. */
export class FlowError extends HoldfastError {}

/** What each reason means, for the message. */
const MEANINGS: Readonly<Record<Refusal, string>> = {
  "queue-full": "its queue is full",
  wait: "it would have waited for too long",
  expired: "its deadline passes before its turn comes",
  "client-gone": "who asked for it has gone",
  aborted: "it was aborted while it waited",
  closed: "the gate is closed",
};

/** A gate did not let it in: nothing of it was begun. Never retried by Holdfast itself. */
export class Overloaded extends FlowError {
  readonly reason: Refusal;
  /** Name of the gate. */
  readonly gate: string;
  /** When there may be room again. */
  readonly retryAfterMs: number;

  constructor(gate: string, reason: Refusal, retryAfterMs: number, options?: ErrorOptions) {
    // thousands a second, when there is no time for it; the stack would be that of the gate
    const former = Error.stackTraceLimit;
    Error.stackTraceLimit = 0;
    super(
      "ERR_HOLDFAST_OVERLOADED",
      `Refused by the gate "${gate}": ${MEANINGS[reason]}. ` +
        `There may be room in ${Math.max(1, Math.round(retryAfterMs))} ms; ` +
        `\`holdfast work\` shows what it is busy with.`,
      options,
    );
    Error.stackTraceLimit = former;
    this.reason = reason;
    this.gate = gate;
    this.retryAfterMs = retryAfterMs;
  }
}

/** The time that was given for the work is over. */
export class DeadlineExceeded extends FlowError {
  /** How long it was. */
  readonly afterMs: number;

  constructor(afterMs: number) {
    super(
      "ERR_HOLDFAST_DEADLINE",
      `The deadline of ${Math.max(0, Math.round(afterMs))} ms has passed. Give the work more ` +
        `time, or look where it went: \`holdfast work\`.`,
    );
    this.afterMs = afterMs;
  }
}

/** An option that nobody can act on. @throws FlowError ERR_HOLDFAST_FLOW_OPTION */
export function refuseOption(name: string, value: unknown, allowed: string): never {
  const shown = typeof value === "string" ? JSON.stringify(value) : String(value);
  throw new FlowError(
    "ERR_HOLDFAST_FLOW_OPTION",
    `The option ${name} is ${shown}; it must be ${allowed}.`,
  );
}

/** All that options of a type may be called. */
export type OptionNames<Options> = Readonly<Record<keyof Options, true>>;

/**
 * For a user without types: what is mistyped would be as if it had not been said. `of`: what has
 * the options, such as `queue.`.
 * @throws FlowError ERR_HOLDFAST_FLOW_OPTION
 */
export function checkNames(options: object, names: Readonly<Record<string, true>>, of = ""): void {
  const known = Object.keys(names);
  const wrong = Object.keys(options).find((name) => !known.includes(name));
  if (wrong === undefined) return;
  throw new FlowError(
    "ERR_HOLDFAST_FLOW_OPTION",
    `There is no option ${of}${wrong}.${didYouMean(wrong, known)} There are: ${known.join(", ")}.`,
  );
}

/**
 * For a user without types, who may have left out what must be there.
 * @throws FlowError ERR_HOLDFAST_FLOW_OPTION
 */
export function checkThere(name: string, value: unknown, allowed: string): void {
  const isThere = typeof value === "object" ? value !== null : typeof value === "function";
  if (!isThere) refuseOption(name, value, allowed);
}

/**
 * A number of at least `min` and at most `max`; `fallback` where none was given.
 * @throws FlowError ERR_HOLDFAST_FLOW_OPTION
 */
export function checkNumber(
  name: string,
  value: number | undefined,
  fallback: number,
  { min, max = Number.MAX_SAFE_INTEGER }: { readonly min: number; readonly max?: number },
): number {
  if (value === undefined) return fallback;
  // a user without types may give anything
  const isRight = typeof value === "number" && value >= min && value <= max;
  if (isRight) return value;
  const most = max === Number.MAX_SAFE_INTEGER ? "" : `, at most ${max}`;
  return refuseOption(name, value, `a number, at least ${min}${most}`);
}
