/** From text to a tree. Knows the grammar (syntax.ts) and no names: check.ts knows those. */
import { PROGRAM_CHARS_MAX } from "../base/mod.ts";
import { CLAUSES_MAX, DEPTH_MAX, KEYS_PER_TUPLE_MAX, NODES_MAX, STATEMENTS_MAX } from "./limits.ts";
import { TraceProgramError } from "./errors.ts";
import { Lexer } from "./lexer.ts";
import type { Token } from "./lexer.ts";
import type {
  AggregateCall,
  BinaryOperator,
  Clause,
  Expression,
  Literal,
  ProbeName,
  Program,
  Statement,
} from "./syntax.ts";

/** Weakest first; operators of one row are of one strength and taken from left to right. */
const LEVELS: readonly (readonly string[])[] = [
  ["??"],
  ["||"],
  ["&&"],
  ["==", "!=", "===", "!=="],
  ["<", "<=", ">", ">=", "~"],
  ["+", "-"],
  ["*", "/", "%"],
];

const CONSTANTS: ReadonlyMap<string, Literal> = new Map<string, Literal>([
  ["true", true],
  ["false", false],
  ["null", null],
  ["undefined", undefined],
]);

const CLAUSE_HINT = "A clause is: probe /predicate/ { statements }";
const STATEMENT_HINT =
  'Statements are @name[keys] = count(), self.name = value, printf("...", ...), separated by ;';

/**
 * @throws TraceProgramError ERR_HOLDFAST_TRACE_PROGRAM with the place and a hint
 */
export function parseProgram(source: string): Program {
  if (source.length > PROGRAM_CHARS_MAX) {
    const most = `A program has at most ${PROGRAM_CHARS_MAX} characters.`;
    throw new TraceProgramError(
      source,
      PROGRAM_CHARS_MAX,
      `it has ${source.length} characters`,
      most,
    );
  }
  return new Parser(source).program();
}

class Parser {
  readonly #lexer: Lexer;
  #token: Token | null = null;
  #depth = 0;
  #nodes = 0;
  #statements = 0;
  /** In a predicate a `/` before `{` ends it. */
  #inPredicate = false;

  constructor(source: string) {
    this.#lexer = new Lexer(source);
  }

