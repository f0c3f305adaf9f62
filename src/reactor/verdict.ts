/**
 * The exactness rule (DESIGN 4): what to do with a connection whose worker has died, decided from
 * what the kernel counted and what the ledger says, and from nothing else. Never guesses: what the
 * two do not agree on is aborted.
 *
 * ```
 *   written = quiescent (or + an interim 1xx), read = quiescent                        move
 *   written = predicted end of response n                                n responses are out
 *     no bytes behind request n                                                        move
 *   bytes behind them all in the ledger:
 *     only the beginning of a head                                   replay (nothing began)
 *     whole requests that may be repeated                                            replay
 *     a whole request that may not                                            refuse, 503
 *     one that held the worker up, or two workers died with                   refuse, 500
 *     a request whose body is not whole                                         refuse, 502
 *   bytes behind them not in the ledger                                         refuse, 503
 *   anything else: part of a response has left                                        abort
 * ```
 */
import { scanRequests } from "../ledger/mod.ts";
import type { ScannedRequest } from "../ledger/mod.ts";

export type ReplayPolicy = "safe" | "idempotent" | "off";

/**
 * What is known of one connection of a dead worker. Counts are bytes since the connection was made.
 */
export interface Evidence {
  readonly kernelRead: number;
  readonly kernelWritten: number;
  readonly quiescentRead: number;
  readonly quiescentWritten: number;
  readonly interimBytes: number;
  /** Where the response to request `responseOrdinal` (from 1) ends; 0: not known. */
  readonly responseEnd: number;
  readonly responseOrdinal: number;
  /** Workers that died before with a request in flight here that may have been the cause. */
  readonly deaths: number;
  /**
   * Whether a request here may have caused this death (`suspect`), or is known to have (`culprit`).
   */
  readonly role: "bystander" | "suspect" | "culprit";
  /** The bytes from `quiescentRead` to `kernelRead`; null: the ledger does not have all of them. */
  readonly bytes: Buffer | null;
}

export type Verdict =
  | { readonly kind: "move" }
  | {
      readonly kind: "replay";
      /** To be delivered to another worker as if just read. */
      readonly bytes: Buffer;
      /** A request had begun, and its worker's death counts against it. */
      readonly isCounted: boolean;
      readonly request: ScannedRequest;
    }
  | {
      readonly kind: "refuse";
      readonly status: 500 | 502 | 503;
      readonly reason: string;
      /** The request that is refused, if it is known. */
      readonly request: ScannedRequest | null;
    }
  | { readonly kind: "abort"; readonly reason: string };

/** Deaths after which a request is not tried again: one, and then another. */
export const DEATHS_MAX = 2;

function mayRepeat(request: ScannedRequest, policy: ReplayPolicy): boolean {
  switch (policy) {
    case "off":
      return false;
    case "safe":
      return request.isSafe;
    case "idempotent":
      return request.isRepeatable;
  }
}

function refuse(status: 500 | 502 | 503, reason: string, request: ScannedRequest | null): Verdict {
  return { kind: "refuse", status, reason, request };
}

/** How many responses have left whole; -1: part of one has left. */
function responsesOut(evidence: Evidence): number {
  const { kernelWritten, quiescentWritten, interimBytes, responseEnd } = evidence;
  if (kernelWritten === quiescentWritten) return 0;
  if (interimBytes > 0 && kernelWritten === quiescentWritten + interimBytes) return 0;
  const isEnd = responseEnd > quiescentWritten && kernelWritten === responseEnd;
  return isEnd ? evidence.responseOrdinal : -1;
}

/** What was in flight: the requests behind the `done` that are answered, and their bytes. */
function judgeRequests(
  bytes: Buffer,
  done: number,
  evidence: Evidence,
  policy: ReplayPolicy,
): Verdict {
  const { requests, isClear } = scanRequests(bytes);
  const before = requests[done - 1];
  if (done > 0 && (before === undefined || before.end < 0)) {
    return { kind: "abort", reason: "the answered request was not read whole" };
  }
  const rest = requests.slice(done);
  const [first] = rest;
  if (!isClear) return refuse(503, "the request's framing is unclear", first ?? null);
  if (first === undefined) return { kind: "move" };
  const start = done > 0 ? (before?.end ?? 0) : 0;
  const begun = rest.filter((request) => request.headEnd >= 0);
  for (const request of begun) {
    if (request.end < 0) return refuse(502, "its body was read in part", request);
    if (!mayRepeat(request, policy)) return refuse(503, "it may not be repeated", request);
  }
  if (begun.length > 0 && evidence.role === "culprit") {
    return refuse(500, "it kept the worker from making progress", first);
  }
  if (begun.length > 0 && evidence.role === "suspect" && evidence.deaths + 1 >= DEATHS_MAX) {
    return refuse(500, `${countWord(evidence.deaths + 1)} workers have died with it`, first);
  }
  const isCounted = begun.length > 0 && evidence.role === "suspect";
  return { kind: "replay", bytes: Buffer.from(bytes.subarray(start)), isCounted, request: first };
}

/** With others around, it may have been in the middle of more than two deaths. */
function countWord(count: number): string {
  return ["two", "three", "four"][count - 2] ?? String(count);
}

/**
 * The verdict over one connection.
 * @example
 * const idle = { kernelRead: 90, kernelWritten: 120, quiescentRead: 90, quiescentWritten: 120, ...
 * }; judge(idle, "idempotent"); // { kind: "move" }
 */
export function judge(evidence: Evidence, policy: ReplayPolicy): Verdict {
  const out = responsesOut(evidence);
  if (out < 0) return { kind: "abort", reason: "part of a response has left" };
  const missing = evidence.kernelRead - evidence.quiescentRead;
  if (missing < 0) return { kind: "abort", reason: "the ledger counts more than the kernel" };
  if (missing === 0) {
    return out === 0 ? { kind: "move" } : { kind: "abort", reason: "a response without a request" };
  }
  if (evidence.bytes === null) {
    return out === 0
      ? refuse(503, "the ledger does not hold all of its bytes", null)
      : { kind: "abort", reason: "bytes behind the last response are not in the ledger" };
  }
  return judgeRequests(evidence.bytes, out, evidence, policy);
}
