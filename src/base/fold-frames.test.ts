import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { fileOfFrameLine, foldFrames } from "./fold-frames.ts";

const OWN = fileURLToPath(new URL("../worker/main.ts", import.meta.url));

function folded(files: readonly string[]): readonly string[] {
  return foldFrames(files, (file) => file).map((each) => {
    return "folded" in each ? each.folded : each.frame;
  });
}

test("what called the application is one line", () => {
  const outer = ["node:events", OWN, OWN, "node:_http_server"];
  assert.deepEqual(folded(["/app/a.js", "/app/b.js", ...outer]), [
    "/app/a.js",
    "/app/b.js",
    "... 4 frames of Node and Holdfast",
  ]);
  assert.deepEqual(folded(["/app/a.js", "node:events", "node:net"]), [
    "/app/a.js",
    "... 2 frames of Node",
  ]);
  const installed = "/srv/node_modules/holdfast/dist/flow/gate.js";
  assert.deepEqual(folded(["/app/a.js", installed, OWN]), [
    "/app/a.js",
    "... 2 frames of Holdfast",
  ]);
});

test("a single frame is no longer than the line that would stand for it", () => {
  const frames = ["/app/a.js", "node:events", "/app/b.js", "node:timers"];
  assert.deepEqual(folded(frames), frames);
});

test("the innermost frame stays, and the function that the application has called", () => {
  const inner = ["node:internal/binding", "node:fs/1", "node:fs/2", "node:fs"];
  assert.deepEqual(folded([...inner, "/app/a.js"]), [
    "node:internal/binding",
    "... 2 frames of Node",
    "node:fs",
    "/app/a.js",
  ]);
  const three = ["node:internal/binding", "node:fs/1", "node:fs", "/app/a.js"];
  assert.deepEqual(folded(three), three);
});

test("a stack without anything of the application's is shown as it is", () => {
  const frames = ["node:events", OWN, OWN, "node:net"];
  assert.deepEqual(folded(frames), frames);
  assert.deepEqual(folded([]), []);
});

test("every frame is shown or counted", () => {
  const kinds = ["/app/a.js", "node:fs", OWN];
  for (let code = 0; code < 3 ** 7; code += 1) {
    const frames = Array.from({ length: 7 }, (_, at) => {
      return kinds[Math.floor(code / 3 ** at) % 3] ?? "";
    });
    const counted = folded(frames).reduce((sum, line) => {
      return sum + Number(/^\.\.\. (\d+) frames/.exec(line)?.[1] ?? 1);
    }, 0);
    assert.equal(counted, frames.length, frames.join(" < "));
    const theirs = folded(frames).filter((line) => line === "/app/a.js");
    assert.equal(theirs.length, frames.filter((line) => line === "/app/a.js").length);
  }
});

test("the file of a line", () => {
  assert.equal(fileOfFrameLine("spin (/srv/app.js:3:9)"), "/srv/app.js");
  assert.equal(fileOfFrameLine("emit (node:events:514:28)"), "node:events");
  assert.equal(fileOfFrameLine("async load (/srv/a (1).js:3:9)"), "");
  assert.equal(fileOfFrameLine("(3 more)"), "");
});
