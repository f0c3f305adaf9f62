// Fifty pipelines in which one stream never says that it is done. Plain Node: no error, no
// callback, and the files stay open for ever. With the watchdog each is named.
//
//   npm run example -- stuck-pipe
import { createReadStream, createWriteStream, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { Transform, pipeline } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import v8 from "node:v8";
import vm from "node:vm";
import { watchdog } from "holdfast/flow";

v8.setFlagsFromString("--expose-gc");
const gc = vm.runInNewContext("gc");
const folder = mkdtempSync(path.join(tmpdir(), "stuck-pipe-"));
const openFiles = () => (process.platform === "linux" ? readdirSync("/proc/self/fd").length : 0);
let called = 0;

function copy(to) {
  const forgetful = new Transform({ transform() {} }); // the bug: no callback
  pipeline(createReadStream(process.execPath), forgetful, createWriteStream(to), () => called++);
}

async function round(name, count) {
  const before = openFiles();
  for (let index = 0; index < count; index += 1) copy(path.join(folder, `${name}-${index}`));
  for (let index = 0; index < 8; index += 1) {
    await delay(500);
    gc();
  }
  return openFiles() - before;
}

console.log("before: plain Node");
const leaked = await round("plain", 50);
console.log(`  50 pipelines, ${called} callbacks called, ${leaked} descriptors left open`);
console.log("  what Node said about it: nothing\n");

console.log("after: the same with the watchdog");
const told = new Map();
const dog = watchdog({
  stallMs: 1500,
  onStall: ({ pipe, why, site }) => {
    const reason = `${why}, made at ${site.replace(/^.*\/|\)$/g, "")}`;
    told.set(reason, [...(told.get(reason) ?? []), pipe]);
  },
});
await round("watched", 50);
for (const [reason, pipes] of told) {
  console.log(`  ${pipes.length} x ${reason}`);
  for (const pipe of pipes.toSorted().slice(0, 3)) console.log(`    ${pipe}`);
  if (pipes.length > 3) console.log(`    ... and ${pipes.length - 3} more`);
}
dog[Symbol.dispose]();
rmSync(folder, { recursive: true });
process.exit(0);
