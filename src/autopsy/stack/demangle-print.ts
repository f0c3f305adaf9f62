/**
 * The parts of a mangled C++ name, and how they are written. A declarator is written around its
 * name, as C has it: what stands left of it, then what stands right.
 *
 * ```
 *   pointer to (array of 3 int)     left "int (*"   right ") [3]"
 * ```
 */

export type Part =
  | { readonly kind: "text"; readonly text: string; readonly last?: string }
  | { readonly kind: "nested"; readonly scope: Part; readonly name: Part }
  | { readonly kind: "template"; readonly name: Part; readonly args: readonly Part[] }
  | { readonly kind: "structor"; readonly of: Part; readonly isDestructor: boolean }
  | { readonly kind: "prefix"; readonly text: string; readonly part: Part }
  | { readonly kind: "suffix"; readonly part: Part; readonly text: string }
  | { readonly kind: "conversion"; readonly type: Part }
  | { readonly kind: "sequence"; readonly parts: readonly Part[] }
  | { readonly kind: "list"; readonly items: readonly Part[] }
  | { readonly kind: "qualified"; readonly type: Part; readonly text: string }
  | { readonly kind: "pointer"; readonly type: Part; readonly text: "*" | "&" | "&&" }
  | { readonly kind: "member"; readonly of: Part; readonly type: Part }
  | { readonly kind: "array"; readonly type: Part; readonly size: Part | null }
  | {
      readonly kind: "function";
      /** Null: not said, as of constructors and of what is no template. */
      readonly result: Part | null;
      /** Null: it is a type, not a function. */
      readonly name: Part | null;
      readonly params: readonly Part[];
      readonly suffix: string;
      /** Of the template that it is; null or absent: it is none. */
      readonly args?: readonly Part[] | null;
    }
  | { readonly kind: "lambda"; readonly params: readonly Part[]; readonly text: string }
  /** A parameter of the template around it: its argument, or `auto` where that is a lambda. */
  | { readonly kind: "param"; readonly index: number }
  /** What a parameter or an item of a pack stands for: it means nothing of where it stands. */
  | { readonly kind: "given"; readonly part: Part; readonly scope: Scope | null }
  | { readonly kind: "pack"; readonly items: readonly Part[] }
  | { readonly kind: "expansion"; readonly of: Part };

/** Arguments of the templates around a part, the innermost first. */
interface Scope {
  readonly args: readonly Part[];
  readonly outer: Scope | null;
}

/** Names in the node binary have up to 4,000 characters. */
const CHARS_MAX = 32_768;
const STEPS_MAX = 100_000;
const DEPTH_MAX = 400;

/** Thrown and caught in demangle.ts only: it is no name that we can write. */
export class NotAName extends Error {
  constructor() {
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = 0;
    super("not a mangled name");
    Error.stackTraceLimit = limit;
    this.name = "NotAName";
  }
}

/** Writes one name. @throws NotAName when it is beyond all measure. */
export class Printer {
  #text = "";
  #steps = 0;
  #depth = 0;
  /** Which item of packs is meant, while an expansion is written. */
  #packIndex: number | null = null;
  #scope: Scope | null = null;
  #isInLambda = false;

  print(part: Part): string {
    this.#whole(part);
    return this.#text;
  }

  #add(text: string): void {
    this.#text += text;
    if (this.#text.length > CHARS_MAX) throw new NotAName();
  }

