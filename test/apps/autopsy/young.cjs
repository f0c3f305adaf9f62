"use strict";
/**
 * Leaves the young generation full of objects that died long ago: run with --expose-gc. None of
 * class Temporary lives when it says that it is ready, and 300 of class Kept do.
 */
class Temporary {
  constructor(index) {
    this.index = index;
    this.one = null;
    this.two = null;
  }
}
class Kept {
  constructor(index) {
    this.index = index;
  }
}
function work() {
  let last = null;
  for (let index = 0; index < 3_000_000; index += 1) {
    last = new Temporary(index);
    if (index % 10_000 === 0) globalThis.kept.push(new Kept(index));
  }
  return last.index;
}
const tagged = (name) => ({ [Symbol.toStringTag]: name });
const makeError = () => new RangeError("made twice at one place");
// a program has asked for the stack of the second one only
globalThis.errors = [0, 1].map(() => makeError());
globalThis.errors[1].stack.toString();
globalThis.kept = [tagged("Tagged one"), tagged("Tagged two"), tagged("Tagged two")];
/** A log that was put together line by line: a string of 24,000 parts, and all those before it. */
class Log {
  constructor() {
    this.text = "";
    for (let line = 0; line < 12_000; line += 1) this.text += "line number " + line + "\n";
  }
}
work();
globalThis.log = new Log();
// an object that is young twice is moved to the old generation: what is left is what lives
globalThis.gc({ type: "minor" });
globalThis.gc({ type: "minor" });
console.log("ready");
setInterval(() => undefined, 1_000_000);
