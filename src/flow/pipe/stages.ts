/** What can be seen of the streams of a pipe, and why nothing moves in it. */
import type { IncomingMessage } from "node:http";
import net from "node:net";
import type { Socket } from "node:net";
import type { Readable, Writable } from "node:stream";
import { STUCK_STATES } from "../../ledger/mod.ts";
import type { PeerState } from "../../os/mod.ts";
import { peerTrouble } from "../../os/mod.ts";
import { peerState } from "../kernel-age.ts";

/**
 * Why a pipe stands still.
 *
 * | reason | |
 * | --- | --- |
 * | `peer-window-closed` | the other end reads nothing |
 * | `peer-not-acking` | the other end acknowledges nothing: the network, or the machine behind it |
 * | `callback-outstanding` | a stream has a chunk and has not said that it is done with it |
 * | `source-silent` | the first stream gives nothing |
 * | `consumer-paused` | the first stream has data, and nobody takes it |
 * | `orphan` | one end is gone, and the other was not told |
 * | `body-unconsumed` | a response that nobody reads |
 * | `collected-unsettled` | all of it was garbage collected before it had ended |
 */
export const STALL_REASONS = [...STUCK_STATES, "collected-unsettled"] as const;
export type StallReason = (typeof STALL_REASONS)[number];

/** One stream of a pipe; any of these members may be missing. */
export type Stage = Partial<Readable & Writable> & {
  /** Of responses and requests of `node:http`. */
  readonly socket?: Socket | null;
  /** Of a stream of a file. */
  readonly path?: unknown;
  readonly _writableState?: { readonly writing?: boolean };
  readonly _readableState?: { readonly reading?: boolean; readonly pipes?: readonly unknown[] };
};

/** The connection that a stream writes to. */
function socketOf(stage: Stage): Socket | null {
  if (stage instanceof net.Socket) return stage;
  const { socket } = stage;
  return socket instanceof net.Socket ? socket : null;
}

/** `ReadStream`, `Gzip`, `ServerResponse`. */
export function stageName(stage: unknown): string {
  if (typeof stage === "function") return stage.name === "" ? "function" : stage.name;
  if (typeof stage !== "object" || stage === null) return typeof stage;
  const { constructor } = stage as { constructor?: { name?: string } }; // any object's
  return constructor?.name ?? "object";
}

/** A path without what may be secret. */
function pathOf(url: string | undefined): string {
  return (url ?? "").replace(/[?#].*$/s, "");
}

function addressOf(socket: Socket | null | undefined): string {
  const { remoteAddress, remotePort } = socket ?? {};
  return remoteAddress === undefined ? "" : `${remoteAddress}:${remotePort}`;
}

/** What else tells an end from others of its class: a file, a request, the other side. */
function detailsOf(stage: Stage): readonly (string | undefined)[] {
  // not imported: see guard-outbound.ts
  const http = process.getBuiltinModule("node:http");
  if (stage instanceof net.Socket) return [addressOf(stage)];
  const { socket } = stage;
  const asked = stage instanceof http.IncomingMessage ? clientRequestOf(stage) : stage;
  if (asked instanceof http.ClientRequest) {
    return [asked.method, asked.host, pathOf(asked.path), addressOf(asked.socket)];
  }
  const request = stage instanceof http.ServerResponse ? stage.req : stage;
  if (request instanceof http.IncomingMessage) {
    return [request.method, pathOf(request.url), addressOf(socket)];
  }
  const { path } = stage;
  return typeof path === "string" || Buffer.isBuffer(path) ? [String(path)] : [];
}

/** The request that a client's message answers (lib/_http_client.js). */
function clientRequestOf(message: IncomingMessage & { readonly req?: unknown }): unknown {
  return message.req;
}

/** `ReadStream /var/lib/big`, `ServerResponse GET /report 10.0.0.1:40112`. */
export function endName(stage: unknown): string {
  const name = stageName(stage);
  if (typeof stage !== "object" || stage === null) return name;
  // any object: each member is looked at
  const details = detailsOf(stage as Stage).filter((each) => each !== undefined && each !== "");
  return [name, ...details].join(" ");
}

function isBlocked(stage: Stage): boolean {
  const { writableLength = 0, writableNeedDrain = false, _writableState: state } = stage;
  return writableNeedDrain || writableLength > 0 || state?.writing === true;
}

/** Bytes that a stream holds. */
export function bufferedBytes(stage: Stage): number {
  const { writableLength = 0, readableLength = 0 } = stage;
  const counts = [
    stage.writableObjectMode === true ? 0 : writableLength,
    stage.readableObjectMode === true ? 0 : readableLength,
  ];
  return counts.reduce((sum, each) => sum + each, 0);
}

/**
 * What the counters of a pipe add up to, as far as streams have any: it changes when something
 * moves. `written`: what was counted at the writes into its stages.
 */
export function progressMark(stages: readonly Stage[], written: number): number {
  const last = stages.at(-1);
  const socket = last === undefined ? null : socketOf(last);
  // what was handed to the kernel is no progress while nobody takes it: ask the kernel
  const peer = socket !== null && isBlocked(last ?? {}) ? peerState(socket) : null;
  return written + (peer?.acked ?? 0);
}

/** Why nothing moves, which stream it hangs on, and what speaks for it. */
export interface Diagnosis {
  readonly why: StallReason;
  readonly culprit: string;
  readonly evidence: Readonly<Record<string, number | boolean>>;
}

/** Looks from the end to the beginning: the last stream that is blocked is what it hangs on. */
export function diagnose(stages: readonly Stage[]): Diagnosis {
  for (const stage of stages.slice(1).toReversed()) {
    if (stage.destroyed === true && stages[0]?.destroyed !== true) {
      return found("orphan", stage, { destroyed: true });
    }
    const socket = socketOf(stage);
    const peer = socket === null ? null : peerState(socket);
    // what the kernel has taken blocks no stream
    const isUnheard = peer !== null && peerTrouble(peer) === "peer-not-acking";
    if (!isBlocked(stage) && !isUnheard) continue;
    if (socket !== null) return ofPeer(stage, peer);
    return found("callback-outstanding", stage, {
      writing: stage._writableState?.writing === true,
      buffered: stage.writableLength ?? 0,
    });
  }
  const [source = {}] = stages;
  if (source.destroyed === true && source.readableEnded === false) {
    return found("orphan", source, { destroyed: true });
  }
  const { readableLength = 0 } = source;
  const isPaused = source.isPaused?.() === true || source.readableFlowing === false;
  if (readableLength > 0 && isPaused) {
    return found("consumer-paused", source, { buffered: readableLength });
  }
  return found("source-silent", source, { reading: source._readableState?.reading === true });
}

function ofPeer(stage: Stage, peer: PeerState | null): Diagnosis {
  if (peer === null) return found("peer-window-closed", stage, { asked: false });
  const { acked, unsent, windowProbes, retransmits } = peer;
  const why = peerTrouble(peer) ?? "peer-window-closed";
  return found(why, stage, { acked, unsent, windowProbes, retransmits });
}

function found(why: StallReason, stage: Stage, evidence: Diagnosis["evidence"]): Diagnosis {
  return { why, culprit: stageName(stage), evidence };
}
