/**
 * Finds pipes that stand still although they were made with plain Node: `pipeline`, `pipe`,
 * `pipeTo`, `pipeThrough`, and responses that nobody reads. Says which, why, since when, how much
 * they hold and where they were made.
 */
import { createRequire, syncBuiltinESMExports } from "node:module";
import stream from "node:stream";
import { ReadableStream } from "node:stream/web";
import { checkNames, checkNumber, refuseOption } from "../errors.ts";
import { outcomeOf } from "../work.ts";
import { watchBodies } from "./bodies.ts";
import { callSite, stalledPipes, watchPipe } from "./monitor.ts";
import type { PipeLimits, Stall, WatchedPipe } from "./monitor.ts";
import type { Stage } from "./stages.ts";
import { countWebStreams, watchWebPipe } from "./web-streams.ts";

export interface WatchdogOptions {
  /** How long a pipe may stand still; default 30,000. */
  readonly stallMs?: number;
  /** How long before its streams are destroyed; default: never. */
  readonly destroyMs?: number;
  /** Told of each pipe once, when it stalls. Default: a line on stderr. */
  readonly onStall?: (stall: Stall) => void;
}

export interface Watchdog extends Disposable {
  /** The pipes that stand still now. */
  stalls(): readonly Stall[];
}

type Callback = (error: unknown, value?: unknown) => void;
type AnyFunction = (this: unknown, ...args: unknown[]) => unknown;

function say({ pipe, why, culprit, forMs, bufferedBytes: held, site }: Stall): void {
  process.stderr.write(
    `holdfast: the pipe ${pipe} stands still for ${Math.round(forMs)} ms: ${why} at ${culprit}, ` +
      `${held} bytes held, made at ${site}\n`,
  );
}

/** Puts a function in the place of a member, and gives back what undoes that. */
function replace(
  holder: object,
  name: string,
  make: (original: AnyFunction) => AnyFunction,
): () => void {
  const members = holder as Record<string, AnyFunction>; // of the modules and classes below
  const original = members[name];
  if (original === undefined) return () => undefined;
  const made = make(original);
  for (const key of Reflect.ownKeys(original)) {
    const property = Object.getOwnPropertyDescriptor(original, key);
    if (property !== undefined) Object.defineProperty(made, key, property);
  }
  members[name] = made;
  return () => {
    if (members[name] === made) members[name] = original;
  };
}

function isStage(each: unknown): each is Stage {
  return (typeof each === "object" && each !== null) || typeof each === "function";
}

/** The streams among the arguments of `pipeline`: a list of them, or one after the other. */
function stagesOf(args: readonly unknown[]): readonly Stage[] {
  const list = args.length > 0 && Array.isArray(args[0]) ? (args[0] as unknown[]) : args;
  return list.filter((each) => isStage(each) && !isPlain(each)) as readonly Stage[]; // just checked
}

function isPlain(each: unknown): boolean {
  return (
    typeof each === "object" && each !== null && Object.getPrototypeOf(each) === Object.prototype
  );
}

/** A pipeline pipes one stream into the other: that is no pipe of its own. */
let pipelines = 0;

function inside<T>(call: () => T): T {
  pipelines += 1;
  try {
    return call();
  } finally {
    pipelines -= 1;
  }
}

function patchPipelines(limits: PipeLimits): readonly (() => void)[] {
  const withCallback = (original: AnyFunction): AnyFunction =>
    function pipeline(this: unknown, ...args: unknown[]): unknown {
      const callback = args.at(-1);
      const site = callSite();
      if (typeof callback !== "function" || site === null) {
        return inside(() => Reflect.apply(original, this, args));
      }
      const watched = watchPipe(stagesOf(args.slice(0, -1)), limits, site);
      const done: Callback = (error, value) => {
        settle(watched, error);
        (callback as Callback)(error, value);
      };
      return inside(() => Reflect.apply(original, this, [...args.slice(0, -1), done]));
    };
  const withPromise = (original: AnyFunction): AnyFunction =>
    async function pipeline(this: unknown, ...args: unknown[]): Promise<unknown> {
      const site = callSite();
      if (site === null) return inside(() => Reflect.apply(original, this, args));
      const watched = watchPipe(stagesOf(args), limits, site);
      try {
        const value = await inside(() => Reflect.apply(original, this, args));
        settle(watched, null);
        return value;
      } catch (error) {
        settle(watched, error);
        throw error;
      }
    };
  const promises = createRequire(import.meta.url)("node:stream/promises") as object;
  return [replace(stream, "pipeline", withCallback), replace(promises, "pipeline", withPromise)];
}

