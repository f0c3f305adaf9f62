/**
 * The admin listener: metrics and health over HTTP for machines.
 *
 * | request | token | answer |
 * | --- | --- | --- |
 * | GET /metrics | yes | Prometheus' text; OpenMetrics where `Accept` asks for it |
 * | GET /healthz | no | 200 while this process answers: the keeper lives |
 * | GET /readyz | no | 200 while some worker serves, else 503, with the state of the service |
 */
import http from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { LatencyReport, Status } from "../supervision/mod.ts";
import { renderMetrics } from "./metrics.ts";
import type { PushCounts } from "./push-counts.ts";
import { isAuthorized } from "./token.ts";

/** Some monitoring systems, each with some connections. */
const CONNECTIONS_MAX = 64;
const REQUEST_TIMEOUT_MS = 10_000;
const HEAD_BYTES_MAX: number = 8 * 1024;

/** What is asked of the service. */
export interface AdminSource {
  /** Rejects when the service does not answer. */
  status(): Promise<Status>;
  /** Null: the mode has none. */
  latency(): Promise<LatencyReport | null>;
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

/** A server that is not listening yet. */
export function adminServer(source: AdminSource, counts: PushCounts | null, token: string): Server {
  const options = {
    maxHeaderSize: HEAD_BYTES_MAX,
    requestTimeout: REQUEST_TIMEOUT_MS,
    headersTimeout: REQUEST_TIMEOUT_MS,
  };
  const server = http.createServer(options, (request, response) => {
    answer(request, source, counts, token).then(
      (given) => send(request, response, given),
      (error: unknown) => {
        const why = error instanceof Error ? error.message : String(error);
        send(request, response, text(503, `the service does not answer: ${why}`));
      },
    );
    request.resume(); // nobody reads a body
  });
  server.maxConnections = CONNECTIONS_MAX;
  return server;
}

async function answer(
  request: IncomingMessage,
  source: AdminSource,
  counts: PushCounts | null,
  token: string,
): Promise<Answer> {
  const [path = ""] = (request.url ?? "").split("?", 1);
  if (request.method !== "GET" && request.method !== "HEAD") return text(405, "ask with GET");
  switch (path) {
    case "/healthz":
      return text(200, "ok");
    case "/readyz":
      return readiness(await source.status());
    case "/metrics": {
      if (!isAuthorized(request.headers.authorization, token)) {
        return text(401, "say Authorization: Bearer <token>; the token's file is in the log");
      }
      const [status, latency] = await Promise.all([source.status(), source.latency()]);
      const isOpen = /application\/openmetrics-text/i.test(request.headers.accept ?? "");
      const metrics = renderMetrics(status, latency, isOpen, counts);
      return { status: 200, type: metrics.contentType, body: metrics.toString() };
    }
    default:
      return text(404, "there is /metrics, /healthz, /readyz");
  }
}

function readiness({ state, workers }: Status): Answer {
  const serves = state !== "stopping" && workers.some((worker) => worker.state === "ready");
  return text(serves ? 200 : 503, state);
}

function text(status: number, message: string): Answer {
  return { status, type: "text/plain; charset=utf-8", body: `${message}\n` };
}

function send(request: IncomingMessage, response: ServerResponse, given: Answer): void {
  const { status, type, body } = given;
  const headers = { "content-type": type, "cache-control": "no-store" };
  response.writeHead(status, {
    ...headers,
    "content-length": Buffer.byteLength(body),
    ...(status === 401 ? { "www-authenticate": "Bearer" } : {}),
    ...(status === 405 ? { allow: "GET, HEAD" } : {}),
  });
  response.end(request.method === "HEAD" ? undefined : body);
}
