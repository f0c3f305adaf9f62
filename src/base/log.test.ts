import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Logger, oneLine, parseLogEntry, renderHuman, renderJson, wantsColor } from "./log.ts";
import type { LogEntry } from "./log.ts";

const ENTRY: LogEntry = {
  time: "2026-01-02T03:04:05.678Z",
  level: "warn",
  source: "reactor",
  message: "worker 1 stalls",
  fields: { pid: 42 },
};

function sink(isTTY = false): { text: string; isTTY: boolean; write(text: string): void } {
  return {
    text: "",
    isTTY,
    write(text) {
      this.text += text;
    },
  };
}

test("an entry is a line for people", () => {
  assert.equal(renderHuman(ENTRY), "holdfast: warn: worker 1 stalls (pid 42)");
  const info: LogEntry = { ...ENTRY, level: "info", fields: {} };
  assert.equal(renderHuman(info), "holdfast: worker 1 stalls");
});

test("an entry is a line of JSON that reads back", () => {
  assert.deepEqual(parseLogEntry(renderJson(ENTRY)), ENTRY);
});

test("fields cannot pretend to be the entry's own members", () => {
  const forged = { ...ENTRY, fields: { level: "error", message: "no", source: "you" } };
  const read = parseLogEntry(renderJson(forged));
  assert.equal(read?.level, "warn");
  assert.equal(read.message, "worker 1 stalls");
});

test("a message with line ends stays one line", () => {
  const text = renderHuman({ ...ENTRY, message: "a\nholdfast: error: b\r\u001B[31m" });
  assert.equal(text.split(/[\r\n]/).length, 1);
  assert.ok(!text.includes("\u001B"));
});

test("one line has no control characters, whatever it is made of", () => {
  assert.equal(oneLine("a\n\u001B\u007F\u0080\u009Bz"), "a\\n\\u001b\\u007f\\u0080\\u009bz");
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      // eslint-disable-next-line no-control-regex -- control characters are what it is about
      assert.doesNotMatch(oneLine(text), /[\u0000-\u001F\u007F-\u009F]/);
    }),
  );
});

test("lines that are no entries are told apart", () => {
  const others = ["", "{", "null", "1", "[]", '{"time":1}', '{"time":"x","message":"y"}'];
  for (const line of others) assert.equal(parseLogEntry(line), null, line);
  fc.assert(fc.property(fc.json(), (line) => void parseLogEntry(line)));
});

test("colours are for terminals, and NO_COLOR forbids them", () => {
  assert.equal(wantsColor({ write: () => true, isTTY: true }, {}), true);
  assert.equal(wantsColor({ write: () => true, isTTY: true }, { NO_COLOR: "1" }), false);
  assert.equal(wantsColor({ write: () => true, isTTY: true }, { NO_COLOR: "" }), true);
  assert.equal(wantsColor({ write: () => true, isTTY: true }, { TERM: "dumb" }), false);
  assert.equal(wantsColor({ write: () => true }, {}), false);
});

test("the logger writes what the stream is for", () => {
  const now = (): Date => new Date(ENTRY.time);
  const plain = sink();
  new Logger({ source: "keeper", output: plain, json: false, environment: {}, now }).info("up");
  assert.equal(plain.text, "holdfast: up\n");
  const colored = sink(true);
  new Logger({ source: "keeper", output: colored, json: false, environment: {}, now }).error("no");
  assert.equal(colored.text, "\u001B[31mholdfast: error: no\u001B[0m\n");
  const json = sink(true);
  new Logger({ source: "keeper", output: json, json: true, environment: {}, now }).warn("hm", {
    pid: 1,
  });
  assert.deepEqual(JSON.parse(json.text), {
    time: ENTRY.time,
    level: "warn",
    source: "keeper",
    message: "hm",
    pid: 1,
  });
});
