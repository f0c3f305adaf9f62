import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { LineSession } from "./line-session.ts";

/** A session whose main thread answers when the test says so. */
class Slow extends LineSession {
  readonly posted: string[] = [];
  readonly answers: PromiseWithResolvers<unknown>[] = [];

  constructor() {
    super(() => undefined);
  }

  override post(method: string): Promise<unknown> {
    this.posted.push(method);
    const answer = Promise.withResolvers<unknown>();
    this.answers.push(answer);
    return answer.promise;
  }
}

describe("who holds the session", () => {
  it("has its scripts, also who came while it was being switched on", async () => {
    const session = new Slow();
    const sizes: number[] = [];
    const holds = [session.hold(), session.hold()].map(async (hold) => {
      const release = await hold;
      sizes.push(session.scripts.size);
      return release;
    });
    await nextTurn();
    assert.deepEqual([session.posted, sizes], [["Debugger.enable"], []]);
    session.scripts.set("1", { path: "/srv/app.mjs", isModule: true });
    session.answers[0]?.resolve({});
    const releases = await Promise.all(holds);
    assert.deepEqual(sizes, [1, 1]);
    for (const release of releases) void release();
    assert.deepEqual(session.posted, ["Debugger.enable", "Debugger.disable"]);
  });

  it("is told that it could not be switched on, and the next one tries again", async () => {
    const session = new Slow();
    const holds = [session.hold(), session.hold()];
    session.answers[0]?.reject(new Error("it is busy"));
    await Promise.all(holds.map((hold) => assert.rejects(hold, /it is busy/)));
    void session.hold();
    assert.deepEqual(session.posted, ["Debugger.enable", "Debugger.enable"]);
  });
});
