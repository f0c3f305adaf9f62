/** What can be seen of the streams of a pipe, and why nothing moves in it. */
import net from "node:net";
import type { Socket } from "node:net";
import type { Readable, Writable } from "node:stream";
import type { PeerState } from "../../os/mod.ts";
import { peerState } from "../kernel-age.ts";

/** Why a pipe stands still. */
export const STALL_REASONS = [
  /** The other end reads nothing. */
  "peer-window-closed",
  /** The other end does not acknowledge: the network, or the machine behind it. */
  "peer-not-acking",
  /** A stream has a chunk and has not said that it is done with it. */
  "callback-outstanding",
  /** The first stream gives nothing. */
  "source-silent",
  /** The first stream has data, and nobody takes it: paused. */
  "consumer-paused",
  /** The destination is gone, and the source was not told. */
  "orphan",
  /** A response that nobody reads. */
  "body-unconsumed",
  /** All of it was garbage collected before it had ended. */
  "collected-unsettled",
] as const;
export type StallReason = (typeof STALL_REASONS)[number];

/** One stream of a pipe; any of these members may be missing. */
export type Stage = Partial<Readable & Writable> & {
  /** Of responses and requests of `node:http`. */
  readonly socket?: Socket | null;
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
    if (!isBlocked(stage)) continue;
    const socket = socketOf(stage);
    const peer = socket === null ? null : peerState(socket);
    if (socket !== null) return ofPeer(stage, peer);
    return found("callback-outstanding", stage, {
      writing: stage._writableState?.writing === true,
      buffered: stage.writableLength ?? 0,
    });
  }
  const [source = {}] = stages;
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
  const evidence = { acked, unsent, windowProbes, retransmits };
  // a closed window is probed; what is sent and not acknowledged is sent again
  const isSilent = retransmits > 0 && windowProbes === 0;
  return found(isSilent ? "peer-not-acking" : "peer-window-closed", stage, evidence);
}

function found(why: StallReason, stage: Stage, evidence: Diagnosis["evidence"]): Diagnosis {
  return { why, culprit: stageName(stage), evidence };
}
