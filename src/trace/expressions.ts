/** Expressions become closures that take a firing and give a value. None of them throws. */
import { didYouMean } from "../base/mod.ts";
import { TraceProgramError } from "./errors.ts";
import type { Firing } from "./firing.ts";
import type { TraceHost } from "./host.ts";
import { STACK_FRAMES_MAX, STRING_CHARS_MAX } from "./limits.ts";
import { pathOf } from "./route.ts";
import type { BinaryOperator, Expression, Unit } from "./syntax.ts";
import {
  className,
  compare,
  cut,
  headerOf,
  isEqual,
  isNothing,
  isTruthy,
  lengthOf,
  member,
  number,
  plus,
  text,
} from "./values.ts";
import { COMMON_VARIABLES, FUNCTIONS, REQUEST_VARIABLES } from "./vocabulary.ts";
import type { Point } from "./vocabulary.ts";

export type Evaluate = (firing: Firing) => unknown;

/** Where an expression stands. */
export interface Scope {
  readonly point: Point;
  /** Collected: what the provider must find out. */
  readonly needs: {
    duration: boolean;
    request: boolean;
    self: boolean;
    readonly variables: string[];
  };
  readonly host: TraceHost;
  readonly source: string;
}

/** Probes that fire for no request: `url` would never have a value there. */
const NO_REQUEST: readonly string[] = ["begin", "end", "tick", "loop", "gc", "pool"];
const STACK_FRAMES_DEFAULT = 10;

/**
 * @throws TraceProgramError when it uses a name that means nothing at this probe
 */
export function compileExpression(expression: Expression, scope: Scope): Evaluate {
  switch (expression.kind) {
    case "literal": {
      const { value } = expression;
      return () => value;
    }
    case "variable":
      return variable(expression.name, expression.offset, scope);
    case "local":
      return local(expression, scope);
    case "member":
    case "index":
      return access(expression, scope);
    case "call":
      return call(expression, scope);
    case "unary": {
      const operand = compileExpression(expression.operand, scope);
      if (expression.operator === "!") return (firing) => !isTruthy(operand(firing));
      return (firing) => -number(operand(firing));
    }
    case "binary":
      return binary(
        expression.operator,
        compileExpression(expression.left, scope),
        compileExpression(expression.right, scope),
      );
    case "choice": {
      const test = compileExpression(expression.test, scope);
      const yes = compileExpression(expression.yes, scope);
      const no = compileExpression(expression.no, scope);
      return (firing) => (isTruthy(test(firing)) ? yes(firing) : no(firing));
    }
  }
}

function variable(name: string, offset: number, scope: Scope): Evaluate {
  const { point, host, needs } = scope;
  const own = point.variables.find((each) => each.name === name);
  if (own !== undefined) {
    if (name === "duration") needs.duration = true;
    return own.read;
  }
  const argument = /^arg(\d{1,2})$/.exec(name)?.[1];
  if (argument !== undefined) {
    const index = Number(argument);
    return (firing) => firing.args[index];
  }
  const ofRequest = REQUEST_VARIABLES.find((each) => each.name === name);
  if (ofRequest !== undefined) {
    needRequest(scope, offset, name);
    return ofRequest.read;
  }
  switch (name) {
    case "pid":
      return () => host.pid;
    case "worker":
      return () => host.worker;
    case "timestamp":
      return host.timestamp;
    case "elapsed":
      return host.elapsed;
    case "probe":
      return (firing) => firing.probe;
    case "heap":
      return host.heap;
    case "args":
      return (firing) => firing.args;
  }
  return unknownVariable(name, offset, scope);
}

function unknownVariable(name: string, offset: number, { point, source }: Scope): never {
  const own = point.variables.map((each) => each.name);
  const request = NO_REQUEST.includes(point.provider) ? [] : REQUEST_VARIABLES;
  const known = [...own, ...request.map((each) => each.name), ...common()];
  const isFunction = FUNCTIONS.some((each) => each.name === name);
  const near = isFunction ? `It is a function: ${name}(...).` : didYouMean(name, known).trim();
  const hint = near === "" ? `${point.form} has ${known.join(", ")}, arg0, arg1, ...` : near;
  const shown = cut(name, 40);
  throw new TraceProgramError(source, offset, `${point.form} has no variable ${shown}`, hint);
}

