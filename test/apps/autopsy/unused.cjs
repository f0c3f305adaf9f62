"use strict";
/** Has worked, and has given most of it back: run with --expose-gc. */
class Kept {
  constructor(index) {
    this.index = index;
    this.text = `kept ${index}`;
    this.bytes = Buffer.alloc(50_000 + index, "k"); // of malloc, not a mapping of its own
  }
}
async function waits() {
  await new Promise((resolve) => (globalThis.release = resolve));
}
void waits();
const rows = [];
for (let index = 0; index < 200; index += 1) rows.push(new Kept(index));
globalThis.kept = rows.filter(({ index }) => index % 20 === 0);
rows.length = 0;
setImmediate(() => {
  globalThis.gc();
  let last;
  for (let index = 0; index < 300_000; index += 1) last = { index, text: `${index}` };
  globalThis.kept.push(last);
  setTimeout(() => process.stdout.write("in position\n"), 200);
});
setInterval(() => {}, 1_000_000);
