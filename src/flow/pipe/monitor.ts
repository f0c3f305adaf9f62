/**
 * Looks at all pipes of this process twice a second: which of them have not moved, and why. Holds
 * no stream: a pipe that is garbage collected before it has ended is found by that. Of pipes that
 * follow each other one is told.
 *
 * ```
 *   add --> [ at each look: moved? ] --> settled
 *                 | not for stallMs          \
 *                 +--> stalled: named, told --+--> destroyed after destroyMs
 *   streams collected, not settled --> "collected-unsettled"
 * ```
 */
import { Transform } from "node:stream";
import { Crowd } from "../../base/mod.ts";
import { every, nowMs } from "../clock.ts";
import { FlowError } from "../errors.ts";
import { account } from "../work.ts";
import type { Account, Work } from "../work.ts";
import type { WorkOutcome } from "../../ledger/mod.ts";
import { bufferedBytes, diagnose, endName, progressMark, stageName } from "./stages.ts";
import type { Diagnosis, Stage, StallReason } from "./stages.ts";

/** A pipe that does not move. */
export interface Stall {
  /** Its streams, with what is known of both ends: `ReadStream /a -> Gzip -> Socket 10.0.0.1:4`. */
  readonly pipe: string;
  readonly why: StallReason;
  /** The stream that it hangs on. */
  readonly culprit: string;
  /** Since it last moved. */
  readonly forMs: number;
  /** Held in memory by its streams. */
  readonly bufferedBytes: number;
  /** Where it was made: file, line and column. */
  readonly site: string;
  readonly evidence: Readonly<Record<string, number | boolean>>;
}

/** A pipe has not moved for as long as it may. */
export class PipeStalled extends FlowError {
  readonly stall: Stall;

  constructor(stall: Stall) {
    super(
      "ERR_HOLDFAST_PIPE_STALLED",
      `The pipe ${stall.pipe} has not moved for ${Math.round(stall.forMs)} ms: ${stall.why} at ` +
        `${stall.culprit}. It was made at ${stall.site}.`,
    );
    this.stall = stall;
  }
}

export interface PipeLimits {
  /** How long it may stand still before it is called stalled. */
  readonly stallMs: number;
  /** How long before its streams are destroyed; infinity: never. */
  readonly destroyMs: number;
  readonly onStall: ((stall: Stall) => void) | null;
}

/** How a pipe is looked at: not all have streams that can be seen. */
export interface Inspector {
  mark(stages: readonly Stage[], written: number): number;
  diagnose(stages: readonly Stage[]): Diagnosis;
}

