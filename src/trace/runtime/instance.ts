/**
 * One trace in one worker.
 *
 * ```
 *   compiled --> attached --exit(), expiry, lease, stop--> detached (its figures can still be read)
 * ```
 */
import { Aggregation } from "../aggregation.ts";
import type { AggregationShape } from "../aggregation.ts";
import { compileProgram } from "../compile.ts";
import { TraceProgramError } from "../errors.ts";
import type { RequestRecord } from "../firing.ts";
import type { TraceHost } from "../host.ts";
import { EXPIRY_MS } from "../../base/mod.ts";
import { KEY_CHARS_MAX, LEASE_MS, LINES_MAX } from "../limits.ts";
import { PRINTED_COLUMNS, PRINTED_ROWS_MAX } from "../limits.ts";
import type { TraceSnapshot } from "../merge.ts";
import { renderAggregation } from "../render.ts";
import { Site } from "../site.ts";
import { text } from "../values.ts";
import { attachDns, attachEmitters, attachFs, attachStreams, attachTimers } from "./calls.ts";
import { attachChannels, attachFetch, attachHttpClient, attachNet, attachUser } from "./events.ts";
import { Deadman } from "./deadman.ts";
import { attachFunctions } from "./fn.ts";
import { attachLines, attachProfile } from "./lines.ts";
import type { Lines } from "./lines.ts";
import type { Gate, Patches } from "./patches.ts";
import { every, heapUsed, now, soon, stackText, stopEvery, wallNow } from "./platform.ts";
import { detachAll, fireAll, sitesAt } from "./provider.ts";
import type { Attach, Detach } from "./provider.ts";
import { Requests } from "./requests.ts";
import { attachGc, attachLoop, attachPool, attachTicks } from "./samples.ts";

const PROVIDERS: ReadonlyMap<string, Attach> = new Map([
  ["tick", attachTicks],
  ["loop", attachLoop],
  ["gc", attachGc],
  ["pool", attachPool],
  ["net", attachNet],
  ["httpclient", attachHttpClient],
  ["fetch", attachFetch],
  ["dc", attachChannels],
  ["user", attachUser],
  ["dns", attachDns],
  ["fs", attachFs],
  ["timers", attachTimers],
  ["emitter", attachEmitters],
  ["stream", attachStreams],
  ["fn", attachFunctions],
  ["line", attachLines],
  ["profile", attachProfile],
]);

/** Probes that fire whatever the application does. */
const BY_ITSELF: ReadonlySet<string> = new Set(["begin", "end", "tick"]);

/** How often the lease and the expiry are looked at. */
const CHECK_MS = 1000;

export interface TraceOptions {
  /** Index of the worker. */
  readonly worker: number;
  readonly isDestructive: boolean;
  /** Share of time that one probe may take. */
  readonly budget: number;
  /** When it ends by itself. */
  readonly expiryMs: number;
}

export class TraceInstance {
  readonly #options: TraceOptions;
  readonly #startedMs: number = now();
  readonly #aggregations: Map<string, Aggregation> = new Map();
  readonly #space = { chars: 0, charsMax: KEY_CHARS_MAX };
  readonly #sites: readonly Site[];
  #lines: string[] = [];
  #drops = 0;
  #errors = 0;
  #lastError: string | null = null;
  #fetchedMs: number = now();
  #ended: string | null = null;
  readonly #deadman = new Deadman(CHECK_MS, now());
  #detach: Detach = () => undefined;

