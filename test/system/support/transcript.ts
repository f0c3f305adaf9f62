/**
 * Transcripts of documents, played: the commands are carried out as they stand, and what they
 * print is compared with what the document shows.
 *
 *     ```console
 *     $ command                what it prints is in the lines below, up to the next `$`
 *     $ command &              those lines are waited for; it runs on
 *     $ fg                     the rest of what the last one behind `&` prints, up to its end
 *     ^C                       ... which is interrupted first
 *     ```
 *
 * All `console` blocks of a document are one session, in a folder of its own that has `examples`,
 * with `holdfast` and `node` in PATH. A command that looks is carried out again until it shows what
 * the document shows. Of both texts are taken away: times, sizes, percentages, bars, the width of
 * columns, which worker and its id. A number from 100 on of the document stands for any number,
 * but in statuses of answers. A line `...` stands for any lines, `...` at the end of one for any
 * text; between the lines of a command behind `&` there may be others. A number of five digits or
 * an id of a crash that the document shows stands for another one, the same one in all later
 * commands; so does the port that an example has by itself for the one that it gets.
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { chmodSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { rmSync } from "node:fs";
import path from "node:path";
import { CLI, ROOT, nodeBinary } from "./paths.ts";
import { MARK_VARIABLE, kill, markedPids } from "./processes.ts";
import { cleanEnvironment } from "./run.ts";
import { makeRuntimeDir } from "./service.ts";
import type { Owner } from "./service.ts";
import { waitFor, within } from "./wait.ts";

const DEADLINE_MS = 60_000;
const LOOKING = /^holdfast (autopsy|crashes|latency|logs|stacks|status|top|trace|work)( |$)/;

interface Step {
  readonly line: number;
  readonly command: string;
  readonly shown: readonly string[];
}

/** Every `console` block of a document, as steps. */
export function readTranscript(file: string): readonly Step[] {
  const steps: { line: number; command: string; shown: string[] }[] = [];
  let isInside = false;
  for (const [index, text] of readFileSync(file, "utf8").split("\n").entries()) {
    if (text.startsWith("```")) isInside = text === "```console";
    else if (isInside && text.startsWith("$ ")) {
      steps.push({ line: index + 1, command: text.slice(2), shown: [] });
    } else if (isInside) steps.at(-1)?.shown.push(text);
  }
  return steps;
}

/** A command that runs behind `&`. */
class Job {
  readonly child: ChildProcess;
  readonly ended: Promise<unknown>;
  output = "";
  /** How much of the output has been compared. */
  seen = 0;

  constructor(child: ChildProcess) {
    this.child = child;
    child.stdout?.setEncoding("utf8").on("data", (chunk: string) => {
      this.output += chunk;
    });
    this.ended = new Promise((resolve) => child.on("close", resolve));
  }
}

export class Session {
  readonly #folder: string = makeRuntimeDir();
  readonly #mark: string;
  readonly #jobs: Job[] = [];
  /** What stands in the document -> what it is here. */
  readonly #ports = new Map<string, string>();
  readonly #ids = new Map<string, string>();
  /** Numbers that are no values, however few digits they have. */
  readonly #pids = new Set<string>();

