/** `--watch`: a change of a file below the watched paths is a reload. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { it } from "node:test";
import { get } from "./support/load.ts";
import { startService } from "./support/service.ts";
import { waitFor } from "./support/wait.ts";

it("a changed file reloads the service; a broken one leaves it as it is", async (t) => {
  const folder = mkdtempSync(path.join(os.tmpdir(), "hf-watch-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const entry = path.join(folder, "server.cjs");
  const write = (answer: string): void =>
    writeFileSync(
      entry,
      `require("node:http").createServer((q, s) => s.end(${answer})).listen(0, "127.0.0.1");`,
    );
  write('"one"');
  const service = await startService(t, { entry, flags: ["--watch"], cwd: folder, workers: 1 });
  const target = await service.target();
  assert.equal((await get(target)).text, "one");
  write('"two"');
  await waitFor("the new version", async () => (await get(target)).text === "two");
  writeFileSync(entry, "throw new Error('half typed');");
  await waitFor("it is said", () => /reload.*failed/.test(service.stderr));
  assert.equal((await get(target)).text, "two");
});
