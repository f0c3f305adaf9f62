/**
 * What the runtime itself needs of Node, taken once when it is loaded: an imported name would
 * change when a probe replaces the function behind it (`syncBuiltinESMExports`), and a global when
 * the application fakes time.
 */
import * as fs from "node:fs";
import * as timers from "node:timers";
import v8 from "node:v8";
import { stackText as applicationStack } from "../../base/mod.ts";

export const now: () => number = performance.now.bind(performance);
export const wallNow: () => number = Date.now;
export const every: typeof timers.setInterval = timers.setInterval;
export const stopEvery: typeof timers.clearInterval = timers.clearInterval;
export const soon: typeof timers.setImmediate = timers.setImmediate;
export const access: typeof fs.access = fs.access;
export const readFileSync: typeof fs.readFileSync = fs.readFileSync;
export const readdirSync: typeof fs.readdirSync = fs.readdirSync;

export function heapUsed(): number {
  return v8.getHeapStatistics().used_heap_size;
}

/** Where our own code is: frames of it are no part of a stack. */
const OWN: string = new URL("../", import.meta.url).href;
const OWN_PATH: string = decodeURIComponent(new URL(OWN).pathname);

/** The application's stack, `function (file:line:column)` a line. */
export function stackText(frames: number): string {
  return applicationStack(frames, (script, taken) => {
    // who told a channel is above the channel
    // the condition of a breakpoint too, which has no script
    const isBetween = script === "node:diagnostics_channel" || script === "";
    return (taken === 0 && isBetween) || script.startsWith(OWN) || script.startsWith(OWN_PATH);
  });
}
