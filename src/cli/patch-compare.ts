/**
 * Which functions differ between the file that a worker has loaded and the one on disk, and whether
 * anything else does.
 *
 * ```
 *   text --acorn--> functions within functions --+-- outside of functions differs --> refused
 *                                                +-- inside of one differs ---------> changed
 *                                                +-- kind, name or number differ ---> the outer one
 * ```
 * A function is compared by its tokens without those of the functions in it, so that comments and
 * white space do not count and a change belongs to the innermost function that has it.
 */
import { parse } from "acorn";
import type { Node, Token } from "acorn";
import type { RebindText } from "../base/mod.ts";
import { rebindText } from "./patch-rebind.ts";

export interface ChangedFunction {
  /** `price`, `Pool.query`, or empty. */
  readonly name: string;
  /** In the file on disk, from 1. */
  readonly line: number;
  /** What `Function.prototype.toString` ends with, before and after. */
  readonly before: string;
  readonly after: string;
  /** See PatchedText. */
  readonly rebind: RebindText | string;
}

export type Comparison =
  | {
      readonly refused: null;
      readonly functions: readonly ChangedFunction[];
      /** The old text with the new functions: nothing outside of them differs, not even a blank. */
      readonly merged: string;
    }
  | { readonly refused: string };

interface Part {
  readonly name: string;
  /** `function`, `async arrow`, `get`, ... */
  readonly kind: string;
  readonly start: number;
  readonly end: number;
  readonly inner: Part[];
}

interface Source {
  readonly text: string;
  readonly program: Node;
  readonly tokens: readonly Token[];
  readonly whole: Part;
}

interface Difference {
  readonly before: Part;
  readonly after: Part;
}

const OF_ES_MODULES = "what an ES module exports is written by nobody but itself";

/** A difference that cannot be told as that of a function. */
class Outside extends Error {}

/**
 * See the file's docstring.
 *
 * @example
 * const { merged } = compareSources("f(() => 1)", "f(() => 2) // more", false); // "f(() => 2)"
 */
export function compareSources(before: string, after: string, isModule: boolean): Comparison {
  const old = read(before, isModule);
  if (typeof old === "string") return { refused: `what is loaded cannot be parsed: ${old}` };
  const young = read(after, isModule);
  if (typeof young === "string") return { refused: `it cannot be parsed: ${young}` };
  const differences: Difference[] = [];
  try {
    compare(old, old.whole, young, young.whole, differences);
  } catch (error) {
    if (error instanceof Outside) return { refused: error.message };
    throw error;
  }
  const functions = differences.map(({ before: from, after: to }) => ({
    name: to.name,
    line: lineOf(after, to.start),
    before: before.slice(from.start, from.end),
    after: after.slice(to.start, to.end),
    rebind: isModule ? OF_ES_MODULES : rebindText(young.program, after, to.start),
  }));
  return { refused: null, functions, merged: merge(before, after, differences) };
}

/** Adds what differs in `from`, or throws when that is not inside of a function. */
function compare(old: Source, from: Part, young: Source, to: Part, found: Difference[]): void {
  const [shell, newShell] = [shellOf(old, from), shellOf(young, to)];
  const at = shell.findIndex((token, index) => token.text !== newShell[index]?.text);
  if (at < 0 && shell.length === newShell.length) {
    for (const [index, inner] of from.inner.entries()) {
      const other = to.inner[index];
      if (other !== undefined) compare(old, inner, young, other, found);
    }
    return;
  }
  if (from === old.whole) {
    const place = newShell[at < 0 ? shell.length : at]?.start ?? young.text.length;
    const line = lineOf(young.text, Math.min(place, young.text.length));
    throw new Outside(`code outside of functions differs at line ${line}; it runs once only`);
  }
  found.push({ before: from, after: to });
}

/** The tokens of a part; each function in it is one. */
function shellOf(source: Source, part: Part): readonly { text: string; start: number }[] {
  const shell: { text: string; start: number }[] = [];
  let next = 0;
  for (let index = firstIn(source.tokens, part.start); ; index += 1) {
    const token = source.tokens[index];
    if (token === undefined || token.start >= part.end) return shell;
    const inner = part.inner[next];
    if (inner === undefined || token.start < inner.start) {
      shell.push({ text: source.text.slice(token.start, token.end), start: token.start });
    } else if (token.end >= inner.end) {
      shell.push({ text: `(${inner.kind} ${inner.name})`, start: inner.start });
      next += 1;
    }
  }
}

