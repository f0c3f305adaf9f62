/**
 * Runs under the Node whose layout is asked for: makes one object of each kind with content that is
 * known, says where V8 has put it (`%DebugPrint`, in every official build), and stands still in a
 * function of the interpreter. Started by scripts/autopsy-layout.ts with
 * --allow-natives-syntax --expose-gc --max-old-space-size=777.
 */
"use strict";
const fs = require("node:fs");
const vm = require("node:vm");

const markers = { one: { is: "one" }, two: { is: "two" }, three: { is: "three" } };
class Private {
  #secret = 1;
  get secret() {
    return this.#secret;
  }
}
const withAccessor = Object.defineProperty({}, "pair", {
  get: function getOfPair() {
    return 1;
  },
  set: function setOfPair(value) {
    markers.last = value;
  },
  configurable: true,
});
function compiled(value) {
  return value + 1;
}
function ran(value) {
  return value === markers.one;
}
function narrow(value) {
  const a = value.one;
  return a === value;
}
function wide(value) {
  const a = value.one;
  const b = value.two;
  const c = value.three;
  const d = value.four;
  return a === value || b === value || c === value || d === value;
}
function never(value) {
  return value - 1;
}
function inlined(list) {
  let sum = 0;
  for (const item of list) sum += item.count * compiled(item.more);
  return sum;
}
const items = Array.from({ length: 50 }, (_, count) => ({ count, more: count }));
%PrepareFunctionForOptimization(compiled);
%PrepareFunctionForOptimization(inlined);
for (let round = 0; round < 50; round += 1) inlined(items);
%OptimizeFunctionOnNextCall(inlined);
inlined(items);

function* counting() {
  yield markers.one;
  yield markers.two;
}
const [generatorFirst, generatorSecond, generatorDone] = [counting(), counting(), counting()];
generatorFirst.next();
generatorSecond.next();
generatorSecond.next();
generatorDone.return();
async function suspended() {
  await new Promise((resolve) => {
    markers.resolve = resolve;
  });
}
void suspended();
markers.all = Promise.all([markers.never, new Promise(() => {})]);
class Thenable extends Promise {}
markers.thenable = new Thenable((resolve) => {
  markers.resolveThenable = resolve;
}).then(() => {});
function closureOver(value) {
  return function closure() {
    return value;
  };
}
const pending = new Promise(() => {});
const derived = pending.then(compiled, never);
const rejected = Promise.reject(markers.one);
rejected.catch(() => {});
const map = new Map([
  [markers.one, markers.two],
  [markers.two, markers.three],
  [markers.three, markers.one],
]);
map.delete(markers.one);
const set = new Set([markers.one, markers.two]);
const weakMap = new WeakMap([[markers.one, markers.two]]);
globalThis.calibration = markers.one;
const script = new vm.Script("(function placed() {})", {
  filename: "placed.js",
  lineOffset: 4711,
  columnOffset: 815,
});
const sloppy = new Function("value", "return arguments.length > 0 ? arguments : value");
const holeyDoubles = [1.5, 2.5];
holeyDoubles[5] = 3.5;
const sparse = [];
sparse[50_000_000] = 1;
const slowArguments = sloppy(1, 2);
Object.defineProperty(slowArguments, 0, { value: 5, writable: false });
const slowWrapper = new String("wrapped");
slowWrapper[50_000_000] = 1;

const dictionary = { one: 1, two: 2, three: 3 };
delete dictionary.one;

const subjects = {
  dictionary,
  one: markers.one,
  two: markers.two,
  three: markers.three,
  compiled,
  ran,
  narrow,
  wide,
  never,
  builtin: Math.max,
  inlined,
  standStill,
  placed: script.runInThisContext(),
  closure: closureOver(markers.one),
  globalObject: globalThis,
  privateObject: new Private(),
  symbol: Symbol("ordinary"),
  registered: Symbol.for("registered"),
  getter: Object.getOwnPropertyDescriptor(withAccessor, "pair").get,
  setter: Object.getOwnPropertyDescriptor(withAccessor, "pair").set,
  withAccessor,
  array: [1, 2, 3, 4, 5, 6, 7],
  proxy: new Proxy(markers.one, markers.two),
  bound: compiled.bind(markers.one, markers.two),
  fulfilled: Promise.resolve(markers.two),
  rejected,
  pending,
  derived,
  regExp: /one(two)/,
  map,
  set,
  weakMap,
  weakRef: new WeakRef(markers.one),
  wrapped: Object(Symbol.iterator),
  wrappedSymbol: Symbol.iterator,
  dataView: new DataView(new ArrayBuffer(64), 8),
  bigint: 0x1234_5678_9abc_def0n,
  negativeBigint: -0x1234_5678_9abc_def0_1234_5678n,
  date: new Date(1_234_567_890_123),
  counting,
  generatorFirst,
  generatorSecond,
  generatorDone,
  packedDoubles: [1.5, 2.5],
  holeyDoubles,
  sparse,
  fastArguments: sloppy(1, 2),
  slowArguments,
  wrappedString: new String("wrapped"),
  slowWrapper,
  frozen: Object.freeze([1, "two"]),
};
for (const flag of ["d", "g", "i", "m", "s", "u", "v", "y"]) {
  subjects[`regExp_${flag}`] = new RegExp("one(two)", flag);
}

setTimeout(() => {
  gc();
  gc();
  ran(markers.two) || narrow(markers) || wide(markers); // after the collections: they throw bytecode away
  for (const [name, value] of Object.entries(subjects)) {
    fs.writeSync(1, `\n@@ ${name}\n`);
    %DebugPrint(value);
  }
  fs.writeSync(1, "\n@@ ready\n");
  standStill(markers.one, markers.two, markers.three);
}, 50);

/** Its three variables are the first registers of its frame, one after the other. */
function standStill(first, second, third) {
  var one = first;
  var two = second;
  var three = third;
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  return [one, two, three];
}
