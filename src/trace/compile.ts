/**
 * From the tree to functions. Names are resolved here, once for each probe of a clause, so that a
 * firing looks nothing up. A program becomes closures over each other and no generated source: it
 * works where code generation is forbidden, and a program cannot say anything that is not here.
 *
 * ```
 *   source --parse--> tree --compile--> { aggregations, clauses: [{ probe, needs, run }] }
 *                                                        run(firing): predicate, then statements
 * ```
 */
import { didYouMean } from "../base/mod.ts";
import type { AggregationShape } from "./aggregation.ts";
import { keyId } from "./aggregation.ts";
import { TraceProgramError } from "./errors.ts";
import { compileExpression, needRequest, unitOf } from "./expressions.ts";
import type { Evaluate, Scope } from "./expressions.ts";
import type { Firing } from "./firing.ts";
import { formatLine, parseFormat } from "./format.ts";
import { PROFILE_HZ_MAX, SELF_VARIABLES_MAX, STACK_CHARS_MAX, STEPS_MAX } from "./limits.ts";
import type { TraceHost } from "./host.ts";
import { parseProgram } from "./parser.ts";
import type { AggregateCall, Clause, Expression, ProbeName, Statement } from "./syntax.ts";
import { cut, isTruthy, kept, text } from "./values.ts";
import { ACTIONS, AGGREGATES, POINTS, findPoints, probeForms } from "./vocabulary.ts";
import type { AggregateSpec, Point } from "./vocabulary.ts";

export interface CompileOptions {
  /** Whether a program may change what the application does (`raise`). */
  readonly isDestructive: boolean;
}

/** What a provider has to find out for a clause. */
export interface Needs {
  /** Reads `duration`. */
  duration: boolean;
  /** Asks for the request at a probe that is not one of a request: its context is followed. */
  request: boolean;
  /** Uses `self.x`. */
  self: boolean;
  /** Variables of the application that it reads at a line: `local.x`. */
  readonly variables: string[];
}

export interface CompiledClause {
  readonly point: Point;
  /** The probe as written, e.g. `dc:undici:request:*`. */
  readonly written: string;
  /** What is written behind the provider. */
  readonly rest: string;
  readonly needs: Needs;
  /** Whether the predicate held. */
  readonly run: (firing: Firing) => boolean;
}

export interface CompiledProgram {
  readonly aggregations: readonly AggregationShape[];
  readonly clauses: readonly CompiledClause[];
}

type Run = (firing: Firing) => void;

/**
 * @throws TraceProgramError ERR_HOLDFAST_TRACE_PROGRAM with the place and a hint
 */
export function compileProgram(
  source: string,
  host: TraceHost,
  options: CompileOptions,
): CompiledProgram {
  const { clauses } = parseProgram(source);
  const compiler = new Compiler(source, host, options);
  for (const clause of clauses) compiler.declare(clause);
  const compiled = clauses.flatMap((clause) => compiler.clause(clause));
  return { aggregations: compiler.shapes(), clauses: compiled };
}

class Compiler {
  readonly #source: string;
  readonly #host: TraceHost;
  readonly #options: CompileOptions;
  readonly #shapes: Map<string, AggregationShape> = new Map();

  constructor(source: string, host: TraceHost, options: CompileOptions) {
    this.#source = source;
    this.#host = host;
    this.#options = options;
  }

  shapes(): readonly AggregationShape[] {
    return [...this.#shapes.values()];
  }

  /**
   * All aggregations of a program are known before anything is compiled: `clear` may come first.
   */
  declare(clause: Clause): void {
    for (const statement of clause.statements) {
      if (statement.kind === "aggregate") this.#declare(clause, statement);
    }
  }

  #declare(clause: Clause, statement: Extract<Statement, { kind: "aggregate" }>): void {
    const { name, keys, call } = statement;
    const spec = this.#aggregate(call);
    const params = this.#params(call);
    // the first probe's meaning of a variable; `duration` counts the same everywhere
    const [written] = clause.probes;
    const [point] = written === undefined ? [] : findPoints(written.text);
    const unit = point === undefined ? null : this.#unit(call, point);
    const shape: AggregationShape = { name, kind: spec.name, params, keyCount: keys.length, unit };
    const former = this.#shapes.get(name);
    if (former === undefined) {
      this.#shapes.set(name, shape);
      return;
    }
    const isSame =
      former.kind === shape.kind &&
      former.keyCount === shape.keyCount &&
      former.params.join() === shape.params.join();
    if (isSame) return;
    const was = `@${name} is ${former.kind} with ${former.keyCount} keys elsewhere`;
    this.#fail(statement.offset, was, "Use another name for it.");
  }

