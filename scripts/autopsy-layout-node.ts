/** Constants of Node's own C++: what it keeps beside the objects of V8. */
import { wrappedObject } from "../src/autopsy/graph/http-parser.ts";
import type { Found, Search } from "./autopsy-layout-scene.ts";

/** Node 26 keeps the names and values of headers in it. */
const PARSER_BYTES = 12_288;

export function nodeObjects(search: Search) {
  const { heap } = search;
  const parsers = ["parserFirst", "parserSecond"].map((name) => {
    const [, from, to] = /(\d+) to (\d+)/u.exec(search.textOf(name)) ?? [];
    return { wrap: wrapOf(search, name), from: BigInt(from ?? 0), to: BigInt(to ?? 0) };
  });
  const idle = wrapOf(search, "parserIdle");
  const offset = search.one(
    "start of a message",
    (at) =>
      heap.bigWord(idle, at) === 0n &&
      parsers.every(({ wrap, from, to }) => {
        const start = heap.bigWord(wrap, at);
        return start >= from && start <= to;
      }),
    8,
    8,
    PARSER_BYTES,
  );
  return {
    parserMessageStart: [
      offset,
      "search: two parsers that were given half a request at times known, one a whole one",
    ],
  } satisfies Partial<Found>;
}

function wrapOf(search: Search, name: string): number {
  const wrap = wrappedObject(search.heap, search.at(name));
  if (wrap === null) throw new Error(`${name} has no object of C++`);
  return wrap;
}
