/**
 * One fault, from start to count:
 *
 * ```
 *   start ── idle connections, event streams ── loops, probe ── GET and POST in flight ── FAULT
 *     ── wait: back, and every request in flight over ── a GET on each idle connection ── count
 * ```
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import type { Contender, ReloadResult, Service } from "../contenders/mod.ts";
import { DeadlineError, benchFolder, delay, freePort, waitFor } from "../support/mod.ts";
import { repositoryFolder } from "../support/mod.ts";
import { Connection } from "./connection.ts";
import type { Outcome } from "./connection.ts";
import { Counts } from "./counts.ts";
import { FAULT_TARGETS, OOM_HEAP_MEGABYTES, injectFault } from "./fault.ts";
import type { FaultName, WorkerName } from "./fault.ts";
import { ClosedLoops, EventReader, Prober, ask } from "./load.ts";
import type { OnAnswer } from "./load.ts";
import { PostLedger } from "./posts.ts";
import type { PostResult } from "./posts.ts";

export const APP_NAMES = ["http", "express", "fastify"] as const;
export type AppName = (typeof APP_NAMES)[number];

const APP_FILES = { http: "http.cjs", express: "express.cjs", fastify: "fastify.mjs" } as const;

/** How much of everything; the numbers of the issue are `FULL`. */
export interface Population {
  readonly workers: number;
  readonly idle: number;
  readonly get: number;
  readonly post: number;
  readonly streams: number;
  readonly fastLoops: number;
  readonly slowLoops: number;
}

export const FULL: Population = {
  workers: 2,
  idle: 200,
  get: 40,
  post: 20,
  streams: 20,
  fastLoops: 8,
  slowLoops: 20,
};

export interface ScenarioOptions {
  readonly contender: Contender;
  readonly app: AppName;
  /** The node program that runs contender and application. */
  readonly node: string;
  readonly fault: FaultName;
  readonly population: Population;
  readonly holdfastFlags: readonly string[];
  /** How long a client waits for a response, and we for the service to be back. */
  readonly patienceMs: number;
  /** Told what is happening. */
  readonly progress: (what: string) => void;
}

export interface FaultResult {
  readonly contender: string;
  readonly app: AppName;
  readonly fault: FaultName;
  readonly population: Population;
  /** Idle connections and POSTs that the victim had: a run without any has shown nothing. */
  readonly victim: { readonly worker: WorkerName; readonly idle: number };
  readonly idleLost: Counts;
  readonly getFailed: Counts;
  readonly post: PostResult;
  readonly streamsLost: Counts;
  /** Streams that were lost although another worker than the victim served them. */
  readonly streamsLostElsewhere: number;
  readonly fastLoops: { readonly requests: number; readonly failed: Counts };
  readonly slowLoops: { readonly requests: number; readonly failed: Counts };
  readonly probes: { readonly asked: number; readonly failed: Counts };
  /** Of a closed loop's or a probe's request. */
  readonly longestStallMs: number;
  /** Until every place for a worker had answered again; null: not in time. */
  readonly backMs: number | null;
  /** How the contender's reload command ended; null: no reload, or it has not ended yet. */
  readonly command: ReloadResult | null;
  /** The last of what the contender has written. */
  readonly output: string;
}

const START_DEADLINE_MS = 30_000;
const PROBE_INTERVAL_MS = 50;
const SLOW_MS = 100;
const SLOW_PATH: string = `/slow?ms=${SLOW_MS}`;
const IN_FLIGHT_PATH = "/slow?ms=400";
/** Load before the requests in flight; from the last of them to the fault; load after it. */
const WARM_UP_MS = 300;
const IN_FLIGHT_MS = 50;
const AFTER_MS = 500;
const OUTPUT_CHARACTERS = 4000;
/** An event stream has an event each 25 ms; one without for so long is lost. */
const SILENT_STREAM_MS = 1000;
/** A refusal of a new version must be told; a reload that drains streams may take longer. */
const COMMAND_DEADLINE_MS = 40_000;

