/** The incidents of docs/autopsy.md: each command carried out, what it prints compared. */
import assert from "node:assert/strict";
import path from "node:path";
import { it } from "node:test";
import { ROOT } from "./support/paths.ts";
import { Session, readTranscript } from "./support/transcript.ts";

it("docs/autopsy.md tells what happens", async (t) => {
  const steps = readTranscript(path.join(ROOT, "docs/autopsy.md"));
  assert.ok(steps.length >= 16, "it has commands");
  const session = new Session({ after: (hook) => t.after(hook) });
  for (const step of steps) await session.play(step);
});
