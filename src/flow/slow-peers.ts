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
 */
import type { Socket } from "node:net";
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

/** See the file's docstring. */
export class SlowPeers {
  readonly #connectionBytes: number;
  readonly #totalBytes: number;
  readonly #leastRate: number;
  readonly #patienceMs: number;
  readonly #isObserver: boolean;
  readonly #looks = new WeakMap<Socket, Look>();
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
  look(sockets: Iterable<Socket>, nowMs: number): void {
    const seconds = this.#lookedAtMs === 0 ? 0 : (nowMs - this.#lookedAtMs) / 1000;
    this.#lookedAtMs = nowMs;
    const holders: Socket[] = [];
    let totalBytes = 0;
    for (const socket of sockets) {
      if (socket.destroyed) continue;
      const held = socket.writableLength;
      const reason = this.#judge(socket, held, seconds, nowMs);
      if (reason !== null) this.#end(socket, reason);
      if (socket.destroyed || held === 0) continue;
      totalBytes += held;
      holders.push(socket);
    }
    if (totalBytes > this.#totalBytes) this.#shed(holders, totalBytes);
  }

  #judge(socket: Socket, held: number, seconds: number, nowMs: number): SlowReason | null {
    if (held > this.#connectionBytes) return "connection-bytes";
    const { bytesRead: read } = socket;
    // what was handed over and not taken is not written yet
    const written = socket.bytesWritten - held;
    const look = this.#looks.get(socket);
    if (look === undefined) {
      this.#looks.set(socket, { written, read, slowSinceMs: 0 });
      return null;
    }
    const least = this.#leastRate * seconds;
    const isSlowReader = held > 0 && written - look.written < least;
    const isSlowWriter = !isSlowReader && isReceiving(socket) && read - look.read < least;
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
  #shed(holders: readonly Socket[], totalBytes: number): void {
    let left = totalBytes;
    for (const socket of holders.toSorted((a, b) => b.writableLength - a.writableLength)) {
      if (left <= this.#totalBytes) return;
      left -= socket.writableLength;
      this.#end(socket, "total-bytes");
    }
  }

  #end(socket: Socket, reason: SlowReason): void {
    this.#ended.set(reason, (this.#ended.get(reason) ?? 0) + 1);
    const ended = account(reason); // of each, since what has ended shows its kind only
    ended.end(ended.begin("", 0, 0), this.#isObserver ? "ok" : "refused");
    if (this.#isObserver) return;
    // with RST: half a response must not look like a whole one; TLS shows that by itself, and a
    // unix socket has none
    if (isPlainTcp(socket)) socket.resetAndDestroy();
    else socket.destroy();
  }
}

function isPlainTcp(socket: HttpSocket): boolean {
  return socket.encrypted !== true && socket.remoteAddress !== undefined;
}

/** A request has begun, the application reads it, and it is not all there. */
function isReceiving(socket: HttpSocket): boolean {
  const incoming = socket.parser?.incoming;
  return incoming !== null && incoming !== undefined && !incoming.complete && !socket.isPaused();
}