  #unit(call: AggregateCall, point: Point): AggregationShape["unit"] {
    const [value] = call.args;
    if (value === undefined || call.name === "count" || call.name === "uniq") return null;
    return unitOf(value, point);
  }

  #aggregate(call: AggregateCall): AggregateSpec {
    const spec = AGGREGATES.find((each) => each.name === call.name);
    const names = AGGREGATES.map((each) => each.name);
    if (spec === undefined) {
      const near = didYouMean(call.name, names);
      const hint = near === "" ? `There is ${names.join(", ")}.` : near.trim();
      return this.#fail(call.offset, `there is no aggregation ${call.name}`, hint);
    }
    const wanted = spec.name === "count" ? 0 : spec.name === "lquantize" ? 4 : 1;
    if (call.args.length !== wanted) {
      this.#fail(call.offset, `${spec.name} has ${call.args.length} arguments`, `${spec.form}.`);
    }
    return spec;
  }

  /** Low, high and step of lquantize: numbers, so that all workers have the same buckets. */
  #params(call: AggregateCall): readonly number[] {
    if (call.name !== "lquantize") return [];
    const params = call.args.slice(1).map((arg) => {
      const value = constant(arg);
      if (value !== null) return value;
      return this.#fail(arg.offset, "this must be a number", "lquantize(len(arg0), 0, 100, 10).");
    });
    const [low = 0, high = 0, step = 0] = params;
    const count = (high - low) / step;
    const areFinite = params.every((each) => Number.isFinite(each));
    if (!(areFinite && step > 0 && high > low && count <= STEPS_MAX)) {
      const hint = `low < high, step > 0, at most ${STEPS_MAX} steps.`;
      this.#fail(call.offset, "these steps do not go from low to high", hint);
    }
    return params;
  }

  clause(clause: Clause): readonly CompiledClause[] {
    return clause.probes.flatMap((probe) =>
      this.#points(probe).map((point) => {
        const needs: Needs = { duration: false, request: false, self: false, variables: [] };
        const scope: Scope = { point, needs, host: this.#host, source: this.#source };
        const predicate =
          clause.predicate === null ? null : compileExpression(clause.predicate, scope);
        const runs = clause.statements.map((each) => this.#statement(each, scope));
        const rest = probe.text.slice(probe.text.indexOf(":") + 1);
        const written = probe.text;
        return { point, written, rest, needs, run: sequence(predicate, runs) };
      }),
    );
  }

  #points({ offset, text: written }: ProbeName): readonly Point[] {
    if (written.length > 200 || written.split("*").length > 5) {
      this.#fail(offset, "this name is too long", "At most 200 characters and four *.");
    }
    const points = findPoints(written);
    if (points.length > 0) return this.#known(offset, written, points);
    const [provider = ""] = written.split(":");
    const own = POINTS.filter((each) => each.provider === provider).map(({ form }) => form);
    const near = didYouMean(written, probeForms()) || didYouMean(provider, providers());
    const hint =
      own.length > 0 ? `There is ${own.join(", ")}.` : near.trim() || "See `holdfast probes`.";
    const shown = cut(written, 60);
    return this.#fail(offset, `there is no probe ${shown}`, hint);
  }

  #known(offset: number, written: string, points: readonly Point[]): readonly Point[] {
    const [point] = points;
    if (point?.provider === "tick" && tickMs(written) === null) {
      this.#fail(offset, `${written} has no duration`, "Write tick:100ms, tick:1s, up to tick:1h.");
    }
    if (point?.provider === "profile" && profileHz(written) === null) {
      const hint = "Write profile:97hz: 1 to 500 times a second.";
      this.#fail(offset, `${written} has no frequency`, hint);
    }
    if (point?.provider === "fn" && !/^fn:[^:]*[^.:]\.[^.:][^:]*:\w+$/.test(written)) {
      const hint = "Write fn:module.path:return, for example fn:JSON.stringify:return.";
      this.#fail(offset, `${cut(written, 60)} names no function`, hint);
    }
    if (point?.provider === "line" && !/^line:[^:]+:[1-9]\d{0,6}$/.test(written)) {
      const hint = "Write line:file:number, for example line:src/price.js:12.";
      this.#fail(offset, `${cut(written, 60)} names no line`, hint);
    }
    return points;
  }

  #statement(statement: Statement, scope: Scope): Run {
    switch (statement.kind) {
      case "aggregate":
        return this.#aggregateRun(statement, scope);
      case "assign":
        return this.#assign(statement, scope);
      case "action":
        return this.#action(statement, scope);
      case "reset": {
        const { action, name, keep, offset } = statement;
        if (!this.#shapes.has(name)) {
          const near = didYouMean(name, this.#shapes.keys());
          this.#fail(offset, `there is no @${name}`, near.trim() || "Aggregate into it first.");
        }
        const { host } = scope;
        if (action === "printa") return () => host.printAggregation(name);
        return action === "clear" ? () => host.clear(name) : () => host.truncate(name, keep);
      }
    }
  }

  #aggregateRun(statement: Extract<Statement, { kind: "aggregate" }>, scope: Scope): Run {
    const { name, keys, call } = statement;
    const aggregation = scope.host.aggregation(this.#shapes.get(name) ?? null);
    const [argument] = call.args;
    const value: Evaluate = argument === undefined ? () => 1 : compileExpression(argument, scope);
    const evaluated = keys.map((key) => keyText(key, compileExpression(key, scope)));
    const [first] = evaluated;
    if (first === undefined) return (firing) => aggregation.add("", value(firing));
    if (evaluated.length === 1) return (firing) => aggregation.add(first(firing), value(firing));
    // the same keys come again and again: then the id is made already
    const last = evaluated.map(() => "");
    let id = keyId(last);
    return (firing) => {
      let isSame = true;
      for (let at = 0; at < evaluated.length; at += 1) {
        const key = evaluated[at]?.(firing) ?? "";
        if (key === last[at]) continue;
        last[at] = key;
        isSame = false;
      }
      if (!isSame) id = keyId(last);
      aggregation.add(id, value(firing));
    };
  }

  #assign(statement: Extract<Statement, { kind: "assign" }>, scope: Scope): Run {
    const { name } = statement;
    const value = compileExpression(statement.value, scope);
    if (statement.scope === "this") {
      return (firing) => {
        firing.locals ??= new Map();
        firing.locals.set(name, kept(value(firing)));
      };
    }
    needRequest(scope, statement.offset, "self");
    scope.needs.self = true;
    const { host } = scope;
    return (firing) => {
      const { request } = firing;
      if (request === null) return;
      request.variables ??= new Map();
      const { variables } = request;
      if (variables.size < SELF_VARIABLES_MAX || variables.has(name)) {
        variables.set(name, kept(value(firing)));
      } else host.countDrop();
    };
  }

  #action(statement: Extract<Statement, { kind: "action" }>, scope: Scope): Run {
    const { name, args, offset } = statement;
    const spec = ACTIONS.find((each) => each.name === name);
    if (spec === undefined) {
      const names = ACTIONS.map((each) => each.name);
      const isAggregate = AGGREGATES.some((each) => each.name === name);
      const hint = isAggregate
        ? `An aggregation goes into a variable: @ = ${name}(...).`
        : didYouMean(name, names).trim() ||
          `There is ${names.join(", ")}, clear, trunc and printa.`;
      return this.#fail(offset, `there is no action ${name}`, hint);
    }
    if (args.length < spec.argsMin || args.length > spec.argsMax) {
      this.#fail(offset, `${name} has ${args.length} arguments`, `${spec.form}: ${spec.meaning}.`);
    }
    const { host } = scope;
    const values = args.map((arg) => compileExpression(arg, scope));
    if (name === "exit") return () => host.exit();
    if (name === "raise") return this.#raise(statement, scope, values);
    const texts = args.map((arg) => lengthMax(arg));
    const show = (value: unknown, index: number): string => {
      return typeof value === "string" ? cut(value, texts[index]) : text(value);
    };
    if (name === "print") {
      return (firing) => host.print(values.map((each, at) => show(each(firing), at)).join(" "));
    }
    return this.#printf(statement, values, show, scope);
  }

  #printf(
    { args, offset }: Extract<Statement, { kind: "action" }>,
    values: readonly Evaluate[],
    show: (value: unknown, index: number) => string,
    { host }: Scope,
  ): Run {
    const [format] = args;
    if (format?.kind !== "literal" || typeof format.value !== "string") {
      return this.#fail(
        format?.offset ?? offset,
        "the format must be a text",
        'printf("%s", url).',
      );
    }
    const parts = parseFormat(format.value);
    if (typeof parts === "string") {
      return this.#fail(format.offset, parts, "There is %s %d %f %.2f %t (time) %b (bytes) %%.");
    }
    const wanted = parts.filter((part) => part.kind === "value").length;
    const rest = values.slice(1);
    if (wanted !== rest.length) {
      const given = `the format wants ${wanted} values, there are ${rest.length}`;
      this.#fail(format.offset, given, "Each % but %% takes one value.");
    }
    const textOf = (value: unknown, index: number): string => show(value, index + 1);
    return (firing) => {
      host.print(
        formatLine(
          parts,
          rest.map((each) => each(firing)),
          textOf,
        ),
      );
    };
  }

  #raise(
    { offset }: Extract<Statement, { kind: "action" }>,
    { point }: Scope,
    [message]: readonly Evaluate[],
  ): Run {
    if (!this.#options.isDestructive) {
      this.#fail(offset, "raise changes what the application does", "Allow it by --destructive.");
    }
    if (point.provider !== "fn" || !point.form.endsWith(":entry")) {
      this.#fail(offset, `nothing can be raised at ${point.form}`, "Raise at fn:...:entry.");
    }
    return (firing) => {
      firing.raised = text(message?.(firing));
    };
  }

  #fail(offset: number, problem: string, hint: string): never {
    throw new TraceProgramError(this.#source, offset, problem, hint);
  }
}

