/**
 * Functions that can be made anew outside of their module, for where V8 does not edit the file:
 * what of the module's they use is known without it.
 *
 * ```
 *   changed function --scopes--> names it takes from outside
 *     its own, globals, require, module, exports, __filename, __dirname   as they are
 *     const name = require("text"), const { a } = require("text")         required again
 *     const name = 7, "text", true, null                                  written again
 *     anything else of the file's                                         refused
 * ```
 * A function that others in the file call by its name is refused: they would go on with the old
 * one.
 */
import type { Node } from "acorn";
import type { RebindText } from "../base/mod.ts";

type Members = Readonly<Record<string, unknown>>;

/** Names that are declared somewhere, and those around them. */
interface Scope {
  readonly names: Set<string>;
  readonly around: Scope | null;
}

/** What a function takes from outside, or cannot be made anew for. */
interface Uses {
  readonly names: Set<string>;
  /** `super`, a private name: what only its own class gives it. */
  readonly ties: Set<string>;
}

/**
 * What makes the function that begins at `start` of the new text anew; a text: why nothing can.
 *
 * @example
 * rebindText(parse("exports.f = () => 2"), "exports.f = () => 2", 12);
 * // { member: null, isStatic: false, code: 'return { "f": () => 2 }["f"];', ... }
 */
export function rebindText(program: Node, text: string, start: number): RebindText | string {
  const found = placeOf(program, start);
  if (found === null) return "it is made by another function, again and again";
  const { node, method } = found;
  const { id } = membersOf(node);
  const isMethod = method !== null;
  const name = isMethod ? keyOf(method) : nameOf(id) || found.name;
  if (name === "") return "it has no name that can be looked for";
  if (
    isMethod &&
    (membersOf(method)["kind"] !== "method" || membersOf(method)["computed"] === true)
  )
    return "it is a getter, a setter or a constructor, or its name is computed";
  const uses = usesOf(node);
  const [tie] = uses.ties;
  if (tie !== undefined) return `it uses ${tie}`;
  const caller = isMethod ? null : callerOf(program, node, name);
  if (caller !== null) return `the file calls it by its name, in line ${lineOf(text, caller)}`;
  const prologue: string[] = [];
  const constants = constantsOf(program, text);
  const declared = namesIn(membersOf(program)["body"]);
  for (const used of uses.names) {
    if (!declared.has(used)) continue;
    const constant = constants.get(used);
    if (constant === undefined) return `it uses ${used}, which only the file itself can reach`;
    if (!prologue.includes(constant)) prologue.push(constant);
  }
  const isStatic = isMethod && membersOf(method)["static"] === true;
  const own = isMethod ? node.start - method.start : 0;
  const code = text.slice(node.start - own, node.end);
  const made = isMethod
    ? `return (class { ${code} })${isStatic ? "" : ".prototype"}`
    : `return { ${JSON.stringify(name)}: ${code} }`;
  const strict = isStrict(program) ? '"use strict"; ' : "";
  return {
    member: isMethod ? name : null,
    isStatic,
    code: `${strict}${prologue.join(" ")} ${made}[${JSON.stringify(name)}];`,
    line: lineOf(text, node.start - own),
  };
}

interface Place {
  readonly node: Node;
  /** What the variable or property is called that holds it. */
  readonly name: string;
  /** The MethodDefinition that it is the function of. */
  readonly method: Node | null;
}

/** The function that begins there, if no other function makes it. */
function placeOf(program: Node, start: number): Place | null {
  const pending: Place[] = [{ node: program, name: "", method: null }];
  for (let place = pending.pop(); place !== undefined; place = pending.pop()) {
    const { node } = place;
    if (isFunction(node)) {
      if (node.start === start) return place;
      continue;
    }
    const { key, id, left, value, init, right } = membersOf(node);
    for (const child of childrenOf(node)) {
      const isHeld = child === value || child === init || child === right;
      const name = isHeld ? lastNameOf(key ?? id ?? left) : "";
      const method = node.type === "MethodDefinition" && child === value ? node : null;
      pending.push({ node: child, name, method });
    }
  }
  return null;
}

