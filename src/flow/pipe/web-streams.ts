/**
 * Web streams tell nobody what they have moved. Those that are made while they are watched count:
 * a `WritableStream` and a `TransformStream` what they are given, and of `toWeb` it is known which
 * stream of Node's is behind it.
 *
 * ```
 *   pipeTo, pipeThrough --> behind it a stream of Node's?  looked at like any other pipe
 *                       --> made while watched?            its counts
 *                       --> else                           only that it was collected
 * ```
 */
import stream from "node:stream";
import * as web from "node:stream/web";
import { watchOther, watchPipe } from "./monitor.ts";
import type { Inspector, PipeLimits, WatchedPipe } from "./monitor.ts";
import { stageName } from "./stages.ts";
import type { Stage } from "./stages.ts";

/** What a stream was given. */
interface Sink {
  moved: number;
  /** It has a chunk and has not said that it is done. */
  isWriting: boolean;
  /** Called when nothing more comes. */
  readonly onOver: Set<() => void>;
}

type Members = Record<string, unknown>;
type Method = (this: unknown, ...args: unknown[]) => unknown;

const sinks = new WeakMap<object, Sink>();
/** Streams of Node's, by the web stream in front. */
const behind = new WeakMap<object, Stage>();

const SINK = { take: "write", over: ["close", "abort"] } as const;
const TRANSFORMER = { take: "transform", over: ["flush", "cancel"] } as const;

/** What a transformer does that has no `transform`. */
function identity(chunk: unknown, controller: web.TransformStreamDefaultController): void {
  controller.enqueue(chunk);
}

/** The underlying object of a stream, with what is called in it counted. */
function counted(
  underlying: unknown,
  { take, over }: typeof SINK | typeof TRANSFORMER,
  sink: Sink,
): object {
  const inner = (
    typeof underlying === "object" && underlying !== null ? underlying : {}
  ) as Members;
  const otherwise = take === "transform" ? (identity as Method) : () => undefined;
  const taking: Method = async (...args) => {
    sink.moved += 1;
    sink.isWriting = true;
    try {
      await Reflect.apply((inner[take] as Method | undefined) ?? otherwise, inner, args);
    } finally {
      sink.isWriting = false;
    }
  };
  const ending =
    (method: Method): Method =>
    (...args) => {
      for (const each of sink.onOver) each();
      return Reflect.apply(method, inner, args);
    };
  return new Proxy(inner, {
    get(target, key) {
      if (key === take) return taking;
      const value = Reflect.get(target, key) as unknown;
      if ((over as readonly unknown[]).includes(key)) {
        return ending((value as Method | undefined) ?? (() => undefined));
      }
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
}

type Constructor = new (...args: unknown[]) => object;

/** Puts a constructor that counts in the place of one, wherever it is found. */
function countMade(
  name: "WritableStream" | "TransformStream",
  members: typeof SINK | typeof TRANSFORMER,
): () => void {
  const original = web[name] as unknown as Constructor;
  const counting = new Proxy(original, {
    construct(target, [underlying, ...rest], newTarget) {
      const sink: Sink = { moved: 0, isWriting: false, onOver: new Set() };
      const made = Reflect.construct(
        target,
        [counted(underlying, members, sink), ...rest],
        newTarget,
      );
      const { writable } = made as { readonly writable?: object }; // of a TransformStream
      sinks.set(writable ?? (made as object), sink);
      return made as object;
    },
  });
  const holders = [globalThis, process.getBuiltinModule("node:stream/web")] as unknown as Members[];
  const changed = holders.filter((holder) => holder[name] === original);
  for (const holder of changed) holder[name] = counting;
  return () => {
    for (const holder of changed) if (holder[name] === counting) holder[name] = original;
  };
}

/** Remembers which stream of Node's is behind a web stream. */
function rememberToWeb(holder: typeof stream.Readable | typeof stream.Writable): () => void {
  const members = holder as unknown as { toWeb: Method };
  const original = members.toWeb;
  const remembering: Method = function toWeb(this: unknown, ...args) {
    const made = Reflect.apply(original, this, args);
    if (typeof made === "object" && made !== null) behind.set(made, args[0] as Stage);
    return made;
  };
  members.toWeb = remembering;
  return () => {
    if (members.toWeb === remembering) members.toWeb = original;
  };
}

function ofSink(sink: Sink, source: string, destination: string): Inspector {
  return {
    mark: () => 2 * sink.moved + (sink.isWriting ? 1 : 0),
    diagnose: () => ({
      why: sink.isWriting ? "callback-outstanding" : "source-silent",
      culprit: sink.isWriting ? destination : source,
      evidence: { chunks: sink.moved, writing: sink.isWriting },
    }),
  };
}

/** Watches a pipe of web streams. Null: nothing of it can be seen. */
export function watchWebPipe(
  source: object,
  destination: object,
  limits: PipeLimits,
  site: string,
): WatchedPipe | null {
  const from = behind.get(source) ?? source;
  const to = behind.get(destination);
  if (to !== undefined) return watchPipe([from, to], limits, site);
  const sink = sinks.get(destination);
  if (sink === undefined) return null;
  const names = [stageName(from), stageName(destination)] as const;
  const watched = watchOther(names.join(" -> "), destination, limits, ofSink(sink, ...names), site);
  sink.onOver.add(() => watched.settle("ok"));
  return watched;
}

/** Counts from now on. Returns what undoes that. */
export function countWebStreams(): readonly (() => void)[] {
  return [
    countMade("WritableStream", SINK),
    countMade("TransformStream", TRANSFORMER),
    rememberToWeb(stream.Readable),
    rememberToWeb(stream.Writable),
  ];
}
