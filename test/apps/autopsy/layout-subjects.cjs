/**
 * Runs under the Node whose layout is asked for: makes one object of each kind with content that is
 * known, says where V8 has put it (`%DebugPrint`, in every official build), and stands still in a
 * function of the interpreter. Started by scripts/autopsy-layout.ts with
 * --allow-natives-syntax --expose-gc --max-old-space-size=777.
 */
"use strict";
const fs = require("node:fs");
const http = require("node:http");
const { Duplex } = require("node:stream");
const vm = require("node:vm");

const markers = { one: { is: "one" }, two: { is: "two" }, three: { is: "three" } };
globalThis.calibration = markers.one;
const registry = new FinalizationRegistry(() => undefined);
registry.register(markers.two, "what is kept for it", markers.one);
class Private {
  #secret = 1;
  get secret() {
    return this.#secret;
  }
}
class Branded {
  #method() {
    return 1;
  }
  call() {
    return this.#method();
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

/** Not inlined: each call of it is a call in the code of the caller. */
function called(value) {
  if (value === markers.never) throw markers.three;
  return value;
}
/** Six calls within `try`: six rows of its handler table. */
function guarded(value) {
  try {
    return [called(1), called(value), called(2), called(value), called(3), called(value)];
  } catch (error) {
    return error;
  }
}
/** The same without: no row. */
function unguarded(value) {
  return [called(1), called(value), called(2), called(value), called(3), called(value)];
}
%NeverOptimizeFunction(called);
for (const optimised of [guarded, unguarded]) {
  %PrepareFunctionForOptimization(optimised);
  for (let round = 0; round < 50; round += 1) optimised(round);
  if (optimised === guarded) guarded(markers.never); // else V8 leaves out what never caught
  %OptimizeFunctionOnNextCall(optimised);
  optimised(1);
}

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
const thenable = new Thenable((resolve) => {
  markers.resolveThenable = resolve;
});
const thenableDerived = thenable.then(() => {});
function closureOver(value) {
  return function closure() {
    return value;
  };
}
/** Variables of a script, by what was assigned to them since: V8 may keep a cell for each. */
const readVariables = vm.runInThisContext(`
  let cellConstant = calibration;
  let cellSmall = 1;
  let cellWhole = 2;
  let cellFraction = 3;
  (function assign(half) {
    cellSmall = 77;
    cellWhole = half * 2; // a double whose value is whole
    cellFraction = 1234.5678;
  })(2469.5);
  (function readVariables() {
    return [cellConstant, cellSmall, cellWhole, cellFraction];
  });
`);
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
const script = new vm.Script("(function placed() {})", {
  filename: "placed.js",
  lineOffset: 4711,
  columnOffset: 815,
});
/** Number 0 is imported, by 1 to 4: what each has calls, loads or stores, at places that we know. */
function wasmModule() {
  const section = (id, bytes) => [id, bytes.length, ...bytes];
  const text = (name) => [name.length, ...Buffer.from(name)];
  const body = (code) => [code.length + 2, 0, ...code, 0x0b];
  const [nop, call, constant, load, drop] = [0x01, 0x10, 0x41, 0x28, 0x1a];
  // from a place that only the memory knows: V8 lists the instruction as one that may fault
  const read = [constant, 0, load, 2, 0, load, 2, 0, drop];
  const bodies = [
    body([nop, call, 2, call, 3, call, 4]),
    body([nop, nop, call, 0]),
    body([...read, call, 0]),
    body([...read, ...read, ...read, nop, call, 0, call, 0]),
  ];
  const bytes = [
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, 0, 0]),
    ...section(2, [1, ...text("m"), ...text("f"), 0, 0]),
    ...section(3, [4, 0, 0, 0, 0]),
    ...section(5, [1, 0, 1]),
    ...section(7, [1, ...text("run"), 0, 1]),
    ...section(10, [bodies.length, ...bodies.flat()]),
  ];
  const compiled = new WebAssembly.Module(Buffer.from(bytes));
  new WebAssembly.Instance(compiled, { m: { f: () => undefined } }).exports.run();
  return compiled;
}
/** Nothing of it is called: it has no code of its own yet. */
function idleWasmModule() {
  const [type, functions, code] = [
    [1, 4, 1, 0x60, 0, 0],
    [3, 2, 1, 0],
    [10, 4, 1, 2, 0, 0x0b],
  ];
  const bytes = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, ...type, ...functions, ...code];
  return new WebAssembly.Instance(new WebAssembly.Module(Buffer.from(bytes)));
}
const sloppy = new Function("value", "return arguments.length > 0 ? arguments : value");
const holeyDoubles = [1.5, 2.5];
holeyDoubles[5] = 3.5;
const sparse = [];
sparse[50_000_000] = 1;
const slowArguments = sloppy(1, 2);
Object.defineProperty(slowArguments, 0, { value: 5, writable: false });
const slowWrapper = new String("wrapped");
slowWrapper[50_000_000] = 1;

