/**
 * Flags, variables and config files with a wrong key, type or value: refused before anything
 * starts, with exit code 64 and a message that names the place, the key and what is allowed.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, describe, it } from "node:test";
import { holdfast } from "./support/once.ts";
import { app } from "./support/paths.ts";

const folder = mkdtempSync(path.join(os.tmpdir(), "hf-config-"));
after(() => {
  rmSync(folder, { recursive: true, force: true });
});

const entry = app("scripts/ok.cjs");

/** Arguments that are wrong, and what the message must say. */
const flags: Record<string, { args: string[]; says: RegExp[] }> = {
  "an unknown flag names the nearest": {
    args: ["--worker", "2"],
    says: [/--worker\b/, /--workers/],
  },
  "workers 0": { args: ["--workers", "0"], says: [/workers/, /0/, /max/] },
  "workers that are no number": { args: ["--workers", "many"], says: [/workers/, /many/, /max/] },
  "an unknown accept mode": {
    args: ["--accept", "fast"],
    says: [/accept/, /fast/, /reactor/, /kernel/],
  },
  "an unknown replay": {
    args: ["--replay", "always"],
    says: [/replay/, /always/, /safe/, /idempotent/, /off/],
  },
  "a duration without a unit": {
    args: ["--drain-timeout", "30"],
    says: [/drain/i, /30/, /30s|500ms|5s/],
  },
  "a size that is none": {
    args: ["--memory-limit", "lots"],
    says: [/memory/i, /lots/, /MiB|KiB|GiB/],
  },
  "a flag without its value": { args: ["--name"], says: [/--name/] },
  "a name that is no file name": { args: ["--name", "a/b"], says: [/name/, /a\/b/] },
  "an env file that is missing": { args: ["--env-file", "none.env"], says: [/none\.env/] },
  "a config file that is missing": { args: ["--config", "none.json"], says: [/none\.json/] },
};

/** Config files that are wrong: the key must be named, with what is allowed. */
const files: Record<string, { file: string; text: string; says: RegExp[] }> = {
  "an unknown key names the nearest": {
    file: "key.json",
    text: '{ "drainTimout": "5s" }',
    says: [/key\.json/, /drainTimout/, /drainTimeout/],
  },
  "a wrong type": {
    file: "type.json",
    text: '{ "watch": 5 }',
    says: [/type\.json/, /watch/],
  },
  "a wrong value": {
    file: "value.mjs",
    text: 'export default { accept: "fast" };',
    says: [/value\.mjs/, /accept/, /fast/, /reactor/, /kernel/],
  },
  "a wrong value in a nested key": {
    file: "nested.json",
    text: '{ "restartIntensity": { "restarts": -1, "period": "60s" } }',
    says: [/nested\.json/, /restartIntensity\.restarts/, /-1/],
  },
  "no object": { file: "none.json", text: "[1]", says: [/none\.json/] },
  "broken JSON": { file: "broken.json", text: '{ "workers": 2,, }', says: [/broken\.json/] },
  "a module that throws": {
    file: "throws.mjs",
    text: 'throw new Error("not today");',
    says: [/throws\.mjs/, /not today/],
  },
  "TypeScript with a wrong value": {
    file: "typed.ts",
    text: "const workers: number = -3;\nexport default { workers };",
    says: [/typed\.ts/, /workers/, /-3/],
  },
};

describe("wrong flags are refused", () => {
  for (const [name, { args, says }] of Object.entries(flags)) {
    it(name, () => refused(["run", entry, ...args], says));
  }

  it("an unknown verb names the nearest", () => refused(["rum", entry], [/rum/, /\brun\b/]));

  it("no entry", () => refused(["run", "--workers", "1"], [/entry/]));

  it("a wrong variable is named", async () => {
    const env = { HOLDFAST_WORKERS: "several" };
    await refused(["run", entry], [/HOLDFAST_WORKERS/, /several/, /max/], env);
  });
});

describe("wrong config files are refused", () => {
  for (const [name, { file, text, says }] of Object.entries(files)) {
    it(name, async () => {
      const config = path.join(folder, file);
      writeFileSync(config, text);
      await refused(["run", "--config", config, entry], says);
    });
  }
});

async function refused(
  args: readonly string[],
  says: readonly RegExp[],
  env: Record<string, string> = {},
): Promise<void> {
  const { code, stdout, stderr } = await holdfast(args, { env, cwd: folder });
  const message = stderr.toString();
  assert.equal(code, 64, message);
  assert.equal(stdout.toString(), "", "nothing has started");
  assert.match(message, /^holdfast: /m);
  for (const part of says) assert.match(message, part);
  assert.doesNotMatch(message, /\n {4}at /, "a message for a user, not a stack");
}
