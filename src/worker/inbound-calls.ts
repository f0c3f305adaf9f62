/**
 * Requests that no connection accounts for stand in the accounts of work as `http.in`: those of
 * https servers and of http servers on unix paths, which no gate looks after.
 *
 * ```
 *   http.server.request.start --> running --> the response's "close"
 * ```
 */
import { subscribe } from "node:diagnostics_channel";
import type { IncomingMessage, ServerResponse } from "node:http";
import { WORK_OUTCOMES } from "../ledger/mod.ts";
import type { WorkTable } from "../ledger/mod.ts";

/** What Node tells (lib/_http_server.js). */
interface StartMessage {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly socket: {
    readonly _handle?: { readonly account?: { readonly isOpaque: boolean } | null } | null;
  };
}

const OK = WORK_OUTCOMES.indexOf("ok");
const CANCELLED = WORK_OUTCOMES.indexOf("cancelled");

/** For the life of the process. */
export function watchInbound(table: WorkTable, nowMs: () => number): void {
  const kind = table.kind("http.in");
  subscribe("http.server.request.start", (message) => {
    const { request, response, socket } = message as StartMessage; // see its docstring
    const account = socket._handle?.account;
    if (account !== undefined && account !== null && !account.isOpaque) return;
    table.nowMs = nowMs();
    const work = table.begin(kind, table.name(nameOf(request)), 0, 0);
    response.once("close", () => {
      table.nowMs = nowMs();
      table.end(work, response.writableFinished ? OK : CANCELLED);
    });
  });
}

/** Method and first segment of the path: one of few. */
function nameOf({ method = "GET", url = "/" }: IncomingMessage): string {
  const end = url.slice(1).search(/[/?]/);
  return `${method} ${end < 0 ? url : url.slice(0, end + 1)}`;
}
