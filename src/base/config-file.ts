/**
 * Finding and reading `holdfast.config.{ts,js,json}`.
 *
 * JSON is parsed here. TypeScript and JavaScript are evaluated in a process of their own, which
 * writes the default export as JSON to descriptor 3:
 *
 * ```
 *   loadConfig --spawn--> config-evaluate.ts <file>
 *                           import(file)       stdout, stderr -> our stderr
 *             <-- fd 3 --   JSON of `default`
 * ```
 * So a reload sees the file and everything that it imports as they are now, a file that never ends
 * is ended, and the keeper, which lives long, carries no compiler and no module of the user's.
 */
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { CONFIG_BYTES_MAX, CONFIG_FILE_TIMEOUT_MS } from "./config-limits.ts";
import { entryUrl } from "./entry-url.ts";
import { HoldfastError } from "./errors.ts";
import { formatDuration, formatSize } from "./units.ts";

/** In the order in which they are looked for. */
export const CONFIG_FILE_NAMES: readonly string[] = [
  "holdfast.config.ts",
  "holdfast.config.js",
  "holdfast.config.json",
];

const EVALUATED: readonly string[] = [".ts", ".mts", ".cts", ".js", ".mjs", ".cjs"];

/**
 * The configuration file in the first directory that has one, or null.
 *
 * @throws HoldfastError ERR_HOLDFAST_CONFIG_FILE when a directory has two.
 */
export function findConfigFile(directories: readonly string[]): string | null {
  for (const directory of directories) {
    const found = CONFIG_FILE_NAMES.filter((name) => existsSync(path.join(directory, name)));
    if (found.length > 1) {
      throw new HoldfastError(
        "ERR_HOLDFAST_CONFIG_FILE",
        `Cannot choose a configuration: ${directory} has ${found.join(" and ")}. ` +
          `Remove all but one, or name one with --config.`,
      );
    }
    if (found[0] !== undefined) return path.join(directory, found[0]);
  }
  return null;
}

/**
 * What the file exports, not checked yet.
 *
 * @throws HoldfastError ERR_HOLDFAST_CONFIG_FILE when it cannot be read or evaluated.
 */
export async function readConfigFile(file: string): Promise<unknown> {
  if (!existsSync(file)) {
    throw unusable(file, "there is no such file", "Check the path given with --config");
  }
  const extension = path.extname(file);
  if (extension === ".json") return parseJson(file, readFileSync(file, "utf8"));
  if (!EVALUATED.includes(extension)) {
    throw unusable(
      file,
      `${extension || "no extension"} is no format of it`,
      "Use .ts, .js or .json",
    );
  }
  return parseJson(file, await evaluate(file));
}

function parseJson(file: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw unusable(file, `it is not JSON: ${why}`, "Correct it there", error);
  }
}

function evaluate(file: string): Promise<string> {
  const program = fileURLToPath(entryUrl(import.meta.url, "./config-evaluate.ts"));
  const child = spawn(process.execPath, [program, file], {
    // What the file prints is for people: it must not get into the service's own output.
    stdio: ["ignore", process.stderr.fd, process.stderr.fd, "pipe"],
  });
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const chunks: Buffer[] = [];
  let bytes = 0;
  const fail = (why: string, what: string): void => {
    child.kill("SIGKILL");
    reject(unusable(file, why, what));
  };
  const limit = formatDuration(CONFIG_FILE_TIMEOUT_MS);
  const timer = setTimeout(() => {
    fail(`it did not end within ${limit}`, "Let it export plain values and wait for nothing");
  }, CONFIG_FILE_TIMEOUT_MS);
  child.stdio[3]?.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    chunks.push(chunk);
    if (bytes > CONFIG_BYTES_MAX) {
      fail(`its value is larger than ${formatSize(CONFIG_BYTES_MAX)}`, "Make it smaller");
    }
  });
  child.on("error", reject);
  child.on("close", (code, signal) => {
    clearTimeout(timer);
    if (code === 0) resolve(Buffer.concat(chunks).toString());
    else reject(evaluationFailed(file, Buffer.concat(chunks).toString(), code, signal));
  });
  return promise;
}

/** `config-evaluate.ts` says what is wrong; a file that ends the process itself says nothing. */
function evaluationFailed(
  file: string,
  said: string,
  code: number | null,
  signal: string | null,
): HoldfastError {
  const why = said.trim() || `it ended the process (${signal ?? `exit ${code}`})`;
  return unusable(file, why, "Correct it there");
}

function unusable(file: string, why: string, what: string, cause?: unknown): HoldfastError {
  return new HoldfastError(
    "ERR_HOLDFAST_CONFIG_FILE",
    `Cannot read the configuration ${file}: ${why}. ${what}.`,
    { cause },
  );
}
