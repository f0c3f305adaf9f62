/**
 * Every probe and what may be asked at it: the one table behind the compiler, `holdfast probes` and
 * docs/trace.md. `arg0`, `arg1`, ... are the arguments in the order in which they are listed.
 */
import type { Firing } from "./firing.ts";
import { pathOf, routeOf } from "./route.ts";
import type { Unit } from "./syntax.ts";
import { member } from "./values.ts";

export interface Variable {
  readonly name: string;
  readonly meaning: string;
  readonly unit: Unit | null;
  readonly read: (firing: Firing) => unknown;
}

export interface Point {
  readonly provider: string;
  /** Null: whatever is written there chooses (`fn:`, `dc:`, `user:`, `line:`, `tick:`). */
  readonly point: string | null;
  /** How it is written, for people. */
  readonly form: string;
  readonly meaning: string;
  readonly variables: readonly Variable[];
  /** Whether it is an event of a request itself: no context has to be followed for `url`. */
  readonly hasRequest: boolean;
}

function argument(
  index: number,
  name: string,
  meaning: string,
  unit: Unit | null = null,
): Variable {
  return { name, meaning, unit, read: (firing) => firing.args[index] };
}

const DURATION: Variable = {
  name: "duration",
  meaning: "how long it took",
  unit: "ms",
  read: (firing) => firing.duration,
};
const RETVAL: Variable = {
  name: "retval",
  meaning: "what was returned; of an async function what it resolved to",
  unit: null,
  read: (firing) => firing.retval,
};
const THROWN: Variable = {
  name: "thrown",
  meaning: "what was thrown, or the error given to the callback; undefined if nothing was",
  unit: null,
  read: (firing) => firing.thrown,
};

/** Of the request that is being served when the probe fires. */
export const REQUEST_VARIABLES: readonly Variable[] = [
  { name: "req", meaning: "the request", unit: null, read: (firing) => firing.request?.req },
  { name: "res", meaning: "its response", unit: null, read: (firing) => firing.request?.res },
  {
    name: "method",
    meaning: "GET, POST, ...",
    unit: null,
    read: (firing) => member(firing.request?.req, "method"),
  },
  {
    name: "url",
    meaning: "target of the request, with its query",
    unit: null,
    read: (firing) => member(firing.request?.req, "url"),
  },
  {
    name: "path",
    meaning: "target without the query",
    unit: null,
    read: (firing) => pathOf(member(firing.request?.req, "url")),
  },
  {
    name: "route",
    meaning: "the framework's pattern, or the path with :id for numbers and the like",
    unit: null,
    read: (firing) => routeOf(firing.request?.req),
  },
  {
    name: "status",
    meaning: "status of the response so far",
    unit: null,
    read: (firing) => member(firing.request?.res, "statusCode"),
  },
];

function point(
  form: string,
  meaning: string,
  variables: readonly Variable[] = [],
  hasRequest = false,
): Point {
  const [provider = "", rest = ""] = form.split(/:(.*)/s);
  const isFree = rest === "" || rest.includes("<");
  return { provider, point: isFree ? null : rest, form, meaning, variables, hasRequest };
}

const FETCH: readonly Variable[] = [
  argument(0, "request", "undici's Request"),
  argument(1, "origin", "where to: http://host:port"),
  argument(2, "target", "path and query"),
  argument(3, "verb", "GET, POST, ..."),
];

