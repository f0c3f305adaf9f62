/**
 * Since when a request is in flight. Node keeps no time of one that it has read to its end; what
 * is known, the nearest to its beginning first:
 *
 * | since | of | by | where |
 * | --- | --- | --- | --- |
 * | first byte | served | the ledger | workers of Holdfast (graph/ledger.ts) |
 * | first byte | served, its body is still being received | node's parser | everywhere |
 * | fetch() | `fetch` | undici: `timingInfo.startTime` | everywhere |
 * | last byte received | served | the kernel, of the connection | live, dumps of our own |
 * | last byte sent | asked | the kernel, of the connection | live, dumps of our own |
 *
 * "Everywhere" counts, in a core that does not say when it was taken, to the moment when the event
 * loop of that connection last looked at the clock: the age is at least that.
 */
import { HandleReader } from "../graph/handles.ts";
import { readParser } from "../graph/http-parser.ts";
import { loopTimeMs } from "../graph/libuv-handle.ts";
import type { UvHandle } from "../graph/libuv-handle.ts";
import type { SocketTimes } from "../target/target.ts";
import { readScopeInfo } from "../v8/scope-info.ts";
import { isSmi } from "../v8/tagged.ts";
import type { Tagged } from "../v8/tagged.ts";
import { PARSER_CHECK } from "./self-test.ts";
import type { Session } from "./session.ts";

/** Times of the kernel are in ticks: one may seem to be that much later than it was. */
const TICK_MS_MAX = 10;
/** Contexts around a closure of undici that are looked through. */
const CONTEXTS_MAX = 4;
/**
 * Milestones of `performance` (node_perf_common.h), eight doubles: microseconds since 1970, then
 * nanoseconds of the monotonic clock: the origin, the environment's own beginning ...
 */
const MILESTONES_BYTES = 64;
/** The years 2001 and 2286. */
const [EPOCH_US_MIN, EPOCH_US_MAX] = [1e15, 1e16];

export interface Age {
  readonly ageMs: number;
  readonly since: "first byte" | "fetch()" | "last byte received" | "last byte sent";
}

/** Tells ages of one session; see the file's docstring. */
export class RequestAges {
  readonly #session: Session;
  readonly #handles: HandleReader;
  readonly #sockets: ReadonlyMap<number, SocketTimes>;
  /** Where `performance.now()` is 0, by the Heap (of a thread) in whose pages that is kept. */
  readonly #origins = new Map<number, number>();
  #isAnyAtLeast = false;

  constructor(session: Session) {
    this.#session = session;
    this.#handles = new HandleReader(session.objects, session.describer, session.target);
    this.#sockets = session.target.socketTimes?.() ?? new Map();
  }

  /** False: the kernel told nothing, or nobody could ask it. */
  get hasKernelTimes(): boolean {
    return this.#sockets.size > 0;
  }

  /** Some of the ages were counted to what the event loop knew of the time. */
  get isAnyAtLeast(): boolean {
    return this.#isAnyAtLeast;
  }

  /** Takes note of an array of doubles, which may be the milestones of a thread. */
  noteDoubles(array: Tagged): void {
    const { values, target } = this.#session;
    const { address, bytes } = values.typedArray(array);
    const data = bytes === MILESTONES_BYTES ? target.memory.read(address, bytes) : null;
    if (data === null) return;
    const [epochUs = 0, origin = 0, begin = 0] = [0, 8, 16].map((at) => data.readDoubleLE(at));
    if (!(epochUs > EPOCH_US_MIN && epochUs < EPOCH_US_MAX && origin > 0 && begin >= origin))
      return;
    this.#origins.set(this.#heapOf(array), origin / 1e6);
  }

  /** Of a request that the process serves: its IncomingMessage. */
  served(request: Tagged): Age | null {
    const socket = this.#object(request, "socket");
    if (socket === null) return null;
    const connection = this.#handles.connection(socket);
    const startMs = this.#messageStart(socket, request);
    const first = startMs === null ? null : this.#since("first byte", startMs, connection);
    return first ?? this.#byKernel("last byte received", connection);
  }

  /** Of a ClientRequest, or of what else has been sent on that socket last. */
  asked(socket: Tagged | null): Age | null {
    const connection = socket === null ? null : this.#handles.connection(socket);
    return this.#byKernel("last byte sent", connection);
  }