  constructor(owner: Owner) {
    this.#mark = `transcript${process.pid}.${path.basename(this.#folder)}`;
    symlinkSync(path.join(ROOT, "examples"), path.join(this.#folder, "examples"));
    for (const [name, command] of [
      ["holdfast", `'${nodeBinary()}' -- '${CLI}'`],
      ["node", `'${nodeBinary()}'`],
    ] as const) {
      const file = path.join(this.#folder, name);
      writeFileSync(file, `#!/bin/sh\nexec ${command} "$@"\n`);
      chmodSync(file, 0o755);
    }
    owner.after(() => this.#close());
  }

  async play(step: Step): Promise<void> {
    const { command, shown } = step;
    try {
      if (command === "fg") await this.#foreground(shown);
      else if (command.endsWith(" &")) await this.#background(command.slice(0, -2), shown);
      else await this.#once(command, shown);
    } catch (error) {
      throw new Error(`line ${step.line}: $ ${command}`, { cause: error });
    }
  }

  async #background(command: string, shown: readonly string[]): Promise<void> {
    const job = new Job(this.#start(`exec ${command}`, { PORT: "0" }));
    this.#jobs.push(job);
    const found = (): boolean => this.#compare(job, shown, false);
    await waitFor("the lines shown", found, DEADLINE_MS, () => job.output);
    const entry = /^holdfast run (\S+)/.exec(command)?.[1];
    if (entry !== undefined) await this.#findPort(entry);
  }

  /** The port that the example has when nobody gives it one stands for the one that it has. */
  async #findPort(entry: string): Promise<void> {
    const own = /PORT \?\? (\d+)/.exec(readFileSync(path.join(ROOT, entry), "utf8"))?.[1];
    const status = await this.#run("holdfast status --json");
    const port = /"address": ?"[^"]*:(\d+)"/.exec(status)?.[1];
    if (own === undefined || port === undefined) throw new Error(`no port:\n${status}`);
    this.#ports.set(own, port);
  }

  async #foreground(shown: readonly string[]): Promise<void> {
    const job = this.#jobs.pop();
    if (job === undefined) throw new Error("nothing is in the background");
    if (shown[0] === "^C") job.child.kill("SIGINT");
    await within("its end", job.ended, DEADLINE_MS);
    const rest = shown[0] === "^C" ? shown.slice(1) : shown;
    if (!this.#compare(job, rest, true)) throw new Error(`it printed:\n${job.output}`);
  }

  async #once(command: string, shown: readonly string[]): Promise<void> {
    let text = "";
    const check = async (): Promise<boolean> => {
      text = await this.#run(command);
      return this.#matches(shown, text, true) !== null;
    };
    if (!LOOKING.test(command)) {
      if (!(await check())) throw new Error(`it printed:\n${text}`);
      return;
    }
    await waitFor("what is shown", check, DEADLINE_MS, () => text);
  }

  async #run(command: string): Promise<string> {
    const job = new Job(this.#start(command));
    this.#jobs.push(job);
    await within("its end", job.ended, DEADLINE_MS);
    this.#jobs.splice(this.#jobs.indexOf(job), 1);
    return job.output;
  }

  #start(command: string, env: Readonly<Record<string, string>> = {}): ChildProcess {
    const meant = command.replace(WORDS, (word) => this.#ports.get(word) ?? this.#idOf(word));
    return spawn("/bin/sh", ["-c", `${meant} 2>&1`], {
      cwd: this.#folder,
      env: cleanEnvironment({
        ...env,
        PATH: `${this.#folder}:${process.env["PATH"] ?? ""}`,
        HOLDFAST_RUNTIME_DIR: this.#folder,
        [MARK_VARIABLE]: this.#mark,
      }),
      stdio: ["ignore", "pipe", "ignore"], // both in one, as on a terminal
    });
  }

  /** Whether the job has printed these lines (all that it has printed, if it has ended). */
  #compare(job: Job, shown: readonly string[], isWhole: boolean): boolean {
    const length = this.#matches(shown, job.output.slice(job.seen), isWhole);
    if (length !== null && !isWhole) job.seen += length;
    return length !== null;
  }