/** Where another function of the file has the name; null: none has. */
function callerOf(program: Node, own: Node, name: string): number | null {
  const pending: Node[] = [program];
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    if (!isFunction(node)) pending.push(...childrenOf(node));
    else if (node !== own && usesOf(node).names.has(name)) return node.start;
  }
  return null;
}

/** Names that a function takes from outside of it. */
function usesOf(node: Node): Uses {
  const uses: Uses = { names: new Set(), ties: new Set() };
  look(node, null, uses, node.type !== "ArrowFunctionExpression");
  return uses;
}

/** @param isOwn `this` and `arguments` are the function's own */
function look(node: Node, around: Scope | null, uses: Uses, isOwn: boolean): void {
  const members = membersOf(node);
  const scope = scopeOf(node, members, around);
  switch (node.type) {
    case "Identifier":
      if (!isKnown(nameOf(node), scope)) uses.names.add(nameOf(node));
      return;
    case "ThisExpression":
      if (!isOwn) uses.ties.add("this");
      return;
    case "Super":
    case "PrivateIdentifier":
    case "ImportExpression":
    case "MetaProperty":
    case "WithStatement":
      uses.ties.add(TIES[node.type] ?? "");
      return;
  }
  const { callee } = members;
  if (node.type === "CallExpression" && nameOf(callee) === "eval") uses.ties.add("eval");
  for (const child of childrenOf(node)) {
    const isName = child === members["key"] || child === members["property"];
    if (isName && members["computed"] !== true && child.type === "Identifier") continue;
    if (child === members["label"]) continue;
    const isInner = isFunction(child) && child.type !== "ArrowFunctionExpression";
    look(child, scope, uses, isOwn || isInner || node.type === "ClassBody");
  }
  if (!isOwn && uses.names.has("arguments")) uses.ties.add("arguments");
}

const TIES: Readonly<Partial<Record<string, string>>> = {
  Super: "super",
  PrivateIdentifier: "a private name of its class",
  ImportExpression: "import()",
  MetaProperty: "import.meta or new.target",
  WithStatement: "with",
};

function isKnown(name: string, scope: Scope | null): boolean {
  for (let each = scope; each !== null; each = each.around) if (each.names.has(name)) return true;
  return false;
}

function scopeOf(node: Node, members: Members, around: Scope | null): Scope | null {
  const names = new Set<string>();
  if (isFunction(node)) {
    if (node.type !== "ArrowFunctionExpression") names.add("arguments");
    if (isNode(members["id"])) names.add(nameOf(members["id"]));
    for (const parameter of nodesOf(members["params"])) bound(parameter, names);
    varsIn(members["body"], names);
  } else if (isClass(node) && isNode(members["id"])) names.add(nameOf(members["id"]));
  else if (node.type === "CatchClause" && isNode(members["param"])) bound(members["param"], names);
  else if (node.type === "BlockStatement" || node.type === "StaticBlock")
    for (const name of namesIn(members["body"])) names.add(name);
  else if (node.type === "SwitchStatement")
    for (const each of nodesOf(members["cases"]))
      for (const name of namesIn(membersOf(each)["consequent"])) names.add(name);
  else if (node.type.startsWith("For"))
    for (const name of namesIn([members["init"] ?? members["left"]])) names.add(name);
  return names.size === 0 ? around : { names, around };
}

/** Names that statements declare themselves, without those of blocks in them. */
function namesIn(statements: unknown): Set<string> {
  const names = new Set<string>();
  for (const node of nodesOf(statements)) {
    const { id, declarations } = membersOf(node);
    if (/^(Function|Class)Declaration$/.test(node.type) && isNode(id)) names.add(nameOf(id));
    for (const each of nodesOf(declarations)) {
      const target = membersOf(each)["id"];
      if (isNode(target)) bound(target, names);
    }
  }
  varsIn(statements, names);
  return names;
}

/** `var` is its function's wherever it stands in it. */
function varsIn(value: unknown, names: Set<string>): void {
  for (const node of nodesOf(Array.isArray(value) ? value : [value])) {
    if (isFunction(node)) continue;
    const { kind, declarations } = membersOf(node);
    if (kind === "var") {
      for (const each of nodesOf(declarations)) {
        const target = membersOf(each)["id"];
        if (isNode(target)) bound(target, names);
      }
    }
    varsIn(childrenOf(node), names);
  }
}

