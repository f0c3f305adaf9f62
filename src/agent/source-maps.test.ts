import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { SourceMaps, pathOf } from "./source-maps.ts";

/** Line 1, column 0 comes from line 10, column 4 of the source (base64 VLQ: 0, 0, 9, 4). */
const MAP = { version: 3, sources: ["../src/order.ts"], names: [], mappings: "AASI" };

function inline(map: object): string {
  const text = Buffer.from(JSON.stringify(map)).toString("base64");
  return `data:application/json;base64,${text}`;
}

test("a place is that of the source, by a map in the script or beside it", (t) => {
  const folder = mkdtempSync(path.join(os.tmpdir(), "hf-map-"));
  t.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(path.join(folder, "order.js.map"), JSON.stringify(MAP));
  const script = path.join(folder, "order.js");
  const expected = { file: path.join(folder, "../src/order.ts"), line: 10, column: 5 };
  const urls = [script, pathToFileURL(script).href]; // of a CommonJS module, of a module
  for (const url of urls) {
    for (const sourceMapUrl of [inline(MAP), "order.js.map"]) {
      const maps = new SourceMaps();
      assert.deepEqual(maps.position({ url, sourceMapUrl }, 0, 3), expected);
      assert.deepEqual(maps.position({ url, sourceMapUrl }, 0, 3), expected, "and from the cache");
    }
  }
  const rooted = { ...MAP, sources: ["order.ts"], sourceRoot: "/code" };
  const { file } = new SourceMaps().position({ url: script, sourceMapUrl: inline(rooted) }, 0, 0);
  assert.equal(file, "/code/order.ts");
});

test("without a map that can be read it is that of the script", () => {
  const plain = { file: "/a/b.js", line: 3, column: 8 };
  const broken = [
    "",
    "nothing.map",
    "data:application/json,{",
    "data:,",
    "https://a.example/x.map",
  ];
  for (const sourceMapUrl of broken) {
    assert.deepEqual(new SourceMaps().position({ url: "/a/b.js", sourceMapUrl }, 2, 7), plain);
  }
});

test("the path of a URL", () => {
  assert.equal(pathOf("file:///a%20b/c.js"), "/a b/c.js");
  assert.equal(pathOf("node:timers"), "node:timers");
  assert.equal(pathOf("/a b/c.js"), "/a b/c.js");
});
