/** Where things are: the repository, the applications under test, and the versions of Node. */
import { fileURLToPath } from "node:url";
import path from "node:path";

/** Root of the repository, absolute. */
export const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

/**
 * The compiled command line. Started by `node --`: else Node looks for its own `--env-file` behind
 * the script's name too, and ends before we begin when that file is missing. `HOLDFAST_TEST_CLI`
 * points the suite at another build, to see it fail where that build lacks something.
 */
export const CLI = process.env["HOLDFAST_TEST_CLI"] ?? path.join(ROOT, "dist/cli/main.js");

/** Major versions of Node that are tested. */
export type NodeVersion = 22 | 24 | 26;

/** The node program of that major version, from its npm package. */
export function nodeBinary(version: NodeVersion = 24): string {
  const folder = version === 24 ? "node" : `node${version}`;
  return path.join(ROOT, "node_modules", folder, "bin/node");
}

/** Absolute path of an application in `test/apps`. */
export function app(name: string): string {
  return path.join(ROOT, "test/apps", name);
}
