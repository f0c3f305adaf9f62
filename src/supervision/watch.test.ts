import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { Watcher } from "./watch.ts";

interface Watching {
  readonly directory: string;
  readonly watcher: Watcher;
  readonly troubles: string[];
  /** The next change, as a path below the directory. */
  readonly next: () => Promise<string>;
}

function watching(t: TestContext): Watching {
  const directory = mkdtempSync(join(tmpdir(), "holdfast-watch-"));
  const troubles: string[] = [];
  let tell: (file: string) => void = (file) => assert.fail(`${file} was not waited for`);
  const onChange = (file: string): void => tell(file.slice(directory.length + 1));
  const watcher = new Watcher(onChange, (message) => troubles.push(message));
  t.after(() => {
    watcher.close();
    rmSync(directory, { recursive: true });
  });
  return {
    directory,
    watcher,
    troubles,
    next: () => new Promise((resolve) => void (tell = resolve)),
  };
}

test("many writes are one change; node_modules, dot files and backups are none", async (t) => {
  const { directory, watcher, next } = watching(t);
  mkdirSync(join(directory, "node_modules"));
  mkdirSync(join(directory, "lib"));
  writeFileSync(join(directory, "lib/a.js"), "1");
  watcher.add(directory);
  for (const name of ["node_modules/x.js", ".git", "a.js~", ".a.js.swp"]) {
    writeFileSync(join(directory, name), "");
  }
  const changed = next();
  for (let count = 0; count < 5; count += 1) writeFileSync(join(directory, "lib/a.js"), `${count}`);
  assert.equal(await changed, "lib/a.js");
});

test("a directory that comes later is watched too", async (t) => {
  const { directory, watcher, next } = watching(t);
  watcher.add(directory);
  const made = next();
  mkdirSync(join(directory, "new"));
  assert.equal(await made, "new");
  const changed = next();
  writeFileSync(join(directory, "new/b.js"), "");
  assert.equal(await changed, "new/b.js");
});

test("a single file, also when replaced as editors do; its neighbours do not matter", async (t) => {
  const { directory, watcher, next } = watching(t);
  const file = join(directory, "server.js");
  writeFileSync(file, "1");
  watcher.add(file);
  writeFileSync(join(directory, "other.js"), "");
  for (const text of ["2", "3"]) {
    const changed = next();
    writeFileSync(join(directory, "other.tmp"), text);
    renameSync(join(directory, "other.tmp"), file);
    assert.equal(await changed, "server.js");
  }
});

test("what is not there is said", (t) => {
  const { directory, watcher, troubles } = watching(t);
  watcher.add(join(directory, "nothing"));
  assert.match(troubles[0] ?? "", /cannot watch .*nothing: there is no such file/);
});
