/** Verbs about objects: census, print, find, who refers to what, strings, closures. */
import { didYouMean, formatSize } from "../../base/mod.ts";
import { LiveObjects } from "../graph/live.ts";
import { takeCensus } from "../heap/census.ts";
import type { CensusRow, IsLive } from "../heap/census.ts";
import type { MapInfo } from "../heap/maps.ts";
import { renderValue } from "../heap/render.ts";
import type { Property } from "../v8/objects.ts";
import type { Session } from "./session.ts";
import { StringSearch } from "./string-search.ts";
import type { CellValue, Result } from "./result.ts";
import { LIMIT, addressesFrom, limitOf, misuse, numberOf } from "./verb.ts";
import type { AutopsyVerb, VerbArgs } from "./verb.ts";

const FOUND_MAX = 1_000_000;
/** Names of classes that are kept to find the one that was meant, and that are shown then. */
const CLASSES_MAX = 100_000;
const ALIKE_MAX = 6;
/** Places of Node's own functions, and of V8's, whose script has no name. */
const OF_NODE = /^(?:node:|:)/u;
const BRIEF_CHARS = 60;
/** Of a property that is compared; one of more parts is as long. */
const VALUE_CHARS_MAX = 1_000;
const STRINGS_TOLD_APART_MAX = 500_000;
/** Parts of a string that is put together of others, to see how it begins. */
const STRING_KEY_PARTS = 64;
/** Characters by which equal strings are found. */
const STRING_KEY_CHARS = 200;

const objects: AutopsyVerb = {
  name: "objects",
  summary: "how many objects of which class, and their bytes",
  usage: "[part of a name] [--live] [--sort count] [--shapes] [--limit n]",
  flags: [
    { name: "live", placeholder: "", help: "what is alive: takes several times as long" },
    { name: "sort", placeholder: "<by>", help: "bytes (default), count or name" },
    { name: "shapes", placeholder: "", help: "a row for each set of properties" },
    LIMIT,
  ],
  example: "objects Socket --shapes",
  async run(session, args): Promise<Result> {
    const { objects: reader, heap } = session;
    const live = args.flags["live"] === true ? await liveObjects(session, args) : null;
    const isLive: IsLive | null = live === null ? null : (address) => live.isLive(address);
    const census = await session.run("census", takeCensus(heap, reader, isLive), args.signal);
    const [part = ""] = args.words;
    const rows = census.rows.filter(({ name }) => name.includes(part));
    const limit = limitOf(objects, args);
    const { emptyBytes, deadBytes, objects: count, bytes } = census.walk;
    const sum = (of: (row: CensusRow) => number): number =>
      census.rows.reduce((total, row) => total + of(row), 0);
    const remarks = [
      live === null
        ? `${count} objects, ${bytes} bytes; garbage that is not collected yet is among them`
        : `${sum((row) => row.count)} objects, ${sum((row) => row.bytes)} bytes are alive` +
          `${live.isExact ? "" : " at most"}, of ${count} objects, ${bytes} bytes`,
      ...session.heap.remarks(1),
      ...(deadBytes > 0
        ? [`${deadBytes} bytes are of dead objects whose class has died with them`]
        : []),
      ...(emptyBytes > 0 ? [`${emptyBytes} bytes are zeros: set aside, and not used yet`] : []),
      ...(live?.remarks ?? []),
    ];
    if (args.flags["shapes"] === true) return shapesTable(session, rows, limit, remarks);
    const sorted = sortRows(rows, args);
    return {
      kind: "table",
      columns: [
        { name: "class", kind: "text" },
        { name: "count", kind: "count" },
        { name: "bytes", kind: "bytes" },
        { name: "example", kind: "address" },
      ],
      rows: sorted
        .slice(0, limit)
        .map(({ name, count: each, bytes: size, example }) => [name, each, size, example]),
      more: Math.max(0, sorted.length - limit),
      remarks,
    };
  },
};

/** What can be reached: found for this verb, and given up when it is interrupted. */
async function liveObjects(session: Session, args: VerbArgs): Promise<LiveObjects> {
  const live = new LiveObjects(
    session.target,
    session.heap,
    session.v8.layout,
    session.v8.isolates,
  );
  await session.run("mark", live.mark(), args.signal);
  return live;
}

