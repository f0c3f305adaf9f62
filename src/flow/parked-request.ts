/**
 * Requests that wait as bytes. Under overload most requests are refused, and one of which Node has
 * not yet made a request and a response costs a part of it.
 *
 * ```
 *   bytes --isPlain--> gate --admit--> parser --> server.emit("request") --> the application
 *                       |
 *                       +--refuse--> 503
 * ```
 */
import type { Socket } from "node:net";
import { DEADLINE_HEADERS } from "../base/mod.ts";

/** A connection of which the bytes of one request are kept. Once it is closed, nothing happens. */
export interface ParkedBytes {
  /** Parses them: the server's `request` comes before this returns, or never. */
  parse(): void;
  /** Writes a whole response in the application's stead; `target`: what was asked for. */
  answer(status: number, response: string, target: string): void;
  /** Null once it is closed. */
  readonly socket: Socket | null;
}

/** One request, whole, in the strictest form (RFC 9112). */
const PLAIN = /^GET [!-~]+ HTTP\/1\.1\r\n(?:[!#$%&'*+.^_`|~\w-]+:[\t -~\u0080-\u00ff]*\r\n)+\r\n$/;
/** A body, another protocol, the last request of its connection, or one that says how long. */
const SPECIAL = new RegExp(
  `\\n(?:content-length|transfer-encoding|expect|upgrade|${DEADLINE_HEADERS.join("|")}):` +
    String.raw`|\nconnection:(?! *keep-alive *\r)`,
  "i",
);
const USER_AGENT = /\nuser-agent:[\t ]*([^\r]*)/i;

/** Whether nothing about these bytes asks for a parser before they wait. */
export function isPlainRequest(head: string): boolean {
  return PLAIN.test(head) && !SPECIAL.test(head);
}

/** Of a plain request. */
export function targetOf(head: Buffer): string {
  // not a part of the head's text, which would live as long as this
  return head.toString("latin1", "GET ".length, head.indexOf(" ", "GET ".length, "latin1"));
}

/** Of a plain request. */
export function userAgentOf(head: string): string {
  return USER_AGENT.exec(head)?.[1] ?? "";
}
