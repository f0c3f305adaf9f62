import assert from "node:assert/strict";
import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, it } from "node:test";
import { dumpSize } from "./dump-size.ts";

const MIB = 1024 * 1024;

describe("dumpSize", () => {
  for (const { name, filled, expected } of [
    {
      name: "a file with holes has its size on disk too",
      filled: 2,
      expected: /^16MiB, 2.*MiB on disk$/u,
    },
    { name: "a file that is full has one size", filled: 16, expected: /^16MiB$/u },
    { name: "what is not written out yet is not told", filled: 0, expected: /^16MiB$/u },
  ]) {
    it(name, (t) => {
      const folder = mkdtempSync(path.join(tmpdir(), "holdfast-dump-size-"));
      t.after(() => rmSync(folder, { recursive: true }));
      const file = path.join(folder, "core");
      const descriptor = openSync(file, "w");
      const block = Buffer.alloc(MIB, 1);
      for (let at = 0; at < filled; at += 1) writeSync(descriptor, block, 0, MIB, at * MIB);
      ftruncateSync(descriptor, 16 * MIB);
      closeSync(descriptor);
      const size = dumpSize(file, statSync(file).size);
      assert.match(size.text, expected);
    });
  }
});
