/** A verb of autopsy: what it is called, what it takes, what it gives. */
import { HoldfastError } from "../../base/mod.ts";
import type { Result } from "./result.ts";
import type { Session } from "./session.ts";

export interface VerbFlag {
  readonly name: string;
  /** `<n>`; empty for a switch. */
  readonly placeholder: string;
  readonly help: string;
}

/** The words behind the verb. */
export interface VerbArgs {
  readonly words: readonly string[];
  readonly flags: Readonly<Record<string, string | true>>;
  /** What the verb before it in a pipe has found. */
  readonly input: readonly number[];
  readonly signal: AbortSignal | undefined;
}

export interface AutopsyVerb {
  readonly name: string;
  readonly summary: string;
  readonly usage: string;
  readonly flags: readonly VerbFlag[];
  readonly example: string;
  run(session: Session, args: VerbArgs): Result | Promise<Result>;
}

export const LIMIT: VerbFlag = {
  name: "limit",
  placeholder: "<n>",
  help: "rows that are shown (default 30; 0: all)",
};
const LIMIT_DEFAULT = 30;

/** What is wrong with a verb's words. */
export function misuse(verb: { readonly name: string }, why: string): HoldfastError {
  return new HoldfastError(
    "ERR_HOLDFAST_USAGE",
    `Cannot do ${verb.name}: ${why}. See \`help ${verb.name}\`.`,
  );
}

/** The value of `--limit`. */
export function limitOf(verb: { readonly name: string }, args: VerbArgs): number {
  const limit = numberOf(verb, args, "limit", LIMIT_DEFAULT);
  return limit === 0 ? Number.POSITIVE_INFINITY : limit;
}

/** A flag that is a whole number. */
export function numberOf(
  verb: { readonly name: string },
  { flags }: VerbArgs,
  name: string,
  initial: number,
): number {
  const text = flags[name];
  if (text === undefined) return initial;
  if (typeof text === "string" && /^\d{1,9}$/.test(text)) return Number(text);
  throw misuse(verb, `--${name} must be a whole number`);
}

/** Addresses of words and of the pipe. */
export function addressesFrom(verb: { readonly name: string }, args: VerbArgs): readonly number[] {
  const named = args.words.map((word) => {
    const match = /^@?(?:0x)?([0-9a-f]{4,16})$/i.exec(word);
    if (match?.[1] !== undefined) return Number.parseInt(match[1], 16);
    throw misuse(verb, `${JSON.stringify(word)} is no address, such as 0x2bc41f6e0a91`);
  });
  const all = [...named, ...args.input];
  if (all.length === 0) throw misuse(verb, "give an address, or pipe objects into it");
  // an address with V8's tag is as good as one without
  return all.map((address) => address - (address % 8));
}
