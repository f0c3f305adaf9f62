/**
 * One target under examination: what verbs work on, read when a verb first asks for it.
 */
import { HoldfastError } from "../../base/mod.ts";
import { EdgeNames } from "../graph/edges.ts";
import { HolderScan } from "../graph/holders.ts";
import { allocationAreas } from "../heap/allocation-areas.ts";
import { Describer } from "../heap/describe.ts";
import { Heap } from "../heap/walk.ts";
import type { ObjectVisitor, WalkCounts } from "../heap/walk.ts";
import { positionAt, readStacks } from "../stack/mod.ts";
import type { Stacks } from "../stack/mod.ts";
import { decompressCore } from "../target/compressed.ts";
import type { PlainCore } from "../target/compressed.ts";
import { LiveProcess } from "../target/live.ts";
import type { Tracer } from "../target/hold.ts";
import { machineRemarks } from "../target/machine.ts";
import { openTarget } from "../target/open.ts";
import type { Target } from "../target/target.ts";
import { ObjectReader } from "../v8/objects.ts";
import type { Confidence } from "../v8/checks.ts";
import type { Layout } from "../v8/layout.ts";
import type { LayoutTable } from "../v8/layout-table.ts";
import { openV8, prepareV8 } from "../v8/process.ts";
import type { PreparedV8, V8Process } from "../v8/process.ts";
import { ValueReader } from "../v8/values.ts";
import { copyLive, refuseLong } from "./live-copy.ts";
import type { CopyCost, CopyOrder } from "./live-copy.ts";
import { collectionsOf } from "./collections.ts";
import type { Collections } from "./collections.ts";
import { selfTest } from "./self-test.ts";

/** How long a long verb may keep the event loop from Ctrl-C. */
const TURN_MS = 50;
/** A process that stands still, or loops, is read from the second copy; more help a busy one. */
const COPIES_MAX = 5;
/** 64 MiB, which take some 30 ms to copy. */
const COPIED_PAGES_MAX = 16_384;

const IN_COLLECTION =
  "taken in the middle of a garbage collection: references may lead to where an object was " +
  "before it moved";

/** A file of ours that goes with the session. */
type Removable = Pick<PlainCore, "damage" | "remove">;

export interface SessionOptions {
  /** `--node`. */
  readonly node: string | null;
  /** Stops live processes; null: by signal. */
  readonly tracer: Tracer | null;
  readonly environment: NodeJS.ProcessEnv;
  /** What to call the target; else the path or the process id that was given. */
  readonly title?: string;
  readonly onProgress?: (what: string, done: number, total: number) => void;
  /** Tables of V8's layouts in place of those that are known. */
  readonly layouts?: readonly LayoutTable[];
}

/** A core file or a stopped process, opened. `close` lets the process run on. */
export class Session {
  readonly target: Target;
  readonly v8: V8Process;
  readonly objects: ObjectReader;
  readonly values: ValueReader;
  readonly describer: Describer;
  readonly edges: EdgeNames;
  readonly #plain: Removable | null;
  readonly #onProgress: SessionOptions["onProgress"];
  #heap: Heap | null = null;
  #collections: Collections | null = null;
  #holders: HolderScan | null = null;
  #stacks: Stacks | null = null;
  #confidence: Confidence | null = null;
  #isClosed = false;

  private constructor(
    target: Target,
    plain: Removable | null,
    options: SessionOptions,
    prepared = prepareV8(target.executable, options.layouts),
  ) {
    this.target = target;
    this.#plain = plain;
    this.#onProgress = options.onProgress;
    this.v8 = openV8(target, prepared);
    this.objects = new ObjectReader(this.v8.heap, this.v8.functions);
    this.values = new ValueReader(this.objects);
    const format = this.v8.layout.metadata.hasBreakablePositions ? "flags" : "sign";
    this.describer = new Describer(
      this.objects,
      this.values,
      (table, offset) => positionAt(table, format, offset)?.scriptOffset ?? null,
    );
    this.edges = new EdgeNames(this.objects, this.values, this.describer);
    // a version that nobody has looked at yet must show that it is as its neighbour is
    if (!this.v8.layout.choice.isExact) refuseUnlessSure(this.v8.layout, this.confidence);
  }

