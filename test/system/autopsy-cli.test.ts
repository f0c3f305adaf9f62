/** What the user of `holdfast autopsy` meets: the shell, JSON, dumps, every kind of bad input. */
import assert from "node:assert/strict";
import {
  copyFileSync,
  readFileSync,
  readdirSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import zlib from "node:zlib";
import { inPosition, program, startPatient, until } from "./support/autopsy.ts";
import type { Patient } from "./support/autopsy.ts";
import { CLI, nodeBinary } from "./support/paths.ts";
import { run } from "./support/run.ts";
import type { RunOptions } from "./support/run.ts";

interface Said {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

async function autopsy(args: readonly string[], options: RunOptions = {}): Promise<Said> {
  const result = await run(nodeBinary(), ["--", CLI, "autopsy", ...args], options);
  return { code: result.code, out: result.stdout.toString(), err: result.stderr.toString() };
}

/** State of a process: `S` sleeps, `T` stopped, `t` traced. */
function stateOf(pid: number): string {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  return stat[stat.lastIndexOf(")") + 2] ?? "?";
}

describe("holdfast autopsy", () => {
  const cleanups: (() => void)[] = [];
  let patient: Patient;
  let core: string;

  before(async () => {
    patient = startPatient({ after: (end: () => void) => cleanups.push(end) }, 24, [
      program("values.cjs"),
    ]);
    await inPosition(patient, { line: "ready" });
    core = path.join(patient.folder, "core");
    const { code, out, err } = await autopsy(["dump", String(patient.pid), "-o", core]);
    assert.equal(code, 0, err);
    assert.match(out, /stood still for \S+\nholdfast autopsy \S+ stacks\n$/);
  });

  after(() => {
    for (const end of cleanups) end();
  });

  it("dump: small, for its user only, nothing beside it, and the process runs on", () => {
    assert.ok(statSync(core).size < 40 * 1024 * 1024, `${statSync(core).size}`);
    assert.equal(statSync(core).mode & 0o777, 0o600);
    assert.deepEqual(
      readdirSync(patient.folder).filter((name) => name.includes("partial")),
      [],
    );
    assert.equal(stateOf(patient.pid), "S");
  });

  it("dump to a place that cannot be written says so, and leaves nothing", async () => {
    const { code, err } = await autopsy(["dump", String(patient.pid), "-o", "/nowhere/core"]);
    assert.equal(code, 73);
    assert.match(err, /Cannot write \/nowhere\/core: open gives ENOENT; nothing was left there/);
    assert.equal(stateOf(patient.pid), "S");
  });

  it("dump where there is no room says so, and leaves nothing", async () => {
    // a limit for the size of files stands for a full disk: the write fails in the middle
    const file = path.join(patient.folder, "too-large");
    const command = `ulimit -f 1000; exec "$@"`;
    const words = [nodeBinary(), "--", CLI, "autopsy", "dump", String(patient.pid), "-o", file];
    const { code, stderr } = await run("/bin/sh", ["-c", command, "sh", ...words]);
    assert.equal(code, 73, stderr.toString());
    assert.match(stderr.toString(), /nothing was left there/);
    assert.deepEqual(
      readdirSync(patient.folder).filter((name) => name.startsWith("too-large")),
      [],
    );
    assert.equal(stateOf(patient.pid), "S");
  });

  it("--json is data", async () => {
    const { out } = await autopsy([core, "find", "Account", "--json"]);
    const { rows } = JSON.parse(out) as { rows: { address: string; class: string }[] };
    assert.deepEqual(
      rows.map((row) => row.class),
      ["Account"],
    );
    assert.match(rows[0]?.address ?? "", /^0x[0-9a-f]+$/);
    const info = JSON.parse((await autopsy([core, "info", "--json"])).out) as { pid: number };
    assert.equal(info.pid, patient.pid);
  });

  it("the shell: results by number, filters, help, and what is wrong with a line", async () => {
    const lines = [
      "find Account",
      "$1 | print",
      "objects | where class = Account | count",
      'find --text "concatenated and" | head 1',
      "args",
      "help why",
      "fnd Account",
      "find Account | where nothing = 1",
      'grep "no end',
      "print 12",
    ];
    const { code, out, err } = await autopsy([core], { stdin: `${lines.join("\n")}\n` });
    assert.match(out, /Account @0x[0-9a-f]+ \{ \[#balance\]: 42, name: 'Ada' \}/);
    assert.match(out, /^1$/m);
    assert.match(out, /'concatenated and longer than thirteen'/);
    assert.match(out, /values\.cjs$/m);
    assert.match(out, /why <address>\n {2}why an object is alive/);
    assert.match(err, /Cannot do "fnd": there is .* Did you mean find\?/);
    assert.match(err, /there is no column nothing; there is address, class, value/);
    assert.match(err, /a quote at .* has no end/);
    assert.match(err, /"12" is no address/);
    assert.equal(code, 1); // a script in which something failed
  });

  it("a compressed core, and one that is cut off", async () => {
    const packed = `${core}.gz`;
    writeFileSync(packed, zlib.gzipSync(readFileSync(core), { level: 1 }));
    assert.match((await autopsy([packed, "find", "Account"])).out, /Account/);
    const cut = `${core}.cut`;
    copyFileSync(core, cut);
    truncateSync(cut, Math.floor(statSync(core).size / 2));
    const { code, out, err } = await autopsy([cut, "info"]);
    assert.equal(code, 0, err);
    assert.match(out, /cut off: \d+ bytes are missing/);
  });

  it("a process that was stopped before stays stopped", async () => {
    process.kill(patient.pid, "SIGSTOP");
    await until("it is stopped", () => stateOf(patient.pid) === "T");
    assert.equal((await autopsy([String(patient.pid), "stacks"])).code, 0);
    assert.equal(stateOf(patient.pid), "T");
    process.kill(patient.pid, "SIGCONT");
    await until("it runs", () => stateOf(patient.pid) === "S");
  });

  describe("bad input", () => {
    const sleep = process.platform === "linux" ? "/bin/sleep" : "sleep";
    const cases: readonly (readonly [string, () => readonly string[], number, RegExp])[] = [
      ["no target", () => [], 64, /say which core file or process id/],
      ["a missing file", () => ["/nowhere/core", "stacks"], 66, /there is no such file/],
      ["no such process", () => ["999999999", "stacks"], 66, /there is no such process/],
      ["a text", () => [program("values.cjs"), "stacks"], 65, /does not begin as one/],
      ["a program", () => [sleep, "stacks"], 65, /a program, not a core file/],
      ["another build", () => [core, "stacks", "--node", nodeBinary(22)], 65, /its build id is/],
      ["no binary", () => [core, "stacks", "--node", "/nowhere/node"], 65, /does not exist/],
      [
        "another program",
        () => [core, "stacks", "--node", sleep],
        65,
        /build id|not a Node binary/,
      ],
      ["an unknown verb", () => [core, "stack"], 64, /Did you mean stacks\?/],
      ["an unknown flag", () => [core, "stacks", "--limit", "3"], 64, /does not know --limit/],
      ["dump of no pid", () => ["dump", "core"], 64, /dump takes one process id/],
    ];
    for (const [name, args, code, message] of cases) {
      it(name, async () => {
        const said = await autopsy(args());
        assert.match(said.err, message);
        assert.equal(said.code, code, said.err);
        assert.equal(said.out, "");
      });
    }

    it("an empty file, and one of garbage", async () => {
      for (const bytes of [Buffer.alloc(0), Buffer.alloc(4096, 0x55)]) {
        const file = path.join(patient.folder, "garbage");
        writeFileSync(file, bytes);
        assert.equal((await autopsy([file, "stacks"])).code, 65);
      }
    });

    it("a process of another program", async () => {
      const { child, pid } = startPatient({ after: (end: () => void) => cleanups.push(end) }, 24, [
        "-e",
        `const child = require("child_process").spawn("sleep", ["60"], { stdio: "ignore" });
        child.on("spawn", () => console.log("child", child.pid));`,
      ]);
      let text = "";
      child.stdout?.on("data", (chunk: Buffer) => (text += chunk.toString()));
      await until("the child", () => /child \d+/.test(text));
      const sleeping = Number(/child (\d+)/.exec(text)?.[1]);
      const { code, err } = await autopsy([String(sleeping), "stacks"]);
      process.kill(sleeping);
      assert.ok(pid > 0);
      assert.equal(code, 65, err);
      assert.match(err, /not a Node binary/);
    });
  });

  it("leaves nothing in the temporary folder", async () => {
    const { code } = await autopsy([String(patient.pid), "find", "Account"]);
    assert.equal(code, 0);
    const left = readdirSync(os.tmpdir()).filter((name) => name.startsWith("holdfast-autopsy-"));
    assert.deepEqual(left, []);
  });
});
