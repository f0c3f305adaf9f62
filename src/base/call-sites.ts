/** The JavaScript stack as text, made without running anything of the application's. */
import { getCallSites } from "node:util";

/** Frames that are skipped; V8 gives 200 at most. */
const SKIPPED_MAX = 24;

const OWN: string = import.meta.url;
const OWN_PATH: string = decodeURIComponent(new URL(OWN).pathname);
const getSites: typeof getCallSites = getCallSites;

/**
 * At most `frames` lines of `function (file:line:column)`, innermost first, without frames of the
 * files that `isSkipped` names. `Error.prepareStackTrace`, which is the application's code, is not
 * asked.
 */
export function stackText(
  frames: number,
  isSkipped: (script: string, taken: number) => boolean,
): string {
  const lines: string[] = [];
  for (const { scriptName, functionName, lineNumber, columnNumber } of getSites(
    frames + SKIPPED_MAX,
  )) {
    const isOurs = scriptName === OWN || scriptName === OWN_PATH;
    if (isOurs || isSkipped(scriptName, lines.length)) continue;
    const at = `${shortName(scriptName)}:${lineNumber}:${columnNumber}`;
    lines.push(`${functionName === "" ? "(anonymous)" : functionName} (${at})`);
    if (lines.length === frames) break;
  }
  return lines.join("\n");
}

function shortName(script: string): string {
  return script.startsWith("file://") ? decodeURIComponent(new URL(script).pathname) : script;
}
