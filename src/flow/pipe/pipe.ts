/**
 * `stream.pipeline` that is accounted for, with budgets of bytes and of time without movement, and
 * under the deadline of its context.
 */
import { Readable, Transform, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ReadableStream, WritableStream } from "node:stream/web";
import { every } from "../clock.ts";
import { currentContext } from "../context.ts";
import { FlowError, checkNames, checkNumber } from "../errors.ts";
import { outcomeOf } from "../work.ts";
import { callSite, watchPipe } from "./monitor.ts";
import type { Stall } from "./monitor.ts";
import type { Stage } from "./stages.ts";

export interface PipeOptions {
  /** Give up when nothing has moved for so long; default 60,000. */
  readonly stallMs?: number;
  /** Give up when more than so many bytes have come; default: no limit. */
  readonly maxBytes?: number;
  readonly signal?: AbortSignal;
  /** Told when it stalls, some time before it is given up: at half of `stallMs`. */
  readonly onStall?: (stall: Stall) => void;
}

/** Node's timers take a longer one for 1. */
const INTERVAL_MS_MAX = 2 ** 31 - 1;

/** More came out of a source than a pipe may move. */
export class PipeTooLong extends FlowError {
  constructor(name: string, maxBytes: number) {
    super(
      "ERR_HOLDFAST_PIPE_BYTES",
      `The pipe ${name} has more than the ${maxBytes} bytes that it may move (maxBytes).`,
    );
  }
}

type Step = NodeJS.ReadableStream | NodeJS.WritableStream | ReadableStream | WritableStream;
type Source = Step | AsyncIterable<unknown> | Iterable<unknown>;

/** Counts what passes, and stops it when it is too much. */
class Meter extends Transform {
  readonly #maxBytes: number;
  readonly #name: string;
  bytes = 0;

  constructor(name: string, maxBytes: number) {
    super({ objectMode: true, highWaterMark: 1 });
    this.#name = name;
    this.#maxBytes = maxBytes;
  }

  override _transform(
    chunk: unknown,
    _encoding: string,
    done: (error: Error | null, chunk?: unknown) => void,
  ): void {
    this.bytes += typeof chunk === "string" || ArrayBuffer.isView(chunk) ? byteLength(chunk) : 1;
    if (this.bytes > this.#maxBytes) done(new PipeTooLong(this.#name, this.#maxBytes));
    else done(null, chunk);
  }
}

function byteLength(chunk: string | ArrayBufferView): number {
  return typeof chunk === "string" ? Buffer.byteLength(chunk) : chunk.byteLength;
}

function isWeb(step: unknown, name: "ReadableStream" | "WritableStream"): boolean {
  return step instanceof globalThis[name];
}

/** A web stream as one of Node's. */
function asNode(step: Source, isFirst: boolean): Source {
  if (isFirst && isWeb(step, "ReadableStream")) return Readable.fromWeb(step as ReadableStream);
  if (!isFirst && isWeb(step, "WritableStream")) return Writable.fromWeb(step as WritableStream);
  return step;
}

function isOptions(last: unknown): last is PipeOptions {
  return (
    typeof last === "object" && last !== null && Object.getPrototypeOf(last) === Object.prototype
  );
}

/**
 * Moves everything from the first stream through the others to the last. Resolves with the number
 * of bytes that left the first.
 *
 * @throws PipeStalled, PipeTooLong, DeadlineExceeded, or what a stream failed with
 * @throws FlowError ERR_HOLDFAST_FLOW_OPTION
 * @example
 * await pipe(createReadStream("big"), createGzip(), response, { stallMs: 10_000 });
 */
export async function pipe(...steps: readonly (Source | PipeOptions)[]): Promise<number> {
  const last = steps.at(-1);
  const options = isOptions(last) ? last : {};
  const given = (isOptions(last) ? steps.slice(0, -1) : steps) as readonly Source[]; // the rest
  if (given.length < 2) {
    throw new FlowError("ERR_HOLDFAST_FLOW_OPTION", "pipe() takes a source and a destination.");
  }
  checkNames(options, { stallMs: true, maxBytes: true, signal: true, onStall: true });
  const stallMs = checkNumber("stallMs", options.stallMs, 60_000, { min: 1 });
  const maxBytes = checkNumber("maxBytes", options.maxBytes, Number.MAX_SAFE_INTEGER, { min: 1 });
  const streams = given.map((step, index) => asNode(step, index === 0));
  const site = callSite() ?? "Node";
  const limits = { stallMs: stallMs / 2, destroyMs: stallMs, onStall: options.onStall ?? null };
  const watched = watchPipe(streams as readonly Stage[], limits, site);
  const meter = new Meter(watched.name, maxBytes);
  const [source, ...rest] = streams;
  const { signal, leave } = joined(options.signal);
  // where nothing else is left to do the process would end before anybody says that it stalls
  const hold = every(() => undefined, Math.min(stallMs, INTERVAL_MS_MAX));
  try {
    const all = [source, meter, ...rest] as unknown as [
      NodeJS.ReadableStream,
      NodeJS.WritableStream,
    ];
    await pipeline([...all], { signal });
    watched.settle("ok");
    return meter.bytes;
  } catch (error) {
    watched.settle(outcomeOf(error));
    throw signal.aborted && signal.reason instanceof Error ? signal.reason : error;
  } finally {
    clearInterval(hold);
    leave();
  }
}

/** Aborted by the caller's signal, and by the deadline of the context. */
function joined(given: AbortSignal | undefined): { signal: AbortSignal; leave: () => void } {
  const controller = new AbortController();
  const abort = (reason: unknown): void => controller.abort(reason);
  const onAbort = (): void => abort(given?.reason);
  if (given?.aborted === true) onAbort();
  given?.addEventListener("abort", onAbort, { once: true });
  const leave = currentContext()?.deadline?.onAbort(abort);
  return {
    signal: controller.signal,
    leave: () => {
      given?.removeEventListener("abort", onAbort);
      leave?.();
    },
  };
}
