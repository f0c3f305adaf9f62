/**
 * Finds a running service and talks to its control socket: HTTP with JSON on a unix socket.
 *
 * ```
 *   --name shop  ->  <runtime directory>/shop.sock
 *   no --name    ->  the only *.sock there behind which somebody answers
 * ```
 */
import { readdirSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import path from "node:path";
import type { Duplex } from "node:stream";
import {
  HoldfastError,
  NAME_PATTERN,
  controlSocketPath,
  didYouMean,
  runtimeDirectory,
} from "../base/mod.ts";
import type { Environment } from "../base/mod.ts";

/** The keeper holds the socket while a reactor is replaced, which takes a second. */
const ANSWER_TIMEOUT_MS = 10_000;
/** A socket of a live process accepts at once, its queue is the kernel's. */
const PROBE_TIMEOUT_MS = 1000;
/** Of one answer or line; a log record is bounded by the keeper. */
const ANSWER_BYTES_MAX: number = 16 * 1024 * 1024;

/** What `holdfast attach` serves is meant only where it is named, or alone. */
const ATTACHED = /^pid-\d+$/;

export interface Service {
  readonly name: string;
  readonly socketPath: string;
}

/**
 * The service to talk to.
 *
 * @throws HoldfastError ERR_HOLDFAST_NOT_RUNNING when there is none, ERR_HOLDFAST_USAGE when there
 *   are several and no name was given.
 */
export async function findService(name: string | null, environment: Environment): Promise<Service> {
  const directory = runtimeDirectory(environment);
  const running = await runningServices(directory);
  const found = running.find((service) => service.name === name);
  if (found !== undefined) return found;
  const names = running.map((service) => service.name);
  const start = "Start one: holdfast run server.js";
  if (running.length === 0) {
    const what = name === null ? "no service" : `no service named ${name}`;
    throw notRunning(`${what} is running (looked in ${directory}). ${start}`);
  }
  if (name !== null) {
    const near = didYouMean(name, names);
    throw notRunning(`no service named ${name} is running; there is ${names.join(", ")}.${near}`);
  }
  const services = running.filter((service) => !ATTACHED.test(service.name));
  const [only, ...others] = services.length > 0 ? services : running;
  if (only !== undefined && others.length === 0) return only;
  throw new HoldfastError(
    "ERR_HOLDFAST_USAGE",
    `Cannot choose a service: ${names.join(", ")} are running. Name one: --name ${names[0]}`,
  );
}

/** Whether somebody answers behind the socket. */
export function isListening(socketPath: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = net.connect(socketPath);
  socket.setTimeout(PROBE_TIMEOUT_MS, () => socket.destroy());
  socket.on("connect", () => {
    resolve(true);
    socket.destroy();
  });
  socket.on("error", (error: NodeJS.ErrnoException) => {
    // Somebody else's service: it runs, and asking it will say what is wrong.
    resolve(error.code === "EACCES" || error.code === "EAGAIN");
  });
  socket.on("close", () => resolve(false));
  return promise;
}

/** One JSON answer. */
export async function ask(
  service: Service,
  method: string,
  target: string,
  body?: unknown,
  timeoutMs: number = ANSWER_TIMEOUT_MS,
): Promise<unknown> {
  const response = await send(service, method, target, body, timeoutMs);
  return parse(service, await readAll(service, response));
}

/** The lines of a long answer, each parsed, as they come. */
export async function* stream(
  service: Service,
  method: string,
  target: string,
  body?: unknown,
): AsyncGenerator<unknown, void> {
  const response = await send(service, method, target, body, null);
  let rest = "";
  response.setEncoding("utf8");
  try {
    for await (const chunk of response) {
      const lines = (rest + String(chunk)).split("\n");
      rest = lines.pop() ?? "";
      if (rest.length > ANSWER_BYTES_MAX) throw failed(service, "a line of its answer is too long");
      for (const line of lines) if (line !== "") yield parse(service, line);
    }
  } catch (error) {
    if (error instanceof HoldfastError) throw error;
    return; // It ended in the middle: whoever reads misses the last line and knows.
  }
  if (rest !== "") yield parse(service, rest);
}

/**
 * A connection to the service that is both sides' from here on (101).
 * @throws HoldfastError ERR_HOLDFAST_REFUSED, with the service's reason.
 */
export async function connect(service: Service, target: string, body: unknown): Promise<Duplex> {
  const { promise, resolve, reject } = Promise.withResolvers<Duplex>();
  const payload = Buffer.from(JSON.stringify(body));
  const request = http.request({
    socketPath: service.socketPath,
    method: "POST",
    path: target,
    agent: false,
    headers: {
      host: "holdfast",
      connection: "upgrade",
      upgrade: "holdfast-lines",
      "content-type": "application/json",
      "content-length": payload.length,
    },
  });
  request.on("upgrade", (_response, socket, head) => {
    if (head.length > 0) socket.unshift(head);
    resolve(socket);
  });
  request.on("response", (response) => {
    refusal(service, "POST", target, response).then(reject, reject);
  });
  request.on("error", (error) => reject(asOurs(service, error)));
  request.end(payload);
  return promise;
}

async function send(
  service: Service,
  method: string,
  target: string,
  body: unknown,
  timeoutMs: number | null,
): Promise<http.IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<http.IncomingMessage>();
  const payload = body === undefined ? Buffer.alloc(0) : Buffer.from(JSON.stringify(body));
  const request = http.request({
    socketPath: service.socketPath,
    method,
    path: target,
    agent: false,
    headers: {
      host: "holdfast",
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...(method === "GET" ? {} : { "content-length": payload.length }),
    },
  });
  if (timeoutMs !== null) {
    request.setTimeout(timeoutMs, () => {
      request.destroy(failed(service, `it did not answer within ${timeoutMs / 1000}s`));
    });
  }
  request.on("response", resolve);
  request.on("error", (error) => reject(asOurs(service, error)));
  request.end(payload);
  const response = await promise;
  const status = response.statusCode ?? 0;
  if (status >= 200 && status < 300) return response;
  throw await refusal(service, method, target, response);
}

