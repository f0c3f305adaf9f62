/** For tests: a folder with files in it, that is gone after the test. */
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import type { TestContext } from "node:test";

/** Writes the files, by relative path, and returns the folder's absolute path. */
export function makeFolder(
  context: Pick<TestContext, "after">,
  files: Readonly<Record<string, string>>,
): string {
  const folder = realpathSync(mkdtempSync(path.join(os.tmpdir(), "holdfast-unit-")));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  for (const [name, content] of Object.entries(files)) {
    const file = path.join(folder, name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, content);
  }
  return folder;
}
