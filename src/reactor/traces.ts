/**
 * Traces of a service: sent to its workers, asked for their figures each second, and passed on to
 * whoever asked. What a program means only the workers and the CLI know; here it is text.
 *
 * ```
 *   POST /v1/trace --> running --stop, expiry, exit() in a worker, all probes off--> ending
 *                        |                                         ending --last figures--> ended
 *                        |  \--client gone--> ended (nobody is left to tell)
 *                        +--each second: trace-pull to every worker
 * ```
 * A worker that does not answer, as it spins, is asked by its agent, who takes the question into
 * the main thread. The agent also watches lines for a trace. A worker that becomes ready later gets
 * the trace too. If this process dies, the workers end their
 * traces by themselves when nobody has asked for a while.
 */
import { randomUUID } from "node:crypto";
import type { TraceMessage, TraceOrder, WatchedLine } from "../base/mod.ts";
import type { ControlledTraces, TraceLine } from "../supervision/mod.ts";
import type { AgentAsk } from "./agent-link.ts";
import type { WorkerLink } from "./worker-link.ts";

const PULL_MS = 1000;
/** The first figures come sooner: `begin` prints, or a program that ends at once. */
const FIRST_PULL_MS = 200;
/** By its agent; it answers within milliseconds where it answers at all. */
const AGENT_LIMIT_MS = 1500;
/** A worker that spins in native code cannot tell its last figures. */
const LAST_FIGURES_MS = 2000;
const PROBES_TIMEOUT_MS = 2000;
/** As many as one worker takes. */
const TRACES_MAX = 8;
/** Lines for each worker that the client has not read: more are not asked for until it has. */
const UNREAD_PER_WORKER_MAX = 4;
const HEADER_BYTES = 8;
/** Why a trace ends that has nothing more to tell; the probes say why each of them is off. */
const SPENT = "every probe of it is turned off";

/** A worker as far as traces are concerned. */
export type TracedLink = Pick<WorkerLink, "id" | "index" | "agent" | "isReady" | "send">;

interface Trace {
  readonly id: number;
  /** The ids of a former reactor were the same. */
  readonly token: string;
  readonly order: TraceOrder;
  readonly worker: number | null;
  readonly lines: Lines;
  /** Workers (by id) that have it, and their indices. */
  readonly holders: Map<number, number>;
  /** Of those, the ones that have not answered the last question. */
  readonly silent: Set<number>;
  /** Of the silent ones, those whose agents have been asked, and not answered. */
  readonly interrupted: Set<number>;
  /** Those in which every probe was turned off, by what they had told last. */
  readonly spent: Set<number>;
  /** What agents watch for it, by worker. */
  readonly watches: Map<number, AgentAsk>;
  readonly expiry: NodeJS.Timeout;
  state: "running" | "ending" | "ended";
  reason: string;
}

/** See the file's docstring. */
export class Traces implements ControlledTraces {
  readonly #links: ReadonlyMap<number, TracedLink>;
  readonly #traces: Map<number, Trace> = new Map();
  /** Parts of answers, by worker and question. */
  readonly #parts: Map<string, Buffer[]> = new Map();
  readonly #asked: Map<number, (link: TracedLink, answer: Answer) => void> = new Map();
  #pulls: NodeJS.Timeout | null = null;
  #lastId = 0;

  constructor(links: ReadonlyMap<number, TracedLink>) {
    this.#links = links;
  }

  get workers(): readonly number[] {
    return this.#readyLinks().map((link) => link.index);
  }

