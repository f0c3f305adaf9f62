/**
 * Refuses a request whose worker has died: a well-formed response, FIN, and then what the peer
 * still sends is read and thrown away until it ends too (a close with unread bytes would reset the
 * connection, and the peer might never see the response: RFC 9112 9.6).
 */
import {
  EAGAIN,
  closeDescriptor,
  discardBytes,
  libc,
  sendBytes,
  shutdownWrite,
  stableBuffer,
} from "../os/mod.ts";
import type { Watch } from "../os/mod.ts";

/** How long a peer may take to read the response and end. */
export const LINGER_MS = 5000;
/** How much it may still send; a body that was half read may be large. */
export const LINGER_BYTES_MAX: number = 16 * 1024 * 1024;
/** What a client should wait before it tries again: a worker starts in less. */
const RETRY_AFTER_SECONDS = 1;
/** In one turn of the event loop. */
const DISCARDS_PER_TURN_MAX = 16;

const REASON = {
  500: "Internal Server Error",
  502: "Bad Gateway",
  503: "Service Unavailable",
} as const;

/** The bytes of a refusal; `date` is the value of the Date field. */
export function refusalBytes(
  status: 500 | 502 | 503,
  text: string,
  isHead: boolean,
  date: string,
): Buffer {
  const body = Buffer.from(`${text}\n`);
  const head = [
    `HTTP/1.1 ${status} ${REASON[status]}`,
    `Date: ${date}`,
    "Content-Type: text/plain; charset=utf-8",
    `Content-Length: ${body.length}`,
    ...(status === 500 ? [] : [`Retry-After: ${RETRY_AFTER_SECONDS}`]),
    "Connection: close",
    "\r\n",
  ].join("\r\n");
  return isHead ? Buffer.from(head) : Buffer.concat([Buffer.from(head), body]);
}

/** Connections that are being ended in good order. */
export class Refusals {
  readonly #scratch: Buffer = stableBuffer(64 * 1024);
  readonly #open: Map<number, () => void> = new Map();

  /**
   * Sends `response`, ends, and closes the descriptor when the peer has ended too. Then `onEnd`.
   */
  end(fd: number, response: Buffer, onEnd: () => void): void {
    sendBytes(fd, response); // fits: nothing else is in the send buffer of an unanswered connection
    shutdownWrite(fd);
    let discarded = 0;
    const finish = (): void => {
      if (!this.#open.delete(fd)) return;
      clearTimeout(timer);
      watch.close();
      closeDescriptor(fd);
      onEnd();
    };
    const timer = setTimeout(finish, LINGER_MS);
    const watch: Watch = libc().watch(fd, { readable: true }, () => {
      for (let turn = 0; turn < DISCARDS_PER_TURN_MAX; turn += 1) {
        const taken = discardBytes(fd, this.#scratch);
        if (taken === -EAGAIN) return;
        discarded += Math.max(taken, 0);
        if (taken <= 0 || discarded > LINGER_BYTES_MAX) {
          finish();
          return;
        }
      }
    });
    this.#open.set(fd, finish);
  }

  /** Closes what is left, now. */
  destroy(): void {
    for (const finish of Array.from(this.#open.values())) finish();
  }
}