/** Names that a pattern binds. */
function bound(pattern: Node, names: Set<string>): void {
  const { type } = pattern;
  const { left, argument, elements, properties, value } = membersOf(pattern);
  if (type === "Identifier") names.add(nameOf(pattern));
  for (const each of [left, argument, type === "Property" ? value : null]) {
    if (isNode(each)) bound(each, names);
  }
  for (const each of [...nodesOf(elements), ...nodesOf(properties)]) bound(each, names);
}

/** Declarations of the file's that mean the same anywhere, by the names that they declare. */
function constantsOf(program: Node, text: string): ReadonlyMap<string, string> {
  const constants = new Map<string, string>();
  for (const node of nodesOf(membersOf(program)["body"])) {
    const { kind, declarations } = membersOf(node);
    if (node.type !== "VariableDeclaration" || kind !== "const") continue;
    for (const each of nodesOf(declarations)) {
      const { id, init } = membersOf(each);
      if (!isNode(id) || !isNode(init)) continue;
      if (!isRequire(init) && !(isPrimitive(init) && id.type === "Identifier")) continue;
      if (!isPlain(id)) continue;
      const names = new Set<string>();
      bound(id, names);
      // on one line, for the lines of the function to be those of the file
      const code = `const ${text.slice(each.start, each.end).replaceAll(/\s+/g, " ")};`;
      if (!/\/[/*]/.test(code)) for (const name of names) constants.set(name, code);
    }
  }
  return constants;
}

function isRequire(node: Node): boolean {
  const { callee, arguments: given } = membersOf(node);
  const [first, ...others] = nodesOf(given);
  const isText = first?.type === "Literal" && typeof membersOf(first)["value"] === "string";
  return (
    node.type === "CallExpression" && nameOf(callee) === "require" && isText && others.length === 0
  );
}

function isPrimitive(node: Node): boolean {
  const { value, regex } = membersOf(node);
  return node.type === "Literal" && regex === undefined && typeof value !== "object";
}

/** A name, or names of members as they are: nothing is evaluated there. */
function isPlain(pattern: Node): boolean {
  if (pattern.type === "Identifier") return true;
  return (
    pattern.type === "ObjectPattern" &&
    nodesOf(membersOf(pattern)["properties"]).every((each) => {
      const { computed, value } = membersOf(each);
      return each.type === "Property" && computed !== true && isNode(value) && isPlain(value);
    })
  );
}

function isStrict(program: Node): boolean {
  return nodesOf(membersOf(program)["body"]).some(
    (each) => membersOf(each)["directive"] === "use strict",
  );
}

function isFunction({ type }: Node): boolean {
  return /^(ArrowFunctionExpression|FunctionExpression|FunctionDeclaration)$/.test(type);
}

function isClass({ type }: Node): boolean {
  return type === "ClassDeclaration" || type === "ClassExpression";
}

function keyOf(method: Node): string {
  return nameOf(membersOf(method)["key"]);
}

/** `b` of `a.b`. */
function lastNameOf(node: unknown): string {
  if (!isNode(node)) return "";
  return node.type === "MemberExpression" ? nameOf(membersOf(node)["property"]) : nameOf(node);
}

function nameOf(node: unknown): string {
  if (!isNode(node) || node.type !== "Identifier") return "";
  return String(membersOf(node)["name"]);
}

/** ESTree, looked at by type. */
function membersOf(node: Node): Members {
  return node as unknown as Members;
}

function childrenOf(node: Node): readonly Node[] {
  return Object.values(membersOf(node)).flatMap((value) =>
    nodesOf(Array.isArray(value) ? value : [value]),
  );
}

function nodesOf(value: unknown): readonly Node[] {
  return Array.isArray(value) ? (value as unknown[]).filter(isNode) : [];
}

function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && "type" in value && "start" in value;
}

function lineOf(text: string, at: number): number {
  return text.slice(0, at).split("\n").length;
}