  program(): Program {
    const clauses: Clause[] = [];
    for (let probe = this.#probe(); probe !== null; probe = this.#probe()) {
      clauses.push(this.#clause(probe));
      if (clauses.length > CLAUSES_MAX) {
        this.#fail(probe.offset, "there are too many clauses", `At most ${CLAUSES_MAX}.`);
      }
    }
    const rest = this.#peek();
    if (rest.kind !== "end" || clauses.length === 0) {
      const what = rest.kind === "end" ? "there is no clause" : `${show(rest)} is no probe`;
      this.#fail(rest.offset, what, `${CLAUSE_HINT}, for example http:done { @ = count() }.`);
    }
    return { source: this.#lexer.source, clauses };
  }

  #probe(): ProbeName | null {
    if (this.#token !== null) {
      this.#lexer.seek(this.#token.offset);
      this.#token = null;
    }
    return this.#lexer.probe();
  }

  #clause(first: ProbeName): Clause {
    const probes = [first];
    while (this.#accept(",")) {
      const probe = this.#probe();
      if (probe === null) {
        this.#fail(this.#peek().offset, "a probe is missing", "Name one behind the comma.");
      }
      probes.push(probe);
    }
    let predicate: Expression | null = null;
    if (this.#accept("/")) {
      this.#inPredicate = true;
      predicate = this.#expression();
      this.#inPredicate = false;
      this.#expect("/", "A predicate ends with / before the {.");
    }
    this.#expect("{", `${CLAUSE_HINT}.`);
    const statements: Statement[] = [];
    while (!this.#accept("}")) {
      if (this.#accept(";")) continue;
      statements.push(this.#statement());
      const token = this.#peek();
      if (token.value !== "}" || token.kind !== "sign") {
        this.#expect(";", "Statements are separated by ; and end with }.");
      }
    }
    return { offset: first.offset, probes, predicate, statements };
  }

  #statement(): Statement {
    this.#statements += 1;
    const token = this.#peek();
    const { offset } = token;
    if (this.#statements > STATEMENTS_MAX) {
      this.#fail(offset, "there are too many statements", `At most ${STATEMENTS_MAX}.`);
    }
    if (token.kind === "sign" && token.value === "@") return this.#aggregate(offset);
    if (token.kind !== "name") this.#fail(offset, `${show(token)} is no statement`, HINT);
    this.#advance();
    const name = token.value;
    if (name === "self" || name === "this") {
      this.#expect(".", `Write ${name}.name = value.`);
      const variable = this.#name(`Write ${name}.name = value.`);
      this.#expect("=", `Write ${name}.${variable} = value.`);
      return { kind: "assign", scope: name, name: variable, value: this.#expression(), offset };
    }
    if (name === "clear" || name === "trunc" || name === "printa") return this.#reset(name, offset);
    if (!this.#accept("(")) this.#fail(offset, `${name} alone is no statement`, HINT);
    return { kind: "action", name, args: this.#args(")"), offset };
  }

  #aggregate(offset: number): Statement {
    this.#expect("@", STATEMENT_HINT);
    const next = this.#peek();
    const name = next.kind === "name" ? this.#name("") : "";
    const keys = this.#accept("[") ? this.#args("]") : [];
    if (keys.length > KEYS_PER_TUPLE_MAX) {
      this.#fail(offset, "there are too many keys", `At most ${KEYS_PER_TUPLE_MAX}.`);
    }
    this.#expect("=", `Write @${name}[key] = count().`);
    return { kind: "aggregate", name, keys, call: this.#aggregateCall(), offset };
  }

  #aggregateCall(): AggregateCall {
    const { offset } = this.#peek();
    const hint = "Aggregations are count() sum avg min max quantize lquantize llquantize uniq.";
    const name = this.#name(hint);
    this.#expect("(", hint);
    return { offset, name, args: this.#args(")") };
  }

  #reset(action: "clear" | "trunc" | "printa", offset: number): Statement {
    const hint = action === "trunc" ? "Write trunc(@name, 10)." : `Write ${action}(@name).`;
    this.#expect("(", hint);
    this.#expect("@", hint);
    const next = this.#peek();
    const name = next.kind === "name" ? this.#name(hint) : "";
    let keep = 0;
    if (action === "trunc") {
      this.#expect(",", hint);
      const token = this.#peek();
      if (token.kind !== "number" || !Number.isSafeInteger(token.value)) {
        this.#fail(token.offset, `${show(token)} is no whole number`, hint);
      }
      this.#advance();
      keep = token.value;
    }
    this.#expect(")", hint);
    return { kind: "reset", action, name, keep, offset };
  }

  /** Expressions up to the closing sign. */
  #args(close: ")" | "]"): readonly Expression[] {
    const outer = this.#inPredicate;
    this.#inPredicate = false;
    const args: Expression[] = [];
    if (!this.#accept(close)) {
      do args.push(this.#expression());
      while (this.#accept(","));
      this.#expect(close, `Close it by ${close}.`);
    }
    this.#inPredicate = outer;
    return args;
  }

  #expression(): Expression {
    return this.#nested(() => {
      const test = this.#binary(0);
      if (!this.#accept("?")) return test;
      const yes = this.#expression();
      this.#expect(":", "A choice is: test ? value : other.");
      const no = this.#expression();
      return this.#node({ kind: "choice", test, yes, no, offset: test.offset });
    });
  }

  #binary(level: number): Expression {
    const operators = LEVELS[level];
    if (operators === undefined) return this.#unary();
    let left = this.#binary(level + 1);
    let chained = 0;
    for (;;) {
      const token = this.#peek();
      if (token.kind !== "sign" || !operators.includes(token.value)) return left;
      if (this.#endsPredicate(token)) return left;
      this.#advance();
      // `a + b + ...` makes a tree that is as deep as it is long
      chained += 1;
      this.#limitDepth(token.offset, this.#depth + chained);
      const right = this.#binary(level + 1);
      const sign = token.value === "===" ? "==" : token.value === "!==" ? "!=" : token.value;
      // one of LEVELS, which has the operators of the type
      const operator = sign as BinaryOperator;
      left = this.#node({ kind: "binary", operator, left, right, offset: token.offset });
    }
  }

  #endsPredicate(token: Token): boolean {
    if (!this.#inPredicate || token.value !== "/") return false;
    this.#lexer.seek(token.end);
    const after = this.#lexer.next();
    this.#lexer.seek(token.end);
    return after.kind === "sign" && after.value === "{";
  }

  #unary(): Expression {
    const token = this.#peek();
    if (token.kind !== "sign" || (token.value !== "!" && token.value !== "-")) {
      return this.#postfix();
    }
    this.#advance();
    const operator = token.value;
    return this.#nested(() => {
      return this.#node({ kind: "unary", operator, operand: this.#unary(), offset: token.offset });
    });
  }

  #postfix(): Expression {
    let object = this.#primary();
    let chained = 0;
    for (;;) {
      const { offset } = this.#peek();
      if (this.#accept(".")) {
        const name = this.#name("A member's name follows the dot.");
        object = this.#node({ kind: "member", object, name, offset });
      } else if (this.#accept("[")) {
        const [index, ...others] = this.#args("]");
        if (index === undefined || others.length > 0) {
          this.#fail(offset, "an index is one value", 'Write args[0] or headers["accept"].');
        }
        object = this.#node({ kind: "index", object, index, offset });
      } else return object;
      chained += 1;
      this.#limitDepth(offset, this.#depth + chained);
    }
  }

  #primary(): Expression {
    const token = this.#peek();
    const { offset } = token;
    const hint = 'A value is a number (250ms, 64KiB), a "text", a variable or a function(...).';
    this.#advance();
    switch (token.kind) {
      case "number":
        return this.#node({ kind: "literal", value: token.value, unit: token.unit, offset });
      case "text":
        return this.#node({ kind: "literal", value: token.value, unit: null, offset });
      case "name":
        return this.#named(token.value, offset);
      case "end":
        return this.#fail(offset, "a value is missing at the end", hint);
      case "sign": {
        if (token.value !== "(") return this.#fail(offset, `${show(token)} is no value`, hint);
        const [value, ...others] = this.#args(")");
        if (value !== undefined && others.length === 0) return value;
        return this.#fail(offset, "brackets hold one value", hint);
      }
    }
  }

  #named(name: string, offset: number): Expression {
    if (CONSTANTS.has(name)) {
      return this.#node({ kind: "literal", value: CONSTANTS.get(name), unit: null, offset });
    }
    if (name === "self" || name === "this") {
      this.#expect(".", `Write ${name}.name.`);
      const variable = this.#name(`Write ${name}.name.`);
      return this.#node({ kind: "local", scope: name, name: variable, offset });
    }
    if (this.#accept("(")) {
      return this.#node({ kind: "call", name, args: this.#args(")"), offset });
    }
    return this.#node({ kind: "variable", name, offset });
  }

  #node(expression: Expression): Expression {
    this.#nodes += 1;
    if (this.#nodes > NODES_MAX) {
      this.#fail(expression.offset, "the program is too large", `At most ${NODES_MAX} values.`);
    }
    return expression;
  }

  #nested(parse: () => Expression): Expression {
    this.#depth += 1;
    this.#limitDepth(this.#peek().offset, this.#depth);
    const result = parse();
    this.#depth -= 1;
    return result;
  }

  #limitDepth(offset: number, depth: number): void {
    if (depth <= DEPTH_MAX) return;
    this.#fail(offset, "this is nested too deeply", `At most ${DEPTH_MAX} levels.`);
  }

  #name(hint: string): string {
    const token = this.#peek();
    if (token.kind !== "name") this.#fail(token.offset, `${show(token)} is no name`, hint);
    this.#advance();
    return token.value;
  }

  #accept(sign: string): boolean {
    const token = this.#peek();
    if (token.kind !== "sign" || token.value !== sign) return false;
    this.#advance();
    return true;
  }

  #expect(sign: string, hint: string): void {
    if (this.#accept(sign)) return;
    const token = this.#peek();
    this.#fail(token.offset, `${sign} is missing before ${show(token)}`, hint);
  }

  #peek(): Token {
    this.#token ??= this.#lexer.next();
    return this.#token;
  }

  #advance(): void {
    const token = this.#peek();
    this.#token = null;
    this.#lexer.seek(token.end);
  }

  #fail(offset: number, problem: string, hint: string): never {
    return this.#lexer.fail(offset, problem, hint);
  }
}

const HINT = `${STATEMENT_HINT}.`;

function show(token: Token): string {
  if (token.kind === "end") return "the end";
  if (token.kind === "text") return JSON.stringify(token.value.slice(0, 20));
  return String(token.value).slice(0, 20);
}
