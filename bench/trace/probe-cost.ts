/**
 * What probes cost: `node bench/trace/probe-cost.ts`. A user probe that nobody listens to, in the
 * recursive Fibonacci of 30; and a function of two arguments that is traced. CPU time, the best of
 * several runs each, with a run without anything before and after.
 */
import { TraceRuntime, probe } from "../../src/trace/mod.ts";

const CALLS_OF_FIB_30 = 2_692_537;
const CALLS = 3_000_000;
const RUNS = 7;

const off = probe("bench:off");
const holder = { add: (left: number, right: number): number => left + right };
Object.defineProperty(globalThis, "benchTrace", { value: holder, configurable: true });

function fib(n: number): number {
  return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

function fibWithProbe(n: number): number {
  off(n);
  return n < 2 ? n : fibWithProbe(n - 1) + fibWithProbe(n - 2);
}

function addMany(): number {
  let sum = 0;
  for (let index = 0; index < CALLS; index += 1) sum += holder.add(index, 1);
  return sum;
}

/** Nanoseconds of CPU for each call. */
function cost(run: () => unknown, calls: number): number {
  let best = Infinity;
  for (let count = 0; count < RUNS; count += 1) {
    const before = process.cpuUsage();
    run();
    const { user, system } = process.cpuUsage(before);
    best = Math.min(best, ((user + system) * 1000) / calls);
  }
  return best;
}

function show(what: string, nanoseconds: number): void {
  console.log(`${what.padEnd(52)} ${nanoseconds.toFixed(2)} ns`);
}

console.log(`Node ${process.version}`);
show(
  "fib(30), a call",
  cost(() => fib(30), CALLS_OF_FIB_30),
);
show(
  "fib(30) with a probe that is off, a call",
  cost(() => fibWithProbe(30), CALLS_OF_FIB_30),
);
show(
  "fib(30), a call",
  cost(() => fib(30), CALLS_OF_FIB_30),
);
show("add(), a call", cost(addMany, CALLS));
const runtime = new TraceRuntime();
for (const program of [
  "fn:benchTrace.add:entry { @ = count() } fn:benchTrace.add:return { @r = count() }",
  "fn:benchTrace.add:entry { @ = count() }",
  "fn:benchTrace.add:return { @ = quantize(duration) }",
]) {
  const refused = runtime.start(1, { program, worker: 0, budget: 1 });
  if (refused !== null) throw new Error(refused);
  show(program.slice(0, 50), cost(addMany, CALLS));
  runtime.stop(1);
}
show("add(), a call, after it was traced", cost(addMany, CALLS));