/** Runs one fault against one contender, started for it. @throws when it does not start. */
export async function runScenario(options: ScenarioOptions): Promise<FaultResult> {
  const folder = mkdtempSync(path.join(os.tmpdir(), "hf-faults-"));
  const port = await freePort();
  const executedFile = path.join(folder, "executed");
  options.progress("starting");
  const service = await options.contender.launch({
    folder,
    entry: path.join(benchFolder, "apps/fault-entry.cjs"),
    env: {
      FAULTS_APP: path.join(repositoryFolder, "test/apps", APP_FILES[options.app]),
      FAULTS_FOLDER: folder,
      EXECUTED_FILE: executedFile,
    },
    node: options.node,
    port,
    workers: options.population.workers,
    heapMegabytes: options.fault === "oom" ? OOM_HEAP_MEGABYTES : 0,
    holdfastFlags: options.holdfastFlags,
  });
  try {
    const workers = options.contender.name === "single" ? 1 : options.population.workers;
    await waitForWorkers(service, workers);
    return await new Scenario(options, service, workers, executedFile).run();
  } finally {
    options.progress("stopping");
    await service.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Until that many different workers have answered. */
async function waitForWorkers(service: Service, count: number): Promise<void> {
  const seen = new Set<string>();
  try {
    await waitFor(`${count} workers answer`, START_DEADLINE_MS, async () => {
      const { port } = service.options;
      const outcomes = await Promise.all([1, 2, 3, 4].map(() => ask(port, "/", 1000)));
      for (const each of outcomes) if (each.kind === "ok") seen.add(each.response.text);
      return seen.size >= count || service.hasEnded;
    });
  } catch (error) {
    throw new Error(`it did not start\n${service.output()}`, { cause: error });
  }
  if (service.hasEnded) throw new Error(`it ended at its start\n${service.output()}`);
}

class Scenario {
  readonly #options: ScenarioOptions;
  readonly #service: Service;
  readonly #port: number;
  readonly #workers: number;
  readonly #executedFile: string;
  readonly #posts: PostLedger;
  readonly #idle: { readonly connection: Connection; readonly worker: WorkerName }[] = [];
  readonly #streams: EventReader[] = [];
  readonly #gone = new Set<WorkerName>();
  readonly #back = new Set<WorkerName>();
  #faultAt = Infinity;
  #backAt: number | undefined;

  constructor(options: ScenarioOptions, service: Service, workers: number, executedFile: string) {
    this.#options = options;
    this.#service = service;
    this.#port = service.options.port;
    this.#workers = workers;
    this.#executedFile = executedFile;
    this.#posts = new PostLedger(this.#port, IN_FLIGHT_PATH, options.patienceMs);
  }

  async run(): Promise<FaultResult> {
    const { population, patienceMs, fault, progress } = this.#options;
    progress("connecting");
    await this.#openIdle();
    await this.#openStreams();
    const victim = this.#chooseVictim();
    const half = Math.ceil(population.post / 2);
    const ofVictim = this.#take(half, (worker) => worker === victim);
    const ofOthers = this.#take(population.post - half, (worker) => worker !== victim);
    const port = this.#port;
    const onAnswer: OnAnswer = (text, beganAt) => this.#answered(text, beganAt, false);
    const fast = new ClosedLoops(port, population.fastLoops, "/", patienceMs, onAnswer);
    const slow = new ClosedLoops(port, population.slowLoops, SLOW_PATH, patienceMs, onAnswer);
    const prober = new Prober(port, PROBE_INTERVAL_MS, patienceMs, (text, beganAt) =>
      this.#answered(text, beganAt, true),
    );
    await delay(WARM_UP_MS);
    this.#posts.send(population.post, [...ofVictim, ...ofOthers]);
    const gets = this.#sendGets();
    await this.#untilInFlight();

    progress("fault");
    const streamWorkers = this.#streams.map((stream) => stream.worker);
    this.#markGone(victim);
    const { at, command } = await injectFault(fault, this.#service, victim);
    this.#faultAt = at;
    await this.#waitUntilBack();
    const commandResult = await this.#commandResult(command);
    const getFailed = new Counts();
    for (const outcome of await Promise.all(gets)) getFailed.addOutcome(outcome);
    await this.#posts.over();

    progress("asking on the idle connections");
    const idleLost = await this.#askIdle();
    await delay(AFTER_MS);
    const lostStreams = this.#lostStreams();
    await Promise.all([fast.stop(), slow.stop(), prober.stop()]);
    this.#close();

    return {
      contender: this.#options.contender.name,
      app: this.#options.app,
      fault,
      population,
      victim: { worker: victim, idle: this.#idleOf(victim) },
      idleLost,
      getFailed,
      post: await this.#posts.result(this.#readExecuted(), victim),
      streamsLost: lostStreams.counts,
      streamsLostElsewhere: lostStreams.indexes.filter((i) => streamWorkers[i] !== victim).length,
      fastLoops: { requests: fast.requests, failed: fast.failed },
      slowLoops: { requests: slow.requests, failed: slow.failed },
      probes: { asked: prober.asked, failed: prober.failed },
      longestStallMs: Math.max(fast.longestMs, prober.longestMs, slow.longestMs - SLOW_MS),
      backMs: this.#backAt === undefined ? null : this.#backAt - this.#faultAt,
      command: commandResult,
      output: this.#service.output().slice(-OUTPUT_CHARACTERS),
    };
  }

  async #openIdle(): Promise<void> {
    const open = async (): Promise<void> => {
      const connection = new Connection(this.#port);
      const outcome = await connection.request("GET", "/", { timeoutMs: START_DEADLINE_MS });
      if (outcome.kind !== "ok")
        throw new Error(`an idle connection could not be made: ${outcome.kind}`);
      this.#idle.push({ connection, worker: outcome.response.text });
    };
    const { idle, post } = this.#options.population;
    await Promise.all(Array.from({ length: idle + post }, open));
  }

  async #openStreams(): Promise<void> {
    const { streams } = this.#options.population;
    for (let i = 0; i < streams; i += 1) this.#streams.push(new EventReader(this.#port));
    await waitFor("the first event of each stream", START_DEADLINE_MS, () =>
      this.#streams.every((stream) => stream.events > 0),
    );
  }

  /** The worker with most of the idle connections. */
  #chooseVictim(): WorkerName {
    const names = [...new Set(this.#idle.map((each) => each.worker))];
    const [victim] = names.toSorted((a, b) => this.#idleOf(b) - this.#idleOf(a));
    if (victim === undefined) throw new Error("no idle connection belongs to a worker");
    return victim;
  }

  /**
   * Up to `count` of the idle connections, which are idle no more: the POSTs go to them, half of
   * them to the victim's, so that it has some for certain.
   */
  #take(count: number, isWanted: (worker: WorkerName) => boolean): Connection[] {
    const taken = this.#idle.filter(({ worker }) => isWanted(worker)).slice(0, count);
    for (const each of taken) this.#idle.splice(this.#idle.indexOf(each), 1);
    return taken.map(({ connection }) => connection);
  }

  #idleOf(worker: WorkerName): number {
    return this.#idle.filter((each) => each.worker === worker).length;
  }

  /** Until every POST has begun; the GETs were sent right behind them. */
  async #untilInFlight(): Promise<void> {
    const { post } = this.#options.population;
    await waitFor("every POST has begun", START_DEADLINE_MS, () => {
      return this.#readExecuted().split("\n").length > post;
    });
    await delay(IN_FLIGHT_MS);
  }

  #sendGets(): Promise<Outcome>[] {
    const { population, patienceMs } = this.#options;
    return Array.from({ length: population.get }, () => {
      const connection = new Connection(this.#port);
      return connection.request("GET", IN_FLIGHT_PATH, { timeoutMs: patienceMs }).finally(() => {
        connection.close();
      });
    });
  }

  #markGone(victim: WorkerName): void {
    const target = FAULT_TARGETS[this.#options.fault];
    if (target === "worker") this.#gone.add(victim);
    if (target === "every-worker") for (const { worker } of this.#idle) this.#gone.add(worker);
  }

  /**
   * Back is: every place for a worker has answered a request that began after the fault; or, where
   * connections are not taken any more, one on a new connection was.
   */
  #answered(worker: WorkerName, beganAt: number, isNew: boolean): void {
    if (beganAt < this.#faultAt || this.#gone.has(worker)) return;
    this.#back.add(worker);
    const isAcceptor = FAULT_TARGETS[this.#options.fault] === "acceptor";
    const isBack = isAcceptor ? isNew : this.#back.size >= this.#workers;
    if (isBack) this.#backAt ??= performance.now();
  }

  async #waitUntilBack(): Promise<void> {
    const { patienceMs } = this.#options;
    try {
      await waitFor("every worker is back", patienceMs, () => this.#backAt !== undefined);
    } catch (error) {
      if (!(error instanceof DeadlineError)) throw error; // it is then counted as never
    }
  }

  /** Each idle connection must answer a request, on itself. */
  async #askIdle(): Promise<Counts> {
    const lost = new Counts();
    const { patienceMs } = this.#options;
    const asked = this.#idle.map(async ({ connection }) => {
      if (connection.ended !== "open") lost.add(connection.ended);
      else if (connection.strayBytes > 0) lost.add("garbage");
      else lost.addOutcome(await connection.request("GET", "/", { timeoutMs: patienceMs }));
    });
    await Promise.all(asked);
    return lost;
  }

  /** Of a reload that is to be refused; another one may go on until the last stream has ended. */
  async #commandResult(command: Promise<ReloadResult> | undefined): Promise<ReloadResult | null> {
    if (command === undefined) return null;
    const isRefusal = FAULT_TARGETS[this.#options.fault] === "nothing";
    const late = delay(isRefusal ? COMMAND_DEADLINE_MS : 0).then(() => null);
    return Promise.race([command, late]);
  }

  #lostStreams(): { readonly counts: Counts; readonly indexes: readonly number[] } {
    const counts = new Counts();
    const indexes: number[] = [];
    const now = performance.now();
    for (const [i, { ended, lastEventAt }] of this.#streams.entries()) {
      const isSilent = now - lastEventAt > SILENT_STREAM_MS;
      if (ended === undefined && !isSilent) continue;
      counts.add(ended ?? "silent");
      indexes.push(i);
    }
    return { counts, indexes };
  }

  #readExecuted(): string {
    try {
      return readFileSync(this.#executedFile, "utf8");
    } catch {
      return ""; // No POST was executed.
    }
  }

  #close(): void {
    for (const { connection } of this.#idle) connection.close();
    for (const stream of this.#streams) stream.close();
  }
}
