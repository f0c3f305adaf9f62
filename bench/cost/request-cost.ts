/**
 * CPU microseconds a request: user and system time of all processes of a contender, divided by the
 * requests that it answered. Rounds are short and every round measures each contender in random
 * order, so that whatever else the machine does hits all of them; ratios are made within a round.
 * All contenders are started several times: two starts of one program differ by some percent for as
 * long as they live (docs/benchmarks.md).
 */
import { CONTENDERS } from "../contenders/mod.ts";
import type { ContenderName, Service } from "../contenders/mod.ts";
import { cpuNanoseconds, delay, formatTable } from "../support/mod.ts";
import { startHello } from "./hello.ts";
import { startGenerator } from "./load.ts";
import type { Generator, GeneratorName } from "./load.ts";
import { SHAPES } from "./shape.ts";
import type { Shape } from "./shape.ts";
import { estimateOfGroups, median, seededRandom, shuffled } from "./statistics.ts";
import type { Estimate, Random } from "./statistics.ts";

export interface RequestCostOptions {
  readonly contenders: readonly ContenderName[];
  readonly starts: number;
  /** In all starts together; each gets as many. */
  readonly rounds: number;
  readonly turnMs: number;
  readonly seed: number;
  readonly generator: GeneratorName;
  readonly progress: (what: string) => void;
}

export interface CostRow {
  readonly label: string;
  readonly shape: Shape;
  readonly microseconds: Estimate;
  /** To `node:cluster`, round by round. */
  readonly ratio: Estimate;
  /** The median of each start. */
  readonly ratios: readonly number[];
  readonly requests: number;
  readonly failed: number;
  /** The most that the ratio may be; `undefined`: no promise. */
  readonly bar: number | undefined;
}

export interface RequestCostResult {
  readonly rows: readonly CostRow[];
  readonly starts: number;
  readonly roundsEach: number;
  readonly seed: number;
  readonly generator: GeneratorName;
  readonly workers: number;
  /** Peers that were not here, with what would bring them. */
  readonly missing: readonly string[];
}

/** A contender may be there twice. */
interface Labelled {
  readonly label: string;
  readonly name: ContenderName;
}

interface Entrant extends Labelled {
  readonly service: Service;
  /** Its processes; none comes or goes while it is measured. */
  readonly pids: readonly number[];
  readonly stop: () => Promise<void>;
}

/** What one start needs to know. */
interface StartOptions {
  readonly roundsEach: number;
  readonly turnMs: number;
  readonly progress: (what: string) => void;
}

/** Of one start: rounds by label and shape, each list in the order of the rounds. */
type Samples = ReadonlyMap<string, readonly Sample[]>;

interface Sample {
  readonly microseconds: number;
  readonly requests: number;
  readonly failed: number;
}

const WORKERS = 2;
const BASELINE = "cluster";
const NULL_LABEL = "cluster, again";
/** What was given back or closed at the end of a load is paid for in this time. */
const SETTLE_MS = 30;
/** Until the functions on the way of a request are compiled by the last of V8's compilers. */
const WARM_UP_ROUNDS = 15;

const BARS: Readonly<Record<Shape, number>> = { "keep-alive": 1.05, "connection each": 0.7 };

/** Runs all rounds. @throws when a contender does not start or answer. */
export async function measureRequestCost(options: RequestCostOptions): Promise<RequestCostResult> {
  const random = seededRandom(options.seed);
  const roundsEach = Math.ceil(options.rounds / options.starts);
  const generator = startGenerator(options.generator);
  const names = [BASELINE, ...options.contenders.filter((name) => name !== BASELINE)] as const;
  const isHere = (name: ContenderName): boolean => CONTENDERS[name].missing() === undefined;
  const labels = [
    ...names.filter(isHere).map((name) => ({ label: name, name })),
    { label: NULL_LABEL, name: BASELINE } as const,
  ];
  try {
    const samples: Samples[] = [];
    for (let start = 1; start <= options.starts; start += 1) {
      const progress = (what: string): void =>
        options.progress(`start ${start} of ${options.starts}, ${what}`);
      const { turnMs } = options;
      const each = { roundsEach, turnMs, progress };
      samples.push(await measureStart(labels, each, generator, random));
    }
    const rows = SHAPES.flatMap((shape) =>
      labels.map((contender) => summarize(contender, shape, samples, random)),
    );
    const missing = names
      .filter((name) => !isHere(name))
      .map((name) => `${name}: ${CONTENDERS[name].missing()}`);
    const { starts, seed, generator: load } = options;
    return { rows, starts, roundsEach, seed, generator: load, workers: WORKERS, missing };
  } finally {
    generator.destroy();
  }
}

