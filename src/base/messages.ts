/**
 * The messages that keeper, reactor and workers send each other.
 *
 * ```
 *   keeper  <== SOCK_SEQPACKET: KeeperToReactor / ReactorToKeeper ==>  reactor
 *   reactor <== SOCK_SEQPACKET: ReactorToWorker / WorkerToReactor ==>  worker
 * ```
 * A packet is one byte of kind and a payload: `PACKET_JSON` carries one of the types below as
 * UTF-8 JSON, the other kinds are binary and drawn in `ledger/README.md`. Descriptors travel with
 * the packet that names them (`SCM_RIGHTS`), in the order in which the message lists them.
 */
import type { ResolvedConfig } from "./config-types.ts";

export const PACKET_JSON = 1;
/** Reactor to worker: rows of (slot, generation, listener, flags), a descriptor for each. */
export const PACKET_CONNECTIONS = 2;
/** Worker to reactor: rows of (slot, generation): the worker closed them; drop the duplicate. */
export const PACKET_CLOSED = 3;
/** Worker to reactor: rows of (slot, generation): idle or never taken, given back, to be moved. */
export const PACKET_RELEASED = 4;
/** Worker to reactor: rows of (slot, generation) with a descriptor each: retain these. */
export const PACKET_RETAIN = 5;
/** Worker to reactor: rows of (slot, generation): state in JavaScript only; drop the duplicate. */
export const PACKET_OPAQUE = 6;
/** Reactor to worker: (slot, generation, listener, bytes that follow later), part of a journal. */
export const PACKET_JOURNAL = 7;

/**
 * Worker to reactor: (id, is last) and a part of a JSON text: the answer to `trace-start`,
 * `trace-pull`, `trace-stop` or `trace-probes` of that id.
 */
export const PACKET_TRACE = 8;

/** A place in the application's code that the agent watches for a trace. */
export interface WatchedLine {
  /** Of this worker's process. */
  readonly id: number;
  /** End of the file's path, with or without extension. */
  readonly file: string;
  /** From 1; or the function that is called. */
  readonly at: number | string;
  /** Variables that are read there. */
  readonly variables: readonly string[];
  /** Whether the function is to be replaced where its module binds it. */
  readonly isBinding: boolean;
  /** How often a second the main thread is interrupted, wherever it is; 0: this is no sample. */
  readonly hz: number;
}

/** What a trace is asked to be, in each worker. */
export interface TraceOrder {
  readonly program: string;
  readonly isDestructive: boolean;
  /** Share of a worker's time that one probe may take. */
  readonly budget: number;
  readonly expiryMs: number;
}

/** A callback whose error nobody caught: its kind, and which it is where Node tells. */
export interface AsyncFailure {
  readonly kind: "timer" | "immediate" | "tick" | "microtask" | "fs";
  /** Null: all of the kind. */
  readonly name: string | null;
  /** Of the function's text. */
  readonly length: number;
  readonly head: string;
}

/** Of which callbacks a worker writes down who sets them. */
export interface AsyncOrders {
  readonly mode: "adaptive" | "always" | "off";
  readonly armed: readonly AsyncFailure[];
}

/** What a worker does about its work: the options of the same names. Milliseconds; 0: none. */
export interface FlowOrders {
  readonly gate: ResolvedConfig["gate"];
  readonly deadlineMs: number;
  readonly deadlinesMs: Readonly<Record<string, number>>;
  readonly pipeStallMs: number;
  readonly pipeDestroyMs: number;
}

/** A pipe of the application's that does not move (flow/pipe/monitor.ts). */
export interface PipeStall {
  readonly pipe: string;
  readonly why: string;
  readonly culprit: string;
  readonly forMs: number;
  readonly bufferedBytes: number;
  readonly site: string;
}

/** A listening or UDP socket that the service shares, as `server.listen` or `socket.bind` asked. */
export interface ListenerSpec {
  readonly kind: "tcp" | "unix" | "udp";
  /** Host, or path of the unix socket; null for the unspecified address. */
  readonly address: string | null;
  readonly port: number;
  readonly family: 4 | 6;
  /** `UV_TCP_IPV6ONLY`, `UV_UDP_REUSEADDR` and the like, as Node passes them. */
  readonly flags: number;
  readonly backlog: number;
  /** Tells apart several sockets with port 0, as node:cluster does. */
  readonly index: number;
  /** An inherited descriptor of the keeper's (socket activation), or -1. */
  readonly fd: number;
  /** Of a unix path: permission bits to add (`readableAll`, `writableAll`). */
  readonly mode: number;
  /** What servers of this socket share: a TLS server's ticket keys (lib/internal/tls/wrap.js). */
  readonly data: string | null;
}

export interface ExitInfo {
  readonly code: number | null;
  readonly signal: string | null;
}

/** A worker as the keeper knows it. `id` is never reused; `index` is its place, from 0. */
export interface WorkerIdentity {
  readonly id: number;
  readonly index: number;
  readonly generation: number;
}

