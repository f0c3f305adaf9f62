import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { gunzipSync } from "node:zlib";
import { Profile } from "pprof-format";
import { flameGraph, flameGraphSvg } from "./flame-graph.ts";
import { pprof } from "./pprof.ts";
import { profileTree, totalOf } from "./profile-tree.ts";

function frame(functionName: string, url = "file:///app/a%20b.js", lineNumber = 4): object {
  return { functionName, scriptId: "1", url, lineNumber, columnNumber: 0 };
}

const CPU = JSON.stringify({
  nodes: [
    { id: 1, callFrame: frame("(root)", "", -1), children: [2, 4] },
    { id: 2, callFrame: frame("handler"), children: [3] },
    { id: 3, callFrame: frame("", "node:internal/x") },
    { id: 4, callFrame: frame("<img src=x onerror=alert(1)>\"'&") },
  ],
  samples: [2, 3, 3, 4, 99],
  timeDeltas: [100, 200, 300, -5, 7],
});

const HEAP = JSON.stringify({
  head: {
    callFrame: frame("(root)", "", -1),
    selfSize: 0,
    children: [{ callFrame: frame("load"), selfSize: 4096, children: [] }],
  },
});

describe("a profile as a tree", () => {
  it("of time: what each function took itself", () => {
    const { root, total, unit } = profileTree(CPU);
    const [handler, odd] = root.children;
    assert.deepEqual([unit, total], ["microseconds", 600]);
    assert.deepEqual([handler?.name, handler?.file, handler?.line], ["handler", "/app/a b.js", 5]);
    assert.deepEqual([handler?.self, handler && totalOf(handler)], [100, 600]);
    assert.deepEqual([handler?.children[0]?.name, handler?.children[0]?.count], ["(anonymous)", 2]);
    assert.deepEqual([odd?.self, odd?.count], [0, 1], "a clock that was set back takes nothing");
  });

  it("of bytes", () => {
    const { root, total, unit } = profileTree(HEAP);
    assert.deepEqual([unit, total, root.children[0]?.self], ["bytes", 4096, 4096]);
  });

  it("of something else is refused", () => {
    assert.throws(() => profileTree("{}"), { code: "ERR_HOLDFAST_PROFILE" });
  });
});

describe("a profile as pprof", () => {
  it("has the innermost function first, and no root", () => {
    const packed = pprof(profileTree(CPU), { durationMs: 1000, endedAtMs: 1_700_000_000_000 });
    const {
      stringTable,
      sample,
      location,
      function: functions,
      durationNanos,
    } = Profile.decode(gunzipSync(packed));
    const nameOf = (id: number | bigint): string | undefined => {
      const line = location.find((each) => Number(each.id) === Number(id))?.line[0];
      const found = functions.find((each) => Number(each.id) === Number(line?.functionId));
      return stringTable.strings[Number(found?.name)];
    };
    const stacks = sample.map(({ locationId, value }) => [
      locationId.map(nameOf),
      value.map(Number),
    ]);
    assert.deepEqual(stacks, [
      [["handler"], [1, 100]],
      [
        ["(anonymous)", "handler"],
        [2, 500],
      ],
    ]);
    assert.equal(Number(durationNanos), 1e9);
  });
});

describe("a flame graph", () => {
  it("is one page in which names are nothing but text", () => {
    const page = flameGraph({ ...profileTree(CPU) }, "shop <1>");
    assert.match(page, /<title>shop &lt;1&gt;<\/title>/);
    assert.match(page, /style="left:0.000%;width:83.333%;top:36px"/);
    assert.match(page, /class="node"[^]*class="app"|class="app"[^]*class="node"/);
    assert.ok(!page.includes("<img"));
    assert.doesNotMatch(page, /(src|href)=/, "it needs nothing else");
  });

  it("of nothing is a page all the same", () => {
    const root = { name: "(root)", file: "", line: 0, self: 0, count: 0, children: [] };
    assert.match(flameGraph({ unit: "bytes", root, total: 0 }, "t"), /\(root\)/);
  });

  it("is one picture in which names are nothing but text", () => {
    const picture = flameGraphSvg({ ...profileTree(CPU) }, "shop <1>\u0007");
    assert.match(
      picture,
      /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" width="1200" height="\d+"/,
    );
    assert.match(picture, />shop &lt;1&gt; <\/text>/, "a control character is no XML");
    assert.match(picture, /<svg x="0\.000" y="72" width="1000\.000" height="17">/);
    assert.match(picture, /fill="#f4a259"/);
    assert.ok(!picture.includes("<img"));
    assert.doesNotMatch(picture, /(src|href)=|<script/, "it needs nothing else");
    const opened = picture.match(/<(svg|text|title)\b/g) ?? [];
    const closed = picture.match(/<\/(svg|text|title)>/g) ?? [];
    assert.equal(opened.length, closed.length);
  });
});
