/** Takes the command line of a verb apart; refuses what the verb does not know. */
import { parseArgs } from "node:util";
import { HoldfastError, didYouMean } from "../base/mod.ts";
import type { FlagSpec, Parsed, Verb } from "./verb.ts";

type Value = string | true | readonly string[];

/**
 * @param args what stands behind the verb
 * @throws HoldfastError ERR_HOLDFAST_USAGE, naming the flag and what would be right.
 */
export function parseCommandLine(verb: Verb, args: readonly string[]): Parsed {
  const { tokens } = parseArgs({
    args: [...args],
    options: parseArgsOptions(verb.flags),
    strict: false, // Its own messages know neither the verb nor a near name.
    allowPositionals: true,
    tokens: true,
  });
  const positionals: string[] = [];
  const flags: Record<string, Value> = {};
  let hasTerminator = false;
  for (const token of tokens) {
    if (token.kind === "option-terminator") hasTerminator = true;
    else if (token.kind === "positional") positionals.push(token.value);
    else {
      const spec = verb.flags.find((each) => each.name === token.name);
      if (spec === undefined) throw unknownFlag(verb, token.rawName, positionals);
      const value = flagValue(verb, spec, token.value, token.inlineValue ?? false);
      const former = flags[spec.name];
      flags[spec.name] =
        Array.isArray(former) && Array.isArray(value) ? [...former, ...value] : value;
    }
  }
  if (positionals.length > verb.positionalsMax) {
    throw usage(verb, `${JSON.stringify(positionals[verb.positionalsMax])} is too much`);
  }
  return { positionals, hasTerminator, flags };
}

/** A mistake on the command line: what is wrong, and where to read what is right. */
export function usage(verb: Pick<Verb, "name">, what: string): HoldfastError {
  const end = what.endsWith("?") ? "" : ".";
  return new HoldfastError(
    "ERR_HOLDFAST_USAGE",
    `Cannot carry out \`holdfast ${verb.name}\`: ${what}${end} ` +
      `See \`holdfast ${verb.name} --help\`.`,
  );
}

function parseArgsOptions(
  flags: readonly FlagSpec[],
): Record<string, { type: "string" | "boolean"; short?: string }> {
  return Object.fromEntries(
    flags.map(({ name, kind, short }) => {
      const type = kind === "text" || kind === "list" ? "string" : "boolean";
      return [name, short === null ? { type } : { type, short }];
    }),
  );
}

function flagValue(
  verb: Verb,
  spec: FlagSpec,
  value: string | undefined,
  isInline: boolean,
): Value {
  const shown = `--${spec.name}`;
  if (spec.kind === "switch") {
    if (value === undefined || value === "true") return true;
    if (value === "false") return "false";
    throw usage(verb, `${shown} is a switch, it takes no value ${JSON.stringify(value)}`);
  }
  if (spec.kind === "maybe") return value === undefined ? true : [value];
  // The value of --node-arg is itself an option.
  const isSwallowed =
    !isInline && value?.startsWith("-") === true && spec.placeholder !== "<option>";
  if (value === undefined || value === "" || isSwallowed) {
    throw usage(verb, `${shown} needs a value: ${shown} ${spec.placeholder}`);
  }
  return spec.kind === "list" ? [value] : value;
}

function unknownFlag(verb: Verb, rawName: string, positionals: readonly string[]): HoldfastError {
  const names = verb.flags.map(({ name }) => name);
  const near = didYouMean(rawName.replace(/^--?/, ""), names).replace("mean ", "mean --");
  const [entry] = positionals;
  const isForEntry = verb.name === "run" && entry !== undefined && near === "";
  if (isForEntry) {
    const right = `holdfast run ${entry} -- ${rawName}`;
    return usage(verb, `${rawName} is no flag of holdfast; for ${entry} itself, write ${right}`);
  }
  return usage(verb, `${rawName} is no flag of it${near === "" ? "" : `.${near}`}`);
}
