/**
 * A million random trace programs: `node bench/trace/random-programs.ts [count] [seed]`. None may
 * touch the application, throw when it fires, or be refused without a place and a hint.
 */
import { tryPrograms } from "../../test/support/trace-property.ts";

const BATCH = 10_000;

const count = Number(process.argv[2] ?? 1_000_000);
const seed = Number(process.argv[3] ?? Date.now() % 1_000_000_000);
console.log(`${count} programs, seed ${seed}`);
const total = { compiled: 0, refused: 0, firings: 0 };
for (let done = 0; done < count; done += BATCH) {
  const tally = tryPrograms(seed + done, Math.min(BATCH, count - done));
  total.compiled += tally.compiled;
  total.refused += tally.refused;
  total.firings += tally.firings;
  if ((done / BATCH) % 10 === 0) console.log(`${done + BATCH}: ${JSON.stringify(total)}`);
}
console.log(`all hold: ${JSON.stringify(total)}`);
