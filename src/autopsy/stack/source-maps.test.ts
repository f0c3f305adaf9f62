import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, it } from "node:test";
import type { ScriptView } from "../v8/functions.ts";
import { fileOf, SourceMaps } from "./source-maps.ts";

/** Line 1, column 1 of the output is line 3, column 5 of a.ts (ECMA-426: AAEI). */
const MAP = JSON.stringify({ version: 3, sources: ["src/a.ts"], names: [], mappings: "AAEI" });

function script(name: string, source: string): ScriptView {
  const none = { evalCaller: 0, evalPosition: 0, wrappedParameters: null };
  return { address: 4096, name, source, ...none };
}

describe("source maps", () => {
  it("reads an inline map", () => {
    const data = Buffer.from(MAP).toString("base64");
    const source = `x();\n//# sourceMappingURL=data:application/json;base64,${data}\n`;
    const found = new SourceMaps().original(script("/app/a.js", source), { line: 1, column: 1 });
    assert.deepEqual(found, { file: "/app/src/a.ts", line: 3, column: 5 });
  });

  it("reads a map beside the file", (t) => {
    const folder = mkdtempSync(path.join(tmpdir(), "maps-"));
    t.after(() => rmSync(folder, { recursive: true }));
    writeFileSync(path.join(folder, "a.js.map"), MAP);
    const one = script(`file://${folder}/a.js`, "x();\n//# sourceMappingURL=a.js.map");
    const found = new SourceMaps().original(one, { line: 1, column: 1 });
    assert.deepEqual(found, { file: path.join(folder, "src/a.ts"), line: 3, column: 5 });
    const inContainer = script("/a.js", "x();\n//# sourceMappingURL=a.js.map");
    const there = new SourceMaps(folder).original(inContainer, { line: 1, column: 1 });
    assert.deepEqual(there, { file: "/src/a.ts", line: 3, column: 5 });
  });

  it("shows the generated position when the map is missing or broken", () => {
    for (const url of ["gone.map", "data:application/json,{", "data:application/json,[]", "%"]) {
      const one = script("/app/a.js", `x();\n//# sourceMappingURL=${url}`);
      assert.equal(new SourceMaps().original(one, { line: 1, column: 1 }), null, url);
    }
    assert.equal(new SourceMaps().original(script("", "x()"), { line: 1, column: 1 }), null);
  });

  it("knows which names are files", () => {
    assert.equal(fileOf("file:///a%20b.js"), "/a b.js");
    assert.equal(fileOf("node:fs"), null);
    assert.equal(fileOf("file://host/a.js"), null);
  });
});
