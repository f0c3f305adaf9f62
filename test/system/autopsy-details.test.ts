/** Verbs that look closely, at a process that spins: frames, members, source, code by address. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { Session, parseExpression, runExpression } from "../../src/autopsy/mod.ts";
import type { TableResult, TextResult } from "../../src/autopsy/mod.ts";
import { inPosition, lookLive, makeCore, program } from "./support/autopsy.ts";
import { startPatient, until } from "./support/autopsy.ts";
import { readStacks } from "../../src/autopsy/stack/mod.ts";

const APP = program("stacks-scenes.cjs");

it("frames, members, source and code of what spins", async (t) => {
  const patient = startPatient(t, 24, [APP, "spin"]);
  await inPosition(patient, { line: "in position" });
  await until("it spins, and V8 has compiled the loop", () => {
    const { threads } = lookLive(patient.pid, (v8) => readStacks(v8));
    const spinning = threads[0]?.frames.find(({ name }) => name === "spread");
    return spinning?.tier === "maglev" || spinning?.tier === "turbofan";
  });
  const core = makeCore(patient);
  const session = await Session.open(core, { node: null, tracer: null, environment: {} });
  t.after(() => session.close());
  const ask = (text: string) => runExpression(session, parseExpression(text), undefined);
  const table = async (text: string): Promise<TableResult> => {
    const result = await ask(text);
    assert.ok(result.kind === "table");
    return result;
  };
  const text = async (what: string): Promise<TextResult> => {
    const result = await ask(what);
    assert.ok(result.kind === "text");
    return result;
  };

  const frames = await table("frames spread");
  const values = frames.rows.map(([, , called, , name, value]) => [called, name, value].join(" "));
  assert.deepEqual(values.slice(0, 4), [
    "spread this globalThis",
    "spread minimum 5",
    "spread maximum 5",
    "spread steps 10",
  ]);
  assert.match(String(frames.rows[0]?.[3]), /stacks-scenes\.cjs:\d+:\d+$/u);

  // functions of the program come first, though Node has many more
  const closures = await table("closures --limit 0");
  const places = closures.rows.map(([, , , place]) => String(place));
  const isOwn = (place: string): boolean => place.startsWith(APP);
  const own = places.filter(isOwn);
  assert.ok(own.length > 5 && own.length < places.length / 10, String(own.length));
  assert.ok(places.slice(0, own.length).every(isOwn));
  assert.deepEqual(closures.remarks, [`${places.length - own.length} of Node and V8 come last`]);

  // a class that there is not: which was meant
  for (const [name, remark] of [
    ["Nowhere", "there is no Nowhere."],
    ["uint8", /^there is no uint8; there is Uint8Array\b/u],
    ["Timeotu", "there is no Timeotu. Did you mean Timeout?"],
  ] as const) {
    const { rows, remarks } = await table(`find ${name}`);
    assert.deepEqual(rows, []);
    if (typeof remark === "string") assert.deepEqual(remarks, [remark]);
    else assert.match(remarks.join(), remark);
  }

  // who holds what: of several objects the first; of none, nothing is said
  const why = await text("find Array --limit 2 | why");
  assert.match(why.text, /^(?:held by|nothing holds) .*\n(?:.*\n)+of 2 objects, the first$/u);
  for (const verb of ["why", "refs"])
    await assert.rejects(ask(`${verb} 1001000`), /there is no object at 0x1001000/u);

  const source = await text("closures spread | source");
  assert.match(source.text, /^spread \(.*stacks-scenes\.cjs:6:16\)\n +6 {2}function spread\(/u);
  assert.match(source.text, /\n +9 {2} {2}for \(let at = minimum; at <= maximum; at \+= step\)/u);

  // the functions of the scenes, one a row, each with its address
  const scenes = await table("find Object --property locals --limit 1 | members --limit 0");
  const spin = scenes.rows.find(([, member]) => member === "spin");
  assert.equal(spin?.[2], "[Function: spin]");
  const again = await text(`source ${Number(spin[3]).toString(16)}`);
  assert.match(again.text, /^spin \(/u);

  const [main] = session.stacks.threads;
  const compiled = main?.frames.find(
    ({ name, kind }) => kind === "javascript" && name === "spread",
  );
  const native = main?.frames.find(({ name }) => name.includes("uv_run"));
  const pcs = [compiled, native].map((frame) => (frame?.pc ?? 0).toString(16));
  const code = await table(`code ${pcs.join(" ")} 1001`);
  assert.deepEqual(
    code.rows.map(([, kind, name]) => `${kind} ${name}`),
    [`${compiled?.tier} spread`, "native uv_run", "unknown "],
  );

  // nothing that is as it should be is doubted, though no context is set while JavaScript runs
  assert.deepEqual(session.doubts, []);
  assert.deepEqual(
    (await table("objects --limit 1")).remarks.filter((one) => /fail/u.test(one)),
    [],
  );
});