  /**
   * Compiles, and touches nothing of the application yet.
   * @throws TraceProgramError ERR_HOLDFAST_TRACE_PROGRAM
   */
  constructor(source: string, options: TraceOptions, gate: Gate) {
    this.#options = options;
    const { isDestructive, budget } = options;
    const { clauses } = compileProgram(source, this.#host(), { isDestructive });
    const owner = { gate, budget, now, fault: (error: unknown) => this.#fault(error) };
    this.#sites = clauses.map((clause) => new Site(clause, owner));
  }

  get sites(): readonly Site[] {
    return this.#sites;
  }

  /** Whether it is still on. */
  get isOn(): boolean {
    return this.#ended === null;
  }

  /** Nobody will ask for it any more. */
  get isAbandoned(): boolean {
    return !this.isOn && now() - this.#fetchedMs > LEASE_MS;
  }

  attach(patches: Patches, lines: Lines): void {
    const steps: Detach[] = [];
    const requests = this.#requests();
    if (requests !== null) steps.push(() => requests.close());
    const timer = every(() => this.#check(), CHECK_MS);
    timer.unref();
    steps.push(() => stopEvery(timer));
    for (const [provider, attach] of PROVIDERS) {
      const sites = this.#sites.filter(({ clause }) => clause.point.provider === provider);
      if (sites.length === 0) continue;
      try {
        steps.push(attach(sites, { patches, lines, requests }));
      } catch (error) {
        for (const site of sites) site.off = `it cannot be attached: ${text(error)}`;
      }
    }
    this.#detach = detachAll(steps);
    fireAll(sitesAt(this.#sites, "begin"), null, []);
  }

  /** Everything is as it was before. Can be called again. */
  end(why: string): void {
    if (this.#ended !== null) return;
    this.#ended = why;
    this.#release();
  }

  #release(): void {
    fireAll(sitesAt(this.#sites, "end"), null, []);
    const detach = this.#detach;
    this.#detach = () => undefined;
    detach();
  }

  /** What there is so far. Whoever asks holds the lease. */
  snapshot(): TraceSnapshot {
    this.#fetchedMs = now();
    const lines = this.#lines;
    this.#lines = [];
    const spentMs = this.#sites.reduce((sum, site) => sum + site.spentMs, 0);
    return {
      aggregations: [...this.#aggregations.values()].map((each) => each.snapshot()),
      probes: this.#sites.map((site) => site.report()),
      lines,
      drops: this.#drops,
      errors: this.#errors,
      lastError: this.#lastError,
      share: spentMs / Math.max(1, now() - this.#startedMs),
      ended: this.#ended,
      isSpent: this.#isSpent(),
    };
  }

  #isSpent(): boolean {
    const waiting = this.#sites.filter(({ clause }) => !BY_ITSELF.has(clause.point.provider));
    const isOver = waiting.some(({ isOverBudget }) => isOverBudget);
    return isOver && waiting.every(({ off }) => off !== null);
  }

  /** The requests under this trace, where a clause needs them. */
  #requests(): Requests | null {
    const began = sitesAt(this.#sites, "http:request");
    const done = sitesAt(this.#sites, "http:done");
    const aborted = sitesAt(this.#sites, "http:abort");
    const follows = this.#sites.some((site) => site.needs.request);
    if (!follows && began.length + done.length + aborted.length === 0) return null;
    const fires = (site: Site) => {
      const isTimed = site.needs.duration;
      return (record: RequestRecord): void => {
        site.firing.request = record;
        site.firing.args = [record.req, record.res];
        if (isTimed) site.firing.duration = now() - record.startedMs;
        site.fire();
      };
    };
    const remembers = follows || done.some(({ needs }) => needs.duration || needs.self);
    return new Requests(follows, remembers, {
      began: began.map(fires),
      done: done.map(fires),
      aborted: aborted.map(fires),
    });
  }

  #check(): void {
    const time = now();
    const firings = this.#sites.reduce((sum, site) => sum + site.firings, 0);
    this.#deadman.check(time, firings);
    if (this.#deadman.reason !== null) this.end(this.#deadman.reason);
    if (time - this.#fetchedMs > LEASE_MS) this.end("nobody has asked for it any more");
    else if (time - this.#startedMs > Math.min(this.#options.expiryMs, EXPIRY_MS)) {
      this.end("its time is over");
    }
  }

  #fault(error: unknown): void {
    this.#errors += 1;
    this.#lastError = text(error);
  }

  #print(line: string): void {
    if (this.#lines.length < LINES_MAX) this.#lines.push(line);
    else this.#drops += 1;
  }

  #host(): TraceHost {
    return {
      pid: process.pid,
      worker: this.#options.worker,
      timestamp: wallNow,
      elapsed: () => now() - this.#startedMs,
      heap: heapUsed,
      stack: stackText,
      aggregation: (shape) => this.#aggregation(shape),
      clear: (name) => this.#aggregations.get(name)?.clear(),
      truncate: (name, keep) => this.#aggregations.get(name)?.truncate(keep),
      print: (line) => this.#print(line),
      printAggregation: (name) => {
        const aggregation = this.#aggregations.get(name)?.snapshot();
        if (aggregation === undefined) return;
        const size = { columns: PRINTED_COLUMNS, rowsMax: PRINTED_ROWS_MAX };
        const [title = "", ...rows] = renderAggregation(aggregation, size);
        this.#print(`${title}  in worker ${this.#options.worker}`);
        for (const row of rows) this.#print(row);
      },
      exit: () => {
        if (this.#ended !== null) return;
        this.#ended = "exit() was called";
        for (const site of this.#sites) site.off ??= "";
        soon(() => this.#exited());
      },
      countDrop: () => {
        this.#drops += 1;
      },
    };
  }

  /** Not in the middle of a firing. */
  #exited(): void {
    for (const site of this.#sites) if (site.off === "") site.off = null;
    this.#release();
  }

  #aggregation(shape: AggregationShape | null): Aggregation {
    if (shape === null) throw new TraceProgramError("", 0, "an aggregation is not declared", "");
    const known = this.#aggregations.get(shape.name) ?? new Aggregation(shape, this.#space);
    this.#aggregations.set(shape.name, known);
    return known;
  }
}
