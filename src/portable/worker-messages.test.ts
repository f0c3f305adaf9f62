import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import {
  BEAT_LISTENERS_MAX,
  MESSAGE_COMMAND,
  WORKER_VARIABLE,
  parseMessage,
} from "./worker-messages.ts";
import { EXAMPLE_BEAT } from "./portable-world.test.ts";

const cmd = MESSAGE_COMMAND;

test("what the preload sends is understood", () => {
  assert.deepEqual(parseMessage({ cmd, ...EXAMPLE_BEAT }), { cmd, ...EXAMPLE_BEAT });
  assert.deepEqual(parseMessage({ cmd, type: "drained" }), { type: "drained" });
  assert.deepEqual(parseMessage({ cmd, type: "listening" }), { type: "listening" });
});

test("what is not ours, or makes no sense, is nothing", () => {
  const bad = [
    { ...EXAMPLE_BEAT, cmd: "NODE_CLUSTER" },
    { ...EXAMPLE_BEAT, cmd, inFlight: -1 },
    { ...EXAMPLE_BEAT, cmd, requests: "many" },
    { ...EXAMPLE_BEAT, cmd, rssBytes: Infinity },
    { ...EXAMPLE_BEAT, cmd, oldest: undefined },
    { ...EXAMPLE_BEAT, cmd, oldest: { method: "GET", path: "/", ageMs: null } },
    { ...EXAMPLE_BEAT, cmd, listeners: [{ address: "::", port: 80, kind: "sctp" }] },
    { ...EXAMPLE_BEAT, cmd, listeners: Array(BEAT_LISTENERS_MAX + 1).fill(null) },
    { cmd, type: "unknown" },
    { cmd },
  ];
  for (const message of bad) assert.equal(parseMessage(message), null, JSON.stringify(message));
});

test("no message whatever is an error", () => {
  const members = fc.record(
    { cmd: fc.constant(cmd), type: fc.constantFrom("beat", "drained"), listeners: fc.anything() },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(fc.oneof(fc.anything(), members), (message) => {
      parseMessage(message);
    }),
  );
});

test("the preload, which can import nothing, has the same constants", () => {
  const text = readFileSync(new URL("preload.cts", import.meta.url), "utf8");
  for (const [name, value] of Object.entries({
    MESSAGE_COMMAND,
    WORKER_VARIABLE,
    BEAT_LISTENERS_MAX,
  })) {
    assert.ok(text.includes(`const ${name} = ${JSON.stringify(value)};`), name);
  }
});
