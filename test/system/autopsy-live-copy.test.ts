/** What reads much of a live process reads a snapshot, or a copy in memory or in a file. */
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import path from "node:path";
import { describe, it } from "node:test";
import { LiveProcess, Session, writeDump } from "../../src/autopsy/mod.ts";
import { parseExpression, refuseLong, runExpression } from "../../src/autopsy/mod.ts";
import { ElfFile, ET_CORE, PT_LOAD } from "../../src/autopsy/target/elf.ts";
import type { Target } from "../../src/autopsy/target/target.ts";
import { openByteSource } from "../../src/autopsy/target/byte-source.ts";
import { PtraceTracer } from "../../src/os/mod.ts";
import { inPosition, startPatient } from "./support/autopsy.ts";
import type { Patient } from "./support/autopsy.ts";
import { CLI, nodeBinary } from "./support/paths.ts";
import { run } from "./support/run.ts";

const PROGRAM = `
class Kept { constructor(id) { this.id = id; } }
globalThis.kept = Array.from({ length: 321 }, (_, id) => new Kept(id));
setInterval(() => process.stdout.write("alive\\n"), 20);
`;

/** Makes much garbage of many kinds, which is collected all the time. */
const BUSY = `
let count = 0;
const kept = [];
const server = require("node:http").createServer((request, response) => {
  response.end(JSON.stringify({ count, text: "x".repeat(200) }));
}).listen(0, "127.0.0.1", async () => {
  const ask = async () => {
    kept.push(await (await fetch("http://127.0.0.1:" + server.address().port)).json());
    if (kept.length > 20_000) kept.length = 0;
    if ((count += 1) === 8_000) process.stdout.write("busy\\n");
  };
  for (let client = 0; client < 10; client += 1) (async () => { for (;;) await ask(); })();
});
`;
const LOOKS = 4;

const options = (): ConstructorParameters<typeof LiveProcess>[1] => ({
  node: null,
  tracer: new PtraceTracer(),
  environment: {},
});

async function patientOf(t: Parameters<typeof startPatient>[0], major: number): Promise<Patient> {
  const patient = startPatient(t, major, ["-e", PROGRAM]);
  await inPosition(patient, { line: "alive" });
  return patient;
}

function snapshotOf(live: LiveProcess): Target {
  const target = live.snapshot();
  if (typeof target === "string") throw new Error(target);
  return target;
}

/** The numbers of what a session sees. */
async function seen(session: Session): Promise<string> {
  try {
    const found = await runExpression(session, parseExpression("find Kept | count"), undefined);
    const { held, failed } = session.confidence;
    assert.deepEqual(failed, []);
    assert.ok(held > 25);
    return JSON.stringify(found);
  } finally {
    session.close();
  }
}

for (const major of [22, 24, 26]) {
  describe(`a copy of a process of Node ${major}`, () => {
    it("has the same objects: snapshot, kept, in memory, by way of a file, dump", async (t) => {
      const { pid, folder } = await patientOf(t, major);
      const ofSnapshot = await seen(await Session.copied(pid, options()));
      assert.match(ofSnapshot, /321/);
      assert.equal(await seen(await Session.copied(pid, options(), { isKept: true })), ofSnapshot);
      const live = new LiveProcess(pid, options());
      t.after(() => live.close());
      const takes: Readonly<Record<string, () => Target>> = {
        memory: () => live.copyAll(),
        file: () => live.copyAllToFile(path.join(folder, "copy")),
        snapshot: () => snapshotOf(live),
      };
      for (const [name, take] of Object.entries(takes)) {
        const target = take();
        const { path: file, bytes } = writeDump(target, path.join(folder, `core.${name}`));
        assert.ok(bytes > 1_000_000 && Number(target.stoodStillMs?.()) > 0, name);
        target.close();
        assert.equal(await seen(await Session.open(file, options())), ofSnapshot, name);
      }
      const names = ["core.file", "core.memory", "core.snapshot"];
      assert.deepEqual(readdirSync(folder).toSorted(), names);
    });
  });
}

describe("a busy service", () => {
  it("is not doubted for what is dead in its heap", async (t) => {
    const patient = startPatient(t, 24, ["-e", BUSY]);
    await inPosition(patient, { line: "busy" });
    let doubted = "";
    let held = 0;
    for (let count = 0; count < LOOKS; count += 1) {
      const session = await Session.copied(patient.pid, options());
      const { failed } = session.confidence;
      session.close();
      if (failed.length === 0) held += 1;
      else doubted += `${failed.join(", ")}\n`;
    }
    // one may come in the middle of a collection
    assert.ok(held >= LOOKS - 1, doubted);
  });
});

describe("dump", () => {
  it("writes what the rules of ELF ask of a core, and tells the pause", async (t) => {
    const { pid, folder } = await patientOf(t, 24);
    const file = path.join(folder, "it.core");
    const args = ["--", CLI, "autopsy", "dump", String(pid), "-o", file, "--json"];
    const { code, stdout } = await run(nodeBinary(), args);
    assert.equal(code, 0);
    const facts = JSON.parse(stdout.toString()) as Readonly<Record<string, unknown>>; // ours
    assert.equal(facts["pid"], pid);
    assert.equal(facts["bytes"], readFileSync(file).length);
    assert.ok(Number(facts["pausedMs"]) > 0 && Number(facts["expectedPauseMs"]) > 0);
    const elf = new ElfFile(openByteSource(file));
    t.after(() => elf.source.close());
    assert.equal(elf.type, ET_CORE);
    let last = 0;
    for (const { type, offset, address, fileBytes, memoryBytes, align } of elf.programs) {
      if (type !== PT_LOAD) continue;
      assert.ok(address >= last, "sorted by address, as the System V ABI has it");
      assert.ok(offset % align === address % align && fileBytes <= memoryBytes);
      assert.ok(offset + fileBytes <= elf.source.size);
      last = address + memoryBytes;
    }
    const notes = [...elf.notes()].map(({ name, type }) => `${name} ${type}`);
    for (const note of ["CORE 1", "CORE 3", "CORE 6", "CORE 1179208773"]) {
      assert.ok(notes.includes(note), note);
    }
  });

  it("is refused when the process would stand still for long", () => {
    const noSnapshot = "its system calls are filtered (seccomp)";
    const sizes = { bytes: 20e9, availableBytes: 1e9, isInMemory: false };
    const cost = { ...sizes, pauseMs: 200_000, noSnapshot };
    assert.throws(() => refuseLong(1, cost), {
      code: "ERR_HOLDFAST_AUTOPSY_PAUSE",
      message:
        /process 1 has .*stand still for about .* into a file.*filtered \(seccomp\).*--force/,
    });
    refuseLong(1, { ...cost, pauseMs: 9_000 });
  });
});
