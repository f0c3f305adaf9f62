/**
 * Deadlines on the wire: the time that is left, in a header.
 *
 * | header | value |
 * | --- | --- |
 * | `x-request-deadline-ms` | milliseconds; what Holdfast sends |
 * | `grpc-timeout` | digits and a unit: H, M, S, m, u, n |
 * | `x-envoy-expected-rq-timeout-ms`, `x-request-timeout-ms` | milliseconds |
 */
import type { IncomingHttpHeaders } from "node:http";

/** The header that is sent on. */
export const DEADLINE_HEADER = "x-request-deadline-ms";
const MILLISECOND_HEADERS: readonly string[] = [
  DEADLINE_HEADER,
  "x-envoy-expected-rq-timeout-ms",
  "x-request-timeout-ms",
];
/** All that tell a deadline. */
export const DEADLINE_HEADERS: readonly string[] = [...MILLISECOND_HEADERS, "grpc-timeout"];
/** Longest that is believed: a day. */
const DEADLINE_MS_MAX = 86_400_000;
/** In milliseconds; gRPC over HTTP/2, "Timeout". */
const GRPC_UNITS: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 0.001,
  n: 0.000_001,
};
const GRPC_TIMEOUT = /^(\d{1,8})([HMSmun])$/;
const MILLISECONDS = /^\d{1,10}(?:\.\d{1,6})?$/;

/** Milliseconds that the sender of a request gives it; null: it does not say, or says nonsense. */
export function deadlineOfHeaders(headers: IncomingHttpHeaders): number | null {
  for (const name of MILLISECOND_HEADERS) {
    const value = headers[name];
    if (typeof value === "string" && MILLISECONDS.test(value)) {
      return Math.min(Number(value), DEADLINE_MS_MAX);
    }
  }
  const grpc = headers["grpc-timeout"];
  const match = typeof grpc === "string" ? GRPC_TIMEOUT.exec(grpc) : null;
  if (match === null) return null;
  return Math.min(Number(match[1]) * (GRPC_UNITS[match[2] ?? ""] ?? 1), DEADLINE_MS_MAX);
}

/** What is sent on of the time that is left, less the way there. */
export function deadlineHeader(remainingMs: number): string {
  return String(Math.max(0, Math.floor(remainingMs - 1)));
}
