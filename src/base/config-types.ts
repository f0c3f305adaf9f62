/** Where metrics and health are served. */
export interface AdminAddress {
  readonly host: string;
  /** 0: any that is free; the log has it. */
  readonly port: number;
}

/**
 * The configuration of a service, after flags, environment and file are merged and checked.
 * `config.ts` makes one of these at the door; everything behind the door trusts it.
 */
export interface ResolvedConfig {
  /** Absolute path of the entry file. */
  readonly entry: string;
  readonly args: readonly string[];
  /** Working directory of the workers, absolute. */
  readonly cwd: string;
  readonly name: string;
  /** Number of workers, at least 1 (`max` is already resolved). */
  readonly workers: number;
  readonly accept: "reactor" | "kernel";
  readonly replay: "safe" | "idempotent" | "off";
  readonly readyTimeoutMs: number;
  readonly drainTimeoutMs: number;
  /** 0: off. */
  readonly stallLimitMs: number;
  /** After this long without progress the log gets the stack; 0: never. */
  readonly stallWarnMs: number;
  /** Whether a stalled worker is first given an exception in the function that does not end. */
  readonly stallRescue: boolean;
  /** Of which callbacks it is written down who sets them: those that failed, all, none. */
  readonly asyncOrigin: "adaptive" | "always" | "off";
  /** Whether outbound requests get the `traceparent` of the request that is being served. */
  readonly traceContext: boolean;
  /** Absolute directory of cores of workers that crash; null: none are kept. */
  readonly core: string | null;
  /** Of all cores of the service together, compressed. */
  readonly coreLimitBytes: number;
  /** Heap snapshots that a worker may write before its heap is full; 0: none. */
  readonly heapSnapshotNearHeapLimit: number;
  /** Requests that a worker has in hand: counted, bounded by itself, by a number, or not at all. */
  readonly gate: "observe" | "auto" | "off" | number;
  /** Of requests that do not say; 0: none. */
  readonly deadlineMs: number;
  /** Of those that fit a pattern, `GET /reports/*`; the first one counts. */
  readonly deadlinesMs: Readonly<Record<string, number>>;
  /** When a pipe that does not move is logged, and when it is destroyed; 0: never. */
  readonly pipeStallMs: number;
  readonly pipeDestroyMs: number;
  /** Memory of the whole service; 0: no limit known. */
  readonly memoryLimitBytes: number;
  readonly journalLimitBytes: number;
  /** Variables added to the base environment, env files first, then `env` of the config file. */
  readonly env: Readonly<Record<string, string>>;
  readonly nodeArgs: readonly string[];
  /** Paths to watch; empty: off. */
  readonly watch: readonly string[];
  /** Null: no admin listener. */
  readonly admin: AdminAddress | null;
  /** Null: latencies are sent to nobody. */
  readonly otlp: string | null;
  readonly portable: boolean;
  readonly json: boolean;
  readonly restartIntensity: { readonly restarts: number; readonly periodMs: number };
  /** Absolute directory of control socket, pid file and log. */
  readonly runtimeDir: string;
}
