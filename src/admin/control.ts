/** Asks the control socket of the service, as the command line does. */
import http from "node:http";
import type { LatencyReport, Status } from "../supervision/mod.ts";
import type { AdminSource } from "./server.ts";

/** A monitoring system waits ten seconds for a scrape; a reactor is replaced in one. */
const ANSWER_TIMEOUT_MS = 5000;
const ANSWER_BYTES_MAX: number = 64 * 1024 * 1024;

/** The service behind a control socket. */
export function controlSource(socketPath: string): AdminSource {
  return {
    // our own reactor, of this version, behind a socket of mode 0600
    status: async () => (await ask(socketPath, "/v1/status")) as Status,
    latency: async () => (await ask(socketPath, "/v1/latency")) as LatencyReport | null,
  };
}

/** The JSON of an answer; null for 501, what the mode does not have. */
function ask(socketPath: string, path: string): Promise<unknown> {
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  const options = { socketPath, path, agent: false, timeout: ANSWER_TIMEOUT_MS };
  const request = http.get(options, (response) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    response.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes > ANSWER_BYTES_MAX) request.destroy(new Error("its answer is too long"));
    });
    response.on("error", reject);
    response.on("end", () => {
      if (response.statusCode === 501) return resolve(null);
      if (response.statusCode !== 200) return reject(new Error(`status ${response.statusCode}`));
      try {
        resolve(JSON.parse(Buffer.concat(chunks).toString()));
      } catch (error) {
        reject(new Error("its answer is not JSON", { cause: error }));
      }
    });
  });
  request.on("timeout", () => request.destroy(new Error("it took too long")));
  request.on("error", reject);
  return promise;
}
