/**
 * What the primary and the preload of its workers tell each other over Node's IPC channel.
 *
 * ```
 *   worker  --beat, at every beat interval-->         primary
 *   worker  --listening-->                             primary
 *   worker  <--drain; perhaps again, with less linger--  primary
 *   worker  --drained: it has no connection left-->    primary
 *   worker  <--terminate, then SIGTERM--               primary
 * ```
 * The application sees nothing of these: messages whose `cmd` begins with `NODE_` are not given to
 * `process.on("message")` (lib/internal/child_process.js).
 */
import type { FlowOrders } from "../base/mod.ts";
import type { AgentStart } from "./agents.ts";
import type { WorkerFigures } from "../supervision/mod.ts";

/** Marks our messages among those of Node and of the application. */
export const MESSAGE_COMMAND = "NODE_HOLDFAST";
/** Name of the variable that makes the preload work; removed before the application runs. */
export const WORKER_VARIABLE = "HOLDFAST_PORTABLE_WORKER";
/** Listeners that one beat tells of; more are only counted out. */
export const BEAT_LISTENERS_MAX = 64;

/** What the preload is told: in `WORKER_VARIABLE`, as JSON. */
export interface WorkerStart {
  readonly index: number;
  readonly beatIntervalMs: number;
  /** Which of descriptors 1 and 2 the primary writes to a file or a terminal, at once. */
  readonly atOnce: readonly number[];
  /** Null: it gets none. */
  readonly agent: AgentStart | null;
  /** Null: nothing is bounded. `module`: path of flow-guard.ts. */
  readonly flow: { readonly module: string; readonly orders: FlowOrders } | null;
}

export interface BeatListener {
  readonly address: string;
  readonly port: number;
  readonly kind: "tcp" | "unix" | "udp";
}

/** A worker's own account of itself; its event loop turns. */
export interface Beat extends WorkerFigures {
  readonly type: "beat";
  /** Connections that it was ever given. */
  readonly accepted: number;
  readonly rssBytes: number;
  /** Heap and buffers: what the service would have back without the worker. */
  readonly privateBytes: number;
  /** User and system time since its start. */
  readonly cpuMs: number;
  readonly listeners: readonly BeatListener[];
}

/** What a worker tells. */
export type Told =
  | Beat
  /** A server or a socket of the application's listens; a beat that says where came before. */
  | { readonly type: "listening" }
  /** Nothing is left to drain. */
  | { readonly type: "drained" };

export type Order =
  /** Take nothing new; a connection ends after a response, or when it was idle for `lingerMs`. */
  | { readonly type: "drain"; readonly lingerMs: number }
  /** The process may end: SIGTERM comes. */
  | { readonly type: "terminate" };

const COUNTS = [
  "connections",
  "inFlight",
  "requests",
  "loopLagMs",
  "heapLimitBytes",
  "accepted",
  "rssBytes",
  "privateBytes",
  "cpuMs",
] as const satisfies readonly (keyof Beat)[];

/** A worker's message, or null: another one, or the application made it up and it has no sense. */
export function parseMessage(message: unknown): Told | null {
  if (!isObject(message) || message["cmd"] !== MESSAGE_COMMAND) return null;
  const { type, oldest, listeners } = message;
  if (type === "drained" || type === "listening") return { type };
  if (type !== "beat" || !COUNTS.every((name) => isCount(message[name]))) return null;
  if (!Array.isArray(listeners) || listeners.length > BEAT_LISTENERS_MAX) return null;
  if (!listeners.every(isListener) || !(oldest === null || isOldest(oldest))) return null;
  return message as unknown as Beat; // every member was looked at
}

function isOldest(value: unknown): boolean {
  if (!isObject(value)) return false;
  const { method, path, ageMs } = value;
  return typeof method === "string" && typeof path === "string" && isCount(ageMs);
}

function isListener(value: unknown): boolean {
  if (!isObject(value)) return false;
  const { address, port, kind } = value;
  const isKind = kind === "tcp" || kind === "unix" || kind === "udp";
  return typeof address === "string" && isCount(port) && isKind;
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value) && value >= 0;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
