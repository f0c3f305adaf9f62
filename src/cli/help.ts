/** The texts of `--help`. */
import { VERSION } from "../base/mod.ts";
import type { Verb } from "./verb.ts";

/** What `holdfast` alone and `holdfast --help` say. */
export function overview(verbs: readonly Verb[]): string {
  const width = Math.max(...verbs.map(({ name }) => name.length));
  const lines = verbs.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`);
  return [
    `holdfast ${VERSION}: an application server for Node.js`,
    "",
    "usage: holdfast <verb> [flags]",
    "",
    ...lines,
    "",
    "`holdfast <verb> --help` explains a verb. Start with: holdfast run server.js",
    "",
  ].join("\n");
}

/** What `holdfast <verb> --help` says. */
export function verbHelp(verb: Verb): string {
  const rows = verb.flags.map(({ name, short, placeholder, help }) => {
    const joined = placeholder.startsWith("[") ? placeholder : ` ${placeholder}`;
    const left = `${short === null ? "    " : `-${short}, `}--${name}${joined}`.trimEnd();
    return [left, help] as const;
  });
  const width = Math.max(...rows.map(([left]) => left.length), "    --help".length);
  const lines = [...rows, ["-h, --help", "this text"] as const];
  return [
    `holdfast ${verb.name}: ${verb.summary}`,
    "",
    `usage: holdfast ${verb.name} ${verb.usage}`,
    "",
    ...lines.map(([left, help]) => `  ${left.padEnd(width)}  ${help}`),
    "",
    verb.examples.length === 1 ? "example:" : "examples:",
    ...verb.examples.map((example) => `  ${example}`),
    "",
    ...(verb.note === undefined ? [] : [verb.note, ""]),
  ].join("\n");
}