  start(order: TraceOrder, worker: number | null, signal: AbortSignal): AsyncIterable<TraceLine> {
    const lines = new Lines();
    if (this.#traces.size >= TRACES_MAX) {
      lines.push({ type: "ended", reason: `${TRACES_MAX} traces are on already` });
      lines.end();
      return lines;
    }
    this.#lastId += 1;
    const id = this.#lastId;
    const expiry = setTimeout(() => this.#end(trace, "its time is over"), order.expiryMs);
    const trace: Trace = {
      id,
      token: randomUUID(),
      order,
      worker,
      lines,
      holders: new Map(),
      silent: new Set(),
      interrupted: new Set(),
      spent: new Set(),
      watches: new Map(),
      expiry,
      state: "running",
      reason: "",
    };
    this.#traces.set(id, trace);
    const links = this.#readyLinks().filter(({ index }) => worker === null || index === worker);
    lines.push({ type: "started", trace: id, workers: links.map(({ index }) => index) });
    for (const link of links) this.#give(trace, link);
    signal.addEventListener("abort", () => this.#abandon(trace), { once: true });
    setTimeout(() => this.#ask(trace), FIRST_PULL_MS);
    this.#pulls ??= setInterval(() => this.#pull(), PULL_MS);
    return lines;
  }

  stop(id: number): boolean {
    const trace = this.#traces.get(id);
    if (trace === undefined) return false;
    this.#end(trace, "it was stopped");
    return true;
  }

  async probes(): Promise<readonly unknown[]> {
    const links = this.#readyLinks();
    this.#lastId += 1;
    const id = this.#lastId;
    const { promise, resolve } = Promise.withResolvers<readonly unknown[]>();
    const found = new Map<string, unknown>();
    const missing = new Set(links.map((link) => link.id));
    const done = (): void => resolve([...found.values()]);
    const timer = setTimeout(done, PROBES_TIMEOUT_MS);
    this.#asked.set(id, (link, { probes = [] }) => {
      for (const probe of probes) found.set(JSON.stringify(probe), probe);
      missing.delete(link.id);
      if (missing.size === 0) done();
    });
    for (const link of links) link.send({ type: "trace-probes", id });
    if (links.length === 0) done();
    await promise;
    clearTimeout(timer);
    this.#asked.delete(id);
    return promise;
  }

  /** The application of this worker is there: what is on is on in it too. */
  ready(link: TracedLink): void {
    for (const trace of this.#traces.values()) {
      const isMeant = trace.worker === null || trace.worker === link.index;
      if (trace.holders.has(link.id)) continue;
      if (trace.state === "running" && isMeant) this.#give(trace, link);
    }
  }

  gone(link: TracedLink): void {
    for (const key of this.#parts.keys()) {
      if (key.startsWith(`${link.id}.`)) this.#parts.delete(key);
    }
    for (const trace of this.#traces.values()) {
      if (!trace.holders.delete(link.id)) continue;
      trace.silent.delete(link.id);
      trace.spent.delete(link.id);
      trace.watches.delete(link.id);
      trace.lines.push({ type: "gone", worker: link.index, id: link.id });
      this.#checkEnded(trace);
    }
  }

  /** A part of an answer (PACKET_TRACE). */
  receive(link: TracedLink, payload: Buffer): void {
    if (payload.length < HEADER_BYTES) return;
    const id = payload.readUInt32LE(0);
    const key = `${link.id}.${id}`;
    const parts = this.#parts.get(key) ?? [];
    parts.push(Buffer.from(payload.subarray(HEADER_BYTES)));
    if (payload.readUInt32LE(4) === 0) {
      this.#parts.set(key, parts);
      return;
    }
    this.#parts.delete(key);
    this.answer(link, id, JSON.parse(Buffer.concat(parts).toString()));
  }

  /** A whole answer. */
  answer(link: TracedLink, id: number, value: unknown): void {
    const answer = value as Answer; // our own worker's, of the same version
    const trace = this.#traces.get(id);
    if (trace === undefined) this.#asked.get(id)?.(link, answer);
    else this.#answered(trace, link, answer);
  }

  #readyLinks(): readonly TracedLink[] {
    return [...this.#links.values()].filter(({ isReady }) => isReady);
  }

  #give(trace: Trace, link: TracedLink): void {
    trace.holders.set(link.id, link.index);
    link.send(startOf(trace));
  }

