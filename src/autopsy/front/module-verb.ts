/**
 * `modules`: what is loaded, and by which loader.
 *
 * | kind | told by |
 * | --- | --- |
 * | commonjs | a `Module` of the cache of `require`, by its `filename`; `loaded` is its own word |
 * | esm | a `ModuleWrap` of the loader, by its `url` |
 * | script | a Script of V8 alone: a worker's entry, `vm`, or a module that was forgotten |
 */
import { fileURLToPath } from "node:url";
import type { Tagged } from "../v8/tagged.ts";
import type { CellValue, Result } from "./result.ts";
import type { Session } from "./session.ts";
import { LIMIT, limitOf } from "./verb.ts";
import type { AutopsyVerb } from "./verb.ts";

const MODULES_MAX = 200_000;

interface Loaded {
  readonly file: string;
  readonly kind: "commonjs" | "esm" | "script";
  /** Of a CommonJS module that is not loaded to its end: false. */
  readonly isLoaded: boolean;
  readonly address: Tagged;
}

export const modules: AutopsyVerb = {
  name: "modules",
  summary: "modules that are loaded, of CommonJS and ESM, and other scripts",
  usage: "[part of a path] [--internal] [--limit n]",
  flags: [{ name: "internal", placeholder: "", help: "Node's own too" }, LIMIT],
  example: "modules node_modules",
  async run(session, args): Promise<Result> {
    const { heap, functions } = session.v8;
    const { objects } = session;
    const [part = ""] = args.words;
    const loaded = new Map<string, Loaded>();
    const scripts = new Map<string, { readonly address: Tagged; readonly chars: number | null }>();
    await session.walk((address) => {
      if (loaded.size + scripts.size >= MODULES_MAX) return;
      if (heap.isOfType(address, "SCRIPT_TYPE")) {
        const script = functions.script(address);
        if (script === null || script.name === "") return;
        scripts.set(pathOf(script.name), { address, chars: script.source?.length ?? null });
      } else if (objects.isReceiver(address)) {
        const found = moduleAt(session, address);
        if (found === null) return;
        const known = loaded.get(found.file);
        if (known === undefined || isBetter(found, known)) loaded.set(found.file, found);
      }
    }, args.signal);
    for (const [file, { address }] of scripts) {
      if (!loaded.has(file)) loaded.set(file, { file, kind: "script", isLoaded: true, address });
    }
    const rows = [...loaded.values()]
      .filter(({ file }) => file.includes(part))
      .filter(({ file }) => args.flags["internal"] === true || !file.startsWith("node:"))
      .toSorted((a, b) => (a.file < b.file ? -1 : 1))
      .map(({ file, kind, isLoaded, address }): readonly CellValue[] => {
        const script = scripts.get(file);
        const what = isLoaded ? kind : `${kind}, loading`;
        return [file, what, script?.chars ?? null, address, script?.address ?? null];
      });
    const limit = limitOf(modules, args);
    return {
      kind: "table",
      columns: [
        { name: "file", kind: "text" },
        { name: "kind", kind: "text" },
        { name: "source", kind: "bytes" },
        { name: "module", kind: "address" },
        { name: "script", kind: "address" },
      ],
      rows: rows.slice(0, limit),
      more: Math.max(0, rows.length - limit),
      remarks: [],
    };
  },
};

/**
 * A file may be there twice: a CommonJS module that was imported has a wrap of ESM around it, and
 * `createRequire` makes a Module for the file that asks, which is never loaded.
 */
function isBetter(one: Loaded, other: Loaded): boolean {
  const rank = ({ kind, isLoaded }: Loaded): number => (!isLoaded ? 0 : kind === "esm" ? 1 : 2);
  return rank(one) > rank(other);
}

/** A module of either loader; null for every other object. */
function moduleAt({ objects, v8 }: Session, address: Tagged): Loaded | null {
  const text = (name: string): string | null => {
    const value = objects.get(address, name);
    return value === null ? null : v8.heap.string(value);
  };
  const className = objects.className(address);
  if (className === "Module") {
    const file = text("filename");
    if (file === null) return null;
    const flag = objects.get(address, "loaded");
    const isLoaded = flag === null || objects.oddball(flag) !== "false";
    return { file, kind: "commonjs", isLoaded, address };
  }
  if (className !== "ModuleWrap") return null;
  const url = text("url");
  return url === null ? null : { file: pathOf(url), kind: "esm", isLoaded: true, address };
}

/** The path of a `file:` URL; other names as they are. */
function pathOf(name: string): string {
  if (!name.startsWith("file:///")) return name;
  try {
    return fileURLToPath(name);
  } catch {
    return name; // damaged: shown as it stands there
  }
}