/** `begin` and `end` have no colon. */
export const POINTS: readonly Point[] = [
  point("begin", "the trace starts in this worker"),
  point("end", "the trace ends in this worker"),
  point("tick:<duration>", "again and again, e.g. tick:1s"),
  point("profile:<n>hz", "so often a second, wherever the main thread is: stack() says where"),
  point("http:request", "a request's head has been read", [], true),
  point("http:done", "a response has been handed to the kernel", [DURATION], true),
  point("http:abort", "the client left before its response was handed over", [DURATION], true),
  point("httpclient:request", "the application sends a request by node:http or https", [
    argument(0, "request", "the ClientRequest"),
    argument(1, "host", "where to"),
    argument(2, "target", "path and query"),
  ]),
  point("httpclient:done", "its response's head has come", [
    argument(0, "request", "the ClientRequest"),
    argument(1, "host", "where to"),
    argument(2, "target", "path and query"),
    argument(3, "response", "the IncomingMessage"),
    argument(4, "code", "status of the response"),
    DURATION,
  ]),
  point("httpclient:error", "the request failed", [
    argument(0, "request", "the ClientRequest"),
    argument(1, "host", "where to"),
    argument(2, "target", "path and query"),
    argument(3, "error", "why"),
    DURATION,
  ]),
  point("fetch:request", "the application sends a request by fetch() or undici", [...FETCH]),
  point("fetch:done", "its response has ended", [
    ...FETCH,
    argument(4, "code", "status of the response"),
    DURATION,
  ]),
  point("fetch:error", "the request failed", [...FETCH, argument(4, "error", "why"), DURATION]),
  point("net:connection", "a server has accepted a socket", [argument(0, "socket", "the Socket")]),
  point("net:connect", "the application opens a connection", [argument(0, "socket", "the Socket")]),
  point("dns:lookup", "a name is asked for", [
    argument(0, "op", "lookup, resolve4, ..."),
    argument(1, "host", "the name"),
  ]),
  point("dns:done", "the answer has come", [
    argument(0, "op", "lookup, resolve4, ..."),
    argument(1, "host", "the name"),
    DURATION,
    THROWN,
  ]),
  point("fs:call", "a function of node:fs is called", [
    argument(0, "op", "readFile, statSync, promises.open, ..."),
    argument(1, "file", "its first argument"),
  ]),
  point("fs:done", "it has done its work", [
    argument(0, "op", "readFile, statSync, promises.open, ..."),
    argument(1, "file", "its first argument"),
    DURATION,
    THROWN,
  ]),
  point("timers:set", "a timer or immediate is set", [
    argument(0, "kind", "setTimeout, setInterval or setImmediate"),
    argument(1, "callback", "the function"),
    argument(2, "delay", "in milliseconds", "ms"),
  ]),
  point("timers:done", "the callback of a timer has returned", [
    argument(0, "kind", "setTimeout, setInterval or setImmediate"),
    argument(1, "callback", "the function"),
    argument(2, "delay", "in milliseconds", "ms"),
    DURATION,
    THROWN,
  ]),
  point("emitter:emit", "an EventEmitter is about to call its listeners", [
    argument(0, "emitter", "the EventEmitter"),
    argument(1, "class", "name of its class"),
    argument(2, "event", "name of the event"),
    argument(3, "value", "first argument of the event"),
  ]),
  point("emitter:done", "its listeners have returned", [
    argument(0, "emitter", "the EventEmitter"),
    argument(1, "class", "name of its class"),
    argument(2, "event", "name of the event"),
    argument(3, "value", "first argument of the event"),
    DURATION,
    THROWN,
  ]),
  point("stream:write", "something is written to a Writable", [
    argument(0, "stream", "the Writable"),
    argument(1, "class", "name of its class"),
    argument(2, "bytes", "of this chunk; characters of a text", "bytes"),
    argument(3, "buffered", "bytes that wait in it after this", "bytes"),
    argument(4, "full", "whether it asked to wait for drain"),
  ]),
  point("stream:stuck", "each second, for each socket in which bytes wait and nothing moves", [
    argument(0, "stream", "the Socket"),
    argument(1, "class", "name of its class"),
    argument(2, "buffered", "bytes that wait in it", "bytes"),
    argument(3, "still", "for how long nothing has moved", "ms"),
  ]),
  point("stream:pipe", "a Readable is piped", [
    argument(0, "stream", "the Readable"),
    argument(1, "class", "name of its class"),
    argument(2, "destination", "the Writable"),
  ]),
  point("loop:sample", "each 100 ms: how the event loop is", [
    argument(0, "lag", "how late this timer was", "ms"),
    argument(1, "utilization", "share of the time that the loop was not waiting, 0 to 1"),
  ]),
  point("gc:done", "a garbage collection has ended (told of in the next turn)", [
    argument(0, "kind", "minor, major, incremental or weakcb"),
    DURATION,
  ]),
  point("pool:sample", "each second: an empty job has gone through the thread pool", [
    argument(0, "wait", "how long the job took: the wait for a thread", "ms"),
    argument(1, "busy", "threads that work, when the job was given (Linux; -1: unknown)"),
    argument(2, "threads", "threads of the pool that there are (Linux; -1: unknown)"),
  ]),
  point("dc:<channel>", "a message on a diagnostics channel; * stands for any characters", [
    argument(0, "msg", "the message"),
    argument(1, "channel", "name of the channel"),
  ]),
  point("user:<name>", "a probe that the application has made with probe()"),
  point("line:<file>:<n>", "a line of the application is about to run (seldom enough)", [
    argument(0, "local", "the variables that are seen there: local.order"),
  ]),
  point("fn:<module>.<path>:entry", "a function is called; arg0, arg1, ... are its arguments"),
  point("fn:<module>.<path>:return", "it has returned; an async function: has settled", [
    DURATION,
    RETVAL,
    THROWN,
  ]),
];

