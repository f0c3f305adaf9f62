/** Kinds of entry files: each serves from two workers, and again after a reload. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, describe, it } from "node:test";
import type { TestContext } from "node:test";
import { distinctAnswers } from "./support/load.ts";
import { app } from "./support/paths.ts";
import { startService } from "./support/service.ts";
import type { ServiceOptions } from "./support/service.ts";

const folder = mkdtempSync(path.join(os.tmpdir(), "hf-entries-"));
after(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe("an entry", () => {
  for (const file of ["commonjs.cjs", "module.mjs", "typed.ts", "typed-commonjs.cts", "folder"]) {
    it(`${file} serves`, (t) => serves(t, { entry: app(`entries/${file}`) }));
  }

  for (const node of [22, 26] as const) {
    it(`typed.ts serves on Node ${node}`, (t) =>
      serves(t, { entry: app("entries/typed.ts"), node }));
  }

  it("relative to the working directory serves", async (t) => {
    await serves(t, { entry: "commonjs.cjs", cwd: app("entries") });
  });

  it("that is a symbolic link serves", async (t) => {
    const entry = path.join(folder, "link.cjs");
    symlinkSync(app("entries/commonjs.cjs"), entry);
    await serves(t, { entry });
  });
});

async function serves(t: TestContext, options: ServiceOptions): Promise<void> {
  const service = await startService(t, options);
  const target = await service.target();
  await distinctAnswers(target, 2);
  const before = await service.workerPids();
  const result = await service.control("reload");
  assert.equal(result.code, 0, result.stderr.toString() + service.describe());
  const after = await distinctAnswers(target, 2);
  for (const pid of before) assert.ok(!after.has(String(pid)));
}
