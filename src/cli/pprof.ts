/**
 * A profile as pprof reads it (github.com/google/pprof, proto/profile.proto), compressed as its
 * tools write it.
 */
import { gzipSync } from "node:zlib";
import { Function as PprofFunction, Line, Location, Profile, Sample } from "pprof-format";
import { StringTable, ValueType } from "pprof-format";
import type { ProfileNode, ProfileTree } from "./profile-tree.ts";

/** See the file's docstring. `durationMs`: how long was looked; `endedAtMs`: wall clock. */
export function pprof(
  { unit, root }: ProfileTree,
  { durationMs, endedAtMs }: { readonly durationMs: number; readonly endedAtMs: number },
): Buffer {
  const strings = new StringTable();
  const text = (value: string): number => strings.dedup(value);
  const functions = new Map<string, PprofFunction>();
  const locations = new Map<string, Location>();
  const samples: Sample[] = [];

  const locationOf = ({ name, file, line }: ProfileNode): number => {
    const key = `${name}\n${file}\n${line}`;
    const known = locations.get(key);
    if (known !== undefined) return Number(known.id);
    const id = locations.size + 1;
    const place = { name: text(name), systemName: text(name), filename: text(file) };
    functions.set(key, new PprofFunction({ id, ...place, startLine: Math.max(0, line) }));
    const at = new Line({ functionId: id, line: Math.max(0, line) });
    locations.set(key, new Location({ id, line: [at] }));
    return id;
  };
  // the innermost location first (profile.proto, Sample.location_id); the root is no function
  const visit = (node: ProfileNode, above: readonly number[]): void => {
    const stack = node === root ? above : [locationOf(node), ...above];
    if (node.self > 0 && stack.length > 0) {
      samples.push(new Sample({ locationId: [...stack], value: [node.count, node.self] }));
    }
    for (const child of node.children) visit(child, stack);
  };
  visit(root, []);
  const isTime = unit === "microseconds";
  const types = isTime
    ? [typeOf("sample", "count"), typeOf("wall", "microseconds")]
    : [typeOf("objects", "count"), typeOf("space", "bytes")];
  function typeOf(type: string, typeUnit: string): ValueType {
    return new ValueType({ type: text(type), unit: text(typeUnit) });
  }
  const profile = new Profile({
    sampleType: types,
    sample: samples,
    location: [...locations.values()],
    function: [...functions.values()],
    stringTable: strings,
    timeNanos: BigInt(Math.round(endedAtMs - durationMs)) * 1_000_000n,
    durationNanos: BigInt(Math.round(durationMs)) * 1_000_000n,
  });
  return gzipSync(profile.encode());
}
