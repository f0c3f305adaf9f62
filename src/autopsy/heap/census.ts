/**
 * The census: how many objects of which class there are, and how many bytes they take. Garbage that
 * V8 has not collected yet counts too, unless a set of live objects is given.
 */
import type { ObjectReader } from "../v8/objects.ts";
import type { MapInfo } from "./maps.ts";
import type { Heap, WalkCounts } from "./walk.ts";

/** Shapes that are told apart for one class. */
const SHAPES_MAX = 10_000;
/** Classes that are told apart: names may be in the objects, which may be damaged. */
const CLASSES_MAX = 100_000;
const OTHERS = "(other classes)";

export interface CensusRow {
  /** The class, `(string)`, `(code)`..., as in DevTools. */
  readonly name: string;
  count: number;
  bytes: number;
  /** One of them; the last that was seen. */
  example: number;
  /** Maps: objects of the same class with other properties. */
  readonly shapes: Map<number, { count: number; bytes: number; example: number }>;
}

export interface Census {
  readonly rows: readonly CensusRow[];
  readonly walk: WalkCounts;
}

export type IsLive = (address: number) => boolean;

/** Counts every object; yields after each page. */
export function* takeCensus(
  heap: Heap,
  objects: ObjectReader,
  isLive: IsLive | null,
): Generator<WalkCounts, Census> {
  const rows = new Map<string, CensusRow>();
  const byMap = new Map<number, CensusRow>();
  const rowOf = (address: number, map: MapInfo): CensusRow => {
    const known = byMap.get(map.address);
    if (known !== undefined) return known;
    const own = censusName(objects, address, map);
    const name = rows.has(own) || rows.size < CLASSES_MAX ? own : OTHERS;
    const row = rows.get(name) ?? { name, count: 0, bytes: 0, example: 0, shapes: new Map() };
    rows.set(name, row);
    const isReceiver = objects.isReceiver(address);
    if (!isReceiver || objects.isNamedByMap(address)) byMap.set(map.address, row);
    return row;
  };
  const walk = yield* heap.walk((address, map, bytes) => {
    if (isLive !== null && !isLive(address)) return;
    const row = rowOf(address, map);
    row.count += 1;
    row.bytes += bytes;
    row.example = address;
    const shape = row.shapes.get(map.address);
    if (shape !== undefined) {
      shape.count += 1;
      shape.bytes += bytes;
    } else if (row.shapes.size < SHAPES_MAX) {
      row.shapes.set(map.address, { count: 1, bytes, example: address });
    }
  });
  return { rows: [...rows.values()].toSorted((a, b) => b.bytes - a.bytes), walk };
}

/** The class of an object, or what V8 uses it for, in parentheses. */
export function censusName(objects: ObjectReader, address: number, map: MapInfo): string {
  const { layout } = objects.heap;
  const type = map.instanceType;
  if (objects.isReceiver(address)) return objects.className(address);
  if (type < layout.get("FirstNonstringType")) return "(string)";
  if (type === layout.type("SYMBOL_TYPE")) return "(symbol)";
  if (type === layout.type("SYMBOL_TYPE") + 1) return "(bigint)";
  if (type === layout.type("HEAP_NUMBER_TYPE")) return "(number)";
  if (type >= layout.get("FirstContextType") && type <= layout.get("LastContextType")) {
    return "(context)";
  }
  return `(${internalName(objects, type)})`;
}

function internalName({ heap: { layout } }: ObjectReader, type: number): string {
  const name = layout.typeName(type);
  return name === null
    ? `internal ${type}`
    : name
        .replace(/_TYPE$/, "")
        .toLowerCase()
        .replaceAll("_", " ");
}
