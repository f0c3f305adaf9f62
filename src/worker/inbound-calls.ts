/**
 * Requests as Node's channels tell of them. Those that no connection accounts for stand in the
 * accounts of work as `http.in`: of https servers, of http servers on unix paths, streams of http2.
 * And once somebody asks what is being done for which request, each is the context of what it
 * starts.
 *
 * ```
 *   http.server.request.start -+-> ours in the ledger? its number --+--> context
 *   http2.server.stream.start -+-> begun, until its "close" --------+
 * ```
 */
import { subscribe } from "node:diagnostics_channel";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { ServerHttp2Stream } from "node:http2";
import { WORK_OUTCOMES } from "../ledger/mod.ts";
import type { WorkTable } from "../ledger/mod.ts";

/** What Node tells (lib/_http_server.js). */
interface RequestMessage {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly socket: {
    readonly _handle?: {
      readonly account?: { readonly isOpaque: boolean; readonly slot: number } | null;
    } | null;
  };
}

/** What Node tells (lib/internal/http2/core.js). */
interface StreamMessage {
  readonly stream: ServerHttp2Stream;
  readonly headers: { readonly ":method"?: string; readonly ":path"?: string };
}

interface Named {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
}

const KIND = "http.in";
const OK = WORK_OUTCOMES.indexOf("ok");
const CANCELLED = WORK_OUTCOMES.indexOf("cancelled");

/** See the file's docstring. */
export class InboundCalls {
  readonly #table: () => WorkTable;
  readonly #nowMs: () => number;
  readonly #workOf: (slot: number) => number;
  #hearsRequests = false;
  #begins = false;
  #enter: ((work: number) => void) | null = null;

  /** `workOf`: the number of the request on a connection that is in the ledger. */
  constructor(table: () => WorkTable, nowMs: () => number, workOf: (slot: number) => number) {
    this.#table = table;
    this.#nowMs = nowMs;
    this.#workOf = workOf;
  }

  /** Requests of connections that are not accounted for are, for the life of the process. */
  watchRequests(): void {
    this.#begins = true;
    this.#hearRequests();
  }

  /** So are streams of http2, but of servers that `isElsewhere` knows. */
  watchStreams(isElsewhere: (server: object) => boolean): void {
    subscribe("http2.server.stream.start", (message) => {
      const { stream, headers } = message as StreamMessage; // see its docstring
      // net's server puts itself there (lib/net.js, onconnection)
      const socket = stream.session?.socket as { readonly server?: object } | undefined;
      if (socket?.server !== undefined && isElsewhere(socket.server)) return;
      const work = this.#begin({ method: headers[":method"], url: headers[":path"] });
      stream.once("close", () => this.#end(work, stream.rstCode === 0));
      this.#enter?.(work);
    });
  }

  /** `enter` gets the number of each request from now on, before the application has it. */
  follow(enter: (work: number) => void): void {
    this.#enter = enter;
    this.#hearRequests();
  }

  #hearRequests(): void {
    if (this.#hearsRequests) return;
    this.#hearsRequests = true;
    subscribe("http.server.request.start", (message) => {
      const { request, response, socket } = message as RequestMessage; // see its docstring
      const account = socket._handle?.account;
      if (account !== undefined && account !== null && !account.isOpaque) {
        this.#enter?.(this.#workOf(account.slot));
        return;
      }
      if (!this.#begins) return;
      const work = this.#begin(request);
      response.once("close", () => this.#end(work, response.writableFinished));
      this.#enter?.(work);
    });
  }

  #begin(request: Named): number {
    const table = this.#table();
    table.nowMs = this.#nowMs();
    return table.begin(table.kind(KIND), table.name(nameOf(request)), 0, 0);
  }

  #end(work: number, isDone: boolean): void {
    const table = this.#table();
    table.nowMs = this.#nowMs();
    table.end(work, isDone ? OK : CANCELLED);
  }
}

/** Method and first segment of the path: one of few. */
function nameOf({ method = "GET", url = "/" }: Named): string {
  const end = url.slice(1).search(/[/?]/);
  return `${method} ${end < 0 ? url : url.slice(0, end + 1)}`;
}