function common(): readonly string[] {
  return COMMON_VARIABLES.map((each) => each.name);
}

/** Of this probe, or of the request that is being served when it fires. */
export function needRequest({ point, needs, source }: Scope, offset: number, what: string): void {
  if (point.hasRequest) return;
  if (NO_REQUEST.includes(point.provider)) {
    const problem = `${point.form} fires for no request, so it has no ${what}`;
    const hint = "Use it at http:request, http:done, or at what is done for a request.";
    throw new TraceProgramError(source, offset, problem, hint);
  }
  needs.request = true;
}

function local(
  { scope: kind, name, offset }: Extract<Expression, { kind: "local" }>,
  scope: Scope,
): Evaluate {
  if (kind === "this") return (firing) => firing.locals?.get(name);
  needRequest(scope, offset, "self");
  scope.needs.self = true;
  return (firing) => firing.request?.variables?.get(name);
}

function access(
  expression: Extract<Expression, { kind: "member" | "index" }>,
  scope: Scope,
): Evaluate {
  const { object } = expression;
  const key = expression.kind === "member" ? expression.name : constantKey(expression.index);
  // req.headers["accept"]: one header, not all of them
  const isHeader = typeof key === "string" && object.kind === "member" && object.name === "headers";
  if (isHeader) {
    const message = compileExpression(object.object, scope);
    const name = key.toLowerCase();
    return (firing) => {
      const value = message(firing);
      return headerOf(value, name) ?? member(member(value, "headers"), key);
    };
  }
  if (object.kind === "variable" && object.name === "local" && typeof key === "string") {
    scope.needs.variables.push(key);
  }
  const holder = compileExpression(object, scope);
  if (key !== null) return (firing) => member(holder(firing), key);
  if (expression.kind === "member") return () => undefined;
  const index = compileExpression(expression.index, scope);
  return (firing) => member(holder(firing), index(firing));
}

function constantKey(index: Expression): string | number | null {
  if (index.kind !== "literal") return null;
  return typeof index.value === "string" || typeof index.value === "number" ? index.value : null;
}

function binary(operator: BinaryOperator, left: Evaluate, right: Evaluate): Evaluate {
  switch (operator) {
    case "??":
      return (firing) => {
        const value = left(firing);
        return isNothing(value) ? right(firing) : value;
      };
    case "||":
      return (firing) => {
        const value = left(firing);
        return isTruthy(value) ? value : right(firing);
      };
    case "&&":
      return (firing) => {
        const value = left(firing);
        return isTruthy(value) ? right(firing) : value;
      };
    case "==":
      return (firing) => isEqual(left(firing), right(firing));
    case "!=":
      return (firing) => !isEqual(left(firing), right(firing));
    case "<":
      return (firing) => compare(left(firing), right(firing)) < 0;
    case "<=":
      return (firing) => compare(left(firing), right(firing)) <= 0;
    case ">":
      return (firing) => compare(left(firing), right(firing)) > 0;
    case ">=":
      return (firing) => compare(left(firing), right(firing)) >= 0;
    case "~":
      return (firing) => contains(left(firing), right(firing));
    case "+":
      return (firing) => plus(left(firing), right(firing));
    case "-":
      return (firing) => number(left(firing)) - number(right(firing));
    case "*":
      return (firing) => number(left(firing)) * number(right(firing));
    case "/":
      return (firing) => number(left(firing)) / number(right(firing));
    case "%":
      return (firing) => number(left(firing)) % number(right(firing));
  }
}

/** Looks no further than a text is shown, but for a long one at its beginning. */
const SEARCHED_CHARS_MAX = 4096;

function contains(value: unknown, part: unknown): boolean {
  const whole = typeof value === "string" ? value.slice(0, SEARCHED_CHARS_MAX) : text(value);
  return !isNothing(value) && whole.includes(text(part));
}

