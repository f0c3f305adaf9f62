/** A live process stands still for copies of what is read, not while it is read. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Session } from "../../src/autopsy/mod.ts";
import { LiveProcess } from "../../src/autopsy/target/live.ts";
import { PtraceTracer } from "../../src/os/mod.ts";
import { inPosition, startPatient, until } from "./support/autopsy.ts";
import type { Patient } from "./support/autopsy.ts";

/** Calls functions of many depths with ever new objects; says that it lives. */
const BUSY = `
let made = 0;
function deep(n) { return n === 0 ? { made: (made += 1) } : [deep(n - 1)]; }
setInterval(() => { for (let i = 0; i < 300; i += 1) JSON.stringify(deep(i % 50)); }, 1);
setInterval(() => process.stdout.write("alive\\n"), 20);
`;
const SPIN = `
function forever(minimum, maximum) { for (;;) if (minimum > maximum) return; }
process.stdout.write("alive\\n", () => forever(5, 5));
`;

const options = (): ConstructorParameters<typeof LiveProcess>[1] => ({
  node: null,
  tracer: new PtraceTracer(),
  environment: {},
});

async function patientOf(
  t: Parameters<typeof startPatient>[0],
  major: number,
  program: string,
): Promise<Patient> {
  const patient = startPatient(t, major, ["-e", program]);
  await inPosition(patient, { line: "alive" });
  return patient;
}

for (const major of [22, 24, 26]) {
  describe(`a live process of Node ${major}`, () => {
    it("that loops is read from the copy that its first reading asked for", async (t) => {
      const { pid } = await patientOf(t, major, SPIN);
      let looks = 0;
      const { text, ms } = await Session.brief(pid, options(), (session) => {
        looks += 1;
        const { threads, stoodStillMs } = session.stacks;
        const frame = threads[0]?.frames.find(({ name }) => name === "forever");
        const values = frame?.parameters.map(({ name, text: value }) => `${name} = ${value}`);
        return Promise.resolve({ text: values?.join(), ms: stoodStillMs });
      });
      assert.equal(text, "minimum = 5,maximum = 5");
      assert.ok(ms !== null && ms > 0);
      assert.ok(looks >= 2, `${looks} looks`);
    });

    it("that is busy is read as it was at one moment, and runs on", async (t) => {
      const { pid, output } = await patientOf(t, major, BUSY);
      for (let count = 0; count < 5; count += 1) {
        const stacks = await Session.brief(pid, options(), (session) => {
          return Promise.resolve(session.stacks);
        });
        assert.deepEqual(
          stacks.threads.filter(({ isComplete }) => !isComplete).map(({ frames }) => frames),
          [],
        );
      }
      const before = output().length;
      await until("it says that it lives", () => output().length > before);
    });
  });
}

describe("a copy of a live process", () => {
  it("says whether all that was asked for is in it", async (t) => {
    const { pid } = await patientOf(t, 24, SPIN);
    const live = new LiveProcess(pid, options());
    t.after(() => live.close());
    const first = live.copy(new Set());
    const [mapping] = first.target.mappings;
    assert.ok(mapping !== undefined);
    assert.equal(first.isWhole(), true, "nothing was asked for");
    const text = first.target.memory.read(mapping.start, 4);
    assert.equal(text?.toString("latin1"), "\u007FELF");
    assert.equal(first.isWhole(), false, "it was read from the running process");
    const second = live.copy(first.asked);
    assert.deepEqual(second.target.memory.read(mapping.start, 4), text);
    assert.equal(second.isWhole(), true);
    assert.equal(second.target.memory.read(8, 8), null, "no mapping is there");
  });
});
