/** Where code came from: applies the source maps that scripts name, as node:module reads them. */
import { readFileSync, statSync } from "node:fs";
import { SourceMap } from "node:module";
import type { SourceMapPayload } from "node:module";
import { fileURLToPath } from "node:url";
import type { Script as LoadedScript } from "./main-session.ts";

type Script = Pick<LoadedScript, "url" | "sourceMapUrl">;

/** Maps are read in the agent's thread, whose heap is small. */
const MAP_BYTES_MAX: number = 8 * 1024 * 1024;
/** Maps that are kept; the least recently used one goes. */
const MAPS_MAX = 8;

export interface Position {
  /** Path, or URL of what is no file. */
  readonly file: string;
  /** From 1. */
  readonly line: number;
  readonly column: number;
}

interface Loaded {
  readonly map: SourceMap;
  readonly base: string;
}

/** See the file's docstring. */
export class SourceMaps {
  readonly #loaded = new Map<string, Loaded | null>();

  /** Where a place of a script is in the source; `line` and `column` from 0, as in the protocol. */
  position(script: Script, line: number, column: number): Position {
    const plain = { file: pathOf(script.url), line: line + 1, column: column + 1 };
    const loaded = this.#load(script);
    if (loaded === null) return plain;
    const entry = loaded.map.findEntry(line, column);
    if (!("originalSource" in entry) || entry.originalSource === undefined) return plain;
    const file = pathOf(resolved(entry.originalSource, loaded.base));
    return { file, line: entry.originalLine + 1, column: entry.originalColumn + 1 };
  }

  #load(script: Script): Loaded | null {
    if (script.sourceMapUrl === "") return null;
    const key = `${script.url}\n${script.sourceMapUrl.slice(0, 1000)}`;
    const known = this.#loaded.get(key);
    const loaded = known === undefined ? read(script) : known;
    this.#loaded.delete(key);
    this.#loaded.set(key, loaded);
    const [oldest] = this.#loaded.keys();
    if (this.#loaded.size > MAPS_MAX && oldest !== undefined) this.#loaded.delete(oldest);
    return loaded;
  }
}

/** Null: the map is not there, is none, or may not be read; places are those of what runs. */
function read({ url, sourceMapUrl }: Script): Loaded | null {
  try {
    const base = resolved(sourceMapUrl, url);
    const text = base.startsWith("data:") ? decoded(base) : readBounded(fileURLToPath(base));
    if (text === null) return null;
    const payload = JSON.parse(text) as SourceMapPayload; // checked by the reader below
    const sourceRoot = payload.sourceRoot ?? "";
    const from = base.startsWith("data:") ? url : base;
    const root = sourceRoot === "" ? from : resolved(sourceRoot.replace(/\/?$/, "/"), from);
    return { map: new SourceMap(payload), base: root };
  } catch {
    return null; // whatever is wrong with it: what runs is shown
  }
}

function readBounded(path: string): string | null {
  return statSync(path).size > MAP_BYTES_MAX ? null : readFileSync(path, "utf8");
}

function decoded(dataUrl: string): string | null {
  const comma = dataUrl.indexOf(",");
  if (comma < 0 || dataUrl.length > 2 * MAP_BYTES_MAX) return null;
  const data = dataUrl.slice(comma + 1);
  const isBase64 = dataUrl.slice(0, comma).endsWith(";base64");
  return isBase64 ? Buffer.from(data, "base64").toString() : decodeURIComponent(data);
}

/** Scripts of CommonJS modules have a path where others have a URL. */
function resolved(reference: string, base: string): string {
  const from = base.startsWith("/") ? `file://${encodeURI(base)}` : base;
  return URL.parse(reference, from)?.href ?? reference;
}

/** The path of a file's URL; other URLs as they are. */
export function pathOf(url: string): string {
  if (!url.startsWith("file://")) return url;
  try {
    return fileURLToPath(url);
  } catch {
    return url; // no path of this machine's
  }
}

/** Holdfast's own folder: its frames are shown, their variables are nobody's business. */
export const OURS: string = pathOf(new URL("..", import.meta.url).href);
