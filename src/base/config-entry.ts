/** The file to run, found as `node <entry>` finds it, and the name of the service. */
import { existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { HoldfastError } from "./errors.ts";
import { didYouMean } from "./nearest.ts";
import { NAME_PATTERN } from "./runtime-dir.ts";

/** Directories above the entry in which a package.json is looked for. */
const DEPTH_MAX = 64;

/**
 * The absolute path of the entry file: the command line's, else the configuration's.
 *
 * @throws HoldfastError ERR_HOLDFAST_ENTRY when there is none.
 */
export function findEntry(typed: string | null, cwd: string, configured: string | null): string {
  const entry = typed ?? configured;
  if (entry === null) {
    throw new HoldfastError(
      "ERR_HOLDFAST_ENTRY",
      "Cannot run a service: no entry file was given. Write `holdfast run server.js`, or `entry` " +
        "in holdfast.config.json.",
    );
  }
  const file = path.resolve(cwd, entry);
  if (existsSync(file) && statSync(file).isFile()) return file;
  try {
    // As node does: adds .js, index.js and the like.
    return createRequire(path.join(cwd, "noop.js")).resolve(file);
  } catch (error) {
    const isFolder = existsSync(file);
    const what = isFolder ? "it is a directory without index.js" : "there is no such file";
    throw new HoldfastError(
      "ERR_HOLDFAST_ENTRY",
      `Cannot run ${file}: ${what}.${isFolder ? "" : nearFile(file)} Give the path of the file ` +
        `that you would give to node.`,
      { cause: error },
    );
  }
}

function nearFile(file: string): string {
  const folder = path.dirname(file);
  if (!existsSync(folder) || !statSync(folder).isDirectory()) return "";
  return didYouMean(path.basename(file), readdirSync(folder));
}

/** The name in the nearest package.json without its scope, else the entry's file name. */
export function serviceName(entry: string): string {
  const candidates = [packageName(path.dirname(entry)), path.parse(entry).name];
  for (const candidate of candidates) {
    const name = sanitized(candidate ?? "");
    if (NAME_PATTERN.test(name)) return name;
  }
  return "service";
}

function packageName(start: string): string | null {
  let folder = start;
  for (let depth = 0; depth < DEPTH_MAX; depth += 1) {
    const file = path.join(folder, "package.json");
    if (existsSync(file)) return nameIn(file);
    const parent = path.dirname(folder);
    if (parent === folder) return null;
    folder = parent;
  }
  return null;
}

/** A package.json that is broken is the application's trouble: node will say so if it matters. */
function nameIn(file: string): string | null {
  try {
    const content: unknown = JSON.parse(readFileSync(file, "utf8"));
    const isNamed = typeof content === "object" && content !== null && "name" in content;
    return isNamed && typeof content.name === "string" ? content.name : null;
  } catch {
    return null;
  }
}

function sanitized(name: string): string {
  const local = name.replace(/^@[^/]*\//, "");
  return local
    .replace(/[^A-Za-z0-9._-]+/g, "-")
    .replace(/^[^A-Za-z0-9]+/, "")
    .slice(0, 64);
}
