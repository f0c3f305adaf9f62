/** One firing of a probe, as the clauses see it. Providers fill one of these again and again. */

/** A request of `node:http` under a trace. */
export interface RequestRecord {
  /** Null once it is done: a trace keeps no request alive. */
  req: unknown;
  res: unknown;
  readonly startedMs: number;
  /** `self.x`. */
  variables: Map<string, unknown> | null;
}

const NOTHING: readonly unknown[] = [];

export class Firing {
  /** The probe's name as it is written in the program's vocabulary, e.g. `http:done`. */
  readonly probe: string;
  args: readonly unknown[] = NOTHING;
  /** Milliseconds; undefined where it is not known. */
  duration: number | undefined = undefined;
  retval: unknown = undefined;
  thrown: unknown = undefined;
  request: RequestRecord | null = null;
  /** `this.x`, for as long as the firing lasts. */
  locals: Map<string, unknown> | null = null;
  /** What `raise("...")` asked for (`--destructive`); the provider throws it. */
  raised: string | null = null;

  constructor(probe: string) {
    this.probe = probe;
  }

  /** Lets go of everything that belongs to the application. `raised` is the provider's to take. */
  reset(): void {
    this.args = NOTHING;
    this.retval = undefined;
    this.thrown = undefined;
    this.request = null;
    this.locals = null;
  }
}