  #whole(part: Part): void {
    this.#left(part);
    this.#right(part);
  }

  #enter(): void {
    this.#steps += 1;
    this.#depth += 1;
    if (this.#steps > STEPS_MAX || this.#depth > DEPTH_MAX) throw new NotAName();
  }

  #left(part: Part): void {
    this.#enter();
    this.#leftOf(this.#resolved(part));
    this.#depth -= 1;
  }

  #right(part: Part): void {
    this.#enter();
    this.#rightOf(this.#resolved(part));
    this.#depth -= 1;
  }

  /** What a parameter, or an item of a pack, stands for. */
  #resolved(part: Part): Part {
    let current = part;
    for (let count = 0; count < DEPTH_MAX; count += 1) {
      if (current.kind === "pack" && this.#packIndex !== null) {
        const item: Part | undefined = current.items[this.#packIndex];
        if (item === undefined) throw new NotAName();
        return { kind: "given", part: item, scope: this.#scope };
      }
      if (current.kind !== "param" || this.#isInLambda) return current;
      const found: Part | undefined = this.#scope?.args[current.index];
      if (found === undefined) throw new NotAName();
      if (found.kind !== "pack") {
        return { kind: "given", part: found, scope: this.#scope?.outer ?? null };
      }
      current = found;
    }
    throw new NotAName();
  }

  /** Writes what is meant elsewhere as it is meant there. */
  #elsewhere(scope: Scope | null, write: () => void): void {
    const [outerScope, outerIndex] = [this.#scope, this.#packIndex];
    this.#scope = scope;
    this.#packIndex = null;
    write();
    this.#scope = outerScope;
    this.#packIndex = outerIndex;
  }

  #leftOf(part: Part): void {
    switch (part.kind) {
      case "text":
        return this.#add(part.text);
      case "nested":
        this.#whole(part.scope);
        this.#add("::");
        return this.#whole(part.name);
      case "template":
        return this.#template(part.name, part.args);
      case "structor":
        this.#add(part.isDestructor ? "~" : "");
        return this.#lastName(part.of);
      case "prefix":
        this.#add(part.text);
        return this.#whole(part.part);
      case "suffix":
        this.#whole(part.part);
        return this.#add(part.text);
      case "conversion":
        this.#add("operator ");
        return this.#whole(part.type);
      case "sequence":
        for (const each of part.parts) this.#whole(each);
        return;
      case "list":
        this.#list(part.items);
        return;
      case "qualified":
        return this.#leftQualified(part.type, part.text);
      case "pointer":
        return this.#leftPointer(part);
      case "member":
        this.#left(part.type);
        this.#add(this.#isDeclarator(part.type) ? "(" : " ");
        this.#whole(part.of);
        return this.#add("::*");
      case "array":
        return this.#left(part.type);
      case "function":
        return this.#leftFunction(part);
      case "pack":
        this.#list(part.items);
        return;
      case "expansion":
        return this.#expansion(part.of);
      case "lambda":
        return this.#lambda(part);
      case "param":
        return this.#add(`auto:${part.index + 1}`);
      case "given":
        return this.#elsewhere(part.scope, () => this.#left(part.part));
    }
  }

  #rightOf(part: Part): void {
    switch (part.kind) {
      case "qualified":
        return this.#right(part.type);
      case "given":
        return this.#elsewhere(part.scope, () => this.#right(part.part));
      case "pointer": {
        const { type } = this.#merged(part);
        if (this.#isDeclarator(type)) this.#add(")");
        return this.#right(type);
      }
      case "member":
        if (this.#isDeclarator(part.type)) this.#add(")");
        return this.#right(part.type);
      case "array":
        if (!this.#text.endsWith("]")) this.#add(" ");
        this.#add("[");
        if (part.size !== null) this.#whole(part.size);
        this.#add("]");
        return this.#right(part.type);
      case "function":
        return this.#rightFunction(part);
      default:
    }
  }

  #template(name: Part, args: readonly Part[]): void {
    this.#whole(name);
    if (this.#text.endsWith("<")) this.#add(" "); // operator< <int>
    this.#add("<");
    const isCut = this.#list(args);
    // c++filt leaves the blank out where an empty pack was last
    if (this.#text.endsWith(">") && !isCut) this.#add(" ");
    this.#add(">");
  }

  /**
   * Separated by commas; packs and expansions that are empty have none.
   * @returns whether the last one was such
   */
  #list(items: readonly Part[]): boolean {
    let isFirst = true;
    let isCut = false;
    for (const item of items) {
      const before = this.#text;
      if (!isFirst) this.#add(", ");
      const start = this.#text.length;
      this.#whole(item);
      isCut = this.#text.length === start;
      if (isCut) this.#text = before;
      else isFirst = false;
      isCut &&= !isFirst;
    }
    return isCut;
  }

  #expansion(of: Part): void {
    const size = this.#packSize(of, 0);
    if (size === null) {
      this.#whole(of);
      return this.#add("...");
    }
    const outer = this.#packIndex;
    for (let index = 0; index < size; index += 1) {
      if (index > 0) this.#add(", ");
      this.#packIndex = index;
      this.#whole(of);
    }
    this.#packIndex = outer;
  }

  #leftQualified(type: Part, text: string): void {
    const given = this.#resolved(type);
    const inner = given.kind === "given" ? given.part : given;
    // const is not said twice
    if (inner.kind === "qualified" && inner.text === text) return this.#left(given);
    this.#left(type);
    this.#add(text);
  }

  #leftPointer(part: Pointer): void {
    const { type, text } = this.#merged(part);
    this.#left(type);
    if (this.#isDeclarator(type)) this.#add(this.#isArray(type) ? " (" : "(");
    this.#add(text);
  }

  /** A reference to a reference is one: `&` if either is. */
  #merged(part: Pointer): Pointer {
    if (part.text === "*") return part;
    let target = this.#resolved(part.type);
    let scope: Scope | null | undefined;
    while (target.kind === "given") {
      ({ scope } = target);
      target = target.part;
    }
    if (target.kind !== "pointer" || target.text === "*") return part;
    const { type, text } = target;
    const inner: Part = scope === undefined ? type : { kind: "given", part: type, scope };
    return { kind: "pointer", type: inner, text: part.text === "&" ? "&" : text };
  }

  #lambda({ params, text }: Extract<Part, { kind: "lambda" }>): void {
    const outer = this.#isInLambda;
    this.#isInLambda = true;
    this.#add("{lambda(");
    this.#params(params);
    this.#add(`)${text}`);
    this.#isInLambda = outer;
  }

  #params(params: readonly Part[]): void {
    const [only] = params;
    const isNone = params.length === 1 && only?.kind === "text" && only.text === "void";
    if (!isNone) this.#list(params);
  }

  #leftFunction({ result, name, args }: Extract<Part, { kind: "function" }>): void {
    const outer = this.#scope;
    if (args) this.#scope = { args, outer };
    if (result !== null) {
      this.#left(result);
      if (!endsDeclarator(this.#text)) this.#add(" ");
    }
    if (name !== null) this.#whole(name);
    this.#scope = outer;
  }

  #rightFunction(part: Extract<Part, { kind: "function" }>): void {
    const { result, params, suffix, args } = part;
    const outer = this.#scope;
    if (args) this.#scope = { args, outer };
    this.#add("(");
    this.#params(params);
    this.#add(`)${suffix}`);
    if (result !== null) this.#right(result);
    this.#scope = outer;
  }

  /** The name of a class without its scope and arguments: that of its constructor. */
  #lastName(part: Part): void {
    const base = this.#resolved(part);
    if (base.kind === "nested") return this.#lastName(base.name);
    if (base.kind === "template") return this.#lastName(base.name);
    if (base.kind === "text") return this.#add(base.last ?? base.text);
    this.#whole(base);
  }

  /** Through what is only in between: `const`, an argument. */
  #bare(part: Part): Part {
    let current = this.#resolved(part);
    let isElsewhere = false;
    for (let count = 0; count < DEPTH_MAX; count += 1) {
      if (current.kind === "qualified") current = current.type;
      else if (current.kind === "given") {
        current = current.part;
        isElsewhere = true;
      } else if (current.kind === "param" && !isElsewhere) {
        const next = this.#resolved(current);
        if (next === current) break;
        current = next;
      } else break;
    }
    return current;
  }

  #isDeclarator(part: Part): boolean {
    return this.#isArray(part) || this.#bare(part).kind === "function";
  }

  #isArray(part: Part): boolean {
    return this.#bare(part).kind === "array";
  }

  /** How many items the first pack in it has; null: there is none. */
  #packSize(part: Part, depth: number): number | null {
    if (depth > DEPTH_MAX) throw new NotAName();
    this.#steps += 1;
    if (this.#steps > STEPS_MAX) throw new NotAName();
    if (part.kind === "pack") return part.items.length;
    if (part.kind === "param") {
      const found = this.#isInLambda ? undefined : this.#scope?.args[part.index];
      return found?.kind === "pack" ? found.items.length : null;
    }
    for (const inner of innerParts(part)) {
      const size = this.#packSize(inner, depth + 1);
      if (size !== null) return size;
    }
    return null;
  }
}

/** Behind `(*` of a pointer to a function there is no blank. */
function endsDeclarator(written: string): boolean {
  return written.endsWith("(") || /\((?:[*&]+)$/u.test(written.slice(-4));
}

type Pointer = Extract<Part, { kind: "pointer" }>;

/** Where a pack may be that an expansion repeats. */
function innerParts(part: Part): readonly Part[] {
  switch (part.kind) {
    case "nested":
      return [part.scope, part.name];
    case "template":
      return [part.name, ...part.args];
    case "structor":
      return [part.of];
    case "prefix":
    case "suffix":
      return [part.part];
    case "conversion":
    case "qualified":
    case "pointer":
      return [part.type];
    case "sequence":
      return part.parts;
    case "list":
      return part.items;
    case "member":
      return [part.of, part.type];
    case "array":
      return [part.type, ...(part.size === null ? [] : [part.size])];
    case "function":
      return [part.result, part.name].filter((each) => each !== null).concat(part.params);
    default:
      return [];
  }
}
