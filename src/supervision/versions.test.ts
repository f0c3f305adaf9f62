import assert from "node:assert/strict";
import { test } from "node:test";
import { Versions } from "./versions.ts";
import type { Version } from "./versions.ts";

function version(entry: string): Version {
  return { config: { entry } as Version["config"], environment: {} }; // only looked at by the test
}

const entryOf = (versions: Versions, generation: number): string =>
  versions.of(generation).config.entry;

test("the first generations have the first configuration, until another is read", () => {
  const versions = new Versions(version("a"));
  assert.equal(entryOf(versions, 1), "a");
  versions.serves(1);
  assert.equal(entryOf(versions, 2), "a", "a restart reads nothing");
  versions.reread(version("b"));
  assert.equal(entryOf(versions, 2), "a", "what runs stays as it is");
  assert.equal(entryOf(versions, 3), "b");
});

test("after a reload that failed, the old version is restarted, also as a new generation", () => {
  const versions = new Versions(version("a"));
  versions.of(1);
  versions.serves(1);
  versions.reread(version("broken"));
  assert.equal(entryOf(versions, 2), "broken");
  assert.equal(entryOf(versions, 1), "a");
  assert.equal(versions.serves(1).config.entry, "a");
  assert.equal(entryOf(versions, 3), "a", "a restart after it");
});

test("after a reload that worked, the new version is what restarts", () => {
  const versions = new Versions(version("a"));
  versions.of(1);
  versions.reread(version("b"));
  versions.of(2);
  versions.serves(2);
  assert.equal(entryOf(versions, 3), "b");
});

test("generations long gone are forgotten", () => {
  const versions = new Versions(version("a"));
  versions.of(1);
  for (let generation = 2; generation < 100; generation += 1) {
    versions.reread(version(String(generation)));
    versions.of(generation);
    versions.serves(generation);
  }
  assert.equal(entryOf(versions, 99), "99");
  assert.equal(entryOf(versions, 1), "99");
});
