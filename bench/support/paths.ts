/** Where things are: the repository, `bench/`, and the versions of Node. */
import { existsSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

/** Root of the repository, absolute. */
export const repositoryFolder: string = fileURLToPath(new URL("../../", import.meta.url));

/** `bench/`, absolute. */
export const benchFolder: string = path.join(repositoryFolder, "bench");

/** Major versions of Node that Holdfast supports. */
export const NODE_VERSIONS = ["22", "24", "26"] as const;
export type NodeVersion = (typeof NODE_VERSIONS)[number];

/** The node program of a major version, from its npm package. */
export function nodeBinary(version: NodeVersion): string {
  const folder = version === "24" ? "node" : `node${version}`;
  const program = path.join(repositoryFolder, "node_modules", folder, "bin/node");
  if (!existsSync(program)) throw new Error(`no Node ${version} at ${program}: run npm install`);
  return program;
}