export type KeeperToReactor =
  /** Sent first. Then `listener` and `worker` for what a former reactor left, then `begin`. */
  | {
      readonly type: "hello";
      readonly config: ResolvedConfig;
      readonly reactorRestarts: number;
      readonly startedAt: string;
      readonly keeperPid: number;
    }
  /** With 1 descriptor: the socket. `key` `control` is the control socket (unix, listening). */
  | {
      readonly type: "listener";
      readonly key: string;
      readonly id: number;
      readonly spec: ListenerSpec | null;
    }
  /** With 2 descriptors: the reactor's ends of a worker that runs: channel, agent's stream. */
  | ({ readonly type: "worker"; readonly pid: number } & WorkerIdentity)
  | { readonly type: "begin" }
  /** With 2 descriptors: the reactor's ends of the new worker's channel and agent's stream. */
  | { readonly type: "spawned"; readonly id: number; readonly pid: number }
  | { readonly type: "spawn-failed"; readonly id: number; readonly message: string }
  /** `output`: the last lines that it wrote, at most 4 KiB. */
  | ({
      readonly type: "exited";
      readonly id: number;
      readonly pid: number;
      readonly output: string;
    } & ExitInfo)
  /** What the application sent with `process.send`. */
  | { readonly type: "app-message"; readonly id: number; readonly message: unknown }
  | {
      readonly type: "signal";
      readonly signal: "SIGTERM" | "SIGINT" | "SIGHUP" | "SIGQUIT" | "SIGUSR2";
    }
  /** The answer to `reread`. */
  | {
      readonly type: "config";
      readonly config: ResolvedConfig | null;
      readonly error: string | null;
    }
  /** A watched file changed (`--watch`). */
  | { readonly type: "changed"; readonly file: string }
  /** The answer to `inherited`, with 1 descriptor when `ok`. */
  | { readonly type: "inherited"; readonly fd: number; readonly ok: boolean }
  | { readonly type: "ping" };

export type ReactorToKeeper =
  /** The control socket answers and every adopted worker is known. */
  | { readonly type: "ready" }
  /** The answer to `ping`: its event loop turns. */
  | { readonly type: "pong" }
  | ({
      readonly type: "spawn";
      readonly env: Readonly<Record<string, string>>;
      readonly heapLimitBytes: number;
    } & WorkerIdentity)
  | { readonly type: "kill"; readonly id: number; readonly signal: string }
  /** With 1 descriptor: keep it for the next reactor. */
  | {
      readonly type: "keep";
      readonly key: string;
      readonly id: number;
      readonly spec: ListenerSpec | null;
    }
  | { readonly type: "drop"; readonly key: string }
  /** Read configuration, env files again; `updateEnv` replaces the base environment. */
  | { readonly type: "reread"; readonly updateEnv: Readonly<Record<string, string>> | null }
  | { readonly type: "inherited"; readonly fd: number }
  /** End the run: workers are gone or to be killed. */
  | { readonly type: "finish"; readonly code: number; readonly reason: string };

export type WorkerToReactor =
  /** The preload runs and has attached to the ledger. */
  | { readonly type: "attached"; readonly pid: number; readonly version: string }
  | {
      readonly type: "listen";
      readonly sequence: number;
      readonly spec: ListenerSpec;
      readonly accounted: boolean;
    }
  | { readonly type: "unlisten"; readonly listener: number }
  /** `process.send('ready')`, or the first server listens. */
  | { readonly type: "ready" }
  /** Slots are needed for connections that the worker accepts itself. */
  | { readonly type: "want-slots"; readonly count: number }
  /** Nothing is left to drain: every connection moved or closed. */
  | { readonly type: "drained" }
  | { readonly type: "resynced" }
  /** A callback has failed: the workers to come write down who sets it. */
  | { readonly type: "async-failure"; readonly failure: AsyncFailure }
  | { readonly type: "pipe-stalled"; readonly stall: PipeStall };

export type ReactorToWorker =
  /** Answer to `listen`: `errno` is 0 or libuv's; 1 descriptor for udp and kernel accept. */
  | {
      readonly type: "listening";
      readonly sequence: number;
      readonly listener: number;
      readonly errno: number;
      readonly sockname: Readonly<Record<string, string | number>>;
      readonly accept: boolean;
      readonly data: string | null;
    }
  /** Give idle connections back (`move`) or close them; finish what is busy; say `drained`. */
  | { readonly type: "drain"; readonly move: boolean }
  /** A new reactor: send every retained descriptor again (`PACKET_RETAIN`), then `resynced`. */
  | { readonly type: "resync" }
  /** A callback has failed in another worker: write down from now on who sets it. */
  | { readonly type: "async-failure"; readonly failure: AsyncFailure }
  /**
   * Answered by `{error, lines}`: null, or why it did not start; and what the agent has to watch
   * for it. One with the token of the last one of its id has been carried out already.
   */
  | {
      readonly type: "trace-start";
      readonly id: number;
      readonly order: TraceOrder;
      readonly token: string;
    }
  /** Answered by `{snapshot}`; that of `trace-stop` is the last one. */
  | { readonly type: "trace-pull"; readonly id: number }
  | { readonly type: "trace-stop"; readonly id: number }
  /** Answered by `{probes}`, those that the application has made. */
  | { readonly type: "trace-probes"; readonly id: number }
  /** Slots that the worker may use for connections that it accepts itself (`--accept kernel`). */
  | { readonly type: "grant"; readonly slots: readonly number[] };
