/** Verbs about outstanding work: suspended async functions, pending promises, requests, modules. */
import { AsyncChainReader } from "../stack/mod.ts";
import type { Session } from "./session.ts";
import type { CellValue, Result } from "./result.ts";
import { modules } from "./module-verb.ts";
import { requests } from "./request-verb.ts";
import { LIMIT, limitOf } from "./verb.ts";
import type { AutopsyVerb } from "./verb.ts";

const WAITERS_SHOWN = 4;

interface Waiting {
  readonly name: string;
  readonly place: string | null;
  count: number;
  readonly example: number;
  readonly chain: string | null;
}

const asyncs: AutopsyVerb = {
  name: "asyncs",
  summary: "suspended async functions, by where they wait: the work that is outstanding",
  usage: "[part of a name or file] [--internal] [--limit n]",
  flags: [{ name: "internal", placeholder: "", help: "Node's own too" }, LIMIT],
  example: "asyncs",
  async run(session, args): Promise<Result> {
    const { v8 } = session;
    const chains = new AsyncChainReader(v8.heap, v8.functions);
    const { generatorContinuation, generatorFunction } = v8.layout.stated;
    const byPlace = new Map<string, Waiting>();
    await session.walk((address) => {
      if (!chains.isAsyncGenerator(address)) return;
      if ((v8.heap.smi(address, generatorContinuation) ?? -1) < 0) return;
      const shared = v8.functions.sharedOf(v8.heap.tagged(address, generatorFunction));
      const position = chains.positionOf(address, shared);
      const key = `${shared}:${position}`;
      const known = byPlace.get(key);
      if (known !== undefined) known.count += 1;
      else byPlace.set(key, waitingAt(session, chains, address, shared, position));
    }, args.signal);
    const [part = ""] = args.words;
    const rows = [...byPlace.values()]
      .filter(({ place }) => args.flags["internal"] === true || place?.startsWith("node:") !== true)
      .filter(({ name, place }) => name.includes(part) || place?.includes(part) === true)
      .toSorted((a, b) => b.count - a.count || order(a.place ?? "", b.place ?? ""));
    const limit = limitOf(asyncs, args);
    return {
      kind: "table",
      columns: [
        { name: "count", kind: "count" },
        { name: "function", kind: "text" },
        { name: "waits at", kind: "text" },
        { name: "example", kind: "address" },
        { name: "for it wait", kind: "text" },
      ],
      rows: rows
        .slice(0, limit)
        .map(({ count, name, place, example, chain }) => [count, name, place, example, chain]),
      more: Math.max(0, rows.length - limit),
      remarks: rows.length === 0 ? ["no async function is suspended"] : [],
    };
  },
};

/** By line, where counts are equal: the order of objects in a heap means nothing. */
function order(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}

function waitingAt(
  session: Session,
  chains: AsyncChainReader,
  generator: number,
  shared: number,
  position: number | null,
): Waiting {
  const { functions } = session.v8;
  const waiters = chains.waitersOf(generator).slice(0, WAITERS_SHOWN);
  const names = waiters.map((frame) => {
    const place = placeOf(session, frame.shared, frame.position);
    return `${functions.nameOf(frame.shared) || "(anonymous)"} (${place ?? "?"})`;
  });
  return {
    name: functions.nameOf(shared) || "(anonymous)",
    place: placeOf(session, shared, position),
    count: 1,
    example: generator,
    chain: names.length === 0 ? null : names.join(" < "),
  };
}

function placeOf(
  { v8: { functions } }: Session,
  shared: number,
  position: number | null,
): string | null {
  const script = functions.scriptOf(shared);
  if (script === null) return null;
  const place = position === null ? null : functions.lineColumn(script, position);
  return place === null ? script.name : `${script.name}:${place.line}:${place.column}`;
}

const promises: AutopsyVerb = {
  name: "promises",
  summary: "promises that are pending, and who waits for them",
  usage: "[--all] [--limit n]",
  flags: [{ name: "all", placeholder: "", help: "also those for which nobody waits" }, LIMIT],
  example: "promises",
  async run(session, args): Promise<Result> {
    const { v8, values } = session;
    const chains = new AsyncChainReader(v8.heap, v8.functions);
    const rows: CellValue[][] = [];
    const limit = limitOf(promises, args);
    const counts = { pending: 0, fulfilled: 0, rejected: 0, shown: 0 };
    await session.walk((address) => {
      if (!v8.heap.isOfType(address, "JS_PROMISE_TYPE")) return;
      const { state } = values.promise(address);
      counts[state] += 1;
      if (state !== "pending") return;
      const waiters = chains.waitingFor(address);
      if (waiters.length === 0 && args.flags["all"] !== true) return;
      counts.shown += 1;
      if (rows.length >= limit) return;
      const [first] = waiters;
      const name = first === undefined ? null : v8.functions.nameOf(first.shared) || "(anonymous)";
      const place = first === undefined ? null : placeOf(session, first.shared, first.position);
      rows.push([address, name, place]);
    }, args.signal);
    return {
      kind: "table",
      columns: [
        { name: "address", kind: "address" },
        { name: "awaited by", kind: "text" },
        { name: "at", kind: "text" },
      ],
      rows,
      more: Math.max(0, counts.shown - rows.length),
      remarks: [
        `${counts.pending} pending, ${counts.fulfilled} fulfilled, ${counts.rejected} rejected`,
      ],
    };
  },
};

export const WORK_VERBS: readonly AutopsyVerb[] = [asyncs, promises, requests, modules];
