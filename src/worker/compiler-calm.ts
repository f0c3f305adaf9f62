/**
 * Lets V8 finish what it compiles in the background, before the process exits. Node joins V8's
 * threads then, and one that compiles may be waiting for a garbage collection, which the main
 * thread alone can do: both wait for ever (Node 24: twice in 637 starts of a script that ends at
 * once).
 *
 * ```
 *   exit --> nothing new is compiled --> V8's threads sleep, three looks long --> Node's exit
 *            (each look is a call, in which V8 collects garbage if a thread has asked for it)
 * ```
 */
import { readFileSync, readdirSync } from "node:fs";
import { setFlagsFromString } from "node:v8";

const COMPILER_FLAGS = ["--no-opt", "--no-maglev", "--no-sparkplug"] as const;
const LOOK_MS = 0.2;
const CALM_LOOKS = 3;
/** It runs, or waits for a disk. Node 22 names all threads alike, Node 26 with a prefix. */
const BUSY = /^\d+ \((?:node|(?:node-)?V8Worker)\) [RD]/;
/** On Node 22 that may be a thread of the application's, which is busy for ever. */
const PATIENCE_MS = 250;

const nobody = new Int32Array(new SharedArrayBuffer(4));

/** To be called when the process exits. */
export function calmCompiler(): void {
  for (const flag of COMPILER_FLAGS) setFlagsFromString(flag);
  const until = performance.now() + PATIENCE_MS;
  for (let calm = 0; calm < CALM_LOOKS && performance.now() < until;) {
    Atomics.wait(nobody, 0, 0, LOOK_MS);
    calm = isAnybodyBusy() ? 0 : calm + 1;
  }
}

/** Whether one of V8's threads runs; false where the permission model lets nobody look. */
function isAnybodyBusy(): boolean {
  const tids = readOr([], () => readdirSync("/proc/self/task"));
  return tids.some((tid) => {
    if (tid === String(process.pid)) return false;
    return BUSY.test(readOr("", () => readFileSync(`/proc/self/task/${tid}/stat`, "latin1")));
  });
}

/** A thread may have ended. */
function readOr<T>(otherwise: T, read: () => T): T {
  try {
    return read();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException; // node:fs throws no others
    if (code === "ENOENT" || code === "ESRCH" || code === "ERR_ACCESS_DENIED") return otherwise;
    throw error;
  }
}
