/**
 * Clients that keep on asking while something happens to the service, and count what went wrong:
 * closed loops (one request after the other on a kept connection), idle kept connections, and
 * readers of server-sent events.
 */
import { IncompleteError, RawConnection } from "./raw-client.ts";
import type { Response } from "./raw-client.ts";
import type { Target } from "./service.ts";
import { DEADLINE_MS, waitFor, within } from "./wait.ts";

export interface LoopResult {
  readonly requests: number;
  /** One line for each request without a complete response of status 200. */
  readonly failures: readonly string[];
  /** Connections that ended between two requests, with no request lost. */
  readonly reconnects: number;
}

/** Closed loops of `GET path`, each on its own kept connection, until they are stopped. */
export class ClosedLoops {
  readonly #target: Target;
  readonly #path: string;
  readonly #loops: Promise<void>[];
  readonly #failures: string[] = [];
  #requests = 0;
  #reconnects = 0;
  #stopped = false;

  constructor(target: Target, count: number, path = "/") {
    this.#target = target;
    this.#path = path;
    this.#loops = Array.from({ length: count }, () => this.#loop());
  }

  get requests(): number {
    return this.#requests;
  }

  /** Waits until `count` more requests have been answered. */
  async progress(count: number): Promise<void> {
    const goal = this.#requests + count;
    await waitFor(`${count} more requests`, () => this.#requests >= goal);
  }

  /** Ends the loops after the request that each is in. */
  async stop(): Promise<LoopResult> {
    this.#stopped = true;
    await within("end of the closed loops", Promise.all(this.#loops));
    return {
      requests: this.#requests,
      failures: this.#failures,
      reconnects: this.#reconnects,
    };
  }

  async #loop(): Promise<void> {
    let connection: RawConnection | undefined;
    while (!this.#stopped) {
      try {
        if (connection === undefined || connection.ended !== "open") {
          if (connection !== undefined) this.#reconnects += 1;
          connection?.close();
          connection = await RawConnection.open(this.#target);
        }
        const response = await connection.request("GET", this.#path);
        this.#requests += 1;
        if (response.status !== 200) this.#failures.push(`status ${response.status}`);
        if (response.headers["connection"] === "close") {
          connection.close();
          connection = undefined;
        }
      } catch (error) {
        this.#failures.push(String(error));
        connection?.close();
        connection = undefined;
        if (this.#failures.length > 1000) return;
      }
    }
    connection?.close();
  }
}

/** Opens kept connections, each used once, so that it is idle and belongs to a worker. */
export async function openIdle(
  target: Target,
  count: number,
  path = "/",
): Promise<RawConnection[]> {
  const open = async (): Promise<RawConnection> => {
    const connection = await RawConnection.open(target);
    await expectOk(connection, path);
    return connection;
  };
  return Promise.all(Array.from({ length: count }, open));
}

/** Sends `GET path` and demands a complete 200. */
export async function expectOk(connection: RawConnection, path = "/"): Promise<Response> {
  const response = await connection.request("GET", path);
  if (response.status !== 200) throw new Error(`GET ${path}: ${response.status} ${response.text}`);
  return response;
}

/** One `GET path` on a connection of its own. */
export async function get(target: Target, path = "/"): Promise<Response> {
  return send(target, "GET", path);
}

/** One request on a connection of its own. */
export async function send(
  target: Target,
  method: string,
  path: string,
  options: Parameters<RawConnection["request"]>[2] = {},
): Promise<Response> {
  const connection = await RawConnection.open(target);
  try {
    const headers = { connection: "close", ...options.headers };
    return await connection.request(method, path, { ...options, headers });
  } finally {
    connection.close();
  }
}

/**
 * Asks on new connections until `count` different texts have been the answer (the applications
 * answer `GET /` with their pid), and returns them.
 */
export async function distinctAnswers(
  target: Target,
  count: number,
  path = "/",
  deadlineMs = DEADLINE_MS,
): Promise<Set<string>> {
  const seen = new Set<string>();
  await waitFor(
    `answers of ${count} workers`,
    async () => {
      // Several at once, so that a placement by load has a reason to use every worker.
      const all = await Promise.all(Array.from({ length: 4 }, () => get(target, path)));
      for (const response of all) seen.add(response.text);
      return seen.size >= count;
    },
    deadlineMs,
    () => `seen: ${[...seen].join(", ")}`,
  );
  return seen;
}

/** A reader of server-sent events: collects their data until the stream ends. */
export class EventReader {
  readonly events: string[] = [];
  readonly #connection: RawConnection;
  /** How the stream ended: by its last chunk, or with the connection in the middle of it. */
  readonly ended: Promise<"complete" | "fin" | "rst">;
  #over = false;

  private constructor(connection: RawConnection) {
    this.#connection = connection;
    this.ended = this.#read();
  }

  static async open(target: Target, path = "/sse"): Promise<EventReader> {
    const connection = await RawConnection.open(target);
    connection.sendRequest("GET", path, { headers: { accept: "text/event-stream" } });
    const head = await connection.readHead();
    if (head.status !== 200) throw new Error(`GET ${path}: ${head.status}`);
    return new EventReader(connection);
  }

  get isOpen(): boolean {
    return !this.#over;
  }

  /** Waits until `count` more events have come. */
  async next(count: number): Promise<void> {
    const goal = this.events.length + count;
    await waitFor(`${count} more events`, () => this.events.length >= goal);
  }

  close(): void {
    this.#connection.close();
  }

  async #read(): Promise<"complete" | "fin" | "rst"> {
    let text = "";
    try {
      for await (const piece of this.#connection.body()) {
        const blocks = (text + piece.toString()).split("\n\n");
        text = blocks.pop() ?? "";
        for (const block of blocks) this.events.push(block.replace(/^data: ?/, ""));
      }
      return "complete";
    } catch (error) {
      if (!(error instanceof IncompleteError) || error.ended === "open") throw error;
      return error.ended;
    } finally {
      this.#over = true;
    }
  }
}