function sortRows(rows: readonly CensusRow[], args: VerbArgs): readonly CensusRow[] {
  const by = args.flags["sort"] ?? "bytes";
  if (by === "bytes") return rows.toSorted((a, b) => b.bytes - a.bytes);
  if (by === "count") return rows.toSorted((a, b) => b.count - a.count);
  if (by === "name") return rows.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  throw misuse(objects, "--sort must be bytes, count or name");
}

function shapesTable(
  { objects: reader }: Session,
  rows: readonly CensusRow[],
  limit: number,
  remarks: readonly string[],
): Result {
  const shapes = rows
    .flatMap(({ name, shapes: all }) =>
      [...all.values()].map(({ count, bytes, example }) => ({ name, count, bytes, example })),
    )
    .toSorted((a, b) => b.bytes - a.bytes);
  return {
    kind: "table",
    columns: [
      { name: "class", kind: "text" },
      { name: "count", kind: "count" },
      { name: "bytes", kind: "bytes" },
      { name: "example", kind: "address" },
      { name: "properties", kind: "text" },
    ],
    rows: shapes.slice(0, limit).map(({ name, count, bytes, example }) => {
      const names = reader.isReceiver(example) ? propertyNames(reader, example) : "";
      return [name, count, bytes, example, names];
    }),
    more: Math.max(0, shapes.length - limit),
    remarks,
  };
}

function propertyNames(reader: Session["objects"], address: number): string {
  const names: string[] = [];
  for (const { name } of reader.properties(address)) {
    if (names.length >= 12) return `${names.join(", ")}, ...`;
    names.push(name);
  }
  return names.join(", ");
}

const print: AutopsyVerb = {
  name: "print",
  summary: "an object with its properties, elements, closure variables, bytes",
  usage: "<address>... [--depth n] [--members n] [--chars n]",
  flags: [
    { name: "depth", placeholder: "<n>", help: "objects within objects (default 2)" },
    { name: "members", placeholder: "<n>", help: "of each object (default 100)" },
    { name: "chars", placeholder: "<n>", help: "of each string (default 1000)" },
  ],
  example: "find Order --limit 1 | print --depth 3",
  run(session, args): Result {
    const limits = {
      depth: numberOf(print, args, "depth", 2),
      members: numberOf(print, args, "members", 100),
      chars: numberOf(print, args, "chars", 1_000),
    };
    const addresses = addressesFrom(print, args);
    const values = addresses.map((address) => session.describer.describe(address, limits));
    const text = values.map((value) => renderValue(value)).join("\n");
    return { kind: "text", text, json: values, addresses };
  },
};

const find: AutopsyVerb = {
  name: "find",
  summary: "objects by class, property, value or text",
  usage: "[class] [--property name] [--value text] [--text part] [--limit n]",
  flags: [
    { name: "property", placeholder: "<name>", help: "that have this property" },
    { name: "value", placeholder: "<text>", help: "a property of which prints as this" },
    { name: "text", placeholder: "<part>", help: "strings that contain this" },
    LIMIT,
  ],
  example: "find IncomingMessage --property url",
  async run(session, args): Promise<Result> {
    const [className] = args.words;
    const { property, value, text } = args.flags;
    if (
      className === undefined &&
      property === undefined &&
      value === undefined &&
      text === undefined
    ) {
      throw misuse(find, "say of which class, or --property, --value or --text");
    }
    const found: number[] = [];
    let more = 0;
    const limit = Math.min(limitOf(find, args), FOUND_MAX);
    const search = typeof text === "string" ? new StringSearch(session.v8.heap, text) : null;
    const classes = new Set<string>();
    const fits: Matcher =
      search === null
        ? matcher(session, className, args.flags, classes)
        : (address, { instanceType }) => search.fits(address, instanceType);
    await session.walk((address, map) => {
      if (!fits(address, map)) return;
      if (found.length < limit) found.push(address);
      else more += 1;
    }, args.signal);
    const isKnown = className === undefined || search !== null || classes.has(className);
    const remarks = isKnown ? search?.remarks : [noSuchClass(className, classes)];
    return listOf(session, found, args.signal, more, remarks);
  },
};

