/**
 * The rules of the code base that no linter knows. Each takes files and returns what is wrong, a
 * sentence each; none reads the disk, so that each is tried on bad input.
 *
 * ```
 *   cli console                       5
 *   keeper reactor worker portable .. 4     an import points to a smaller number,
 *   supervision autopsy perf trace .. 3     or stays in its folder
 *   ledger                            2
 *   os                                1
 *   base                              0
 * ```
 */
import path from "node:path";
import type { FileFacts, ImportFact } from "./facts.ts";

/** `supervision`, the life of workers, is what the reactor and portable mode share. */
const CAPABILITIES: readonly string[] = [
  "supervision",

  "autopsy",
  "perf",
  "discovery",
  "trace",
  "flow",
  "http",
  "ldap",
  "dhcp",
  "tftp",
];

const LAYERS: ReadonlyMap<string, number> = new Map<string, number>([
  ["base", 0],
  ["os", 1],
  ["ledger", 2],
  ...CAPABILITIES.map((name) => [name, 3] as const),
  ...["admin", "dumper", "keeper", "lookout", "reactor", "worker", "agent", "portable", "edge"].map(
    (name) => [name, 4] as const,
  ),
  ["console", 5],
  ["cli", 5],
]);

/** Folders that may import fewer than the layers below them. */
const ONLY: ReadonlyMap<string, readonly string[]> = new Map([
  ["reactor", ["base", "os", "ledger", "supervision"]],
  ["autopsy", ["base", "ledger"]],
]);

/** The reactor runs no user code and parses no more of a protocol than it must. */
const NOT_IN_REACTOR: readonly string[] = ["http", "https", "http2", "tls", "vm", "worker_threads"];

export const LINES_MAX = 600;
export const COLUMNS_MAX = 100;

/** The folder under `src` that a file belongs to; null: it is the root, or no source. */
function folderOf(file: string): string | null {
  const [top, folder, ...rest] = file.split("/");
  return top === "src" && folder !== undefined && rest.length > 0 ? folder : null;
}

function isProduct({ path: file }: FileFacts): boolean {
  return file.startsWith("src/") && !/\.test\.[cm]?ts$/.test(file);
}

/** Where a relative import leads, from the repository; null: to a package. */
function target(file: FileFacts, specifier: string): string | null {
  if (!specifier.startsWith(".")) return null;
  return path.posix.join(path.posix.dirname(file.path), specifier);
}

/** Imports point down; a folder is entered through its `mod.ts`. */
export function checkLayers(files: readonly FileFacts[]): readonly string[] {
  return files.filter(isProduct).flatMap((file) =>
    file.imports.flatMap(({ specifier, line }) => {
      const where = target(file, specifier);
      return where === null
        ? []
        : edge(file.path, where).map((why) => `${file.path}:${line} ${why}`);
    }),
  );
}

function edge(from: string, to: string): readonly string[] {
  if (!to.startsWith("src/")) return [`leaves src: ${to}`];
  const [here, there] = [folderOf(from), folderOf(to)];
  if (here === there) return [];
  const wrong: string[] = [];
  if (there === null) return [`imports the package's own door ${to}`];
  if (path.posix.basename(to) !== "mod.ts")
    wrong.push(`enters ${there} by ${to}, not by its mod.ts`);
  if (here === null) return there === "base" ? wrong : [...wrong, `opens ${there}`];
  const [rank, below] = [LAYERS.get(here), LAYERS.get(there)];
  if (rank === undefined || below === undefined) return [`${here} or ${there} is no layer`];
  const allowed = ONLY.get(here);
  if (below >= rank) wrong.push(`${here} imports ${there}, which is not below it`);
  else if (allowed !== undefined && !allowed.includes(there)) {
    wrong.push(`${here} imports ${there}, but only ${allowed.join(", ")} are allowed`);
  }
  return wrong;
}

/** Packages: declared, and none in the reactor that parses protocols or runs code. */
export function checkPackages(
  files: readonly FileFacts[],
  dependencies: readonly string[],
): readonly string[] {
  return files.filter(isProduct).flatMap((file) =>
    file.imports.flatMap(({ specifier, line }) => {
      if (specifier.startsWith(".")) return [];
      const at = `${file.path}:${line}`;
      const builtin = /^node:([^/]+)/.exec(specifier)?.[1];
      if (builtin !== undefined) {
        const isWrong = folderOf(file.path) === "reactor" && NOT_IN_REACTOR.includes(builtin);
        return isWrong ? [`${at} the reactor must not import node:${builtin}`] : [];
      }
      const name = specifier
        .split("/")
        .slice(0, specifier.startsWith("@") ? 2 : 1)
        .join("/");
      return dependencies.includes(name) ? [] : [`${at} imports ${name}, which is no dependency`];
    }),
  );
}

/** Processes that are started: `src/a/b.ts -> src/c/d.ts`, exactly those listed. */
export function checkSpawnEdges(
  files: readonly FileFacts[],
  listed: readonly string[],
): readonly string[] {
  const paths = new Set(files.map((file) => file.path));
  const found = files.filter(isProduct).flatMap((file) =>
    file.spawns.map((specifier) => ({
      from: file.path,
      to: target(file, specifier) ?? specifier,
    })),
  );
  const names = found.map(({ from, to }) => `${from} -> ${to}`);
  return [
    ...names.filter((name) => !listed.includes(name)).map((name) => `${name} is not listed`),
    ...listed.filter((name) => !names.includes(name)).map((name) => `${name} is listed, not found`),
    ...found.filter(({ to }) => !paths.has(to)).map(({ from, to }) => `${from}: no file ${to}`),
  ];
}

