/**
 * Random programs of `holdfast trace`: of its grammar, and around it. One in three is damaged: a
 * token is taken out, doubled, swapped or replaced by something else.
 */
import {
  ACTIONS,
  AGGREGATES,
  COMMON_VARIABLES,
  FUNCTIONS,
  POINTS,
  REQUEST_VARIABLES,
} from "../../src/trace/mod.ts";

/** xorshift32 (Marsaglia, "Xorshift RNGs", 2003): the same programs for the same seed. */
export class Chance {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0 || 1;
  }

  /** From 0 to below `limit`. */
  below(limit: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) % limit;
  }

  pick<T>(from: readonly T[]): T {
    const value = from[this.below(from.length)];
    if (value === undefined) throw new Error("nothing to choose from");
    return value;
  }
}

const PROBES = [
  POINTS.map(({ form }) => form),
  words("tick:1s profile:97hz http:* httpclient:* fs:* dc:undici:* fn:JSON.stringify:return"),
  words("fn:a.b.c:entry fn:lib/x.Y.z:return user:order:placed http:don htpp:done fn:x : *"),
  words("dc: __proto__:x constructor"),
].flat();
const STRANGE = words("duration msg lag op __proto__ constructor toString evil");
/** Probes of no request. */
const ALONE = words("begin end tick loop gc pool");
const MEMBERS = words(
  "headers evil proxy deep list name length constructor __proto__ prototype toString valueOf " +
    "then socket size callee caller",
);
const BINARY = words("?? || && == != === !== < <= > >= ~ + -");
const LITERALS = words(
  '0 1 -1 250ms 64KiB 1e308 1e-9 0x10 3.5 "text" \'x\' "" true false null undefined "\\n" ' +
    '"__proto__" 9007199254740993 9e999',
);
const JUNK = [
  "{}()[];,/@=.:?~!%*+-<>&|^#$`\\'\"".split(""),
  words("eval new function => while(1) ${ /* */ // self. this. @@ printf( 9e999 1kg import('fs')"),
  ["\n", "\u0000", "\uD800", "é", "..."],
].flat();

function words(text: string): readonly string[] {
  return text.split(" ");
}

/** What may be written in a clause. */
interface Words {
  readonly variables: readonly string[];
  readonly hasRequest: boolean;
  readonly aggregates: Map<string, string>;
}

export function randomProgram(chance: Chance): string {
  const aggregates = new Map<string, string>();
  const clauses = Array.from({ length: 1 + chance.below(3) }, () => clause(chance, aggregates));
  const program = clauses.join(" ");
  return chance.below(3) === 0 ? damage(chance, program) : program;
}

function clause(chance: Chance, aggregates: Map<string, string>): string {
  const isStrange = chance.below(8) === 0;
  const point = chance.pick(POINTS);
  const concrete = point.form
    .replace("<duration>", "1s")
    .replace("<channel>", chance.pick(["undici:*", "a.b", "http.server.*"]))
    .replace("<name>", "order:placed")
    .replace("<module>.<path>", chance.pick(["JSON.stringify", "a.b.c", "lib/x.Y.z"]));
  const probe = isStrange ? chance.pick(PROBES) : concrete;
  const hasRequest = !ALONE.includes(point.provider);
  const variables = [
    ...COMMON_VARIABLES.map(({ name }) => name),
    ...words("arg0 arg1 arg2 arg9 args"),
    ...point.variables.map(({ name }) => name),
    ...(hasRequest ? REQUEST_VARIABLES.map(({ name }) => name) : []),
    ...(isStrange ? STRANGE : []),
  ];
  const known: Words = { variables, hasRequest: hasRequest || isStrange, aggregates };
  const predicate = chance.below(2) === 0 ? ` / ${expression(chance, 3, known)} / ` : " ";
  const count = chance.below(4);
  const statements = Array.from({ length: count }, () => statement(chance, known));
  return `${probe}${predicate}{ ${statements.join("; ")} }`;
}

