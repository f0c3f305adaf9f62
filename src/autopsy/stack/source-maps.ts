/**
 * From generated code to what was written: source maps, inline or beside the file, through Node's
 * own
 * `SourceMap` (ECMA-426). A map that is missing or broken changes nothing: the generated position
 * is
 * shown anyway.
 */
import { readFileSync, statSync } from "node:fs";
import { SourceMap } from "node:module";
import type { SourceMapPayload } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";
import type { LineColumn, ScriptView } from "../v8/functions.ts";

const COMMENT = /(?:^|\n)\s*\/\/[#@]\s*sourceMappingURL=([^\s'"]+)\s*$/u;
/**
 * The comment is the last line, or nearly: more than this is not searched. An inline map is long.
 */
const TAIL_LINES_MAX = 5;
const MAP_BYTES_MAX = 64 * 1024 * 1024;
const MAPS_KEPT_MAX = 64;

export interface OriginalPosition extends LineColumn {
  readonly file: string;
}

/** The file that a script's name stands for; null when it is no file. */
export function fileOf(name: string): string | null {
  if (name.startsWith("file://")) {
    try {
      return fileURLToPath(name);
    } catch {
      return null; // an address with a host: no file of this machine
    }
  }
  return path.isAbsolute(name) ? name : null;
}

/** Reads maps on demand and keeps them. */
export class SourceMaps {
  readonly #maps = new Map<string, SourceMap | null>();
  readonly #root: string;

  /** @param root where the paths of the process begin: `/proc/PID/root` of a container, or "/" */
  constructor(root = "/") {
    this.#root = root;
  }

  /** Where a position comes from; null when there is no map, or it does not cover it. */
  original(script: ScriptView, { line, column }: LineColumn): OriginalPosition | null {
    const map = this.#mapOf(script);
    if (map === null) return null;
    const entry = map.findEntry(line - 1, column - 1);
    if (!("originalSource" in entry)) return null;
    const { originalSource, originalLine, originalColumn } = entry;
    if (typeof originalSource !== "string" || originalLine === undefined) return null;
    const file = this.#resolve(script, originalSource);
    return { file, line: originalLine + 1, column: (originalColumn ?? 0) + 1 };
  }

  #resolve(script: ScriptView, source: string): string {
    const own = fileOf(source);
    if (own !== null) return own;
    const generated = fileOf(script.name);
    return generated === null ? source : path.resolve(path.dirname(generated), source);
  }

  #mapOf(script: ScriptView): SourceMap | null {
    const key = script.name === "" ? `0x${script.address.toString(16)}` : script.name;
    const known = this.#maps.get(key);
    if (known !== undefined) return known;
    if (this.#maps.size >= MAPS_KEPT_MAX) this.#maps.clear();
    const map = this.#read(script);
    this.#maps.set(key, map);
    return map;
  }

  #read(script: ScriptView): SourceMap | null {
    const url = commentOf(script.source ?? "");
    if (url === null) return null;
    const text = url.startsWith("data:") ? dataOf(url) : this.#fileText(script, url);
    if (text === null) return null;
    try {
      // Checked by SourceMap itself: what is no map throws, or finds nothing.
      return new SourceMap(JSON.parse(text) as SourceMapPayload);
    } catch {
      return null; // a broken map: the generated position is shown
    }
  }

  #fileText(script: ScriptView, url: string): string | null {
    const generated = fileOf(script.name);
    if (generated === null || /^[a-z]+:\/\//u.test(url)) return null;
    const file = path.join(this.#root, path.resolve(path.dirname(generated), decode(url)));
    try {
      return statSync(file).size > MAP_BYTES_MAX ? null : readFileSync(file, "utf8");
    } catch {
      return null; // not there, or not for us to read
    }
  }
}

function commentOf(source: string): string | null {
  let from = source.length;
  for (let count = 0; count < TAIL_LINES_MAX && from > 0; count += 1) {
    from = source.lastIndexOf("\n", from - 1);
    const line = source.slice(Math.max(0, from), source.length);
    const url = COMMENT.exec(line.trimEnd())?.[1];
    if (url !== undefined) return url;
    if (from < 0) break;
  }
  return null;
}

function dataOf(url: string): string | null {
  const comma = url.indexOf(",");
  if (comma < 0 || url.length > MAP_BYTES_MAX) return null;
  const body = url.slice(comma + 1);
  const isBase64 = url.slice(0, comma).endsWith(";base64");
  return isBase64 ? Buffer.from(body, "base64").toString("utf8") : decode(body);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a percent sign that means itself
  }
}