/** Why the service has refused a request. */
async function refusal(
  service: Service,
  method: string,
  target: string,
  response: http.IncomingMessage,
): Promise<HoldfastError> {
  const answer = parse(service, await readAll(service, response));
  const isExplained = typeof answer === "object" && answer !== null && "message" in answer;
  const why = isExplained ? String(answer.message) : `status ${response.statusCode}`;
  return new HoldfastError(
    "ERR_HOLDFAST_REFUSED",
    `Cannot ${method} ${target} of ${service.name}: ${why}. Nothing was changed.`,
  );
}

async function readAll(service: Service, response: http.IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of response) {
      const part = Buffer.from(chunk as Uint8Array); // No encoding was set: chunks are bytes.
      bytes += part.length;
      if (bytes > ANSWER_BYTES_MAX) throw failed(service, "its answer is too long");
      chunks.push(part);
    }
  } catch (error) {
    throw asOurs(service, error);
  }
  return Buffer.concat(chunks).toString();
}

function parse(service: Service, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw failed(service, "its answer is not JSON", error);
  }
}

async function runningServices(directory: string): Promise<readonly Service[]> {
  const services = serviceNames(directory).map((name) => {
    return { name, socketPath: controlSocketPath(directory, name) };
  });
  const alive = await Promise.all(services.map(({ socketPath }) => isListening(socketPath)));
  return services.filter((_, index) => alive[index] === true);
}

function serviceNames(directory: string): readonly string[] {
  const isWindows = process.platform === "win32";
  const extension = isWindows ? ".pid" : ".sock"; // Named pipes are not in the directory.
  try {
    return readdirSync(directory)
      .filter((file) => path.extname(file) === extension)
      .map((file) => path.basename(file, extension))
      .filter((name) => NAME_PATTERN.test(name))
      .toSorted();
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
    if (code === "ENOENT") return [];
    throw new HoldfastError(
      "ERR_HOLDFAST_NOT_RUNNING",
      `Cannot look for services in ${directory}: ${code}. Act as the user who started them.`,
      { cause: error },
    );
  }
}

function notRunning(why: string): HoldfastError {
  return new HoldfastError("ERR_HOLDFAST_NOT_RUNNING", `Cannot reach a service: ${why}`);
}

function failed(service: Service, why: string, cause?: unknown): HoldfastError {
  return new HoldfastError(
    "ERR_HOLDFAST_CONTROL",
    `Cannot talk to ${service.name} on ${service.socketPath}: ${why}. See \`holdfast logs\`.`,
    { cause },
  );
}

function asOurs(service: Service, error: unknown): HoldfastError {
  if (error instanceof HoldfastError) return error;
  const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
  if (code === "EACCES") return failed(service, "it belongs to another user", error);
  return failed(service, code, error);
}
