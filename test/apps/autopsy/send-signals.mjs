/** A thread that sends SIGUSR2, and the next one when the last was handled: it tells by an `x`. */
import { readSync } from "node:fs";
import { workerData } from "node:worker_threads";

const { pid, descriptor, shared } = workerData;
const handled = new Int32Array(shared);
const byte = Buffer.alloc(1);
while (Atomics.load(handled, 1) === 0) {
  process.kill(pid, "SIGUSR2");
  readSync(descriptor, byte);
  Atomics.add(handled, 0, 1);
}