  /** What the self-test says of the layout: of the heap too, if it is there. */
  get confidence(): Confidence {
    // a core without the heap is possible; that an unknown version has none is a failure
    const hasHeap = this.heap.pages.length > 0 || !this.v8.layout.choice.isExact;
    this.#confidence ??= selfTest(this.v8, this.objects, hasHeap ? this.heap : null);
    return this.#confidence;
  }

  /**
   * Why what a verb says may be wrong: a version without a table of its own, checks that fail.
   * What needs no heap does not wait for a look at it; a process that stands still, for nothing.
   */
  get doubts(): readonly string[] {
    const { layout } = this.v8;
    const isCollecting = this.#heap !== null && this.#collections?.areUnderWay === true;
    const doubts = [
      ...(layout.choice.isExact ? [] : [inexact(layout)]),
      ...machineRemarks(this.target.machine),
      // what is cut off is missing from every answer that needs the heap
      ...(this.#heap !== null && this.target.kind === "core" ? this.remarks : []),
      ...(isCollecting ? [IN_COLLECTION] : []),
      ...(this.#heap?.remarks() ?? []),
    ];
    const isShort = this.#heap === null && layout.choice.isExact;
    if (isShort && this.target.kind === "live") return doubts;
    const { held, failed } = isShort ? selfTest(this.v8, this.objects, null) : this.confidence;
    if (failed.length === 0) return doubts;
    return [
      ...doubts,
      `of ${held + failed.length} checks of V8's layout ${failed.length} fail ` +
        `(${failed.join(", ")})${isCollecting ? ", as may be in a collection" : ""}: ` +
        `what rests on them may be wrong`,
    ];
  }

  /**
   * Opens what the user named: a process id, or the path of a core, compressed or not.
   * @throws HoldfastError ERR_HOLDFAST_AUTOPSY_*
   */
  static async open(what: string, options: SessionOptions): Promise<Session> {
    const { node, tracer, environment } = options;
    if (/^\d+$/.test(what)) return Session.#stopped(Number(what), options);
    const plain = await decompressed(what, options);
    try {
      const target = openTarget(plain?.path ?? what, { node, tracer, environment });
      return Session.#begin({ ...target, title: options.title ?? what }, plain, options);
    } catch (error) {
      plain?.remove();
      throw error;
    }
  }

  /**
   * Looks at a live process, which stands still only while what `look` reads is copied: some
   * milliseconds, once or a few times. What to copy is learnt by doing it, first on a process that
   * runs; `look` must therefore have no effect but its result. When it reads other things each time
   * (a busy process), or very much, a snapshot is read; where there is none to be had, the process
   * stands still for it.
   *
   * @throws HoldfastError ERR_HOLDFAST_AUTOPSY_*
   */
  static async brief<Value>(
    pid: number,
    options: SessionOptions,
    look: (session: Session) => Promise<Value>,
  ): Promise<Value> {
    const live = new LiveProcess(pid, options);
    try {
      const prepared = prepareV8(live.executable, options.layouts);
      const pages = new Set<number>();
      for (let count = 0; count < COPIES_MAX && pages.size < COPIED_PAGES_MAX; count += 1) {
        const { target, asked, isWhole } = live.copy(pages);
        try {
          const value = await look(Session.#begin(target, null, options, prepared));
          if (isWhole()) return value;
        } catch (error) {
          if (isWhole()) throw error; // else it comes of what changed meanwhile
        }
        for (const page of asked) pages.add(page);
      }
      const snapshot = live.snapshotRefusal() ?? live.snapshot();
      const target = typeof snapshot === "string" ? live.stop() : snapshot;
      const session = Session.#begin(target, null, options, prepared);
      try {
        return await look(session);
      } finally {
        session.close();
      }
    } finally {
      live.close();
    }
  }

  /**
   * Looks at a live process as it is now while it runs on: for what reads much of it.
   *
   * @throws HoldfastError ERR_HOLDFAST_AUTOPSY_*
   */
  static async copied(
    pid: number,
    options: SessionOptions,
    order: Partial<CopyOrder> = {},
  ): Promise<Session> {
    const live = new LiveProcess(pid, options);
    const { onProgress = () => undefined } = options;
    try {
      const prepared = prepareV8(live.executable, options.layouts);
      const onCost = (cost: CopyCost): void => refuseLong(pid, cost);
      const target = copyLive(live, { onCost, onProgress, ...order });
      const close = (): void => {
        target.close();
        live.close();
      };
      return Session.#begin({ ...target, close }, null, options, prepared);
    } catch (error) {
      live.close();
      throw error;
    }
  }

  /** A process that stands still until the session is closed. */
  static #stopped(pid: number, options: SessionOptions): Session {
    const live = new LiveProcess(pid, options);
    try {
      const prepared = prepareV8(live.executable, options.layouts);
      const target = live.stop();
      const close = (): void => {
        target.close();
        live.close();
      };
      return Session.#begin({ ...target, close }, null, options, prepared);
    } catch (error) {
      live.close();
      throw error;
    }
  }

  static #begin(
    target: Target,
    plain: Removable | null,
    options: SessionOptions,
    prepared?: PreparedV8,
  ): Session {
    try {
      return new Session(target, plain, options, prepared);
    } catch (error) {
      target.close();
      throw error;
    }
  }

  get remarks(): readonly string[] {
    const damage = this.#plain?.damage ?? null;
    return damage === null ? this.target.remarks : [...this.target.remarks, damage];
  }

  get stacks(): Stacks {
    this.#stacks ??= this.readStacks(false);
    return this.#stacks;
  }

  /** Stacks of all threads, with or without what is masked for its name. */
  readStacks(areSecretsShown: boolean): Stacks {
    return readStacks(this.v8, { root: rootOf(this.target), areSecretsShown });
  }

  get heap(): Heap {
    this.#collections ??= collectionsOf(this.v8, () => this.stacks);
    const { isScavenged } = this.#collections;
    this.#heap ??= new Heap(this.target, this.v8.heap, allocationAreas(this.v8), isScavenged);
    return this.#heap;
  }

  get holders(): HolderScan {
    this.#holders ??= new HolderScan(this.target, this.heap, this.v8.layout);
    return this.#holders;
  }

  /**
   * Visits every object of the heap, and lets the event loop turn meanwhile.
   * @throws HoldfastError ERR_HOLDFAST_AUTOPSY_NO_HEAP when the core does not have the heap.
   */
  async walk(visit: ObjectVisitor, signal?: AbortSignal): Promise<WalkCounts> {
    return this.run("heap", this.heap.walk(visit), signal);
  }

  /** Runs a long computation in turns; `total`: of them, as progress is told. */
  async run<Value>(
    what: string,
    steps: Generator<unknown, Value>,
    signal?: AbortSignal,
    total = this.heap.pages.length,
  ): Promise<Value> {
    if (this.heap.pages.length === 0) throw noHeap(this.target);
    let until = performance.now() + TURN_MS;
    for (let count = 1; ; count += 1) {
      const { value, done } = steps.next();
      if (done === true) return value;
      if (performance.now() < until) continue;
      this.#onProgress?.(what, count, total);
      await new Promise((resolve) => setImmediate(resolve));
      signal?.throwIfAborted();
      until = performance.now() + TURN_MS;
    }
  }

  /** May be called twice. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.target.close();
    this.#plain?.remove();
  }
}

function decompressed(what: string, { onProgress }: SessionOptions): Promise<PlainCore | null> {
  return decompressCore(what, {
    onProgress: (done, total) => onProgress?.("decompress", done, total),
  }).catch((error: unknown) => {
    // no such file, a directory: opening it says so
    if ((error as NodeJS.ErrnoException).syscall !== undefined) return null;
    throw error;
  });
}

function inexact({ version, choice }: Layout): string {
  return `V8 ${version} has no table of its own: it is read with that of ${choice.table.version}`;
}

function refuseUnlessSure(layout: Layout, { held, failed }: Confidence): void {
  if (failed.length === 0) return;
  const why = `${failed.length} of ${held + failed.length} checks fail (${failed.join(", ")})`;
  throw new HoldfastError(
    "ERR_HOLDFAST_AUTOPSY_VERSION",
    `Cannot read the JavaScript of this process: ${inexact(layout)}, and ${why}. ` +
      `How a version is added is in docs/autopsy-layouts.md.`,
  );
}

function rootOf({ kind, pid }: Target): string {
  return kind === "live" ? `/proc/${pid}/root` : "/";
}

function noHeap({ title }: Target): HoldfastError {
  return new HoldfastError(
    "ERR_HOLDFAST_AUTOPSY_NO_HEAP",
    `Cannot look at the objects of ${title}: the heap of V8 is not in it. ` +
      `If the kernel wrote the core, /proc/PID/coredump_filter must have bit 0 (0x1: private ` +
      `memory); \`holdfast autopsy dump <pid>\` needs no setting.`,
  );
}
