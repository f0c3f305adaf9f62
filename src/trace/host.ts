/** What a compiled program reaches of the trace that it runs in. */
import { Aggregation } from "./aggregation.ts";
import type { AggregationShape } from "./aggregation.ts";

export interface TraceHost {
  readonly pid: number;
  readonly worker: number;
  /** Milliseconds since 1970. */
  readonly timestamp: () => number;
  /** Milliseconds since the trace started here. */
  readonly elapsed: () => number;
  /** Bytes of the JavaScript heap in use. */
  readonly heap: () => number;
  /** The JavaScript stack of the application, a line a frame. */
  readonly stack: (frames: number) => string;
  readonly aggregation: (shape: AggregationShape | null) => Aggregation;
  readonly clear: (name: string) => void;
  readonly truncate: (name: string, keep: number) => void;
  /** Prints what this worker has in an aggregation. */
  readonly printAggregation: (name: string) => void;
  readonly print: (line: string) => void;
  readonly exit: () => void;
  readonly countDrop: () => void;
}

/** A host in which nothing happens: for checking a program before it is sent. */
export function checkingHost(): TraceHost {
  const none = { name: "", kind: "count", params: [], keyCount: 0, unit: null } as const;
  const space = { chars: 0, charsMax: 0 };
  return {
    pid: 0,
    worker: 0,
    timestamp: () => 0,
    elapsed: () => 0,
    heap: () => 0,
    stack: () => "",
    aggregation: (shape) => new Aggregation(shape ?? none, space),
    clear: () => undefined,
    truncate: () => undefined,
    printAggregation: () => undefined,
    print: () => undefined,
    exit: () => undefined,
    countDrop: () => undefined,
  };
}