const STREAMS: Inspector = { mark: progressMark, diagnose };
const LOOK_MS = 500;
const SITE_FRAMES = 12;
/** Files of ours are not where a pipe was made. */
const OURS = /[/\\]flow[/\\]pipe[/\\](?:bodies|monitor|pipe|watchdog|web-streams)\.[jt]s/;
const NODE = /[ (]node:/;

/**
 * The caller outside of this library; null: Node itself, for purposes of its own. `throughNode`:
 * who has called Node, which has called us.
 */
export function callSite(throughNode = false): string | null {
  const former = Error.stackTraceLimit;
  Error.stackTraceLimit = SITE_FRAMES;
  const { stack = "" } = new Error("where");
  Error.stackTraceLimit = former;
  const caller = stack
    .split("\n")
    .slice(1)
    .find((each) => !OURS.test(each) && !(throughNode && NODE.test(each)));
  if (caller === undefined) return "an unknown place";
  return NODE.test(caller) ? null : caller.replace(/^\s*at /, "");
}

/** Its streams by their classes, its ends by all that is known of them. */
function fullName(stages: readonly unknown[]): string {
  const last = stages.length - 1;
  const names = stages.map((each, index) =>
    index === 0 || index === last ? endName(each) : stageName(each),
  );
  return names.join(" -> ");
}

/** One pipe, by what can be known of it without holding its streams. */
export class WatchedPipe {
  /** In the accounts: one of few. */
  readonly name: string;
  /** With what tells its ends from others, as of when it was made. */
  readonly #fullName: string;
  readonly site: string;
  readonly limits: PipeLimits;
  /** See CrowdMember. */
  place = -1;
  readonly #stages: readonly WeakRef<Stage>[];
  readonly #inspector: Inspector;
  readonly #account: Account = account("pipe");
  readonly #work: Work;
  /** What was written into its stages. */
  written = 0;
  #mark = Number.NaN;
  #movedMs = nowMs();
  #stall: Stall | null = null;
  #isSettled = false;
  #isOrphan = false;

  constructor(
    name: string,
    stages: readonly Stage[],
    limits: PipeLimits,
    site: string,
    inspector: Inspector,
  ) {
    this.name = name;
    this.#fullName = inspector === STREAMS ? fullName(stages) : name;
    this.#inspector = inspector;
    this.site = site;
    this.limits = limits;
    this.#stages = stages
      .filter((each) => typeof each === "object")
      .map((each) => new WeakRef(each));
    this.#work = this.#account.begin(this.name);
    this.#neighbours(1);
  }

  get isSettled(): boolean {
    return this.#isSettled;
  }

  get stall(): Stall | null {
    return this.#stall;
  }

  /** It has ended. */
  settle(outcome: WorkOutcome): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    this.#neighbours(-1);
    this.#account.end(this.#work, outcome);
    pipes.delete(this);
    collected.unregister(this); // else its last stream would live until a full collection
  }

  /** Its source closed before its end, and its destination was not told: it waits for ever. */
  orphaned(): void {
    this.#isOrphan = true;
  }

  /** Bytes went into one of its stages. */
  count(bytes: number): void {
    this.written += bytes;
  }

  /** Looks whether it has moved. `lateMs`: nothing could, since the event loop stood still. */
  look(now: number, lateMs: number): void {
    this.#movedMs += lateMs;
    const stages = this.#stages.map((each) => each.deref()).filter((each) => each !== undefined);
    if (stages.length < this.#stages.length) return; // the registry tells what was collected
    const mark = this.#inspector.mark(stages, this.written);
    if (mark !== this.#mark) {
      if (!Number.isNaN(this.#mark)) {
        this.#account.progress(this.#work, Math.max(0, mark - this.#mark));
        this.#movedMs = now;
      }
      this.#mark = mark;
      if (this.#stall !== null) this.#account.state(this.#work, "running");
      this.#stall = null;
    }
    const buffered = stages.reduce((sum, each) => sum + bufferedBytes(each), 0);
    this.#account.buffered(this.#work, buffered);
    const forMs = now - this.#movedMs;
    if (forMs < this.limits.stallMs) return;
    const isNew = this.#stall === null;
    const diagnosis = this.#inspector.diagnose(stages);
    // what was not known yet when it was made, such as an address, is now
    const name = this.#inspector === STREAMS ? fullName(stages) : this.name;
    this.#stall = this.#told(name, diagnosis, forMs, buffered);
    const { why } = diagnosis;
    this.#account.state(this.#work, why === "collected-unsettled" ? "stalled" : why);
    if (isNew && !this.#isOfNeighbour(stages, why)) this.limits.onStall?.(this.#stall);
    if (forMs < this.limits.destroyMs) return;
    const error = new PipeStalled(this.#stall);
    for (const stage of withFollowers(stages)) destroyTold(stage, error);
  }

  #neighbours(change: 1 | -1): void {
    if (this.#inspector !== STREAMS) return;
    add(beginning, this.#stages[0]?.deref(), change);
    add(ending, this.#stages.at(-1)?.deref(), change);
  }

  /**
   * Whether the pipe before it or behind it tells what this one hangs on: where b turns what comes
   * into what goes, the first of `a.pipe(b).pipe(c)` waits for what fills b, the second for what
   * does not come out of it.
   */
  #isOfNeighbour(stages: readonly Stage[], why: StallReason): boolean {
    if (this.#inspector !== STREAMS) return false;
    const [first = {}, last = {}] = [stages[0], stages.at(-1)];
    const goesOn = last instanceof Transform && (beginning.get(last) ?? 0) > 0;
    if (goesOn && (last.readableLength ?? 0) > 0) return true;
    const comes = first instanceof Transform && (ending.get(first) ?? 0) > 0;
    return comes && (first.readableLength ?? 0) === 0 && why === "source-silent";
  }

  /** Its streams were garbage collected, and nobody was told of an end. */
  lost(): void {
    if (this.#isSettled) return;
    if (this.#isOrphan) {
      this.settle("cancelled"); // nobody waits for what is left of it
      return;
    }
    this.settle("lost");
    const diagnosis: Diagnosis = { why: "collected-unsettled", culprit: this.name, evidence: {} };
    const stall = this.#told(this.#fullName, diagnosis, nowMs() - this.#movedMs, 0);
    this.limits.onStall?.(stall);
  }

  #told(
    pipe: string,
    { why, culprit, evidence }: Diagnosis,
    forMs: number,
    buffered: number,
  ): Stall {
    const { site } = this;
    return { pipe, why, culprit, forMs, bufferedBytes: buffered, site, evidence };
  }
}

/** These, and what they are piped on to: nobody else would tell it, and it would wait for ever. */
function withFollowers(stages: readonly Stage[]): ReadonlySet<Stage> {
  const all = new Set(stages);
  for (const { _readableState } of all) {
    for (const next of _readableState?.pipes ?? []) all.add(next as Stage); // streams of Node's
  }
  return all;
}

/**
 * Destroys a stream with an error that has been told: who listens hears it, but where nobody does,
 * as in most uses of `pipe()`, it does not end the process.
 */
function destroyTold(stage: Stage, error: PipeStalled): void {
  if (stage.destroyed !== true) stage.once?.("error", () => undefined);
  stage.destroy?.(error);
}

/** How many pipes that are watched begin, and end, with a stream. */
const beginning = new WeakMap<object, number>();
const ending = new WeakMap<object, number>();

function add(counts: WeakMap<object, number>, stage: Stage | undefined, change: 1 | -1): void {
  if (stage !== undefined) counts.set(stage, (counts.get(stage) ?? 0) + change);
}

const pipes = new Crowd<WatchedPipe>();
const collected = new FinalizationRegistry<WatchedPipe>((pipe) => pipe.lost());
let timer: NodeJS.Timeout | null = null;
let lookedMs = 0;

function look(): void {
  const now = nowMs();
  const lateMs = Math.max(0, now - lookedMs - LOOK_MS);
  lookedMs = now;
  for (const pipe of pipes) pipe.look(now, lateMs);
  if (pipes.size > 0 || timer === null) return;
  clearInterval(timer);
  timer = null;
}

/** Watches a pipe of streams until it is settled. */
export function watchPipe(stages: readonly Stage[], limits: PipeLimits, site: string): WatchedPipe {
  const name = stages.map(stageName).join(" -> ");
  const pipe = watch(new WatchedPipe(name, stages, limits, site, STREAMS), stages);
  for (const stage of stages.slice(1)) countWrites(stage, pipe);
  return pipe;
}

/** Watches something that moves otherwise: `anchor` lives as long as it does. */
export function watchOther(
  name: string,
  anchor: object,
  limits: PipeLimits,
  inspector: Inspector,
  site = name,
): WatchedPipe {
  const stages = [anchor as Stage]; // held weakly, and handed to the inspector
  return watch(new WatchedPipe(name, stages, limits, site, inspector), stages);
}

function watch(pipe: WatchedPipe, stages: readonly Stage[]): WatchedPipe {
  pipes.add(pipe);
  // the last stream, or whatever object there is: streams of a pipe hold each other
  const anchor = stages.findLast((each) => typeof each === "object" && each !== null);
  if (anchor !== undefined) collected.register(anchor, pipe, pipe);
  if (timer === null) {
    lookedMs = nowMs();
    timer = every(look, LOOK_MS);
    timer.unref();
  }
  return pipe;
}

/** Streams have no count of what was written to them: one is kept while the pipe is watched. */
function countWrites(stage: Stage, pipe: WatchedPipe): void {
  if (typeof stage !== "object" || typeof stage.write !== "function") return;
  // called with the stream as `this`, below
  // oxlint-disable-next-line typescript/unbound-method
  const { write } = stage;
  const counting = function write_(this: Stage, chunk: unknown, ...rest: unknown[]): boolean {
    pipe.count(sizeOf(chunk));
    return Reflect.apply(write as (...args: unknown[]) => boolean, this, [chunk, ...rest]);
  };
  Object.defineProperty(counting, "name", { value: "write" });
  Object.defineProperty(stage, "write", { value: counting, configurable: true, writable: true });
}

/** An object counts as one byte: it moves as well. */
function sizeOf(chunk: unknown): number {
  if (typeof chunk === "string") return chunk.length;
  return ArrayBuffer.isView(chunk) ? chunk.byteLength : 1;
}

/** The pipes that stand still now. */
export function stalledPipes(): readonly Stall[] {
  return [...pipes].map(({ stall }) => stall).filter((each) => each !== null);
}
