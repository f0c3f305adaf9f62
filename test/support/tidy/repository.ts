/** The files of this repository: tracked ones, and new ones that are not ignored. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import path from "node:path";

export const ROOT: string = fileURLToPath(new URL("../../../", import.meta.url));

/** Paths relative to the repository. */
export function listFiles(): readonly string[] {
  const args = ["ls-files", "--cached", "--others", "--exclude-standard", "-z"];
  const output = execFileSync("git", args, { cwd: ROOT, encoding: "utf8" });
  const files = output.split("\0").filter((file) => file !== "");
  return [...new Set(files)].filter((file) => existsSync(path.join(ROOT, file))).toSorted();
}

export function readText(file: string): string {
  return readFileSync(path.join(ROOT, file), "utf8");
}