function sequence(predicate: Evaluate | null, runs: readonly Run[]): (firing: Firing) => boolean {
  const [first, second, ...others] = runs;
  const rest = others.length === 0 ? null : others;
  return (firing) => {
    if (predicate !== null && !isTruthy(predicate(firing))) return false;
    first?.(firing);
    second?.(firing);
    if (rest !== null) for (const run of rest) run(firing);
    return true;
  };
}

/** A stack is a key too, and longer than others. */
function keyText(expression: Expression, evaluate: Evaluate): (firing: Firing) => string {
  const max = lengthMax(expression);
  return (firing) => {
    const value = evaluate(firing);
    return typeof value === "string" ? cut(value, max) : text(value);
  };
}

function lengthMax(expression: Expression): number | undefined {
  const isStack = expression.kind === "call" && expression.name === "stack";
  return isStack ? STACK_CHARS_MAX : undefined;
}

function constant(expression: Expression): number | null {
  if (expression.kind === "literal" && typeof expression.value === "number") {
    return expression.value;
  }
  if (expression.kind !== "unary" || expression.operator !== "-") return null;
  const value = constant(expression.operand);
  return value === null ? null : -value;
}

function providers(): readonly string[] {
  return [...new Set(POINTS.map(({ provider }) => provider))];
}

/** Milliseconds of `tick:1s`; null when it is none, or not from 10 ms to an hour. */
export function tickMs(written: string): number | null {
  const [, digits = "", unit = ""] = /^tick:(\d{1,7})(ms|s|m|h)$/.exec(written) ?? [];
  const factors: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
  const ms = Number(digits) * (factors[unit] ?? Number.NaN);
  return ms >= 10 && ms <= 3_600_000 ? ms : null;
}

/** How often a second `profile:97hz` fires; null when it is none, or not from 1 to 500. */
export function profileHz(written: string): number | null {
  const [, digits = ""] = /^profile:(\d{1,3})hz$/.exec(written) ?? [];
  const hz = Number(digits);
  return hz >= 1 && hz <= PROFILE_HZ_MAX ? hz : null;
}
