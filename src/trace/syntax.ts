/**
 * The tree that the parser makes of a program. Offsets are into the source.
 *
 * ```
 *   program   := clause+
 *   clause    := probe {"," probe} ["/" expr "/"] "{" [stmt {";" stmt} [";"]] "}"
 *   probe     := begin | end | tick:1s | profile:97hz | provider:point     (see vocabulary.ts)
 *   stmt      := "@"[name] ["[" expr {"," expr} "]"] "=" aggregate
 *              | "self." name "=" expr | "this." name "=" expr
 *              | action "(" [expr {"," expr}] ")"
 *              | clear "(" @name ")" | trunc "(" @name "," n ")" | printa "(" @name ")"
 *   aggregate := count() | sum avg min max quantize llquantize uniq "(" expr ")"
 *              | lquantize "(" expr "," low "," high "," step ")"
 *   expr      := expr "?" expr ":" expr | expr binary expr | unary expr | postfix
 *   binary    := ?? || && == != === !== < <= > >= ~ + - * / %          ~ means "contains"
 *   postfix   := primary {"." name | "[" expr "]"}
 *   primary   := number [unit] | "text" | true | false | null | undefined | variable
 *              | function "(" ... ")" | "(" expr ")" | self.name | this.name
 *   unit      := ns us ms s m h | B kB KiB MB MiB GB GiB
 * ```
 * There are no loops, no jumps and no functions of one's own: a firing costs at most what the
 * program is long. Comments are `# ...` to the end of a line, and C's.
 */

export type BinaryOperator =
  | "??"
  | "||"
  | "&&"
  | "=="
  | "!="
  | "<"
  | "<="
  | ">"
  | ">="
  | "~"
  | "+"
  | "-"
  | "*"
  | "/"
  | "%";

/** What a number counts, as far as it is known: it is printed with that. */
export type Unit = "ms" | "bytes";

export type Expression = { readonly offset: number } & (
  | { readonly kind: "literal"; readonly value: Literal; readonly unit: Unit | null }
  | { readonly kind: "variable"; readonly name: string }
  | { readonly kind: "local"; readonly scope: "self" | "this"; readonly name: string }
  | { readonly kind: "member"; readonly object: Expression; readonly name: string }
  | { readonly kind: "index"; readonly object: Expression; readonly index: Expression }
  | { readonly kind: "call"; readonly name: string; readonly args: readonly Expression[] }
  | { readonly kind: "unary"; readonly operator: "!" | "-"; readonly operand: Expression }
  | {
      readonly kind: "binary";
      readonly operator: BinaryOperator;
      readonly left: Expression;
      readonly right: Expression;
    }
  | {
      readonly kind: "choice";
      readonly test: Expression;
      readonly yes: Expression;
      readonly no: Expression;
    }
);

export type Literal = string | number | boolean | null | undefined;

export interface AggregateCall {
  readonly offset: number;
  readonly name: string;
  readonly args: readonly Expression[];
}

export type Statement = { readonly offset: number } & (
  | {
      readonly kind: "aggregate";
      readonly name: string;
      readonly keys: readonly Expression[];
      readonly call: AggregateCall;
    }
  | {
      readonly kind: "assign";
      readonly scope: "self" | "this";
      readonly name: string;
      readonly value: Expression;
    }
  | { readonly kind: "action"; readonly name: string; readonly args: readonly Expression[] }
  | {
      readonly kind: "reset";
      readonly action: "clear" | "trunc" | "printa";
      readonly name: string;
      readonly keep: number;
    }
);

/** As written, e.g. `http:done`; what it names is looked up later. */
export interface ProbeName {
  readonly offset: number;
  readonly text: string;
}

export interface Clause {
  readonly offset: number;
  readonly probes: readonly ProbeName[];
  readonly predicate: Expression | null;
  readonly statements: readonly Statement[];
}

export interface Program {
  readonly source: string;
  readonly clauses: readonly Clause[];
}
