/** The transcripts of docs/operating: each command carried out, what it prints compared. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import path from "node:path";
import { describe, it } from "node:test";
import { ROOT } from "./support/paths.ts";
import { Session, readTranscript } from "./support/transcript.ts";

const FOLDER = path.join(ROOT, "docs/operating");

describe("the transcript of docs/operating", () => {
  const documents = readdirSync(FOLDER).filter((file) => file !== "README.md");
  for (const file of documents) {
    it(`${file} is what happens`, async (t) => {
      const steps = readTranscript(path.join(FOLDER, file));
      assert.ok(steps.length >= 4, "it has commands");
      const session = new Session({ after: (hook) => t.after(hook) });
      for (const step of steps) await session.play(step);
    });
  }

  it("is there for each of the five questions", () => {
    const questions = ["slow", "stuck", "doing", "calls", "died"];
    for (const question of questions) {
      assert.ok(
        documents.some((file) => file.includes(question)),
        question,
      );
    }
  });
});