/** Named exports only; only doors pass on what others export, and no door passes on a door. */
export function checkExports(files: readonly FileFacts[]): readonly string[] {
  const code = files.filter((file) => file.path.endsWith("ts"));
  return code.flatMap((file) => {
    const passedOn = isProduct(file) ? file.imports.filter(({ kind }) => kind === "reexport") : [];
    return [
      file.defaultExports.map((line) => `${file.path}:${line} exports a default`),
      file.anys.map((line) => `${file.path}:${line} says any`),
      passedOn.flatMap((each) => passingOn(file, each)),
    ].flat();
  });
}

function passingOn(file: FileFacts, { specifier, line }: ImportFact): readonly string[] {
  const at = `${file.path}:${line}`;
  const isDoor = path.posix.basename(file.path) === "mod.ts";
  if (!isDoor) return [`${at} passes on ${specifier}, but is no mod.ts`];
  const isBarrel = path.posix.basename(specifier) === "mod.ts" && file.path !== "src/mod.ts";
  return isBarrel ? [`${at} passes on another door, ${specifier}`] : [];
}

/** At most 600 lines of at most 100 columns. */
export function checkSizes(files: readonly Pick<FileFacts, "path" | "text">[]): readonly string[] {
  return files.flatMap((file) => {
    const lines = file.text.replace(/\n$/, "").split("\n");
    const tooLong = lines.flatMap((line, index) => {
      const columns = Array.from(line).length;
      return columns > COLUMNS_MAX ? [`${file.path}:${index + 1} has ${columns} columns`] : [];
    });
    return lines.length > LINES_MAX
      ? [...tooLong, `${file.path} has ${lines.length} lines`]
      : tooLong;
  });
}

/** Nothing is left to be done in a comment: there are issues for that. */
export function checkWords(files: readonly Pick<FileFacts, "path" | "text">[]): readonly string[] {
  return findEach(
    files,
    /\b(TODO|FIXME|XXX|HACK)\b|@ts-(ignore|nocheck)|\b(test|it|describe)\.only\b/,
  );
}

/**
 * What runs in the application's process sets its timers by Node's functions as they were when it
 * was loaded: traces of the application's timers do not see ours.
 */
export function checkTimers(files: readonly Pick<FileFacts, "path" | "text">[]): readonly string[] {
  const ours = files.filter(({ path: file }) => {
    return /^src\/(?:flow|worker)\//.test(file) && !file.endsWith(".test.ts");
  });
  return findEach(ours, /(?<![\w.])set(?:Immediate|Timeout)\(/);
}

/** Every code in the source has a row in the documentation, and the other way round. */
export function checkErrorCodes(files: readonly FileFacts[], document: string): readonly string[] {
  const used = new Set(
    files.filter(isProduct).flatMap(({ text }) => {
      return [...text.matchAll(/"(ERR_HOLDFAST_[A-Z_]+)"/g)].map(([, code = ""]) => code);
    }),
  );
  const rows = new Set(
    [...document.matchAll(/^\| `(ERR_HOLDFAST_[A-Z_]+)` \|/gm)].map(([, code]) => code),
  );
  return [
    ...[...used].filter((code) => !rows.has(code)).map((code) => `${code} has no row`),
    ...[...rows].filter((code) => !used.has(code ?? "")).map((code) => `${code} is used nowhere`),
  ];
}

/** Every dependency has a row in the documentation, and the other way round. */
export function checkDependencies(names: readonly string[], document: string): readonly string[] {
  const rows = [...document.matchAll(/^\| `([^`]+)` \|/gm)].map(([, name = ""]) => name);
  return [
    ...names.filter((name) => !rows.includes(name)).map((name) => `${name} has no row`),
    ...rows.filter((name) => !names.includes(name)).map((name) => `${name} is no dependency`),
  ];
}

/** No file names a machine: neither a place on it nor the registry that it asks. */
export function checkPlaces(files: readonly Pick<FileFacts, "path" | "text">[]): readonly string[] {
  const homes = /(^|[^\w.~-])\/(work|farm|root|home\/\w+|Users\/\w+)\//;
  const registries =
    /https?:\/\/(?!registry\.npmjs\.org)[^/\s"'`]*(registry|mirror|npm|nexus|proxy)[^/\s"'`]*[/:]/;
  const resolved = /^\s*"resolved": "(?!https:\/\/registry\.npmjs\.org\/)/;
  return [homes, registries, resolved].flatMap((pattern) => findEach(files, pattern));
}

function findEach(
  files: readonly Pick<FileFacts, "path" | "text">[],
  pattern: RegExp,
): readonly string[] {
  return files.flatMap(({ path: file, text }) => {
    if (!pattern.test(text) && !new RegExp(pattern, "m").test(text)) return [];
    return text.split("\n").flatMap((line, index) => {
      const found = pattern.exec(line)?.[0].trim();
      return found === undefined ? [] : [`${file}:${index + 1} says ${found}`];
    });
  });
}