  /** How much of a text the lines shown are, which may be all of it; null when it differs. */
  #matches(shown: readonly string[], text: string, isWhole: boolean): number | null {
    const ids: string[] = [];
    const lines = shown.filter((line) => line.trim() !== "");
    for (const [, pid = ""] of text.matchAll(/\bpid (\d+)\b/g)) this.#pids.add(pid);
    const patterns = lines.map((line) => patternOf(this.#atPort(line), this.#pids, ids));
    const source = patterns.map((each) => (isWhole ? each : `${ANY_LINES}${each}`)).join("");
    const printed = plain(this.#stripped(text), this.#pids, isWhole);
    const found = new RegExp(`^${source}${isWhole ? "$" : ""}`).exec(printed);
    if (found === null) return null;
    for (const [index, id] of ids.entries()) this.#ids.set(id, found[index + 1] ?? "");
    return isWhole ? text.length : offsetOfLine(text, found[0].split("\n").length - 1);
  }

  /** A line of the document with this session's ports; ids are whatever is met. */
  #atPort(line: string): string {
    return line.replace(WORDS, (word) => this.#ports.get(word) ?? word);
  }

  #idOf(word: string): string {
    return this.#ids.get(word) ?? word;
  }

  #stripped(text: string): string {
    return text.replaceAll(this.#folder, "/tmp").replaceAll(ROOT, "/srv/shop/");
  }

  async #close(): Promise<void> {
    for (const job of this.#jobs) job.child.kill("SIGTERM");
    const ended = Promise.all(this.#jobs.map((job) => job.ended));
    try {
      await within("the end of the session", ended, DEADLINE_MS);
    } finally {
      for (const pid of markedPids(this.#mark)) kill(pid, "SIGKILL");
      rmSync(this.#folder, { recursive: true, force: true });
    }
  }
}

/** A row of `holdfast crashes`: id, service, worker. */
const CRASH_OF_WORKER = /(\b\d{8}T\d{6}Z-w\d+-\d+\s+\S+\s+)\d+\b/;
const BLANK = /[^\S\n]+/g;
/** What may be a port, a process or a crash. */
const WORDS = /\b\d{8}T\d{6}Z-w\d+-\d+\b|(?<![\w.])\d{4,7}(?![\w.])/g;
const ANY_LINES = "(?:.*\\n)*?";

/** A text without what differs each time, line by line without empty ones. */
function plain(text: string, pids: ReadonlySet<string>, isWhole: boolean): string {
  const complete = isWhole ? text : text.slice(0, text.lastIndexOf("\n") + 1);
  return complete
    .split("\n")
    .map((line) => plainLine(line, pids))
    .filter((line) => line !== "")
    .map((line) => `${line}\n`)
    .join("");
}

function plainLine(line: string, pids: ReadonlySet<string>): string {
  return line
    .replace(/[█▉▊▋▌▍▎▏▁▂▃▄▅▆▇│]+/g, "<bar>")
    .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z|\b\d\d:\d\d:\d\d\.\d+/g, "<time>")
    .replace(/(?<![\w.])\d+(\.\d+)?(ns|us|ms|s|min|m|h|d)\b/g, "<time>")
    .replace(/(?<![\w.])\d+(\.\d+)?(B|KiB|MiB|GiB)\b/g, "<size>")
    .replace(/(?<![\w.])\d+(\.\d+)?%/g, "")
    .replace(/\b0x[0-9a-f]{6,}\b/g, "<address>")
    .replace(/(?<![\w.:]|times )\d{3,4}(?![\w.:])/g, (n) => (pids.has(n) ? n : "<number>"))
    .replace(/\b(worker|id) \d+\b/g, "$1 <n>")
    .replace(CRASH_OF_WORKER, "$1<n>")
    .replace(BLANK, " ")
    .trim();
}

/** The expression that a line shown stands for; ids that it has are pushed. */
function patternOf(line: string, pids: ReadonlySet<string>, ids: string[]): string {
  if (line.trim() === "...") return ANY_LINES;
  const isOpen = line.endsWith("...");
  const text = plainLine(isOpen ? line.slice(0, -3) : line, pids);
  const parts = text.split(/(\b\d{8}T\d{6}Z-w\d+-\d+\b|(?<![\w.:])\d{5,7}(?![\w.]))/);
  const source = parts.map((part, index) => {
    if (index % 2 === 0) {
      const literal = part.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
      return literal.replaceAll("<number>", "(?:<number>|\\d+)");
    }
    ids.push(part);
    return part.includes("T") ? "(\\d{8}T\\d{6}Z-w\\d+-\\d+)" : "(\\d+)";
  });
  return `${source.join("")}${isOpen ? ".*" : ""}\\n`;
}

/** Where the n-th line that is not empty ends. */
function offsetOfLine(text: string, count: number): number {
  let offset = 0;
  let left = count;
  while (left > 0) {
    const end = text.indexOf("\n", offset);
    if (text.slice(offset, end).trim() !== "") left -= 1;
    offset = end + 1;
  }
  return offset;
}