function settle(watched: WatchedPipe, error: unknown): void {
  watched.settle(error === null || error === undefined ? "ok" : outcomeOf(error));
}

function patchPipe(limits: PipeLimits): () => void {
  return replace(
    stream.Readable.prototype,
    "pipe",
    (original) =>
      function pipe(this: unknown, ...args: unknown[]): unknown {
        const source = this as stream.Readable; // whose method it is
        const destination = args[0] as stream.Writable; // as Node has it
        const result = Reflect.apply(original, this, args);
        const site = pipelines > 0 ? null : callSite();
        if (site === null) return result;
        const watched = watchPipe([source, destination] as unknown as Stage[], limits, site);
        const end = (): void => watched.settle("ok");
        source.once("end", end);
        source.once("close", () => {
          if (isLeftOpen(source, destination, args[1])) watched.orphaned();
          else end();
        });
        destination.once("finish", end);
        // a destination that closes while the source goes on leaves it with nobody to read it
        destination.once("close", () => {
          if (source.destroyed || source.readableEnded) end();
        });
        return result;
      },
  );
}

/** Node's `pipe()` ends a destination when its source ends; when that just closes, nobody does. */
function isLeftOpen(
  source: stream.Readable,
  destination: stream.Writable,
  options: unknown,
): boolean {
  const given: { readonly end?: unknown } = isObject(options) ? options : {};
  // these Node never ends
  if (given.end === false || destination === process.stdout || destination === process.stderr)
    return false;
  const { pipes = [] } = (source as Stage)._readableState ?? {};
  const isPiped = pipes.includes(destination) && !source.readableEnded;
  return isPiped && !destination.destroyed && !destination.writableEnded;
}

function patchPipeTo(limits: PipeLimits): () => void {
  return replace(
    ReadableStream.prototype,
    "pipeTo",
    (original) =>
      async function pipeTo(this: unknown, ...args: unknown[]): Promise<unknown> {
        const site = callSite();
        if (site === null) return Reflect.apply(original, this, args);
        const known = isObject(args[0])
          ? watchWebPipe(this as object, args[0], limits, site)
          : null;
        // of others it is seen only that they were collected
        const silent = { ...limits, stallMs: Number.POSITIVE_INFINITY };
        const watched = known ?? watchPipe([this, args[0]] as unknown as Stage[], silent, site);
        try {
          const value = await Reflect.apply(original, this, args);
          settle(watched, null);
          return value;
        } catch (error) {
          settle(watched, error);
          throw error;
        }
      },
  );
}

function patchPipeThrough(limits: PipeLimits): () => void {
  return replace(
    ReadableStream.prototype,
    "pipeThrough",
    (original) =>
      function pipeThrough(this: unknown, ...args: unknown[]): unknown {
        const result = Reflect.apply(original, this, args);
        const { writable } = args[0] as { readonly writable: object }; // it was taken
        const site = callSite();
        if (site !== null) watchWebPipe(this as object, writable, limits, site);
        return result;
      },
  );
}

function isObject(each: unknown): each is object {
  return typeof each === "object" && each !== null;
}

/**
 * Watches the pipes that are made from now on, until it is disposed of.
 * @throws FlowError ERR_HOLDFAST_FLOW_OPTION
 */
export function watchdog(options: WatchdogOptions = {}): Watchdog {
  checkNames(options, { stallMs: true, destroyMs: true, onStall: true });
  const stallMs = checkNumber("stallMs", options.stallMs, 30_000, { min: 1 });
  const destroyMs = options.destroyMs ?? Number.POSITIVE_INFINITY;
  if (!(destroyMs >= stallMs)) refuseOption("destroyMs", destroyMs, "at least stallMs");
  const limits: PipeLimits = { stallMs, destroyMs, onStall: options.onStall ?? say };
  const restore = [
    ...patchPipelines(limits),
    patchPipe(limits),
    patchPipeTo(limits),
    patchPipeThrough(limits),
    ...countWebStreams(),
    ...watchBodies(limits),
  ];
  syncBuiltinESMExports();
  return {
    stalls: stalledPipes,
    [Symbol.dispose]: () => {
      for (const each of restore) each();
      syncBuiltinESMExports();
    },
  };
}
