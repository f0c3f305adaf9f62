/**
 * Where crash reports lie: `<runtime directory>/<name>.crashes/`, two files a report, the newest
 * only, so that a service that crashes all day fills no disk.
 *
 * ```
 *   <id>.json   for programs        <id>.txt   for people        both of mode 0600
 * ```
 */
import { mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { CrashReport } from "./crash-report.ts";
import { crashText } from "./crash-text.ts";

/** Reports that are kept: a day of a service with one sick route. */
export const CRASHES_MAX = 20;
/** Of all of them together. */
export const CRASHES_BYTES_MAX: number = 8 * 1024 * 1024;
/** `20261121T052611Z-w0-4711` */
const ID = /^\d{8}T\d{6}Z-w\d{1,4}-\d{1,10}$/;

/** Where the reports of a service lie. */
export function crashDirectory(runtimeDir: string, name: string): string {
  return join(runtimeDir, `${name}.crashes`);
}

/**
 * Writes both files of a report, removes what is too much, and gives the path of the text. On a
 * full disk older reports make room, once.
 * @throws the error of the file system when that does not help; nothing half is left
 */
export async function writeCrash(
  directory: string,
  report: CrashReport,
  write: (path: string, text: string) => Promise<void> = writeWhole,
): Promise<string> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const files = [
    [`${report.id}.json`, `${JSON.stringify(report, null, 2)}\n`],
    [`${report.id}.txt`, `${crashText(report).join("\n")}\n`],
  ] as const;
  const bytes = files.reduce((sum, [, text]) => sum + Buffer.byteLength(text), 0);
  await prune(directory, CRASHES_MAX - 1, CRASHES_BYTES_MAX - bytes);
  try {
    for (const [name, text] of files) await write(join(directory, name), text);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : null;
    const isFull = code === "ENOSPC" || code === "EDQUOT";
    if (!isFull) throw error;
    await prune(directory, Math.floor(CRASHES_MAX / 2), CRASHES_BYTES_MAX);
    for (const [name, text] of files) await write(join(directory, name), text);
  }
  return join(directory, `${report.id}.txt`);
}

/** Readers see the whole file or none. */
async function writeWhole(path: string, text: string): Promise<void> {
  const draft = `${path}.new`;
  try {
    const file = await open(draft, "w", 0o600);
    try {
      await file.writeFile(text);
    } finally {
      await file.close();
    }
    await rename(draft, path);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}

/** Keeps the newest `countMax` reports of `bytesMax` together; drafts of the dead go too. */
async function prune(directory: string, countMax: number, bytesMax: number): Promise<void> {
  const names = await readdir(directory);
  const ids = [...new Set(names.map(idOf).filter((id) => id !== null))].toSorted().toReversed();
  let kept = 0;
  let bytes = 0;
  for (const id of ids) {
    const own = names.filter((name) => name.startsWith(`${id}.`));
    const sizes = await Promise.all(own.map(async (name) => stat(join(directory, name))));
    bytes += sizes.reduce((sum, { size }) => sum + size, 0);
    kept += 1;
    if (kept <= countMax && bytes <= bytesMax) continue;
    for (const name of own) await rm(join(directory, name), { force: true });
  }
}

function idOf(name: string): string | null {
  const id = name.slice(0, name.indexOf("."));
  return ID.test(id) ? id : null;
}

/** Ids of the reports in a directory, oldest first; empty when there is none. */
export function listCrashes(directory: string): readonly string[] {
  try {
    const names = readdirSync(directory).filter((name) => name.endsWith(".json"));
    return names
      .map(idOf)
      .filter((id) => id !== null)
      .toSorted();
  } catch (error) {
    const isNone = error instanceof Error && "code" in error && error.code === "ENOENT";
    if (isNone) return [];
    throw error;
  }
}

/** A report, or null when it was removed meanwhile or is none. */
export function readCrash(directory: string, id: string): CrashReport | null {
  try {
    const value: unknown = JSON.parse(readFileSync(join(directory, `${id}.json`), "utf8"));
    const isReport =
      typeof value === "object" && value !== null && "reportVersion" in value && "exit" in value;
    return isReport ? (value as CrashReport) : null; // written by us, with mode 0600
  } catch (error) {
    const isGone = error instanceof Error && "code" in error && error.code === "ENOENT";
    if (isGone || error instanceof SyntaxError) return null;
    throw error;
  }
}
