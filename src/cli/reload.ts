/** `holdfast reload`: the new version takes over, or the old one stays. */
import { executeOperation } from "./operation.ts";
import type { Parsed, World } from "./verb.ts";

export async function execute(parsed: Parsed, world: World): Promise<number> {
  const body = parsed.flags["update-env"] === true ? { updateEnv: world.environment } : {};
  return executeOperation("reload", body, parsed, world);
}
