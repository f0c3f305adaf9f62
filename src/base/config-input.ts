/** The configuration as a user writes it, in a file or in code. Checked by `config-schema.ts`. */

/** `"500ms"`, `"5s"`, `"2m"`, `"1h"`; or 0. */
export type DurationText = string | 0;
/** `"64KiB"`, `"512MB"`, `"2GiB"`; or 0. */
export type SizeText = string | 0;

/** What `holdfast.config.{ts,js,json}` may hold. Every key has a flag or a reason to have none. */
export interface Config {
  /** Path of the entry file, relative to the configuration file. */
  readonly entry?: string;
  /** Arguments that the entry finds in `process.argv`. */
  readonly args?: readonly string[];
  /** Number of workers. `"max"`, the default: the CPUs that affinity and cgroup quota allow. */
  readonly workers?: number | "max";
  /** Name of the service. Default: the name in package.json, else that of the entry file. */
  readonly name?: string;
  /** Who accepts: the reactor (default), or each worker for itself. */
  readonly accept?: "reactor" | "kernel";
  /** Which requests of a dead worker are repeated in another. Default: `"idempotent"`. */
  readonly replay?: "safe" | "idempotent" | "off";
  /** How long a worker may take until it listens. Default: `"30s"`. */
  readonly readyTimeout?: DurationText;
  /** How long a worker that is to end may take to finish its requests. Default: `"30s"`. */
  readonly drainTimeout?: DurationText;
  /** How long a worker may block its event loop. Default: `"5s"`; 0: for ever. */
  readonly stallLimit?: DurationText;
  /** When a block of the event loop is logged, with its stack. Default: `"500ms"`; 0: never. */
  readonly stallWarn?: DurationText;
  /** Raise an exception in the function that blocks before the worker is replaced. */
  readonly stallRescue?: boolean;
  /** Whether an uncaught error says who set the timer, tick or file operation that failed. */
  readonly asyncOrigin?: "adaptive" | "always" | "off";
  /** Give outbound requests the `traceparent` of the request that is being served. */
  readonly traceContext?: boolean;
  /** Directory for cores of workers that crash or are evicted. Default: none are kept. */
  readonly core?: string;
  /** Of all cores together, compressed; the newest are kept. Default: `"2GiB"`. */
  readonly coreLimit?: SizeText;
  /** Heap snapshots that a worker may write before its heap is full, 16 at most. Default: 0. */
  readonly heapSnapshotNearHeapLimit?: number;
  /**
   * What is done when more requests come than can be served: `"observe"`, the default, counts what
   * would be refused; `"auto"` refuses it; a number is how many each worker has in hand at most.
   */
  readonly gate?: "observe" | "auto" | "off" | number;
  /** How long a request may take that does not say so itself. Default: 0, as long as it takes. */
  readonly deadline?: DurationText;
  /** The same for some requests, the first that fits: `{ "GET /reports/*": "10s" }`. */
  readonly deadlines?: Readonly<Record<string, DurationText>>;
  /** A pipe that has not moved for so long is logged. Default: 0, never. */
  readonly pipeStall?: DurationText;
  /** A pipe that has not moved for so long is destroyed. Default: 0, never. */
  readonly pipeDestroy?: DurationText;
  /** Memory of the whole service. Default: the cgroup's limit; 0: none. */
  readonly memoryLimit?: SizeText;
  /** Largest request that is kept to be repeated. Default: `"64KiB"`. */
  readonly journalLimit?: SizeText;
  /** Files of `NAME=value` lines, relative to the configuration file; later ones win. */
  readonly envFile?: string | readonly string[];
  /** Variables for the workers. What the environment sets already stays as it is. */
  readonly env?: Readonly<Record<string, string>>;
  /** Reload when a file changes: `true` for the entry's directory, or paths. */
  readonly watch?: boolean | readonly string[];
  /**
   * Serve metrics and health: a port on 127.0.0.1, or `"<address>:<port>"`. Default: nowhere.
   */
  readonly admin?: string | number;
  /**
   * Send latency histograms to an OpenTelemetry collector, as `http://127.0.0.1:4318`. Default: to
   * nobody.
   */
  readonly otlp?: string;
  /** Use the mode of macOS and Windows, without retention. */
  readonly portable?: boolean;
  /** Log lines as JSON. */
  readonly json?: boolean;
  /** Options for Node itself, such as `"--enable-source-maps"`. */
  readonly nodeArgs?: readonly string[];
  /** Give up after this many restarts of a worker in this time. Default: 10 in `"60s"`. */
  readonly restartIntensity?: { readonly restarts: number; readonly period: DurationText };
}

/**
 * The configuration as it is, with its type checked by the compiler.
 *
 * @example
 * export default defineConfig({ workers: 4, drainTimeout: "1m" });
 */
export function defineConfig(config: Config): Config {
  return config;
}
