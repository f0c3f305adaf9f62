/** The bounds and defaults of the configuration, each with its reason. */

/** As many as the supervisor's table of places has. A service needs one for each CPU. */
export const WORKERS_MAX = 256;
/** Longer than any sensible wait, shorter than a timer of Node's can count (2^31 - 1 ms). */
export const DURATION_MS_MAX: number = 7 * 86_400_000;
/** The journal of one request lives in shared memory; larger bodies are better not repeated. */
export const JOURNAL_BYTES_MAX: number = 16 * 1024 * 1024;
/** A core of an empty Node has some 10 MiB, compressed. */
export const CORE_LIMIT_BYTES_MIN: number = 16 * 1024 * 1024;
/** Each is larger than the heap, and V8 raises its limit for each. */
export const NEAR_LIMIT_SNAPSHOTS_MAX = 16;
/** Below this no Node process starts. */
export const MEMORY_LIMIT_BYTES_MIN: number = 64 * 1024 * 1024;
/** Evaluating a configuration file is milliseconds; a file that waits for something is broken. */
export const CONFIG_FILE_TIMEOUT_MS = 10_000;
/** A configuration is a page of text. */
export const CONFIG_BYTES_MAX: number = 1024 * 1024;

export const DEFAULTS = {
  accept: "reactor",
  replay: "idempotent",
  /** Frameworks that compile at start take 5 to 20 s on a small machine. */
  readyTimeout: "30s",
  /** What most load balancers and Kubernetes (terminationGracePeriodSeconds) wait. */
  drainTimeout: "30s",
  /** Longer than a full garbage collection of several GiB, shorter than a client's patience. */
  stallLimit: "5s",
  /** A client notices; a garbage collection or a parse of megabytes takes less. */
  stallWarn: "500ms",
  /** Costs nothing before something fails. */
  asyncOrigin: "adaptive",
  /** A core of a worker with a heap of a gigabyte has some 200 MiB, compressed. */
  coreLimit: "2GiB",
  /** Nothing is refused that Node would serve, until somebody asks for it. */
  gate: "observe",
  /** Holds nearly every form and JSON body; files are uploaded by methods that are not repeated. */
  journalLimit: "64KiB",
  /** One restart each 6 s is a service that does not work. */
  restartIntensity: { restarts: 10, period: "60s" },
} as const;