function call(
  { name, args, offset }: Extract<Expression, { kind: "call" }>,
  scope: Scope,
): Evaluate {
  const spec = FUNCTIONS.find((each) => each.name === name);
  if (spec === undefined) {
    const names = FUNCTIONS.map((each) => each.name);
    const hint = didYouMean(name, names).trim() || `There is ${names.join(", ")}.`;
    const shown = cut(name, 40);
    throw new TraceProgramError(scope.source, offset, `there is no function ${shown}`, hint);
  }
  if (args.length < spec.argsMin || args.length > spec.argsMax) {
    const problem = `${name} has ${args.length} arguments`;
    throw new TraceProgramError(scope.source, offset, problem, `${spec.form}: ${spec.meaning}.`);
  }
  const [first = nothing, second = nothing, third] = args.map((arg) =>
    compileExpression(arg, scope),
  );
  return functionOf(name, first, second, third, scope.host);
}

function nothing(): undefined {}

function functionOf(
  name: string,
  first: Evaluate,
  second: Evaluate,
  third: Evaluate | undefined,
  host: TraceHost,
): Evaluate {
  switch (name) {
    case "url_path":
      return (firing) => pathOf(first(firing));
    case "strlen":
      return (firing) => {
        const value = first(firing);
        return typeof value === "string" ? value.length : text(value).length;
      };
    case "len":
      return (firing) => lengthOf(first(firing));
    case "substr":
      return (firing) => substr(first(firing), second(firing), third?.(firing));
    case "lower":
      return (firing) => text(first(firing)).toLowerCase();
    case "str":
      return (firing) => text(first(firing));
    case "int":
      return (firing) => Math.trunc(number(first(firing)));
    case "abs":
      return (firing) => Math.abs(number(first(firing)));
    case "class":
      return (firing) => className(first(firing));
    case "ua":
      return (firing) => headerOf(first(firing), "user-agent");
    case "type":
    case "typeof":
      return (firing) => {
        const value = first(firing);
        return value === null ? "null" : typeof value;
      };
    case "header":
      return (firing) => headerOf(first(firing), text(second(firing)).toLowerCase());
    default:
      return stack(first, host);
  }
}

function stack(frames: Evaluate, host: TraceHost): Evaluate {
  return (firing) => {
    const wanted = number(frames(firing));
    const count = Number.isNaN(wanted) ? STACK_FRAMES_DEFAULT : Math.trunc(wanted);
    return host.stack(Math.min(Math.max(count, 1), STACK_FRAMES_MAX));
  };
}

function substr(value: unknown, start: unknown, length: unknown): string {
  const whole = typeof value === "string" ? value : text(value);
  const from = Math.trunc(number(start)) || 0;
  const count = length === undefined ? STRING_CHARS_MAX : Math.trunc(number(length)) || 0;
  const at = from < 0 ? Math.max(0, whole.length + from) : from;
  return whole.slice(at, at + Math.max(0, Math.min(count, STRING_CHARS_MAX)));
}

/** What a number counts, as far as the tree tells. */
export function unitOf(expression: Expression, point: Point): Unit | null {
  switch (expression.kind) {
    case "literal":
      return expression.unit;
    case "variable": {
      const known = [...point.variables, ...COMMON_VARIABLES];
      return known.find((each) => each.name === expression.name)?.unit ?? null;
    }
    case "unary":
      return expression.operator === "-" ? unitOf(expression.operand, point) : null;
    case "binary": {
      const left = unitOf(expression.left, point);
      const right = unitOf(expression.right, point);
      if (["+", "-"].includes(expression.operator)) return left ?? right;
      if (["??", "||"].includes(expression.operator)) return left ?? right;
      if (expression.operator === "*" || expression.operator === "/") {
        // 2 * duration is a duration; duration / duration is none
        return left !== null && right !== null
          ? null
          : expression.operator === "*"
            ? (left ?? right)
            : left;
      }
      return null;
    }
    case "choice":
      return unitOf(expression.yes, point) ?? unitOf(expression.no, point);
    case "call":
      if (expression.name !== "abs" && expression.name !== "int") return null;
      return expression.args[0] === undefined ? null : unitOf(expression.args[0], point);
    case "member":
    case "index":
      return memberUnit(expression);
    case "local":
      return null;
  }
}

/** Names that Node gives to counts of bytes. */
function memberUnit(expression: Extract<Expression, { kind: "member" | "index" }>): Unit | null {
  if (expression.kind === "index") return null;
  return ["bytesWritten", "bytesRead", "byteLength"].includes(expression.name) ? "bytes" : null;
}
