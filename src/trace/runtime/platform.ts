/**
 * What the runtime itself needs of Node, taken once when it is loaded: an imported name would
 * change when a probe replaces the function behind it (`syncBuiltinESMExports`), and a global when
 * the application fakes time.
 */
import * as fs from "node:fs";
import * as timers from "node:timers";
import { getCallSites } from "node:util";
import v8 from "node:v8";

export const now: () => number = performance.now.bind(performance);
export const wallNow: () => number = Date.now;
export const every: typeof timers.setInterval = timers.setInterval;
export const stopEvery: typeof timers.clearInterval = timers.clearInterval;
export const soon: typeof timers.setImmediate = timers.setImmediate;
export const access: typeof fs.access = fs.access;

export function heapUsed(): number {
  return v8.getHeapStatistics().used_heap_size;
}

/** Where our own code is: frames of it are no part of a stack. */
const OWN: string = new URL("../", import.meta.url).href;
const OWN_PATH: string = decodeURIComponent(new URL(OWN).pathname);
/** Our own frames on top of the application's. */
const OWN_FRAMES_MAX = 16;

/**
 * The application's stack, `function (file:line:column)` a line. Made without
 * `Error.prepareStackTrace`, which is the application's code.
 */
export function stackText(frames: number): string {
  const lines: string[] = [];
  for (const site of getCallSites(frames + OWN_FRAMES_MAX)) {
    const { scriptName, functionName, lineNumber } = site;
    const isOurs = scriptName.startsWith(OWN) || scriptName.startsWith(OWN_PATH);
    // who told a channel is above the channel
    const isBetween = lines.length === 0 && scriptName === "node:diagnostics_channel";
    if (isOurs || isBetween) continue;
    // 22 and 24 have both names of it, as 26 has; the types know one
    const at = `${shortName(scriptName)}:${lineNumber}:${site.columnNumber}`;
    lines.push(`${functionName === "" ? "(anonymous)" : functionName} (${at})`);
    if (lines.length === frames) break;
  }
  return lines.join("\n");
}

const ROOT = `${process.cwd()}/`;

function shortName(script: string): string {
  const path = script.startsWith("file://") ? decodeURIComponent(script.slice(7)) : script;
  return path.startsWith(ROOT) ? path.slice(ROOT.length) : path;
}
