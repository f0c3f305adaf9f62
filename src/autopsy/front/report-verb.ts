/** The verb `report`: what matters first, in one HTML file to send to somebody. */
import { closeSync, openSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { HoldfastError, formatSize, maskTarget } from "../../base/mod.ts";
import { reportHtml } from "./report-html.ts";
import type { ReportSection } from "./report-html.ts";
import type { Result } from "./result.ts";
import { maskArguments } from "./secrets.ts";
import { refuseSpecial } from "../target/output-file.ts";
import type { Session } from "./session.ts";
import { misuse } from "./verb.ts";
import type { AutopsyVerb, VerbArgs } from "./verb.ts";

interface Chapter {
  readonly verb: string;
  readonly title: string;
  readonly hint: string;
  readonly flags?: VerbArgs["flags"];
}

/** In the order in which one looks. A chapter whose verb does not exist is left out. */
const CHAPTERS: readonly Chapter[] = [
  { verb: "stacks", title: "Stacks", hint: "What each thread was doing, with arguments." },
  {
    verb: "asyncs",
    title: "Suspended work",
    hint: "Async functions that wait, by where they wait: the work that is outstanding.",
  },
  { verb: "requests", title: "Requests in flight", hint: "HTTP requests without their answer." },
  { verb: "handles", title: "Handles", hint: "Sockets, timers and files that libuv holds." },
  { verb: "objects", title: "Biggest types", hint: "Objects by class, the most bytes first." },
  { verb: "threads", title: "Threads", hint: "What each is for, and where it is." },
  { verb: "info", title: "The process", hint: "What it ran, and what is missing here." },
  { verb: "env", title: "Environment", hint: "Values of variables that sound secret are masked." },
];

/** The verb, which runs those of `verbs`. */
export function reportVerb(verbs: readonly AutopsyVerb[]): AutopsyVerb {
  const report: AutopsyVerb = {
    name: "report",
    summary: "one HTML file: cause, stacks, suspended work, requests, biggest types",
    usage: "-o <file.html>",
    flags: [{ name: "output", placeholder: "<file>", help: "where to" }],
    example: "report -o incident.html",
    async run(session, args): Promise<Result> {
      const file = fileOf(report, args);
      const sections: ReportSection[] = [];
      for (const chapter of CHAPTERS) {
        const verb = verbs.find(({ name }) => name === chapter.verb);
        if (verb !== undefined) sections.push(await sectionOf(session, verb, chapter, args.signal));
      }
      const { title } = session.target;
      const html = reportHtml({
        title,
        cause: session.stacks.cause.text,
        madeAt: new Date(),
        sections,
      });
      write(file, html);
      const bytes = Buffer.byteLength(html);
      const text = `${file}: ${formatSize(bytes)}, ${sections.length} sections`;
      return { kind: "text", text, json: { path: file, bytes }, addresses: [] };
    },
  };
  return report;
}

/** `-o file` of the shell's lines and `--output file` are the same. */
function fileOf(verb: AutopsyVerb, { words, flags }: VerbArgs): string {
  const { output } = flags;
  const [first, second, ...more] = words;
  if (typeof output === "string" && first === undefined && output !== "") return output;
  if (output === undefined && first === "-o" && second !== undefined && more.length === 0) {
    return second;
  }
  throw misuse(verb, "say where to, as in: report -o incident.html");
}

async function sectionOf(
  session: Session,
  verb: AutopsyVerb,
  { title, hint, flags = {} }: Chapter,
  signal: AbortSignal | undefined,
): Promise<ReportSection> {
  try {
    const result = await verb.run(session, { words: [], flags, input: [], signal });
    return { id: verb.name, title, hint, result: masked(session, verb.name, result) };
  } catch (error) {
    // what is not in this core is said in its place; the rest is worth having
    if (!(error instanceof HoldfastError) || error.code === "ERR_HOLDFAST_INTERRUPTED") throw error;
    return { id: verb.name, title, hint, result: error.message };
  }
}

/** The target of a request, with a query: in columns of urls, and in the words about a socket. */
const TARGET = /\/\S*\?\S+/g;

/** The file leaves the machine: secrets in command lines and targets of requests stay. */
function masked({ target }: Session, name: string, result: Result): Result {
  if (name === "info" && result.kind === "text" && target.args !== null) {
    const command = target.args.join(" ");
    const text = result.text.replace(command, () => maskArguments(target.args ?? []).join(" "));
    return { ...result, text };
  }
  if (result.kind !== "table") return result;
  const rows = result.rows.map((row) =>
    row.map((cell) => (typeof cell === "string" ? cell.replaceAll(TARGET, maskTarget) : cell)),
  );
  return { ...result, rows };
}

/** Beside its name first: a full disk leaves nothing behind, and no half of a report. */
function write(file: string, html: string): void {
  const partial = `${file}.${process.pid}.partial`;
  let descriptor = -1;
  try {
    refuseSpecial(file);
    descriptor = openSync(partial, "wx", 0o600); // arguments of functions are in there
    writeFileSync(descriptor, html);
    closeSync(descriptor);
    descriptor = -1;
    renameSync(partial, file);
  } catch (error) {
    if (descriptor >= 0) closeSync(descriptor);
    rmSync(partial, { force: true });
    const { code, syscall } = error as NodeJS.ErrnoException; // of node:fs, or it has no syscall
    if (syscall === undefined) throw error;
    const why = code === "ENOSPC" ? "the disk is full" : `${syscall} gives ${code}`;
    throw new HoldfastError(
      "ERR_HOLDFAST_AUTOPSY_WRITE",
      `Cannot write ${file}: ${why}; nothing was left there. Name another place with -o.`,
      { cause: error },
    );
  }
}
