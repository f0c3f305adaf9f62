/** Verbs about who holds what: `refs` and `why`. */
import type { Holder } from "../graph/holders.ts";
import { findWhy } from "../graph/why.ts";
import type { WhyPath } from "../graph/why.ts";
import { hex } from "../heap/render.ts";
import type { CellValue, Result } from "./result.ts";
import type { Session } from "./session.ts";
import { LIMIT, addressesFrom, limitOf, misuse } from "./verb.ts";
import type { AutopsyVerb, VerbArgs } from "./verb.ts";

/** Stores within stores: entries of a table of an object. */
const STORE_STEPS_MAX = 3;
const HOLDERS_MAX = 1_000_000;

/** An object that is asked about, by the store that it is in. */
interface Held {
  readonly object: number;
  readonly isWeak: boolean;
}

const refs: AutopsyVerb = {
  name: "refs",
  summary: "who refers to an object, and by what",
  usage: "<address>... [--limit n]",
  flags: [LIMIT],
  example: "find Session --limit 1 | refs",
  async run(session, args): Promise<Result> {
    const wanted = objectsFrom(session, refs, args);
    const limit = limitOf(refs, args);
    const rows: CellValue[][] = [];
    let step: ReadonlyMap<number, readonly Held[]> = new Map(
      wanted.map((object) => [object, [{ object, isWeak: false }]]),
    );
    let total = 0;
    for (let count = 0; count < STORE_STEPS_MAX && step.size > 0; count += 1) {
      const found = await holdersOf(session, new Set(step.keys()), args.signal);
      const stores = new Map<number, Held[]>();
      for (const { from, to, isWeak } of found) {
        // weak is what is so anywhere on the way: the key of a weak map, in its table
        const held = (step.get(to) ?? []).map((one) => {
          return { object: one.object, isWeak: one.isWeak || isWeak };
        });
        if (session.edges.isStore(from) && stores.size < HOLDERS_MAX) {
          const others = stores.get(from);
          if (others === undefined) stores.set(from, held);
          else for (const one of held) others.push(one);
        } else if (count === 0 || session.edges.owns(from, to)) {
          total += held.length;
          for (const one of held.slice(0, limit - rows.length)) {
            rows.push(rowOf(session, from, one));
          }
        }
      }
      step = stores;
    }
    return {
      kind: "table",
      columns: [
        { name: "from", kind: "address" },
        { name: "class", kind: "text" },
        { name: "by", kind: "text" },
        { name: "strength", kind: "text" },
        { name: "to", kind: "address" },
      ],
      rows,
      more: Math.max(0, total - rows.length),
      remarks: total === 0 ? ["no object of the program refers to it"] : [],
    };
  },
};

function rowOf(session: Session, from: number, { object, isWeak }: Held): CellValue[] {
  const name = session.edges.name(from, object);
  const strength = isWeak ? "weak" : "strong";
  return [from, session.describer.nameOf(from), name, strength, object];
}

async function holdersOf(
  session: Session,
  wanted: ReadonlySet<number>,
  signal: AbortSignal | undefined,
): Promise<readonly Holder[]> {
  const found: Holder[] = [];
  const seen = new Set<string>();
  const steps = session.holders.find(wanted, (holder) => {
    const key = `${holder.from}:${holder.to}`;
    if (seen.has(key) || found.length >= HOLDERS_MAX) return;
    seen.add(key);
    found.push(holder);
  });
  await session.run("holders", withoutResult(steps), signal);
  return found;
}

function* withoutResult(steps: Generator): Generator<unknown, void> {
  yield* steps;
}

const why: AutopsyVerb = {
  name: "why",
  summary: "why an object is alive: the shortest path from a root",
  usage: "<address>",
  flags: [],
  example: "find Session --limit 1 | why",
  async run(session, args): Promise<Result> {
    const [address = 0, ...others] = objectsFrom(session, why, args);
    const { target, heap, holders } = session;
    const path = await session.run(
      "why",
      findWhy(target, heap, holders, address, session.v8.isolates),
      args.signal,
    );
    const steps = stepsOf(session, path);
    const lines = steps.map(({ edge, name, at }, index) => {
      return `${"  ".repeat(index)}${edge}${index === 0 ? "" : " -> "}${name} @${hex(at)}`;
    });
    const note = others.length === 0 ? [] : [`of ${others.length + 1} objects, the first`];
    const text = [rootText(path), ...lines, ...note].join("\n");
    const { root, areRootsExact, isGivenUp } = path;
    const json = {
      root,
      areRootsExact,
      isGivenUp,
      path: steps.map((each) => ({ ...each, at: hex(each.at) })),
    };
    return { kind: "text", text, json, addresses: steps.map(({ at }) => at) };
  },
};

/** @throws HoldfastError ERR_HOLDFAST_USAGE where there is no object: who holds it says nothing. */
function objectsFrom(
  { heap }: Session,
  verb: { readonly name: string },
  args: VerbArgs,
): readonly number[] {
  const wanted = addressesFrom(verb, args);
  const none = wanted.find((address) => heap.view.instanceTypeOf(address) < 0);
  if (none !== undefined) throw misuse(verb, `there is no object at ${hex(none)}`);
  return wanted;
}

interface Step {
  /** How the object before refers to this one. */
  readonly edge: string;
  readonly name: string;
  readonly at: number;
}

/** The path without the stores between an object and what it holds. */
function stepsOf({ edges, describer }: Session, { nodes }: WhyPath): readonly Step[] {
  const last = nodes.length - 1;
  const shown = nodes.filter(
    (node, index) => index === 0 || index === last || !edges.isStore(node),
  );
  return shown.map((at, index) => {
    const before = shown[index - 1];
    const edge = before === undefined ? "" : (edges.name(before, at) ?? " (internally)");
    return { edge, name: describer.nameOf(at), at };
  });
}

function rootText({ root, nodes, areRootsExact, isGivenUp }: WhyPath): string {
  if (isGivenUp && root === null)
    return "not found: millions of objects hold it from afar, and none of the first is a root";
  switch (root) {
    case "global":
      return "held by the global object or a top-level scope:";
    case "native":
      if (areRootsExact) return "held by a handle of native code, by the stack, or by V8 itself:";
      return nodes.length === 1
        ? "nothing in the heap holds it; native code or the stack does, or did:"
        : "held by native code or the stack, perhaps no longer (no path from a global was found):";
    case null:
      return "nothing holds it: it is garbage that has not been collected yet";
  }
}

export const HOLDER_VERBS: readonly AutopsyVerb[] = [refs, why];