/** Starts all contenders, measures the rounds, and ends them. */
async function measureStart(
  labels: readonly Labelled[],
  options: StartOptions,
  generator: Generator,
  random: Random,
): Promise<Samples> {
  const entrants: Entrant[] = [];
  try {
    for (const { label, name } of labels) {
      options.progress(`starting ${label}`);
      const started = await startHello(CONTENDERS[name], { workers: WORKERS });
      entrants.push({ label, name, pids: [], ...started });
    }
    // by now the last of each one's workers is up
    const settled = entrants.map((each) => ({ ...each, pids: each.service.processes() }));
    return await runRounds(settled, options, generator, random);
  } finally {
    options.progress("stopping");
    await Promise.all(entrants.map((entrant) => entrant.stop()));
  }
}

/** The table of one shape, cheapest first. */
export function requestCostTable(result: RequestCostResult, shape: Shape): string {
  const rows = result.rows
    .filter((row) => row.shape === shape)
    .toSorted((a, b) => a.microseconds.middle - b.microseconds.middle);
  const columns = [
    shape,
    "CPU us/request",
    "95 %",
    "to cluster",
    "95 %",
    "starts",
    "bar",
    "failed",
  ];
  return formatTable(
    columns,
    rows.map(({ label, microseconds, ratio, ratios, bar, requests, failed }) => [
      label,
      microseconds.middle.toFixed(1),
      `${microseconds.low.toFixed(1)}-${microseconds.high.toFixed(1)}`,
      ratio.middle.toFixed(2),
      `${ratio.low.toFixed(2)}-${ratio.high.toFixed(2)}`,
      `${Math.min(...ratios).toFixed(2)}-${Math.max(...ratios).toFixed(2)}`,
      bar === undefined ? "" : `${bar}: ${ratio.middle <= bar ? "met" : "MISSED"}`,
      `${failed} of ${requests}`,
    ]),
  );
}

async function runRounds(
  entrants: readonly Entrant[],
  options: StartOptions,
  generator: Generator,
  random: Random,
): Promise<Samples> {
  const samples = new Map<string, Sample[]>();
  for (let round = -WARM_UP_ROUNDS; round < options.roundsEach; round += 1) {
    // one shape after the other: what is compared lies close together
    const jobs = shuffled(SHAPES, random).flatMap((shape) =>
      shuffled(entrants, random).map((entrant) => ({ entrant, shape })),
    );
    for (const { entrant, shape } of jobs) {
      const which = round < 0 ? "warm-up" : `round ${round + 1} of ${options.roundsEach}`;
      options.progress(`${which}: ${entrant.label}, ${shape}`);
      const sample = await measureOnce(entrant, shape, generator, options.turnMs);
      if (round < 0) continue;
      const key = keyOf(entrant.label, shape);
      samples.set(key, [...(samples.get(key) ?? []), sample]);
    }
  }
  return samples;
}

async function measureOnce(
  { service, pids }: Entrant,
  shape: Shape,
  generator: Generator,
  turnMs: number,
): Promise<Sample> {
  const before = cpuNanoseconds(pids);
  const { requests, failed } = await generator.run(shape, service.options.port, turnMs);
  await delay(SETTLE_MS);
  const used = cpuNanoseconds(pids) - before;
  if (requests === 0) throw new Error(`no request was answered\n${service.output()}`);
  return { microseconds: used / 1000 / requests, requests, failed };
}

function summarize(
  { label, name }: Labelled,
  shape: Shape,
  starts: readonly Samples[],
  random: Random,
): CostRow {
  const ofLabel = (which: string): (readonly Sample[])[] =>
    starts.map((samples) => samples.get(keyOf(which, shape)) ?? []);
  const [own, base] = [ofLabel(label), ofLabel(BASELINE)];
  const ratios = own.map((samples, start) =>
    samples.map(({ microseconds }, round) => {
      return microseconds / (base[start]?.[round]?.microseconds ?? Number.NaN);
    }),
  );
  const used = own.map((samples) => samples.map(({ microseconds }) => microseconds));
  const all = own.flat();
  return {
    label,
    shape,
    microseconds: estimateOfGroups(used, random),
    ratio: estimateOfGroups(ratios, random),
    ratios: ratios.map(median),
    requests: all.reduce((sum, sample) => sum + sample.requests, 0),
    failed: all.reduce((sum, sample) => sum + sample.failed, 0),
    bar: barOf(name, shape),
  };
}

/** Kernel accepting exists for many short connections; the bar of kept ones is the default's. */
function barOf(name: ContenderName, shape: Shape): number | undefined {
  return name.startsWith("holdfast") ? BARS[shape] : undefined;
}

function keyOf(label: string, shape: Shape): string {
  return `${label}\n${shape}`;
}