  /** Carries a question into a worker that does not read its channel. */
  async #interrupt(trace: Trace, id: number, messages: readonly TraceMessage[]): Promise<void> {
    const link = this.#links.get(id);
    if (link === undefined || trace.interrupted.has(id)) return;
    trace.interrupted.add(id);
    try {
      for (const message of messages) {
        const answer = await link.agent.ask({ kind: "trace", message }, AGENT_LIMIT_MS);
        // our own worker's, of the same version
        if (trace.holders.has(id)) this.#answered(trace, link, answer as Answer);
      }
    } catch {
      // nothing can ask it now: the view shows that it is silent
    } finally {
      trace.interrupted.delete(id);
    }
  }

  #watch(trace: Trace, link: TracedLink, lines: readonly WatchedLine[]): void {
    if (trace.watches.has(link.id) || trace.state !== "running") return;
    const ask = link.agent.open({ kind: "lines", lines }, { limitMs: null });
    trace.watches.set(link.id, ask);
    const { index: worker } = link;
    ask.answer.catch((error: unknown) => {
      if (trace.state !== "running" || !trace.holders.has(link.id)) return;
      const message = error instanceof Error ? error.message : String(error);
      trace.lines.push({ type: "refused", worker, message: `its lines: ${message}` });
    });
  }

  #pull(): void {
    for (const trace of this.#traces.values()) {
      const silent = [...trace.silent].map((id) => trace.holders.get(id) ?? -1);
      trace.lines.push({ type: "round", silent });
      this.#ask(trace);
    }
  }

  #ask(trace: Trace): void {
    if (trace.state !== "running") return;
    if (trace.lines.unread > UNREAD_PER_WORKER_MAX * (trace.holders.size + 1)) return;
    for (const id of trace.holders.keys()) {
      // one question at a time: a worker that spins would find hundreds of them
      if (trace.silent.has(id)) {
        void this.#interrupt(trace, id, [startOf(trace), { type: "trace-pull", id: trace.id }]);
        continue;
      }
      trace.silent.add(id);
      this.#links.get(id)?.send({ type: "trace-pull", id: trace.id });
    }
  }

  #answered(trace: Trace, link: TracedLink, answer: Answer): void {
    const worker = link.index;
    if (typeof answer.error === "string") {
      trace.lines.push({ type: "refused", worker, message: answer.error });
      trace.holders.delete(link.id);
      trace.silent.delete(link.id);
      if (trace.holders.size === 0 && trace.state === "running") this.#end(trace, "all refused it");
      this.#checkEnded(trace);
      return;
    }
    const { snapshot, lines = [] } = answer;
    if (lines.length > 0) this.#watch(trace, link, lines);
    if (snapshot === undefined || snapshot === null) return; // it has started
    trace.silent.delete(link.id);
    trace.lines.push({ type: "snapshot", worker, id: link.id, snapshot });
    const { ended, isSpent } = snapshot;
    if (isSpent) trace.spent.add(link.id);
    if (trace.state === "running") {
      if (typeof ended === "string") this.#end(trace, `${ended} in worker ${worker}`);
      else if (trace.spent.size === trace.holders.size) this.#end(trace, SPENT);
    } else if (typeof ended === "string") {
      trace.holders.delete(link.id);
      this.#checkEnded(trace);
    }
  }

  #end(trace: Trace, reason: string): void {
    if (trace.state !== "running") return;
    trace.state = "ending";
    trace.reason = reason;
    clearTimeout(trace.expiry);
    const stop = { type: "trace-stop", id: trace.id } as const;
    for (const id of trace.holders.keys()) {
      this.#links.get(id)?.send(stop);
      if (trace.silent.has(id)) void this.#interrupt(trace, id, [stop]);
    }
    setTimeout(() => this.#finish(trace), LAST_FIGURES_MS).unref();
    this.#checkEnded(trace);
  }

  #checkEnded(trace: Trace): void {
    if (trace.state === "ending" && trace.holders.size === 0) this.#finish(trace);
  }

  #finish(trace: Trace): void {
    if (trace.state === "ended") return;
    trace.lines.push({ type: "ended", reason: trace.reason });
    this.#forget(trace);
  }

  /** The client has gone. */
  #abandon(trace: Trace): void {
    if (trace.state === "running") {
      for (const id of trace.holders.keys()) {
        this.#links.get(id)?.send({ type: "trace-stop", id: trace.id });
      }
    }
    if (trace.state !== "ended") this.#forget(trace);
  }

  #forget(trace: Trace): void {
    trace.state = "ended";
    trace.lines.end();
    for (const watch of trace.watches.values()) watch.cancel();
    clearTimeout(trace.expiry);
    this.#traces.delete(trace.id);
    if (this.#traces.size > 0 || this.#pulls === null) return;
    clearInterval(this.#pulls);
    this.#pulls = null;
  }
}

function startOf({ id, order, token }: Trace): TraceMessage {
  return { type: "trace-start", id, order, token };
}

/** What a worker answers; one of these members. */
interface Answer {
  readonly error?: string | null;
  readonly lines?: readonly WatchedLine[];
  readonly snapshot?: { readonly ended: string | null; readonly isSpent: boolean } | null;
  readonly probes?: readonly unknown[];
}

/** Lines for the client, as it reads them. */
class Lines implements AsyncIterable<TraceLine> {
  readonly #waiting: TraceLine[] = [];
  #isEnded = false;
  #wake: (() => void) | null = null;

  get unread(): number {
    return this.#waiting.length;
  }

  push(line: TraceLine): void {
    if (this.#isEnded) return;
    this.#waiting.push(line);
    this.#wake?.();
  }

  end(): void {
    this.#isEnded = true;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<TraceLine, void, void> {
    for (;;) {
      const line = this.#waiting.shift();
      if (line !== undefined) yield line;
      else if (this.#isEnded) return;
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }
}
