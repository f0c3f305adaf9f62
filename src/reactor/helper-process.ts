/**
 * A process that the reactor starts to do for it what takes time or parses what others wrote: it is
 * told lines of JSON on standard input, and tells lines of JSON; when its input ends, it ends.
 *
 * ```
 *   started --order*--> <--word*-- ... --input ends, or it dies--> onEnd("" | why)
 * ```
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";

/** Meant for the process that they were given to. */
const FOREIGN_VARIABLES: readonly string[] = ["NODE_OPTIONS", "NODE_CHANNEL_FD", "NODE_UNIQUE_ID"];
const SAID_CHARACTERS_MAX = 1000;

export interface HelperListeners {
  /** It is ours, of the same version: what it tells needs no checks. */
  readonly onWord: (word: unknown) => void;
  /** Told once. Empty: exit code 0; else how it ended, and what it said last: `exit 73 ...`. */
  readonly onEnd: (how: string) => void;
}

/** See the file's docstring. It keeps nobody alive. */
export class HelperProcess {
  readonly #child: ChildProcess;
  #hasEnded = false;

  constructor(main: string, args: readonly string[], { onWord, onEnd }: HelperListeners) {
    const environment = { ...process.env };
    for (const variable of FOREIGN_VARIABLES) delete environment[variable];
    const child = spawn(process.execPath, [main, ...args], {
      env: environment,
      stdio: ["pipe", "pipe", "pipe"],
      detached: true, // Ctrl-C in the terminal is for us
    });
    this.#child = child;
    let said = "";
    child.stdin.on("error", () => undefined); // it has ended: its exit follows
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      said = `${said}${text}`.slice(-SAID_CHARACTERS_MAX);
    });
    createInterface({ input: child.stdout }).on("line", (line) => onWord(JSON.parse(line)));
    const ended = (how: string): void => {
      if (this.#hasEnded) return;
      this.#hasEnded = true;
      onEnd(how === "" ? "" : `${how} ${said}`.trim());
    };
    child.once("close", (code, signal) => ended(code === 0 ? "" : (signal ?? `exit ${code}`)));
    child.once("error", (error) => ended(error.message));
    for (const each of [child, child.stdin, child.stdout, child.stderr]) unref(each);
  }

  order(order: object): void {
    this.#child.stdin?.write(`${JSON.stringify(order)}\n`);
  }

  /** It does not come back from what it does, and may hold somebody. */
  kill(): void {
    this.#child.kill("SIGKILL");
  }

  /** No more orders: it finishes what it does, and ends. */
  end(): void {
    this.#child.stdin?.end();
  }
}

/** A child's pipes are sockets; @types/node calls them streams. */
function unref(each: object): void {
  (each as { unref?: () => void }).unref?.();
}