/** Arrays of objects, with holes and without, and what keeps them from changing. */
const arrays = {};
for (const [name, limit] of [
  ["extensible", (array) => array],
  ["inextensible", Object.preventExtensions],
  ["sealed", Object.seal],
  ["frozen", Object.freeze],
]) {
  const holey = [markers.one, markers.two, markers.three];
  delete holey[1];
  arrays[`packed_${name}`] = limit([markers.one, markers.two]);
  arrays[`holey_${name}`] = limit(holey);
}
arrays.holey_small = [1, 2, 3];
delete arrays.holey_small[1];

const dictionary = { one: 1, two: 2, three: 3 };
delete dictionary.one;

/** Parsers of HTTP: two that receive a body, since a time that we know; one has read to the end. */
const server = http.createServer();
server.emit("listening"); // it keeps account of its connections then
const notes = {};
function parserOf(name, text) {
  const socket = new Duplex({ read: () => undefined, write: (chunk, encoding, done) => done() });
  server.emit("connection", socket);
  const from = process.hrtime.bigint();
  socket.parser.execute(Buffer.from(text));
  notes[name] = `${from} to ${process.hrtime.bigint()}`;
  return socket.parser;
}
const upload = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nfour";

const subjects = {
  parserFirst: parserOf("parserFirst", upload),
  parserSecond: parserOf("parserSecond", upload),
  parserIdle: parserOf("parserIdle", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
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
  guarded,
  unguarded,
  standStill,
  placed: script.runInThisContext(),
  closure: closureOver(markers.one),
  globalObject: globalThis,
  readVariables,
  privateObject: new Private(),
  branded: new Branded(),
  failed: new Error("failed"),
  symbol: Symbol("ordinary"),
  registered: Symbol.for("registered"),
  getter: Object.getOwnPropertyDescriptor(withAccessor, "pair").get,
  setter: Object.getOwnPropertyDescriptor(withAccessor, "pair").set,
  withAccessor,
  wasmModule: wasmModule(),
  idleWasmModule: idleWasmModule(),
  array: [1, 2, 3, 4, 5, 6, 7],
  proxy: new Proxy(markers.one, markers.two),
  bound: compiled.bind(markers.one, markers.two),
  fulfilled: Promise.resolve(markers.two),
  rejected,
  pending,
  derived,
  thenable,
  thenableDerived,
  regExp: /one(two)/,
  map,
  set,
  weakMap,
  weakRef: new WeakRef(markers.one),
  registry,
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
  ...arrays,
};
for (const name of Object.getOwnPropertyNames(Symbol)) {
  if (typeof Symbol[name] === "symbol") subjects[`public_${name}`] = Symbol[name];
}
for (const flag of ["d", "g", "i", "m", "s", "u", "v", "y"]) {
  subjects[`regExp_${flag}`] = new RegExp("one(two)", flag);
}

setTimeout(() => {
  gc();
  gc();
  ran(markers.two) || narrow(markers) || wide(markers); // after the collections: they throw bytecode away
  for (const [name, value] of Object.entries(subjects)) {
    fs.writeSync(1, `\n@@ ${name}\n${notes[name] ?? ""}\n`);
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
