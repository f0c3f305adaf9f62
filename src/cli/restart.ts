/** `holdfast restart`: the same version in new workers, all of them or one. */
import { executeOperation } from "./operation.ts";
import { usage } from "./parse.ts";
import type { Parsed, World } from "./verb.ts";

export async function execute(parsed: Parsed, world: World): Promise<number> {
  const [text] = parsed.positionals;
  if (text === undefined) return executeOperation("restart", {}, parsed, world);
  if (!/^\d{1,4}$/.test(text)) {
    const name = JSON.stringify(text);
    throw usage(
      { name: "restart" },
      `${name} is no worker; \`holdfast status\` numbers them from 0`,
    );
  }
  return executeOperation("restart", { worker: Number(text) }, parsed, world);
}
