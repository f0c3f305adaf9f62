/** The part of the control socket's status that the tests read, and how to ask for it. */
import http from "node:http";

/** `GET /v1/status`, as far as tests look at it. */
export interface Status {
  readonly name: string;
  readonly pid: number;
  readonly reactorPid: number;
  readonly reactorRestarts: number;
  readonly mode: "full" | "portable";
  readonly accept: "reactor" | "kernel";
  readonly generation: number;
  readonly state: string;
  readonly notes: readonly string[];
  readonly listeners: readonly ListenerStatus[];
  readonly workers: readonly WorkerStatus[];
  readonly totals: Readonly<Record<string, number>>;
}

export interface ListenerStatus {
  /** `127.0.0.1:8080`, `[::1]:8080`, or the path of a unix socket. */
  readonly address: string;
  readonly kind: "tcp" | "unix" | "udp";
}

export interface WorkerStatus {
  readonly index: number;
  readonly id: number;
  readonly pid: number;
  readonly generation: number;
  readonly state: string;
  readonly connections: number;
  readonly inFlight: number;
  readonly requests: number;
  readonly restarts: number;
  readonly lastExit: string | null;
  readonly heapLimitBytes: number;
  readonly loopLagMs: number;
  readonly oldest: { readonly method: string; readonly path: string } | null;
}

/** One request to a control socket; resolves with status code and body. */
export function controlRequest(
  socketPath: string,
  method: string,
  path: string,
  body?: unknown,
): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const payload = body === undefined ? "" : JSON.stringify(body);
    const headers = { "content-type": "application/json", "content-length": payload.length };
    const request = http.request({ socketPath, method, path, headers, agent: false });
    request.on("error", reject);
    request.on("response", (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => {
        resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() });
      });
    });
    request.end(payload);
  });
}

/** Asks the control socket for the status. Rejects when it does not answer with one. */
export async function readStatus(socketPath: string): Promise<Status> {
  const answer = await controlRequest(socketPath, "GET", "/v1/status");
  if (answer.status !== 200) throw new Error(`status answered ${answer.status}: ${answer.body}`);
  return JSON.parse(answer.body) as Status; // Our own server's answer; a test may trust it.
}
