/**
 * Clients that read or write too slowly, as one of a server's connections after the other: what
 * each holds in memory is bounded, what all hold is bounded, and who moves less than the least rate
 * for a while is given up. The worst go first.
 *
 * ```
 *   each second:  response waits, and little was taken since the last look   -> slow reader
 *                 request is not all there, and little came                  -> slow writer
 *                 all buffered bytes above the budget                        -> the largest go
 * ```
 * With http2 a connection is slow, not a stream of it: as long as anything of the connection moves,
 * it is not known which stream did. What its streams hold counts together.
 */
import type { ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { Crowd } from "../base/mod.ts";
import type { CrowdMember } from "../base/mod.ts";
import { checkNames, checkNumber } from "./errors.ts";
import type { OptionNames } from "./errors.ts";
import { account } from "./work.ts";

export interface SlowPeerOptions {
  /** Bytes of responses that one connection may hold in memory; default 16 MiB. */
  readonly connectionBytes?: number;
  /** Of all connections of the process; default 256 MiB. */
  readonly totalBytes?: number;
  /** Bytes a second that a peer must take or give while it is waited for; default 240. */
  readonly leastRate?: number;
  /** For how long it may be slower; default 30,000. */
  readonly patienceMs?: number;
  /** Count what would be ended, and end nothing. */
  readonly mode?: "enforce" | "observe";
}

const NAMES: OptionNames<SlowPeerOptions> = {
  connectionBytes: true,
  totalBytes: true,
  leastRate: true,
  patienceMs: true,
  mode: true,
};

export const SLOW_REASONS = [
  "slow-reader",
  "slow-writer",
  "connection-bytes",
  "total-bytes",
] as const;
export type SlowReason = (typeof SLOW_REASONS)[number];

/** What is remembered of a connection between two looks. */
interface Look {
  written: number;
  read: number;
  slowSinceMs: number;
}

/** A connection with what http keeps there. */
interface HttpSocket extends Socket {
  /** The response that is being written (lib/_http_server.js). */
  readonly _httpMessage?: { readonly writableEnded: boolean } | null;
  /** Of a TLS socket. */
  readonly encrypted?: boolean;
  readonly parser?: { readonly incoming?: { readonly complete: boolean } | null } | null;
}

interface Open extends CrowdMember {
  readonly stream: ServerHttp2Stream;
  /** It has said how much will come. */
  readonly hasLength: boolean;
}

/** A connection of http2, by what its streams have and want. */
export class SessionPeer {
  readonly #session: ServerHttp2Session;
  readonly #streams = new Crowd<Open>();

  constructor(session: ServerHttp2Session) {
    this.#session = session;
    session.on("stream", (stream, headers) => {
      const open = { place: -1, stream, hasLength: headers["content-length"] !== undefined };
      this.#streams.add(open);
      stream.once("close", () => this.#streams.delete(open));
    });
  }

  get destroyed(): boolean {
    return this.#session.destroyed;
  }

  /** Bytes that the application has written and its streams have not sent. */
  get writableLength(): number {
    let held = 0;
    for (const { stream } of this.#streams) held += stream.writableLength;
    return held;
  }

  get bytesWritten(): number {
    return this.#session.socket.bytesWritten;
  }

  get bytesRead(): number {
    return this.#session.socket.bytesRead;
  }

  /**
   * An upload is not all there, and the application has read what is. Of what has no length nothing
   * can be said: it may be a conversation (gRPC), in which nobody need say anything.
   */
  get isReceiving(): boolean {
    for (const { stream, hasLength } of this.#streams) {
      const { readableLength, state } = stream;
      if (hasLength && readableLength === 0 && state.remoteClose !== 1) return true;
    }
    return false;
  }

  /** Without an error, which nobody may listen to: its streams end as cancelled. */
  end(): void {
    this.#session.destroy();
  }
}

/** Of HTTP/1.1, or of http2. */
export type Peer = Socket | SessionPeer;

/** See the file's docstring. */
export class SlowPeers {
  readonly #connectionBytes: number;
  readonly #totalBytes: number;
  readonly #leastRate: number;
  readonly #patienceMs: number;
  readonly #isObserver: boolean;
  readonly #looks = new WeakMap<Peer, Look>();
  readonly #ended = new Map<SlowReason, number>();
  #lookedAtMs = 0;

  /** @throws FlowError ERR_HOLDFAST_FLOW_OPTION */
  constructor(options: SlowPeerOptions = {}) {
    checkNames(options, NAMES, "slowPeers.");
    const { connectionBytes, totalBytes, leastRate, patienceMs, mode } = options;
    const mebibyte = 1024 * 1024;
    this.#connectionBytes = checkNumber("connectionBytes", connectionBytes, 16 * mebibyte, {
      min: 1024,
    });
    this.#totalBytes = checkNumber("totalBytes", totalBytes, 256 * mebibyte, { min: 1024 });
    this.#leastRate = checkNumber("leastRate", leastRate, 240, { min: 0 });
    this.#patienceMs = checkNumber("patienceMs", patienceMs, 30_000, { min: 1 });
    this.#isObserver = mode === "observe";
  }

  /** Connections that were ended, or would have been, by reason. */
  get ended(): Readonly<Record<SlowReason, number>> {
    const counts = SLOW_REASONS.map((reason) => [reason, this.#ended.get(reason) ?? 0] as const);
    return Object.fromEntries(counts) as Record<SlowReason, number>; // of each of them
  }

  /** Looks at all connections; call about once a second. */
  look(peers: Iterable<Peer>, nowMs: number): void {
    const seconds = this.#lookedAtMs === 0 ? 0 : (nowMs - this.#lookedAtMs) / 1000;
    this.#lookedAtMs = nowMs;
    const holders: Peer[] = [];
    let totalBytes = 0;
    for (const peer of peers) {
      if (peer.destroyed) continue;
      const held = peer.writableLength;
      const reason = this.#judge(peer, held, seconds, nowMs);
      if (reason !== null) this.#end(peer, reason);
      if (peer.destroyed || held === 0) continue;
      totalBytes += held;
      holders.push(peer);
    }
    if (totalBytes > this.#totalBytes) this.#shed(holders, totalBytes);
  }

  #judge(peer: Peer, held: number, seconds: number, nowMs: number): SlowReason | null {
    if (held > this.#connectionBytes) return "connection-bytes";
    const { bytesRead: read } = peer;
    // what was handed to a socket and not taken is not written yet
    const written = peer.bytesWritten - (peer instanceof SessionPeer ? 0 : held);
    const look = this.#looks.get(peer);
    if (look === undefined) {
      this.#looks.set(peer, { written, read, slowSinceMs: 0 });
      return null;
    }
    const least = this.#leastRate * seconds;
    const isSlowReader = held > 0 && written - look.written < least;
    const isSlowWriter = !isSlowReader && isReceiving(peer) && read - look.read < least;
    look.written = written;
    look.read = read;
    if (!isSlowReader && !isSlowWriter) {
      look.slowSinceMs = 0;
      return null;
    }
    if (look.slowSinceMs === 0) look.slowSinceMs = nowMs - seconds * 1000;
    if (nowMs - look.slowSinceMs < this.#patienceMs) return null;
    look.slowSinceMs = 0;
    return isSlowReader ? "slow-reader" : "slow-writer";
  }

  /** Those that hold most, until the rest is within the budget. */
  #shed(holders: readonly Peer[], totalBytes: number): void {
    let left = totalBytes;
    for (const peer of holders.toSorted((a, b) => b.writableLength - a.writableLength)) {
      if (left <= this.#totalBytes) return;
      left -= peer.writableLength;
      this.#end(peer, "total-bytes");
    }
  }

  #end(peer: Peer, reason: SlowReason): void {
    this.#ended.set(reason, (this.#ended.get(reason) ?? 0) + 1);
    const ended = account(reason); // of each, since what has ended shows its kind only
    ended.end(ended.begin("", 0, 0), this.#isObserver ? "ok" : "refused");
    if (this.#isObserver) return;
    // with RST: half a response must not look like a whole one; TLS shows that by itself, and a
    // unix socket has none
    if (peer instanceof SessionPeer) peer.end();
    else if (isPlainTcp(peer)) peer.resetAndDestroy();
    else peer.destroy();
  }
}

function isPlainTcp(socket: HttpSocket): boolean {
  return socket.encrypted !== true && socket.remoteAddress !== undefined;
}

/** A request has begun, the application reads it, and it is not all there. */
function isReceiving(peer: HttpSocket | SessionPeer): boolean {
  if (peer instanceof SessionPeer) return peer.isReceiving;
  const incoming = peer.parser?.incoming;
  return incoming !== null && incoming !== undefined && !incoming.complete && !peer.isPaused();
}