/** What every probe has. The runtime gives the readers of what only it knows. */
export const COMMON_VARIABLES: readonly Omit<Variable, "read">[] = [
  { name: "pid", meaning: "process id of the worker", unit: null },
  { name: "worker", meaning: "index of the worker, from 0", unit: null },
  { name: "timestamp", meaning: "milliseconds since 1970", unit: null },
  { name: "elapsed", meaning: "time since the trace started in this worker", unit: "ms" },
  { name: "probe", meaning: "name of the probe that fired", unit: null },
  { name: "heap", meaning: "bytes of the JavaScript heap in use", unit: "bytes" },
  { name: "args", meaning: "all arguments: args[0], args.length", unit: null },
];

export interface FunctionSpec {
  readonly name: string;
  readonly form: string;
  readonly meaning: string;
  readonly argsMin: number;
  readonly argsMax: number;
}

function fn(form: string, meaning: string): FunctionSpec {
  const [, name = "", args = ""] = /^(\w+)\((.*)\)$/.exec(form) ?? [];
  const all = args.split(",").filter((each) => each.trim() !== "");
  const argsMin = all.filter((each) => !each.includes("[")).length;
  return { name, form, meaning, argsMin, argsMax: all.length };
}

export const FUNCTIONS: readonly FunctionSpec[] = [
  fn("url_path(url)", "the path of a URL, without the query"),
  fn("strlen(text)", "characters of a text"),
  fn("len(value)", "characters, elements, bytes or entries"),
  fn("substr(text, start, [length])", "a part of a text"),
  fn("lower(text)", "in lower case"),
  fn("str(value)", "as text"),
  fn("int(value)", "without what is behind the point"),
  fn("abs(number)", "without its sign"),
  fn("class(value)", "name of an object's class"),
  fn("ua(message)", "the user agent of a request"),
  fn("typeof(value)", "the same as type"),
  fn("type(value)", "undefined, null, boolean, number, string, function or object"),
  fn("header(message, name)", "a header of a request"),
  fn("stack([frames])", "the JavaScript stack, 10 frames unless told"),
];

export interface AggregateSpec {
  readonly name: AggregateName;
  readonly form: string;
  readonly meaning: string;
}

export type AggregateName =
  | "count"
  | "sum"
  | "avg"
  | "min"
  | "max"
  | "quantize"
  | "lquantize"
  | "llquantize"
  | "uniq";

export const AGGREGATES: readonly AggregateSpec[] = [
  { name: "count", form: "count()", meaning: "how often" },
  { name: "sum", form: "sum(number)", meaning: "total" },
  { name: "avg", form: "avg(number)", meaning: "mean" },
  { name: "min", form: "min(number)", meaning: "smallest" },
  { name: "max", form: "max(number)", meaning: "largest" },
  { name: "quantize", form: "quantize(number)", meaning: "distribution in powers of two" },
  {
    name: "lquantize",
    form: "lquantize(number, low, high, step)",
    meaning: "distribution in equal steps",
  },
  {
    name: "llquantize",
    form: "llquantize(number)",
    meaning: "distribution in nine steps for each power of ten",
  },
  { name: "uniq", form: "uniq(value)", meaning: "how many different values, within some 3 %" },
];

export const ACTIONS: readonly FunctionSpec[] = [
  fn("printf(format, [a], [b], [c], [d], [e], [f], [g], [h])", "a line: %s %d %f %.1f %t %b %%"),
  fn("print(a, [b], [c], [d], [e], [f], [g], [h])", "a line of values"),
  fn("exit()", "ends the trace in all workers"),
  fn("raise(message)", "makes the function throw (fn:...:entry with --destructive only)"),
];

/** The points that a written name means; several for a glob in the point, none if unknown. */
export function findPoints(written: string): readonly Point[] {
  const [provider = "", rest = ""] = written.split(/:(.*)/s);
  const candidates = POINTS.filter((each) => each.provider === provider);
  if (!written.includes(":")) {
    return candidates.filter((each) => each.form === written);
  }
  if (provider === "fn") {
    return candidates.filter(({ form }) => rest.endsWith(form.slice(form.lastIndexOf(":"))));
  }
  const free = candidates.filter((each) => each.point === null && each.form.includes(":"));
  if (free.length > 0) return rest === "" ? [] : free;
  const pattern = globPattern(rest);
  return candidates.filter(({ point: name }) => name !== null && pattern.test(name));
}

/** `*` stands for any characters. */
export function globPattern(glob: string): RegExp {
  const parts = glob.split("*").map((part) => part.replaceAll(/[.+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${parts.join(".*")}$`, "s");
}

/** What a program may write for a probe, for hints. */
export function probeForms(): readonly string[] {
  return POINTS.map(({ form }) => form);
}
