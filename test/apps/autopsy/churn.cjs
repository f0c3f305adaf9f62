"use strict";
/** Much garbage, and no collection asked for; on SIGUSR2 it says how many objects are alive. */
const v8 = require("node:v8");

class Kept {
  constructor(id) {
    this.id = id;
  }
}
class Churned {
  constructor(id) {
    this.id = id;
    this.of = new Kept(id);
  }
}
class Key {}
class Value {}
const ring = [];
globalThis.ring = ring;
globalThis.values = new WeakMap();
globalThis.keys = Array.from({ length: 25 }, () => new Key());
for (const key of globalThis.keys) globalThis.values.set(key, new Value());

let round = 0;
const rounds = setInterval(() => {
  for (let id = 0; id < 500; id += 1) {
    ring[id % 50] = new Churned(id);
    globalThis.values.set(new Key(), new Value());
  }
  round += 1;
  if (round < 20) return;
  clearInterval(rounds);
  setTimeout(() => console.log("ready"), 50);
}, 1);
process.on("SIGUSR2", () => {
  const count = (constructor) => v8.queryObjects(constructor, { format: "count" });
  const counts = [Kept, Churned, Key, Value].map((each) => [each.name, count(each)]);
  console.log(`counts ${JSON.stringify(Object.fromEntries(counts))}.`);
});
setInterval(() => undefined, 1_000_000);