function firstIn(tokens: readonly Token[], start: number): number {
  let [low, high] = [0, tokens.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((tokens[middle]?.start ?? Infinity) < start) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The parsed text, or why it cannot be parsed. */
function read(text: string, isModule: boolean): Source | string {
  const tokens: Token[] = [];
  try {
    const program = parse(text, {
      ecmaVersion: "latest",
      sourceType: isModule ? "module" : "commonjs",
      allowHashBang: true,
      onToken: tokens,
    });
    const whole: Part = { name: "", kind: "file", start: 0, end: text.length, inner: [] };
    collect(program, "", whole);
    whole.inner.sort((a, b) => a.start - b.start);
    return { text, program, tokens, whole };
  } catch (error) {
    if (error instanceof SyntaxError) return error.message;
    throw error;
  }
}

/** Adds the functions below a node to `outer`. `name`: what the node is called where it stands. */
function collect(node: Node, name: string, outer: Part): void {
  const members = node as unknown as Readonly<Record<string, unknown>>; // ESTree, looked at by type
  const part = partOf(node, members, name);
  if (part !== null) outer.inner.push(part);
  const className = isClass(node) ? nameOf(members["id"]) || name : name;
  for (const value of Object.values(members)) {
    for (const child of Array.isArray(value) ? (value as unknown[]) : [value]) {
      if (!isNode(child)) continue;
      collect(child, calledIn(node, members, child, className), part ?? outer);
    }
  }
  part?.inner.sort((a, b) => a.start - b.start);
}

function partOf(
  node: Node,
  { async, generator, id }: Readonly<Record<string, unknown>>,
  name: string,
): Part | null {
  if (!/^(ArrowFunctionExpression|FunctionExpression|FunctionDeclaration)$/.test(node.type)) {
    return null;
  }
  const what = node.type === "ArrowFunctionExpression" ? "arrow" : "function";
  const kind = `${async === true ? "async " : ""}${what}${generator === true ? "*" : ""}`;
  return { name: nameOf(id) || name, kind, start: node.start, end: node.end, inner: [] };
}

/** What a child is called by its parent: the variable, property or method whose value it is. */
function calledIn(
  { type }: Node,
  members: Readonly<Record<string, unknown>>,
  child: Node,
  className: string,
): string {
  if (type === "ClassBody" || isClassType(type)) return className;
  const key = nameOf(members["key"]);
  if (type === "MethodDefinition" || type === "PropertyDefinition") {
    return members["value"] === child ? [className, key].filter(Boolean).join(".") : "";
  }
  if (type === "Property") return members["value"] === child ? key : "";
  if (type === "VariableDeclarator") return members["init"] === child ? nameOf(members["id"]) : "";
  if (type === "AssignmentExpression") {
    return members["right"] === child ? nameOf(members["left"]) : "";
  }
  return "";
}

/** `a`, `#a`, `a.b`; empty for anything else. */
function nameOf(node: unknown): string {
  if (!isNode(node)) return "";
  const { name, value, object, property } = node as unknown as Readonly<Record<string, unknown>>;
  if (node.type === "Identifier") return String(name);
  if (node.type === "PrivateIdentifier") return `#${String(name)}`;
  if (node.type === "Literal") return String(value);
  if (node.type === "ThisExpression") return "this";
  if (node.type !== "MemberExpression") return "";
  return [nameOf(object), nameOf(property)].filter(Boolean).join(".");
}

function isClass({ type }: Node): boolean {
  return isClassType(type);
}

function isClassType(type: string): boolean {
  return type === "ClassDeclaration" || type === "ClassExpression";
}

function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && "type" in value && "start" in value;
}

function merge(before: string, after: string, differences: readonly Difference[]): string {
  let text = "";
  let end = 0;
  for (const { before: from, after: to } of differences) {
    text += before.slice(end, from.start) + after.slice(to.start, to.end);
    end = from.end;
  }
  return text + before.slice(end);
}

function lineOf(text: string, at: number): number {
  return text.slice(0, at).split("\n").length;
}
