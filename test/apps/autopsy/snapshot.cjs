"use strict";
/** Objects of every kind that a heap snapshot tells apart, and V8's own snapshot of them. */
const fs = require("node:fs");
const v8 = require("node:v8");

class Session {
  #secret = { of: "the session" };
  constructor(id) {
    this.id = id;
    this.tags = [id, `tag ${id}`];
    this.name = `session ${id}`;
  }
  get secret() {
    return this.#secret;
  }
}
class Order {
  constructor(id) {
    this.session = new Session(id);
    this.lines = new Map([[id, { line: id }]]);
    this[Symbol.for("order")] = "a symbol's";
  }
}
/** Held by a registry alone, whose key is alive. */
class Holding {
  constructor(id) {
    this.id = id;
  }
}
/** Held by a WeakRef's own property, not by its target. */
class Extra {
  constructor(id) {
    this.id = id;
  }
}
class Reference extends WeakRef {
  constructor(target, id) {
    super(target);
    this.extra = new Extra(id);
  }
}
class Garbage {
  constructor(id) {
    this.id = id;
  }
}
function listenerOf(subject) {
  const seen = [];
  return (event) => seen.push(event, subject);
}
/** So many variables that V8 has their names in a table. */
function manyVariables() {
  const names = Array.from({ length: 90 }, (_, index) => `variable${index}`);
  const declared = names.map((name, index) => `${name} = { number: ${index} }`).join(", ");
  const value = `const ${declared}; return () => [${names.join(", ")}];`;
  return new Function(value)();
}
globalThis.kept = {
  orders: Array.from({ length: 300 }, (_, id) => new Order(id)),
  listeners: Array.from({ length: 40 }, (_, id) => listenerOf(new Session(1_000 + id))),
  bytes: Buffer.alloc(100_000),
  odd: [new Date(0), /a+b/g, Symbol("odd"), 10n ** 30n, new Error("odd"), new Proxy({}, {})],
  joined: `${"left ".repeat(20)}${process.pid}`,
};
globalThis.attached = new WeakMap([[globalThis.kept.orders[7], new Session(7_777)]]);
globalThis.many = manyVariables();
globalThis.registry = new FinalizationRegistry(() => undefined);
globalThis.references = [];
for (const order of globalThis.kept.orders.slice(0, 40)) {
  globalThis.registry.register(order, new Holding(order.session.id));
  globalThis.references.push(new Reference(order, order.session.id));
}
globalThis.bound = listenerOf.bind(globalThis.kept, new Session(8_888));
globalThis.part = `${"a long text ".repeat(20)}${process.pid}`.slice(30, 90);
globalThis.dropped = new WeakRef(globalThis.kept.orders[8]);

const [, , file] = process.argv;
const write = () => v8.writeHeapSnapshot(`${file}.partial`);
setTimeout(() => {
  write(); // what it loads is loaded now
  setTimeout(() => {
    let last = null;
    for (let id = 0; id < 5_000; id += 1) last = new Garbage(id);
    globalThis.last = last;
    write();
    for (let id = 0; id < 500; id += 1) last = new Garbage(id);
    globalThis.last = last; // one of them is alive, then as now
    fs.renameSync(`${file}.partial`, file);
  }, 100);
}, 100);
setInterval(() => undefined, 1_000_000);
