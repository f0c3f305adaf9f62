/**
 * Cores as they come: with holes, cut off, compressed as systemd does; and a process whose files
 * nobody else sees.
 */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import {
  copyFileSync,
  mkdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { zstdCompressSync } from "node:zlib";
import { Session, parseExpression, runExpression } from "../../src/autopsy/mod.ts";
import { PtraceTracer } from "../../src/os/mod.ts";
import { NODES, inPosition, makeCore, program, startPatient, until } from "./support/autopsy.ts";

const OPTIONS = { node: null, tracer: null, environment: {} };
const LZ4_BLOCK_BYTES = 4 * 1024 * 1024;

/** A frame of blocks that are stored as they are (lz4 Frame format, 1.6). */
function lz4(bytes: Buffer): Buffer {
  // version 1, independent blocks; blocks of 4 MB; checksum of both: xxHash32, second byte
  const parts: Buffer[] = [Buffer.from([0x04, 0x22, 0x4d, 0x18, 0x60, 0x70, 0x73])];
  for (let at = 0; at < bytes.length; at += LZ4_BLOCK_BYTES) {
    const block = bytes.subarray(at, at + LZ4_BLOCK_BYTES);
    const size = Buffer.alloc(4);
    size.writeUInt32LE(block.length + 0x8000_0000);
    parts.push(size, block);
  }
  return Buffer.concat([...parts, Buffer.alloc(4)]);
}

async function tell(what: string, expression: string): Promise<string> {
  const session = await Session.open(what, OPTIONS);
  try {
    const result = await runExpression(session, parseExpression(expression), undefined);
    const text = result.kind === "text" ? result.text : JSON.stringify(result.rows);
    return [text, ...session.remarks].join("\n");
  } finally {
    session.close();
  }
}

describe("a core", () => {
  const release: (() => void)[] = [];
  let folder = "";
  let core = "";
  let accounts = "";

  before(async () => {
    const patient = startPatient({ after: (does) => release.push(does as () => void) }, 24, [
      program("values.cjs"),
    ]);
    await inPosition(patient, { line: "ready" });
    folder = patient.folder;
    core = makeCore(patient);
    patient.child.kill("SIGKILL");
    accounts = await tell(core, "find Account");
    assert.match(accounts, /Account/);
  });
  after(() => release.forEach((each) => each()));

  it("with holes in the file is read as if they were zeros", async () => {
    const sparse = path.join(folder, "sparse");
    execFileSync("cp", ["--sparse=always", core, sparse]);
    assert.ok(statSync(sparse).blocks <= statSync(core).blocks);
    assert.equal(await tell(sparse, "find Account"), accounts);
  });

  it("that systemd has compressed is read, under its name", async () => {
    const bytes = readFileSync(core);
    for (const [suffix, compressed] of [
      ["zst", zstdCompressSync(bytes)],
      ["lz4", lz4(bytes)],
    ] as const) {
      const boot = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
      const name = `core.node.1000.${boot}.4711.1700000000000000.${suffix}`;
      const file = path.join(folder, name);
      writeFileSync(file, compressed);
      assert.equal(await tell(file, "find Account"), accounts, suffix);
      truncateSync(file, Math.floor(compressed.length * 0.9));
      assert.match(await tell(file, "info"), /cut off/, suffix);
    }
  });

  it("that is cut off is read as far as it goes, and says so", async () => {
    const { size } = statSync(core);
    const cut = path.join(folder, "cut");
    for (const part of [0.95, 0.6, 0.3, 0.01, 0.000_01]) {
      copyFileSync(core, cut);
      truncateSync(cut, Math.floor(size * part));
      assert.match(await tell(cut, "info"), /the core file is cut off/, String(part));
    }
    truncateSync(cut, 40);
    await assert.rejects(tell(cut, "info"), { code: "ERR_HOLDFAST_AUTOPSY_NOT_ELF" });
  });
});

describe("a process in a mount namespace of its own", () => {
  it("is read with the binary that only it sees", async (t) => {
    const patient = startPatient(t, 24, ["--version"]); // for its folder
    const place = path.join(patient.folder, "hidden");
    mkdirSync(place);
    const binary = NODES.get(24) ?? "";
    const run = `mount --bind "$1" "$2" && exec "$2/${path.basename(binary)}" "$3"`;
    const isRoot = process.getuid?.() === 0;
    const namespaces = isRoot ? ["-m"] : ["-r", "-m"];
    const args = [...namespaces, "sh", "-c", run, "sh", path.dirname(binary), place];
    const child = spawn("unshare", [...args, program("values.cjs")]);
    t.after(() => child.kill("SIGKILL"));
    let text = "";
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (chunk: Buffer) => (text += chunk.toString("utf8")));
    await until(`it is ready: ${text}`, () => {
      if (child.exitCode !== null) throw new Error(`it has ended: ${text}`);
      return text.includes("ready");
    });
    const session = await Session.open(String(child.pid), {
      ...OPTIONS,
      tracer: new PtraceTracer(),
    });
    try {
      const result = await runExpression(session, parseExpression("stacks"), undefined);
      assert.ok(result.kind === "text");
      assert.match(result.text, /main thread/);
    } finally {
      session.close();
    }
  });
});