/** What somebody who gave only a part of the name, or mistyped it, may have meant. */
function noSuchClass(wanted: string, classes: ReadonlySet<string>): string {
  const part = wanted.toLowerCase();
  const alike = [...classes].filter((name) => name.toLowerCase().includes(part));
  const some = alike.toSorted((a, b) => a.length - b.length).slice(0, ALIKE_MAX);
  const more = alike.length > some.length ? `, and ${alike.length - some.length} more` : "";
  if (some.length === 0) return `there is no ${wanted}.${didYouMean(wanted, classes)}`;
  return `there is no ${wanted}; there is ${some.join(", ")}${more}`;
}

/** What a map says of all its objects: they fit, they do not, or each must be looked at. */
type Verdict = "yes" | "no" | "ask";

type Matcher = (address: number, map: MapInfo) => boolean;

/** Whether an object fits; most are told by their maps, of which there are few. */
function matcher(
  { objects: reader, describer }: Session,
  className: string | undefined,
  { property, value }: VerbArgs["flags"],
  /** Names of all classes that it has seen are put there. */
  classes: Set<string>,
): Matcher {
  const isOfClass = (address: number): boolean => {
    const name = reader.className(address);
    if (classes.size < CLASSES_MAX) classes.add(name);
    return name === className;
  };
  const ofClass = verdicts((address) => {
    if (className === undefined) return "yes";
    if (!reader.isNamedByMap(address)) return "ask";
    return isOfClass(address) ? "yes" : "no";
  });
  const isWanted = ({ name, value: tagged }: Property): boolean => {
    if (typeof property === "string" && name !== property) return false;
    if (typeof value !== "string") return true;
    const shown = describer.primitive(tagged, VALUE_CHARS_MAX, { parts: 1_000, chars: 1_000_000 });
    return shown?.kind === "primitive" && (shown.text === value || shown.text === `'${value}'`);
  };
  const has = (address: number, isIt: (property: Property) => boolean): boolean => {
    for (const each of reader.properties(address)) if (isIt(each)) return true;
    return false;
  };
  const byProperty = verdicts((address) => {
    if (typeof property !== "string" && typeof value !== "string") return "yes";
    if (!reader.isShapedByMap(address)) return "ask";
    if (typeof property === "string" && !has(address, ({ name }) => name === property)) return "no";
    return typeof value === "string" ? "ask" : "yes";
  });
  return (address, map) => {
    if (!reader.isReceiverType(map.instanceType)) return false;
    const first = ofClass(address, map);
    if (first === "no" || (first === "ask" && !isOfClass(address))) return false;
    const second = byProperty(address, map);
    return second === "ask" ? has(address, isWanted) : second === "yes";
  };
}

/** Asks once for each map. */
function verdicts(
  decide: (address: number) => Verdict,
): (address: number, map: MapInfo) => Verdict {
  const known = new Map<number, Verdict>();
  return (address, map) => {
    let verdict = known.get(map.address);
    if (verdict === undefined) {
      verdict = decide(address);
      known.set(map.address, verdict);
    }
    return verdict;
  };
}

/** A table of objects, a line each. */
async function listOf(
  session: Session,
  addresses: readonly number[],
  signal: AbortSignal | undefined,
  more: number,
  remarks: readonly string[] = [],
): Promise<Result> {
  const { length } = addresses;
  const rows = await session.run("describe", describeEach(session, addresses), signal, length);
  return {
    kind: "table",
    columns: [
      { name: "address", kind: "address" },
      { name: "class", kind: "text" },
      { name: "value", kind: "text" },
    ],
    rows,
    more,
    remarks,
  };
}

/** A filter behind a pipe is to see every row: hundreds of thousands take some seconds. */
function* describeEach(
  session: Session,
  addresses: readonly number[],
): Generator<void, readonly (readonly CellValue[])[]> {
  const rows: (readonly CellValue[])[] = [];
  for (const address of addresses) {
    rows.push([address, session.describer.nameOf(address), briefly(session, address)]);
    yield;
  }
  return rows;
}

/** The beginning of a value, on one line. */
export function briefly({ describer }: Session, address: number): string {
  const value = describer.describe(address, { depth: 0, members: 6, chars: BRIEF_CHARS });
  const text = renderValue(value)
    .replaceAll(/ @0x[0-9a-f]+/g, "")
    .replaceAll(/\s+/g, " ");
  return text.length > 2 * BRIEF_CHARS ? `${text.slice(0, 2 * BRIEF_CHARS)}...` : text;
}

