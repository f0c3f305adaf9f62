/**
 * The heap of the agent's own thread. What its start leaves behind, and each larger task, would lie
 * there for good: V8 collects when a heap has grown, and that of a thread which only waits does
 * not. So it is collected when the agent has had nothing to do for a while.
 *
 * ```
 *   started --START_MS--> collected --task--> ... --QUIET_MS without one, and grown--> collected
 * ```
 * By an inspector session with itself, kept for life like the other one (main-session.ts).
 */
import { Session } from "node:inspector";
import { getHeapStatistics } from "node:v8";
import { mayInspect } from "./connect.ts";

/** Most programs that end soon have ended by then. */
const START_MS = 1000;
const QUIET_MS = 10_000;
/** A collection takes 30 to 50 ms of CPU: for less it is not worth while. */
const GROWN_BYTES: number = 2 * 1024 * 1024;

export interface OwnHeapPorts {
  /** Of memory that the heap has; 0: it cannot be collected. */
  readonly bytes: () => number;
  readonly collect: () => void;
}

/** See the file's docstring. */
export class OwnHeap {
  readonly #ports: OwnHeapPorts;
  #timer: NodeJS.Timeout;
  /** After the last collection. */
  #bytes = 0;

  constructor(ports: OwnHeapPorts = portsOfThread()) {
    this.#ports = ports;
    this.#timer = this.#later(START_MS);
  }

  /** The agent does something. */
  used(): void {
    if (this.#bytes === 0) return; // that of the start is still to come
    clearTimeout(this.#timer);
    this.#timer = this.#later(QUIET_MS);
  }

  #later(ms: number): NodeJS.Timeout {
    return setTimeout(() => this.#collect(), ms).unref();
  }

  #collect(): void {
    const { bytes, collect } = this.#ports;
    if (bytes() < this.#bytes + GROWN_BYTES) return;
    collect();
    this.#bytes = bytes();
  }
}

function portsOfThread(): OwnHeapPorts {
  let session: Session | null = null;
  return {
    bytes: () => (mayInspect() ? getHeapStatistics().total_physical_size : 0),
    collect: () => {
      if (session === null) {
        session = new Session();
        session.connect();
      }
      session.post("HeapProfiler.collectGarbage"); // done when this returns
    },
  };
}
