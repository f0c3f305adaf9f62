/** Every kind of value, printed from a core: the same on each version of Node. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Session } from "../../src/autopsy/mod.ts";
import { renderValue } from "../../src/autopsy/heap/render.ts";
import { NODES, inPosition, makeCore, program, startPatient } from "./support/autopsy.ts";

const FILE = program("values.cjs");
const LIMITS = { depth: 2, members: 4, chars: 40 };

/** Of `globalThis.zoo`, without addresses. */
const EXPECTED: Readonly<Record<string, string>> = {
  integer: "7",
  negative: "-12",
  double: "1.5",
  big: "123456789012345678901234567890n",
  negativeBig: "-5n",
  text: "'plain'",
  cons: "'concatenated and longer than thirteen'",
  sliced: "'long text that is cut into a'",
  unicode: "'naïve — ünïcödé ☃'",
  yes: "true",
  no: "false",
  nothing: "null",
  missing: "undefined",
  symbol: "Symbol(mark)",
  array: "Array(3) [ 1, 'two', Object { three: 3 } ]",
  doubles: "Array(3) [ 1.5, 2.5, -0 ]",
  holes: "Array(3) [ 1, <1 empty item>, 3 ]",
  sparse: "Array(100001) [ 1, 2, 3, <99997 empty items>, ... 1 more ]",
  nested: "Object { a: Object { b: Object { c: [Object] } } }",
  cycle: "Object { name: 'cycle', self: [Object] }",
  dictionary: "Object { key0: 0, key1: 1, key2: 2, key3: 3, ... 1995 more }",
  wide: "Object { inObject: 1, p0: 0.5, p1: 1.5, p2: 2.5, ... 27 more }",
  map: "Map { 'one' => 1, Object { shared: true } => 'by object' }",
  set: "Set [ 'x', 2, Object { shared: true } ]",
  special: "Special { 'k' => 'v', extra: true }",
  weak: "WeakRef { <target>: Object { shared: true } }",
  date: "Date 2026-01-02T03:04:05.678Z",
  invalid: "Date Invalid Date",
  pattern: "RegExp /a(b+)c/gi { [lastIndex]: 0 }",
  error: "TypeError { <stack>: Stack, [message]: 'went wrong' }",
  buffer: "Buffer 12 bytes <68 65 6c 6c 6f 20 62 75 66 66 65 72>",
  bytes: "Uint16Array 6 bytes <01 00 02 00 ff ff>",
  account: "Account { [#balance]: 42, name: 'Ada' }",
  counter:
    `[Function: next] ${FILE}:19:23 { <closure> count: 10, <closure> label: 'counter', ` +
    "<closure> shared: Object { shared: true } }",
  getter: "Object { value: [Getter/Setter] }",
  hidden: "Object { [quiet]: 1 }",
  proxy: "Proxy { <target>: Object { target: 1 }, <handler>: Object {} }",
  wrapped: "String { <value>: 'wrapped' }",
  pending: "Promise pending",
  fulfilled: "Promise fulfilled { <fulfilled>: 'done' }",
  frozen: "Object { ice: 1 }",
  nullPrototype: "Object { a: 1 }",
};

function flat(text: string): string {
  const line = text.replaceAll(/ ?@0x[0-9a-f]+/g, "").replaceAll(/\s+/g, " ");
  // its lines are those of this version of Node; autopsy-objects.test.ts compares them
  return line.replaceAll(/Stack\(\d+\) \[[^\]]*\]/g, "Stack");
}

describe("values of a core are printed as they were", () => {
  for (const major of NODES.keys()) {
    it(`Node ${major}`, async (t) => {
      const patient = startPatient(t, major, [FILE]);
      await inPosition(patient, { line: "ready" });
      const core = makeCore(patient);
      const session = await Session.open(core, { node: null, tracer: null, environment: {} });
      try {
        let zoo = 0;
        await session.walk((address) => {
          if (!session.v8.heap.isOfType(address, "JS_GLOBAL_OBJECT_TYPE")) return;
          zoo = session.objects.get(address, "zoo") ?? zoo;
        });
        assert.ok(zoo > 0, "globalThis.zoo");
        const shown: Record<string, string> = {};
        for (const { name, value } of session.objects.properties(zoo)) {
          if (!Object.hasOwn(EXPECTED, name)) continue;
          shown[name] = flat(renderValue(session.describer.describe(value, LIMITS)));
        }
        assert.deepEqual(shown, EXPECTED);
      } finally {
        session.close();
      }
    });
  }
});
