/**
 * A process: evaluates a configuration file and writes its default export as JSON to descriptor 3,
 * or a sentence that says what is wrong and exit code 1. Started by `config-file.ts`.
 */
import { writeSync } from "node:fs";
import { pathToFileURL } from "node:url";

const RESULT_DESCRIPTOR = 3;

async function main(): Promise<number> {
  const [file = ""] = process.argv.slice(2);
  try {
    // An object with unknown members, whatever the file exports.
    const module = (await import(pathToFileURL(file).href)) as Readonly<Record<string, unknown>>;
    if (module["default"] === undefined) {
      say("it has no default export: write `export default { ... }`");
      return 1;
    }
    say(JSON.stringify(module["default"], refuseCode) ?? "null");
    return 0;
  } catch (error) {
    say(error instanceof Error ? `${error.name}: ${error.message}` : String(error));
    return 1;
  }
}

/** What JSON would leave out in silence. */
function refuseCode(key: string, value: unknown): unknown {
  const type = typeof value;
  if (type !== "function" && type !== "symbol" && type !== "bigint") return value;
  throw new TypeError(`${key || "the default export"} is a ${type}, but must be plain data`);
}

/** All of it: a pipe takes 64 KiB at once, and the descriptor is blocking or is not. */
function say(text: string): void {
  const bytes = Buffer.from(text);
  for (let written = 0; written < bytes.length;) {
    try {
      written += writeSync(RESULT_DESCRIPTOR, bytes, written);
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EAGAIN")) throw error;
    }
  }
}

// A file may leave timers behind: the value is there, so the process ends.
process.exit(await main());
