/** The shell of autopsy on a terminal: prompt, completion, Ctrl-C, history. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync, statSync } from "node:fs";
import path from "node:path";
import { it } from "node:test";
import type { TestContext } from "node:test";
import { inPosition, makeCore, startPatient, until } from "./support/autopsy.ts";
import { CLI, nodeBinary } from "./support/paths.ts";

/** Enough objects that to look at all their properties takes a second or more. */
const PROGRAM = `
  class Parcel { constructor(id) { this.id = id; } }
  globalThis.parcels = Array.from({ length: 300000 }, (_, id) => new Parcel(id));
  setInterval(() => {}, 1000);
  console.log("ready");`;
const CTRL_C = "\u0003";
const CTRL_D = "\u0004";
const TAB = "\t";
const UP = "\u001B[A";

interface Terminal {
  readonly screen: () => string;
  /** Types, and waits until what is typed behind the former screen shows that. */
  type(keys: string, shows: RegExp): Promise<string>;
  readonly code: Promise<number | null>;
}

/** The shell on a terminal of its own, by script(1) of util-linux. */
function terminal(t: TestContext, core: string, state: string): Terminal {
  const command = [nodeBinary(), CLI, "autopsy", core].map((word) => `'${word}'`).join(" ");
  const child = spawn("script", ["-qefc", command, "/dev/null"], {
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, XDG_STATE_HOME: state, TERM: "xterm", NO_COLOR: "1" },
  });
  t.after(() => child.kill("SIGKILL"));
  let text = "";
  child.stdout.on("data", (chunk: Buffer) => (text += chunk.toString("utf8")));
  return {
    screen: () => text,
    async type(keys, shows) {
      const from = text.length;
      child.stdin.write(keys);
      await until(`${JSON.stringify(keys)} shows ${String(shows)}`, () => {
        return shows.test(text.slice(from));
      });
      return text.slice(from);
    },
    code: new Promise((resolve) => child.once("exit", resolve)),
  };
}

it("prompts, completes, is interrupted, and remembers", async (t) => {
  const patient = startPatient(t, 24, ["-e", PROGRAM]);
  await inPosition(patient, { line: "ready" });
  const core = makeCore(patient);
  const first = terminal(t, core, patient.folder);
  await until("the prompt", () => first.screen().includes("> "));
  assert.match(first.screen(), /core\.\d+\. `help` tells what there is\./u);

  // completion of a verb, then of a class that a result has shown
  await first.type(`thr${TAB}`, /threads/u);
  await first.type("\r", /main thread[^]*> /u);
  await first.type("find Parcel --limit 1\r", /299999 more[^]*> /u);
  await first.type(`find Par${TAB}`, /find Parcel/u);
  const emptied = await first.type(CTRL_C, /\n[^]*> /u); // the line is given up
  assert.doesNotMatch(emptied, /\.exit/u);

  // Ctrl-C ends what runs, and the shell goes on
  await first.type("find --value 'of none'\r", /of none'[\r\n]/u);
  await first.type(CTRL_C, /Interrupted\./u);
  await first.type("args\r", /setInterval[^]*> /u);
  // and at the prompt it says how to leave
  await first.type(CTRL_C, /\.exit or Ctrl-D ends the shell/u);
  await first.type("help why\r", /why <address>[^]*> /u);
  await first.type(CTRL_D, /$/u);
  assert.equal(await first.code, 0);

  // another shell has the lines of the first, the last one first
  const history = path.join(patient.folder, "holdfast/autopsy-history");
  assert.equal(statSync(history).mode & 0o777, 0o600);
  assert.deepEqual(readFileSync(history, "utf8").trimEnd().split("\n"), [
    "help why",
    "args",
    "find --value 'of none'",
    "find Parcel --limit 1",
    "threads",
  ]);
  const second = terminal(t, core, patient.folder);
  await until("the prompt", () => second.screen().includes("> "));
  await second.type(UP, /help why/u);
  await second.type(UP, /args/u);
  await second.type("\r", /setInterval[^]*> /u);
  await second.type(".exit\r", /$/u);
  assert.equal(await second.code, 0);
});
