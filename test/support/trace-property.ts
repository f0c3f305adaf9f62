/** What holds for every program whatever: tried on random ones by a unit test and by a command. */
import assert from "node:assert/strict";
import { Aggregation } from "../../src/trace/aggregation.ts";
import { compileProgram } from "../../src/trace/compile.ts";
import { TraceProgramError } from "../../src/trace/errors.ts";
import { Firing } from "../../src/trace/firing.ts";
import { checkingHost } from "../../src/trace/host.ts";
import { HostileApplication } from "./hostile-application.ts";
import { Chance, randomProgram } from "./random-program.ts";

export interface Tally {
  compiled: number;
  refused: number;
  firings: number;
}

/**
 * Compiles `count` programs and fires every clause of those that compile.
 * @throws AssertionError with the program when one breaks a rule
 */
export function tryPrograms(seed: number, count: number): Tally {
  const chance = new Chance(seed);
  const application = new HostileApplication();
  const before = application.state();
  const globals = Reflect.ownKeys(globalThis).length;
  const prototype = Reflect.ownKeys(Object.prototype).length;
  const tally: Tally = { compiled: 0, refused: 0, firings: 0 };
  for (let index = 0; index < count; index += 1) {
    const program = randomProgram(chance);
    const where = `seed ${seed}, program ${index}: ${program}`;
    tryProgram(program, application, tally, where);
    assert.deepEqual(application.touched, [], where);
  }
  assert.equal(application.state(), before, `seed ${seed}: the state`);
  assert.equal(Reflect.ownKeys(globalThis).length, globals, `seed ${seed}: globals`);
  assert.equal(Reflect.ownKeys(Object.prototype).length, prototype, `seed ${seed}: prototypes`);
  return tally;
}

function tryProgram(
  program: string,
  application: HostileApplication,
  tally: Tally,
  where: string,
): void {
  const space = { chars: 0, charsMax: 100_000 };
  const aggregations = new Map<string, Aggregation>();
  const lines: string[] = [];
  const host = {
    ...checkingHost(),
    print: (line: string) => void lines.push(line),
    aggregation: (shape: Aggregation["shape"] | null) => {
      assert.ok(shape !== null, where);
      const found = aggregations.get(shape.name) ?? new Aggregation(shape, space);
      aggregations.set(shape.name, found);
      return found;
    },
    clear: (name: string) => aggregations.get(name)?.clear(),
    truncate: (name: string, keep: number) => aggregations.get(name)?.truncate(keep),
  };
  let clauses: ReturnType<typeof compileProgram>["clauses"];
  try {
    ({ clauses } = compileProgram(program, host, { isDestructive: tally.firings % 2 === 0 }));
  } catch (error) {
    assert.ok(error instanceof TraceProgramError, `${where}\n${String(error)}`);
    assert.ok(error.offset >= 0 && error.offset <= program.length, where);
    assert.ok(error.position.line >= 1 && error.position.column >= 1, where);
    assert.ok(error.hint.length > 3 && error.problem.length > 3, `${where}\n${error.message}`);
    tally.refused += 1;
    return;
  }
  tally.compiled += 1;
  const firing = new Firing("http:done");
  for (const { run } of clauses) {
    application.prepare(firing);
    run(firing); // must not throw
    tally.firings += 1;
  }
  for (const line of lines) assert.ok(line.length <= 20_000, where);
  for (const each of aggregations.values()) {
    const text = JSON.stringify(each.snapshot());
    assert.ok(text.length < 1_000_000 && !text.includes("null]"), where);
  }
}