  /** Of undici's Request: `abort` is over the socket, the handler of fetch over its timing. */
  undici(request: Tagged): Age | null {
    const { objects } = this.#session;
    const abort = this.#object(request, "abort");
    const socket = abort === null ? null : this.#variable(abort, "socket");
    const connection = socket === null ? null : this.#handles.connection(socket);
    const handler = objects.getSymbol(request, "handler");
    const startMs = handler === null ? null : this.#fetchStart(handler);
    const fetched = startMs === null ? null : this.#since("fetch()", startMs, connection);
    return fetched ?? this.#byKernel("last byte sent", connection);
  }

  /** A parser that still receives the message that this request is made of. */
  #messageStart(socket: Tagged, request: Tagged): number | null {
    const { objects, v8, confidence } = this.#session;
    const parser = this.#object(socket, "parser");
    const complete = objects.get(request, "complete");
    // what the parser receives may be the next request already
    if (complete === null || objects.oddball(complete) !== "false") return null;
    if (parser === null || objects.get(parser, "incoming") !== request) return null;
    if (confidence.failed.includes(PARSER_CHECK)) return null;
    const state = readParser(v8.heap, parser);
    return state === null || state === "unlike" ? null : state.messageStartMs;
  }

  #fetchStart(handler: Tagged): number | null {
    const { objects, v8 } = this.#session;
    if (!objects.isReceiver(handler)) return null;
    const originMs = this.#origins.get(this.#heapOf(handler));
    if (originMs === undefined) return null;
    for (const { value } of objects.properties(handler)) {
      if (isSmi(value) || !v8.heap.isFunction(value)) continue;
      const timing = this.#variable(value, "timingInfo");
      const start = timing === null ? null : objects.get(timing, "startTime");
      const startMs = start === null ? null : objects.number(start);
      if (startMs !== null && startMs > 0) return originMs + startMs;
    }
    return null;
  }

  /** An object that a variable of a closure, or of a function around it, refers to. */
  #variable(closure: Tagged, name: string): Tagged | null {
    const { objects, values, v8 } = this.#session;
    const { heap, layout } = v8;
    const { contextScopeInfo, contextLocals, contextPrevious } = layout.stated;
    if (!heap.isFunction(closure)) return null;
    let context = v8.functions.contextOf(closure);
    for (let count = 0; count < CONTEXTS_MAX && heap.isContext(context); count += 1) {
      const scope = readScopeInfo(heap, heap.tagged(context, contextScopeInfo));
      const index = scope?.contextLocals?.indexOf(name) ?? -1;
      if (index >= 0) {
        const { value } = values.variable(heap.tagged(context, contextLocals + 8 * index));
        return !isSmi(value) && objects.isReceiver(value) ? value : null;
      }
      context = heap.tagged(context, contextPrevious);
    }
    return null;
  }

  #byKernel(since: Age["since"], connection: UvHandle | null): Age | null {
    const descriptor = connection?.descriptor ?? null;
    const times = descriptor === null ? undefined : this.#sockets.get(descriptor);
    const atMs = since === "last byte sent" ? times?.sentAtMs : times?.receivedAtMs;
    const nowMs = this.#session.target.takenAtMs;
    // what came later than what is looked at belongs to another moment
    if (atMs === undefined || atMs === null || nowMs === undefined) return null;
    if (atMs > nowMs + TICK_MS_MAX) return null;
    return { ageMs: Math.max(0, Math.round(nowMs - atMs)), since };
  }

  #since(since: Age["since"], startMs: number, connection: UvHandle | null): Age | null {
    const { target } = this.#session;
    const nowMs = target.takenAtMs ?? loopTimeMs(target.memory, connection);
    if (nowMs === null) return null;
    if (target.takenAtMs === undefined) this.#isAnyAtLeast = true;
    return { ageMs: Math.max(0, Math.round(nowMs - startMs)), since };
  }

  /** The Heap that an object is in; 0: not found. */
  #heapOf(object: Tagged): number {
    const { pages } = this.#session.heap;
    return (
      pages.find(({ areaStart, areaEnd }) => object >= areaStart && object < areaEnd)?.heap ?? 0
    );
  }

  #object(object: Tagged, name: string): Tagged | null {
    const { objects } = this.#session;
    const value = objects.get(object, name);
    return value !== null && !isSmi(value) && objects.isReceiver(value) ? value : null;
  }
}
