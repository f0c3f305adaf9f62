// Goes through many kinds of frames, writes down its own stack as V8 sees it, and stays there.
// argv: file for the truth, rounds to warm up (0: none), how to stay ("wait" or "spin")
const { writeFileSync } = require("node:fs");
const [truthFile, rounds, stay] = [process.argv[2], Number(process.argv[3]), process.argv[4]];
Error.stackTraceLimit = Infinity;
const cell = new Int32Array(new SharedArrayBuffer(4));
let isHolding = false;

function truthOf() {
  const before = Error.prepareStackTrace;
  Error.prepareStackTrace = (_, sites) =>
    sites.map((site) => ({
      name: site.getFunctionName() ?? "",
      file: site.getFileName() ?? null,
      line: site.getLineNumber(),
      column: site.getColumnNumber(),
      isAsync: site.isAsync(),
      isEval: site.isEval(),
    }));
  const frames = new Error("truth").stack.slice(1);
  Error.prepareStackTrace = before;
  const given = {};
  for (const one of [asked, sorted, reflected, finallyTried, small, smaller, hold]) {
    given[one.name] = one.arguments === null ? null : [...one.arguments].map(String);
  }
  return { frames, given };
}

function hold(depth, mark) {
  if (isHolding) {
    writeFileSync(truthFile, JSON.stringify(truthOf()));
    if (stay === "wait") Atomics.wait(cell, 0, 0);
    else for (;;) cell[0] += 1;
  }
  return depth + mark.length;
}
function smaller(count, text) {
  return 1 + hold(count + 1, text + "!");
}
function small(count) {
  return smaller(count * 2, "deep") + 1;
}
function finallyTried(value, label) {
  try {
    return small(value.length + label.length);
  } finally {
    cell[0] = 0;
  }
}
const evaluated = eval("(function evaluated(value) {\n  return finallyTried(value, 'e');\n})");
const bound = evaluated.bind(null, "bound");
const jsonable = {
  toJSON(key) {
    return bound() + key;
  },
};
class Point {
  constructor(x, y) {
    this.x = x;
    this.text = JSON.stringify(jsonable) + y;
  }
}
function reflected(x, y) {
  return new Point(x, y).text.length;
}
const proxied = new Proxy(
  {},
  {
    get(target, key) {
      return Reflect.apply(reflected, undefined, [key.length, target === null]);
    },
  },
);
function* generated(first, second) {
  yield proxied[first + second];
}
function sorted(list, label) {
  const sum = [...list].sort((left, right) => {
    for (const value of generated("key" + left, label)) return value - value + left - right;
  });
  return sum.length + list.map((item) => (isHolding ? 0 : item)).length;
}
function asked(id, url) {
  return sorted([2, 1], url + id);
}
async function handler(id) {
  await null;
  return asked(id, "/path");
}
async function service(id) {
  return (await handler(id)) + 1;
}
async function main() {
  for (let round = 0; round < rounds; round += 1) asked(round, "/warm");
  isHolding = true;
  await service(7);
}
void main();
