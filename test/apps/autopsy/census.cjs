"use strict";
/** Objects that can be counted, and what V8 itself counts: written to the file that is named. */
const fs = require("node:fs");
const v8 = require("node:v8");

class Session {
  constructor(id) {
    this.id = id;
    this.tags = [id];
  }
}
class Order {
  constructor(id) {
    this.total = id * 1.5;
    this.lines = new Map([[id, id]]);
  }
}
class Late extends Order {
  constructor(id) {
    super(id);
    this.note = `late ${id}`;
  }
}
globalThis.kept = [
  ...Array.from({ length: 3_000 }, (_, id) => new Session(id)),
  ...Array.from({ length: 200 }, (_, id) => new Order(id)),
  ...Array.from({ length: 37 }, (_, id) => new Late(id)),
];
globalThis.doubles = new Array(300_000).fill(1.5);
globalThis.target = globalThis.kept[5];
/** Kept for one that a registry watches, and by that alone. */
class Held {}
globalThis.weakly = new WeakMap(globalThis.kept.slice(5, 7).map((session) => [session, 1]));
globalThis.watching = new FinalizationRegistry(() => undefined);
globalThis.watching.register(globalThis.kept[7], new Held());
globalThis.registry = new Map([["the session", globalThis.target]]);

const [, , file, snapshotFile] = process.argv;
function tell() {
  const count = (constructor) => v8.queryObjects(constructor, { format: "count" });
  const truth = { Session: count(Session), Order: count(Order), Late: count(Late) };
  v8.writeHeapSnapshot(snapshotFile);
  fs.writeFileSync(`${file}.partial`, JSON.stringify(truth));
}
setTimeout(() => {
  // what this loads, also for the warning of queryObjects in the next turn, is loaded now
  tell();
  fs.renameSync(`${file}.partial`, `${file}.first`);
  setTimeout(() => {
    tell();
    fs.renameSync(`${file}.partial`, file);
  }, 100);
}, 100);
setInterval(() => undefined, 1_000_000);
