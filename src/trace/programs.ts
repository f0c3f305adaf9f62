/**
 * Ready programs: `holdfast trace --list`. Each is a file whose first comment says what it shows.
 */
import { readFileSync, readdirSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

export interface ReadyProgram {
  readonly name: string;
  readonly meaning: string;
  readonly source: string;
}

const FOLDER: string = fileURLToPath(new URL("programs/", import.meta.url));
const EXTENSION = ".hft";

export function listPrograms(): readonly ReadyProgram[] {
  return readdirSync(FOLDER)
    .filter((file) => file.endsWith(EXTENSION))
    .toSorted()
    .map((file) => readProgram(path.basename(file, EXTENSION)))
    .filter((found) => found !== null);
}

/** A ready program by its name; null when there is none. */
export function readProgram(name: string): ReadyProgram | null {
  if (!/^[a-z0-9-]{1,40}$/.test(name)) return null;
  let source: string;
  try {
    source = readFileSync(path.join(FOLDER, `${name}${EXTENSION}`), "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    throw error;
  }
  const meaning = /^#\s*(.+)$/m.exec(source)?.[1] ?? "";
  return { name, meaning, source };
}
