/** Pipes that stand still are named, with the reason, on every version of Node. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { app, nodeBinary } from "./support/paths.ts";
import { run } from "./support/run.ts";

/** What `test/apps/flow/stuck.mjs` says. */
interface Seen {
  readonly seen: readonly {
    readonly pipe: string;
    readonly why: string;
    readonly culprit: string;
    readonly site: string;
  }[];
  /** What is in flight, and what it is at. */
  readonly states: readonly string[];
  readonly isRestored: boolean;
  /** What the slow web stream brought. */
  readonly text: string;
}

/** Each of its pipes, why it stands still, and what it hangs on. */
const WANTED: readonly (readonly [RegExp, RegExp, RegExp])[] = [
  [
    /^Readable -> PassThrough -> ServerResponse GET \/ 127\.0\.0\.1:\d+$/,
    /^peer-window-closed$/,
    /^ServerResponse$/,
  ],
  [
    /^ReadStream \/\S+ -> Transform -> WriteStream \/\S+\.out$/,
    /^callback-outstanding$/,
    /^Transform$/,
  ],
  [/^Readable -> Writable$/, /^source-silent$/, /^Readable$/],
  [/^Readable -> PassThrough$/, /^orphan$/, /^PassThrough$/],
  [/^Readable -> Writable$/, /^orphan$/, /^Readable$/],
  [/^ReadableStream -> WritableStream$/, /^callback-outstanding$/, /^WritableStream$/],
  [/^ReadableStream -> WritableStream$/, /^source-silent$/, /^ReadableStream$/],
  [/^ReadableStream -> ServerResponse GET \/ /, /^peer-window-closed$/, /^ServerResponse$/],
  [/^Readable -> ServerResponse GET \/events 127\./, /^peer-not-acking$/, /Response$/],
  [/^Readable -> PassThrough$/, /^consumer-paused$/, /^Readable$/],
  // whether it is collected before it stands still for so long is the garbage collector's choice
  [
    /^Readable -> Transform -> PassThrough$/,
    /^(collected-unsettled|callback-outstanding)$/,
    /Transform/,
  ],
];

async function look(version: 22 | 24 | 26): Promise<void> {
  const result = await run(nodeBinary(version), ["--expose-gc", app("flow/stuck.mjs")]);
  assert.equal(result.code, 0, result.stderr.toString());
  // the program's
  const { seen, states, isRestored, text } = JSON.parse(result.stdout.toString()) as Seen;
  for (const [pipe, why, culprit] of WANTED) {
    const found = seen.filter((each) => pipe.test(each.pipe) && why.test(each.why));
    assert.ok(found.length > 0, `Node ${version}: ${pipe} ${why} in ${JSON.stringify(seen)}`);
    assert.match(found[0]?.culprit ?? "", culprit);
  }
  // of five sources that go before their end one leaves its destination waiting
  const left = seen.filter(({ pipe, why }) => pipe === "Readable -> Writable" && why === "orphan");
  assert.equal(left.length, 1, JSON.stringify(left));
  const bodies = seen.filter(({ pipe }) => pipe.endsWith(" body"));
  assert.deepEqual(
    bodies.map(({ why }) => why),
    ["body-unconsumed", "body-unconsumed"],
  );
  // where a fetch was made is not known
  assert.ok(bodies.some(({ site }) => /stuck\.mjs:\d+/.test(site)));
  const others = seen.filter(
    (each) => !WANTED.some(([pipe, why]) => pipe.test(each.pipe) && why.test(each.why)),
  );
  assert.equal(text, Array.from({ length: 6 }, (_, index) => `drop ${index} `).join(""));
  assert.deepEqual(others, bodies, "no false alarm");
  assert.equal(isRestored, true);
  assert.ok(states.includes("Readable -> ServerResponse: peer-not-acking"), states.join("\n"));
}

it("the watchdog names what stands still, and why; not what is slow", async () => {
  await Promise.all([look(22), look(24), look(26)]);
});
