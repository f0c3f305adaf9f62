"use strict";
/** One of each kind of value, held by `globalThis.zoo`, in a process that then waits. */
class Account {
  #balance = 42;
  #secret() {
    return this.#balance;
  }
  name = "Ada";
  reveal() {
    return this.#secret();
  }
}
class Special extends Map {
  extra = true;
}
function makeCounter(start) {
  let count = start;
  const label = "counter";
  return function next() {
    count += 1;
    return `${label}${count}`;
  };
}
const shared = { shared: true };
const cycle = { name: "cycle" };
cycle.self = cycle;
const dictionary = {};
for (let index = 0; index < 2_000; index += 1) dictionary[`key${index}`] = index;
delete dictionary.key5;
const sparse = [1, 2, 3];
sparse[100_000] = "far";
const wide = { inObject: 1 };
for (let index = 0; index < 30; index += 1) wide[`p${index}`] = index + 0.5;
const pending = new Promise(() => undefined);
const rejected = Promise.reject(new RangeError("too far"));
rejected.catch(() => undefined);

globalThis.zoo = {
  integer: 7,
  negative: -12,
  double: 1.5,
  big: 123456789012345678901234567890n,
  negativeBig: -5n,
  text: "plain",
  cons:
    ["con", "cat", String(process.pid).slice(0, 0)].join("") + "enated and longer than thirteen",
  sliced: "a long text that is cut into a slice".slice(2, 30),
  unicode: "naïve — ünïcödé ☃",
  yes: true,
  no: false,
  nothing: null,
  missing: undefined,
  symbol: Symbol("mark"),
  array: [1, "two", { three: 3 }],
  doubles: [1.5, 2.5, -0],
  holes: [1, , 3],
  sparse,
  nested: { a: { b: { c: { d: 1 } } } },
  cycle,
  dictionary,
  wide,
  map: new Map([
    ["one", 1],
    [shared, "by object"],
  ]),
  set: new Set(["x", 2, shared]),
  special: new Special([["k", "v"]]),
  weak: new WeakRef(shared),
  date: new Date(Date.UTC(2026, 0, 2, 3, 4, 5, 678)),
  invalid: new Date(Number.NaN),
  pattern: /a(b+)c/gi,
  error: new TypeError("went wrong"),
  buffer: Buffer.from("hello buffer"),
  bytes: new Uint16Array([1, 2, 65_535]),
  arrayBuffer: new Uint8Array(100).fill(7).buffer,
  account: new Account(),
  counter: makeCounter(10),
  arrow: () => shared,
  klass: Account,
  bound: makeCounter(1).bind(shared, 1, 2),
  getter: {
    get value() {
      throw new Error("nobody calls this");
    },
  },
  hidden: Object.defineProperty({}, "quiet", { value: 1, enumerable: false }),
  proxy: new Proxy({ target: 1 }, {}),
  wrapped: Object("wrapped"),
  pending,
  fulfilled: Promise.resolve("done"),
  rejected,
  frozen: Object.freeze({ ice: 1 }),
  nullPrototype: Object.assign(Object.create(null), { a: 1 }),
};
console.log("ready");
setInterval(() => undefined, 1_000_000);