const strings: AutopsyVerb = {
  name: "strings",
  summary: "which texts take the most bytes, copies counted together",
  usage: "[part of a text] [--limit n]",
  flags: [LIMIT],
  example: "strings --limit 10",
  async run(session, args): Promise<Result> {
    const { heap } = session.v8;
    const [part] = args.words;
    const seen = new Map<string, { count: number; bytes: number; example: number }>();
    const unread = { count: 0, bytes: 0 };
    let untold = 0;
    await session.walk((address, { instanceType }, bytes) => {
      if (instanceType >= heap.layout.get("FirstNonstringType")) return;
      const budget = { parts: STRING_KEY_PARTS, chars: STRING_KEY_CHARS };
      const text = heap.string(address, STRING_KEY_CHARS, budget);
      if (text === null) {
        unread.count += 1;
        unread.bytes += bytes;
        return;
      }
      if (part !== undefined && !text.includes(part)) return;
      const key = `${heap.stringLength(address)}:${text}`;
      const known = seen.get(key);
      if (known !== undefined) {
        known.count += 1;
        known.bytes += bytes;
      } else if (seen.size < STRINGS_TOLD_APART_MAX) {
        seen.set(key, { count: 1, bytes, example: address });
      } else untold += 1;
    }, args.signal);
    const sorted = [...seen].toSorted(([, a], [, b]) => b.bytes - a.bytes);
    const limit = limitOf(strings, args);
    return {
      kind: "table",
      columns: [
        { name: "count", kind: "count" },
        { name: "bytes", kind: "bytes" },
        { name: "example", kind: "address" },
        { name: "text", kind: "text" },
      ],
      rows: sorted
        .slice(0, limit)
        .map(([, { count, bytes, example }]) => [count, bytes, example, briefly(session, example)]),
      more: Math.max(0, sorted.length - limit),
      remarks: [
        ...(untold > 0 ? [`${untold} more strings were not told apart`] : []),
        ...(unread.count > 0
          ? [
              `${unread.count} strings (${formatSize(unread.bytes)} without what they are put ` +
                `together of) have too many parts, or parts that are not there`,
            ]
          : []),
      ],
    };
  },
};

const closures: AutopsyVerb = {
  name: "closures",
  summary: "functions by where they are written, the program's first, and how many of each",
  usage: "[part of a name or file] [--limit n]",
  flags: [LIMIT],
  example: "closures listener",
  async run(session, args): Promise<Result> {
    const { heap, functions } = session.v8;
    const [part = ""] = args.words;
    const byCode = new Map<number, { count: number; example: number }>();
    const first = heap.layout.get("FirstJSFunctionType");
    const last = heap.layout.get("LastJSFunctionType");
    await session.walk((address, { instanceType }) => {
      if (instanceType < first || instanceType > last) return;
      const shared = functions.sharedOf(address);
      const known = byCode.get(shared);
      if (known === undefined) byCode.set(shared, { count: 1, example: address });
      else known.count += 1;
    }, args.signal);
    const rows = [...byCode]
      .map(([shared, { count, example }]) => {
        const place = session.describer.placeOf(example);
        const name = functions.nameOf(shared) || "(anonymous)";
        const isOwn = place !== null && !OF_NODE.test(place);
        return { name, place, isOwn, count, example };
      })
      .filter(({ name, place }) => name.includes(part) || place?.includes(part) === true)
      .toSorted((a, b) => Number(b.isOwn) - Number(a.isOwn) || b.count - a.count);
    const limit = limitOf(closures, args);
    const own = rows.filter(({ isOwn }) => isOwn).length;
    return {
      kind: "table",
      columns: [
        { name: "function", kind: "text" },
        { name: "count", kind: "count" },
        { name: "example", kind: "address" },
        { name: "place", kind: "text" },
      ],
      rows: rows
        .slice(0, limit)
        .map(({ name, count, example, place }) => [name, count, example, place]),
      more: Math.max(0, rows.length - limit),
      remarks: own === rows.length ? [] : [`${rows.length - own} of Node and V8 come last`],
    };
  },
};

export const HEAP_VERBS: readonly AutopsyVerb[] = [objects, print, find, strings, closures];
