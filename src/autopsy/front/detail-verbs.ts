/** Verbs that look at one thing closely: frames, members of an object, source, code by address. */
import { hex, renderValue } from "../heap/render.ts";
import type { Described } from "../heap/describe.ts";
import type { StackFrame, ValueText } from "../stack/mod.ts";
import { addressedCode, readableName } from "../stack/mod.ts";
import { CLEARED } from "../v8/tagged.ts";
import type { CellValue, Result } from "./result.ts";
import type { Session } from "./session.ts";
import { LIMIT, addressesFrom, limitOf, misuse } from "./verb.ts";
import type { AutopsyVerb } from "./verb.ts";

const MEMBERS_MAX = 1_000_000;
const CHARS_MAX = 200;
/** Lines of one function. */
const SOURCE_LINES_MAX = 200;

const frames: AutopsyVerb = {
  name: "frames",
  summary: "frames by number, a row for each value: this, arguments, variables",
  usage: "[part of a function's name] [--limit n]",
  flags: [LIMIT],
  example: "frames onRequest | print",
  run(session, args): Result {
    const [part = ""] = args.words;
    const rows: CellValue[][] = [];
    for (const { tid, frames: all } of session.stacks.threads) {
      for (const [index, frame] of all.entries()) {
        if (frame.kind !== "javascript" || !frame.name.includes(part)) continue;
        const place = placeOf(frame);
        const values = valuesOf(frame);
        if (values.length === 0) rows.push([`${tid}`, index, frame.name, place, null, null, null]);
        for (const { name, text, address } of values)
          rows.push([`${tid}`, index, frame.name, place, name, text, address]);
      }
    }
    const limit = limitOf(frames, args);
    return {
      kind: "table",
      columns: [
        { name: "thread", kind: "text" },
        { name: "frame", kind: "count" },
        { name: "function", kind: "text" },
        { name: "place", kind: "text" },
        { name: "name", kind: "text" },
        { name: "value", kind: "text" },
        { name: "address", kind: "address" },
      ],
      rows: rows.slice(0, limit),
      more: Math.max(0, rows.length - limit),
      remarks: [],
    };
  },
};

function valuesOf(frame: StackFrame): readonly ValueText[] {
  const { receiver, parameters, variables } = frame;
  const own = receiver === null || receiver.text === "undefined" ? [] : [receiver];
  const named = new Set(parameters.map(({ name }) => name));
  return [...own, ...parameters, ...variables.filter(({ name }) => !named.has(name))];
}

function placeOf({ original, location }: StackFrame): string | null {
  const shown = original ?? location;
  return shown === null ? null : `${shown.file}:${shown.line}:${shown.column}`;
}

const members: AutopsyVerb = {
  name: "members",
  summary: "what is in an object or a collection, one a row",
  usage: "<address>... [--limit n]",
  flags: [LIMIT],
  example: "find Map --limit 1 | members",
  run(session, args): Result {
    const rows: CellValue[][] = [];
    let more = 0;
    const limit = Math.min(limitOf(members, args), MEMBERS_MAX);
    for (const address of addressesFrom(members, args)) {
      const value = session.describer.describe(address, {
        depth: 0,
        members: Math.max(0, limit - rows.length),
        chars: CHARS_MAX,
      });
      if (value.kind !== "object") {
        rows.push([hex(address), null, line(value), null]);
        continue;
      }
      more += value.more;
      for (const [index, { name, key, value: inner }] of value.members.entries()) {
        const label = key === null ? (name ?? `[${index}]`) : line(key);
        rows.push([hex(address), label, line(inner), addressOf(inner)]);
      }
    }
    return {
      kind: "table",
      columns: [
        { name: "of", kind: "text" },
        { name: "member", kind: "text" },
        { name: "value", kind: "text" },
        { name: "address", kind: "address" },
      ],
      rows,
      more,
      remarks: [],
    };
  },
};

function line(value: Described): string {
  const text = value.kind === "reference" ? value.name : renderValue(value);
  const short = text.replaceAll(/\s+/g, " ");
  return short.length > CHARS_MAX ? `${short.slice(0, CHARS_MAX)}...` : short;
}

function addressOf(value: Described): number | null {
  return value.kind === "reference" || value.kind === "object" ? value.address : null;
}

const source: AutopsyVerb = {
  name: "source",
  summary: "the source of functions, as the process has it",
  usage: "<address>...",
  flags: [],
  example: "closures pickBetween | source",
  run(session, args): Result {
    const wanted = addressesFrom(source, args);
    const texts = wanted.map((address) => sourceOf(session, address));
    const text = texts
      .map(({ name, place, lines }) => [`${name} (${place})`, ...lines].join("\n"))
      .join("\n\n");
    return { kind: "text", text, json: texts, addresses: wanted };
  },
};

interface SourceText {
  readonly name: string;
  readonly place: string;
  readonly lines: readonly string[];
}

function sourceOf({ v8: { functions }, describer }: Session, address: number): SourceText {
  const shared = functions.sharedOf(address);
  if (shared === CLEARED) throw misuse(source, `there is no function at ${hex(address)}`);
  const name = functions.nameOf(shared) || "(anonymous)";
  const script = functions.scriptOf(shared);
  const range = functions.rangeOf(shared);
  const place = describer.placeOf(address) ?? "no place";
  if (script === null || script.source === null || range === null)
    return { name, place, lines: ["  its source is not there (a function of V8 or C++)"] };
  const first = functions.lineColumn(script, range.start)?.line ?? 1;
  // from the beginning of its first line: what it is called stands before its parameters
  const from = script.source.lastIndexOf("\n", range.start) + 1;
  const all = script.source.slice(from, range.end).split("\n");
  const lines = all
    .slice(0, SOURCE_LINES_MAX)
    .map((each, index) => `${String(first + index).padStart(6)}  ${each}`);
  if (all.length > SOURCE_LINES_MAX) lines.push(`  ... ${all.length - SOURCE_LINES_MAX} more`);
  return { name, place, lines };
}

const code: AutopsyVerb = {
  name: "code",
  summary: "which function an address of machine code belongs to",
  usage: "<address>...",
  flags: [],
  example: "code 0x9c5f1a",
  run(session, args): Result {
    const wanted = exactAddresses(args.words);
    const found = addressedCode(session.v8, wanted);
    return {
      kind: "table",
      columns: [
        { name: "pc", kind: "text" },
        { name: "kind", kind: "text" },
        { name: "function", kind: "text" },
        { name: "place", kind: "text" },
      ],
      rows: found.map(({ pc, kind, name, place }) => [
        hex(pc),
        kind,
        kind === "native" ? readableName(name) : name,
        place,
      ]),
      more: 0,
      remarks: [],
    };
  },
};

/** Machine code is at any address, not at a multiple of eight. */
function exactAddresses(words: readonly string[]): readonly number[] {
  if (words.length === 0) throw misuse(code, "give an address, such as 0x9c5f1a");
  return words.map((word) => {
    const match = /^(?:0x)?([0-9a-f]{4,16})$/i.exec(word);
    if (match?.[1] !== undefined) return Number.parseInt(match[1], 16);
    throw misuse(code, `${JSON.stringify(word)} is no address, such as 0x9c5f1a`);
  });
}

export const DETAIL_VERBS: readonly AutopsyVerb[] = [frames, members, source, code];
