/** For tests of verbs: streams that keep what was written. */
import type { Environment, TextOutput } from "../../src/base/mod.ts";
import type { World } from "../../src/cli/verb.ts";

export interface TestWorld extends World {
  output(): string;
  errors(): string;
}

export function makeWorld(environment: Environment, isTTY = false): TestWorld {
  const [stdout, output] = makeStream(isTTY);
  const [stderr, errors] = makeStream(isTTY);
  return { stdout, stderr, environment, cwd: "/", output, errors };
}

function makeStream(isTTY: boolean): [TextOutput, () => string] {
  let text = "";
  const write = (more: string): void => {
    text += more;
  };
  return [{ isTTY, write }, () => text];
}