function statement(chance: Chance, words: Words): string {
  const next = (): string => expression(chance, 3, words);
  switch (chance.below(6)) {
    case 0: {
      const scope = words.hasRequest ? chance.pick(["self", "this"]) : "this";
      return `${scope}.${chance.pick(["a", "b", "__proto__"])} = ${next()}`;
    }
    case 1: {
      const count = chance.below(3);
      const args = Array.from({ length: count }, () => `, ${next()}`).join("");
      const format = Array.from({ length: count }, () => chance.pick(["%s", "%d", "%5.1f", "%t"]));
      return `printf("${format.join(" ")}"${args})`;
    }
    case 2:
      return chance.below(9) === 0
        ? `${chance.pick(ACTIONS).name}(${next()})`
        : `print(${next()}, ${next()})`;
    case 3: {
      const [name] = [...words.aggregates.keys()];
      const reset = chance.pick(["clear(@", "trunc(@", "printa(@"]);
      if (name === undefined) return "exit()";
      return reset !== "trunc(@" ? `${reset}${name})` : `trunc(@${name}, ${chance.below(3)})`;
    }
    default:
      return aggregation(chance, words);
  }
}

/** One name mostly stands for one kind: others are refused. */
function aggregation(chance: Chance, words: Words): string {
  const name = chance.pick(["", "a", "b", "c", "__proto__"]);
  const made = `${chance.pick(AGGREGATES).name} ${chance.below(3)}`;
  const known = words.aggregates.get(name) ?? made;
  words.aggregates.set(name, known);
  const [kind = "", keys = "0"] = (chance.below(20) === 0 ? made : known).split(" ");
  const next = (): string => expression(chance, 2, words);
  const list = Array.from({ length: Number(keys) }, next);
  const key = list.length === 0 ? "" : `[${list.join(", ")}]`;
  if (kind === "count") return `@${name}${key} = count()`;
  if (kind === "lquantize") return `@${name}${key} = lquantize(${next()}, -5, 100, 5)`;
  return `@${name}${key} = ${kind}(${next()})`;
}

function expression(chance: Chance, depth: number, words: Words): string {
  const { variables } = words;
  if (depth === 0) return chance.pick(chance.below(2) === 0 ? LITERALS : variables);
  const next = (): string => expression(chance, depth - 1, words);
  switch (chance.below(9)) {
    case 0:
      return `${next()} ${chance.pick(BINARY)} ${next()}`;
    case 1:
      return `(${next()} ${chance.pick(["*", "/", "%", "-"])} ${next()})`;
    case 2:
      return `(${next()} ? ${next()} : ${next()})`;
    case 3:
      return `${chance.pick(["!", "-"])}(${next()})`;
    case 4: {
      const { name, argsMax } = chance.pick(FUNCTIONS);
      return `${name}(${Array.from({ length: argsMax }, next).join(", ")})`;
    }
    case 5:
      return `${chance.pick(variables)}.${chance.pick(MEMBERS)}.${chance.pick(MEMBERS)}`;
    case 6:
      return `${chance.pick(variables)}[${next()}]`;
    case 7:
      return `${words.hasRequest ? chance.pick(["self", "this"]) : "this"}.a`;
    default:
      return next();
  }
}

function damage(chance: Chance, program: string): string {
  const tokens = program.split(/(\s+|\b)/);
  const at = chance.below(tokens.length);
  switch (chance.below(5)) {
    case 0:
      tokens.splice(at, 1);
      break;
    case 1:
      tokens.splice(at, 0, tokens[at] ?? "");
      break;
    case 2:
      tokens.splice(at, 1, chance.pick(JUNK));
      break;
    case 3:
      tokens.splice(at);
      break;
    default:
      tokens.splice(at, 0, chance.pick(JUNK));
  }
  return tokens.join("");
}
