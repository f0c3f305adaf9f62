/**
 * Slow pipes that move, for a long time, under the watchdog: none may be called stalled. And pipes
 * that stop: each must be named within a second of the limit.
 *
 *   npm run bench -- pipe-soak [--minutes 10]
 */
import { PassThrough, Readable, Writable, pipeline } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { watchdog } from "../../src/flow/mod.ts";
import type { Stall } from "../../src/flow/mod.ts";
import { countFlag, say } from "../support/mod.ts";

const STALL_MS = 30_000;
/** The slowest moves just before it would be called stalled. */
const SLOWEST_MS = 28_000;
const SLOW_PIPES = 200;
const STOPPED_EVERY_MS = 20_000;

const { values } = parseArgs({ options: { minutes: { type: "string" } } });
const endMs = performance.now() + 60_000 * countFlag("minutes", values.minutes, 10);
const stopped = new Map<string, number>();
const named: number[] = [];
const falseAlarms: Stall[] = [];

const dog = watchdog({
  stallMs: STALL_MS,
  onStall: (stall) => {
    const stoppedMs = stopped.get(stall.culprit);
    if (stoppedMs === undefined) falseAlarms.push(stall);
    else named.push(performance.now() - stoppedMs - STALL_MS);
  },
});

function sink(): Writable {
  return new Writable({ write: (_chunk, _encoding, done) => done() });
}

/** Moves a chunk every now and then, at its own pace, until the end. */
function slow(index: number): void {
  const paceMs = 100 + ((SLOWEST_MS - 100) * index) / SLOW_PIPES;
  const source = new Readable({
    read() {
      setTimeout(() => this.push(performance.now() < endMs ? "drop" : null), paceMs);
    },
  });
  pipeline(source, new PassThrough(), sink(), () => undefined);
}

const held: Writable[] = [];

/** Takes a chunk, and is never done with it. */
function stop(index: number): void {
  const name = `Stopped${index}`;
  const last = new Writable({ write: () => undefined });
  Object.defineProperty(last, "constructor", { value: { name } });
  held.push(last);
  stopped.set(name, performance.now());
  const source = new Readable({ read: () => undefined });
  source.push("x");
  pipeline(source, last, () => undefined);
}

for (let index = 0; index < SLOW_PIPES; index += 1) slow(index);
let count = 0;
for (; performance.now() < endMs - STALL_MS - 5000; count += 1) {
  stop(count);
  await delay(STOPPED_EVERY_MS);
  say(`${count + 1} stopped, ${named.length} named, ${falseAlarms.length} false alarms`);
}
await delay(Math.max(0, endMs - performance.now()));
dog[Symbol.dispose]();
const latestMs = Math.max(...named);
process.stdout.write(
  `${SLOW_PIPES} slow pipes: ${falseAlarms.length} false alarms. ${count} stopped ones: ` +
    `${named.length} named, at most ${Math.round(latestMs)} ms after the limit.\n`,
);
for (const each of falseAlarms) process.stdout.write(`${JSON.stringify(each)}\n`);
process.exit(falseAlarms.length === 0 && named.length === count ? 0 : 1);
