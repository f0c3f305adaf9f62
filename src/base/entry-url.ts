/**
 * Spawn edges: a process boundary is named by a path, not by an import, so the compiler does not
 * rewrite it. The same line must find `main.ts` in `src` and `main.js` in `dist`.
 */
const COMPILED: ReadonlyMap<string, string> = new Map([
  [".ts", ".js"],
  [".cts", ".cjs"],
  [".mts", ".mjs"],
]);

/**
 * The URL of a module to be started as a process or thread, beside the module that asks.
 *
 * @param from `import.meta.url` of the module that asks
 * @param source path of the source file relative to it, e.g. `"../worker/preload.cts"`
 * @example
 * entryUrl("file:///dist/a/main.js", "../b/main.ts").pathname; // "/dist/b/main.js"
 */
export function entryUrl(from: string, source: string): URL {
  if (!from.endsWith(".js")) return new URL(source, from);
  return new URL(
    source.replace(/\.[cm]?ts$/, (extension) => COMPILED.get(extension) ?? extension),
    from,
  );
}
