/** What portable mode loads: it must run where the FFI does not. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const SRC = new URL("../", import.meta.url);
/** Static and lazy imports and re-exports; with `type` they load nothing. */
const IMPORT =
  /(?:^|\n)\s*(?:import|export)\s+(?!type\b)(?:[^"';]*?\sfrom\s+)?"([^"]+)"|\bimport\("([^"]+)"\)/g;

/** Every module that `entry` may load, as paths from src, and what they ask of packages. */
function loadedBy(entry: string): { files: string[]; packages: string[] } {
  const files = new Set<string>();
  const packages = new Set<string>();
  const visit = (url: URL): void => {
    const path = fileURLToPath(url).slice(fileURLToPath(SRC).length);
    if (files.has(path)) return;
    files.add(path);
    for (const [, fixed, lazy] of readFileSync(url, "utf8").matchAll(IMPORT)) {
      const specifier = fixed ?? lazy ?? "";
      if (specifier.startsWith(".")) visit(new URL(specifier, url));
      else packages.add(specifier);
    }
  };
  visit(new URL(entry, SRC));
  return { files: [...files], packages: [...packages] };
}

test("portable mode loads Node's own modules, base and supervision, and no FFI", () => {
  const { files, packages } = loadedBy("portable/mod.ts");
  assert.ok(files.includes("supervision/supervisor.ts") && files.includes("base/log.ts"));
  const folders = new Set(files.map((file) => file.split("/")[0]));
  assert.deepEqual(folders, new Set(["portable", "supervision", "base"]));
  const foreign = packages.filter((name) => !name.startsWith("node:"));
  assert.deepEqual(
    foreign.filter((name) => name !== "valibot"),
    [],
    "valibot checks the configuration",
  );
});

test("none of them names the FFI", () => {
  const { files } = loadedBy("portable/mod.ts");
  const texts = files.map((file) => readFileSync(new URL(file, SRC), "utf8"));
  assert.deepEqual(
    files.filter((_, index) => /"koffi"/.test(texts[index] ?? "")),
    [],
  );
});

test("the walk sees the FFI where it is loaded", () => {
  const { files } = loadedBy("keeper/mod.ts");
  assert.ok(files.includes("os/libc.ts") && files.includes("ledger/ledger.ts"));
  assert.match(readFileSync(new URL("os/libc.ts", SRC), "utf8"), /"koffi"/);
});

test("the preload imports nothing", () => {
  const preload = new URL("portable/preload.cts", SRC);
  assert.ok(existsSync(preload));
  assert.deepEqual(loadedBy("portable/preload.cts"), {
    files: ["portable/preload.cts"],
    packages: [],
  });
});
