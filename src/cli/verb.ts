/** What a verb is: its line in help, its flags, and the file that carries it out. */
import type { Environment, TextOutput } from "../base/mod.ts";

export interface FlagSpec {
  /** Without `--`. */
  readonly name: string;
  /** One letter, or null. */
  readonly short: string | null;
  /** `maybe`: a switch that may also be given values with `=`, again and again. */
  readonly kind: "text" | "switch" | "list" | "maybe";
  /** `<n>`; empty for a switch. */
  readonly placeholder: string;
  readonly help: string;
}

/** The command line behind the verb, taken apart; values are not checked yet. */
export interface Parsed {
  readonly positionals: readonly string[];
  /** Whether `--` was there: what follows belongs to the application. */
  readonly hasTerminator: boolean;
  readonly flags: Readonly<Record<string, string | true | readonly string[]>>;
}

/** What a verb needs of the world. */
export interface World {
  readonly stdout: TextOutput;
  readonly stderr: TextOutput;
  readonly environment: Environment;
  readonly cwd: string;
}

/** Does the work; resolves with the exit code. */
export type Execute = (parsed: Parsed, world: World) => Promise<number>;

export interface Verb {
  readonly name: string;
  /** A line for the list of verbs. */
  readonly summary: string;
  /** What stands behind `holdfast <verb>`. */
  readonly usage: string;
  readonly flags: readonly FlagSpec[];
  readonly positionalsMax: number;
  readonly examples: readonly string[];
  /** What help says below its examples. */
  readonly note?: string;
  /** Verbs are loaded when they are used: `status` does not pay for `run`. */
  readonly load: () => Promise<{ readonly execute: Execute }>;
}
