/**
 * How many C++ names of the binaries of Node 22, 24 and 26 are written as binutils' c++filt writes
 * them: all of .symtab, with parameters (`c++filt`) and without (`c++filt -p`), and those with
 * template arguments for themselves. `node bench/autopsy/demangle.ts`; needs c++filt.
 */
import { spawnSync } from "node:child_process";
import path from "node:path";
import { demangle } from "../../src/autopsy/stack/demangle.ts";
import { openByteSource } from "../../src/autopsy/target/byte-source.ts";
import { ElfFile } from "../../src/autopsy/target/elf.ts";

const ROOT = path.resolve(import.meta.dirname, "../..");
const NODES = ["node22", "node", "node26"] as const;

function filtered(names: readonly string[], args: readonly string[]): readonly string[] {
  const input = `${names.join("\n")}\n`;
  const { stdout } = spawnSync("c++filt", args, { input, encoding: "utf8", maxBuffer: 2 ** 30 });
  return stdout.trimEnd().split("\n");
}

for (const node of NODES) {
  const file = path.join(ROOT, "node_modules", node, "bin/node");
  const elf = new ElfFile(openByteSource(file));
  const names = [...new Set([...elf.symbols.beginning("_Z")].map(({ name }) => name))];
  for (const args of [[], ["-p"]]) {
    const truth = filtered(names, args);
    const counts = { all: 0, equal: 0, templates: 0, equalTemplates: 0 };
    const startedAt = performance.now();
    for (const [index, name] of names.entries()) {
      const isEqual = demangle(name, args.length === 0) === truth[index];
      const isTemplate = truth[index]?.includes("<") === true;
      counts.all += 1;
      counts.equal += Number(isEqual);
      counts.templates += Number(isTemplate);
      counts.equalTemplates += Number(isEqual && isTemplate);
    }
    const us = ((performance.now() - startedAt) * 1000) / names.length;
    const share = (part: number, whole: number): string => `${((100 * part) / whole).toFixed(2)} %`;
    console.log(
      `${node}, c++filt ${args.join(" ")}: ${share(counts.equal, counts.all)} of ${counts.all}; ` +
        `with templates ${share(counts.equalTemplates, counts.templates)} of ` +
        `${counts.templates}; ${us.toFixed(1)} us each`,
    );
  }
  elf.source.close();
}
