/**
 * `requests`: HTTP requests in flight, those that the process answers and those that it waits for.
 *
 * | source | object | in flight while |
 * | --- | --- | --- |
 * | server | ServerResponse, its `req` | not finished, and not closed |
 * | client | ClientRequest of node:http(s) | no answer yet, or one that is not complete |
 * | fetch | Request of undici: fetch, request, pools | neither completed nor aborted |
 * | ledger | account of a worker of Holdfast (graph/ledger.ts) | its connection is busy |
 *
 * Since when: request-ages.ts; a request that the ledger has too has its age from there.
 */
import { readLedger } from "../graph/ledger.ts";
import type { LedgerAccount, LedgerRequest } from "../graph/ledger.ts";
import type { Tagged } from "../v8/tagged.ts";
import { RequestAges } from "./request-ages.ts";
import type { Age } from "./request-ages.ts";
import type { CellValue, Result } from "./result.ts";
import type { Session } from "./session.ts";
import { LIMIT, limitOf } from "./verb.ts";
import type { AutopsyVerb } from "./verb.ts";

const REQUESTS_MAX = 100_000;
const CLASSES: ReadonlySet<string> = new Set(["ServerResponse", "ClientRequest", "Request"]);
/** What the ages of requests are counted from may stand in one. */
const DOUBLES = "Float64Array";

interface Row {
  readonly request: Tagged | null;
  readonly method: string | null;
  readonly url: string | null;
  readonly state: string;
  /** Null: not known. */
  readonly age: Age | null;
  /** Who asked, or who was asked. */
  readonly peer: string | null;
  readonly source: string;
  readonly response: Tagged | null;
}

export const requests: AutopsyVerb = {
  name: "requests",
  summary: "HTTP requests in flight, in and out: method, url, state, age, peer",
  usage: "[--all] [--limit n]",
  flags: [{ name: "all", placeholder: "", help: "also those that are answered" }, LIMIT],
  example: "requests",
  async run(session, args): Promise<Result> {
    // what the kernel knows now belongs to what is looked at, as long as that is young
    const ages = new RequestAges(session);
    const found: { readonly address: Tagged; readonly name: string }[] = [];
    await session.walk((address) => {
      if (!session.objects.isReceiver(address)) return;
      const name = session.objects.className(address);
      if (name === DOUBLES) ages.noteDoubles(address);
      if (CLASSES.has(name) && found.length < REQUESTS_MAX) found.push({ address, name });
    }, args.signal);
    const reader = new RequestReader(session, ages);
    const areAll = args.flags["all"] === true;
    const rows = found.flatMap(({ address, name }) => reader.read(address, name, areAll));
    const account = readLedger(session.target);
    const all = account === null ? rows : withLedger(rows, account.requests);
    const limit = limitOf(requests, args);
    return {
      kind: "table",
      columns: [
        { name: "request", kind: "address" },
        { name: "method", kind: "text" },
        { name: "url", kind: "text" },
        { name: "state", kind: "text" },
        { name: "age", kind: "milliseconds" },
        { name: "since", kind: "text" },
        { name: "peer", kind: "text" },
        { name: "source", kind: "text" },
        { name: "response", kind: "address" },
      ],
      rows: all.slice(0, limit).map(cells),
      more: Math.max(0, all.length - limit),
      remarks: [
        ...(all.length === 0 ? ["no request is in flight"] : []),
        ...(account === null ? [] : [accountText(account)]),
        ...ageRemarks(session, ages, all),
      ],
    };
  },
};

function accountText(account: LedgerAccount): string {
  const { workerIndex, workerId, connections, requestsTotal, areAgesExact } = account;
  return (
    `worker ${workerIndex} (id ${workerId}) of Holdfast: ${connections} connections, ` +
    `${requestsTotal} requests since its start` +
    (areAgesExact ? "" : "; ages are the least that they are")
  );
}

/** How ages are to be read, and why some are missing. */
function ageRemarks({ target }: Session, ages: RequestAges, rows: readonly Row[]): string[] {
  const remarks: string[] = [];
  if (ages.isAnyAtLeast) {
    remarks.push(
      "the core does not say when it was taken: ages go to the loop's last turn, at least",
    );
  }
  const missing = rows.filter(({ age }) => age === null).length;
  if (missing === 0 || ages.hasKernelTimes) return remarks;
  const known =
    target.kind === "core"
      ? "a live process, and a core by `holdfast autopsy dump`, have the kernel's word on them"
      : "and the kernel could not be asked (pidfd_getfd: Linux 5.6, and the right to trace)";
  remarks.push(`${missing} have no age: Node keeps no time of them; ${known}`);
  return remarks;
}

function cells(row: Row): readonly CellValue[] {
  const { request, method, url, state, age, peer, source, response } = row;
  const [ageMs, since] = [age?.ageMs ?? null, age?.since ?? null];
  return [request, method, url, state, ageMs, since, peer, source, response];
}

/** Ages for the rows that the ledger has too; what it alone has comes behind. */
function withLedger(rows: readonly Row[], accounts: readonly LedgerRequest[]): readonly Row[] {
  const open = [...accounts];
  const known = rows.map((row): Row => {
    if (row.source !== "server") return row;
    const index = open.findIndex(({ method, target }) => {
      return method === row.method && target === row.url;
    });
    const [account] = index < 0 ? [] : open.splice(index, 1);
    if (account === undefined) return row;
    return { ...row, age: ageBy(account) ?? row.age, source: "server, ledger" };
  });
  const rest = open.map((account): Row => ({
    request: null,
    method: account.method,
    url: account.target,
    state: account.state,
    age: ageBy(account),
    peer: null,
    source: "ledger",
    response: null,
  }));
  return [...known, ...rest];
}

function ageBy({ ageMs }: LedgerRequest): Age | null {
  return ageMs === null ? null : { ageMs, since: "first byte" };
}

class RequestReader {
  readonly #session: Session;
  readonly #ages: RequestAges;

  constructor(session: Session, ages: RequestAges) {
    this.#session = session;
    this.#ages = ages;
  }

  /** The row of an object of one of the classes; none when it is done, or another of that name. */
  read(address: Tagged, className: string, areAll: boolean): readonly Row[] {
    const row =
      className === "ServerResponse"
        ? this.#server(address)
        : className === "ClientRequest"
          ? this.#client(address)
          : this.#undici(address);
    return row === null || (row.state === "answered" && !areAll) ? [] : [row];
  }

  #server(response: Tagged): Row | null {
    const request = this.#object(response, "req");
    if (request === null) return null;
    const isFinished = this.#is(response, "finished") || this.#is(response, "_closed");
    const isSent = this.#text(response, "_header") !== null;
    const isWhole = this.#is(request, "complete");
    const waiting = isWhole ? "waiting for an answer" : "its body is still coming";
    return {
      request,
      method: this.#text(request, "method"),
      url: this.#text(request, "url"),
      state: isFinished ? "answered" : isSent ? "being answered" : waiting,
      age: isFinished ? null : this.#ages.served(request),
      peer: this.#peer(request),
      source: "server",
      response,
    };
  }

  /** The prototype has no `method` of its own, nor has an object that is half made. */
  #client(request: Tagged): Row | null {
    const method = this.#text(request, "method");
    if (method === null) return null;
    const response = this.#object(request, "res");
    const isOver =
      this.#is(request, "destroyed") ||
      this.#is(request, "_closed") ||
      (response !== null && this.#is(response, "complete"));
    const waiting = response === null ? "waiting for an answer" : "being answered";
    const protocol = this.#text(request, "protocol") ?? "http:";
    const host = this.#text(request, "host");
    return {
      request,
      method,
      url: this.#text(request, "path") ?? this.#pathOf(request),
      state: isOver ? "answered" : waiting,
      age: isOver ? null : this.#ages.asked(this.#socketOf(request)),
      peer: host === null ? null : `${protocol}//${host}${this.#portOf(request)}`,
      source: "client",
      response,
    };
  }

  /** undici's own Request; the one of the web has none of these. */
  #undici(request: Tagged): Row | null {
    const [method, path] = [this.#text(request, "method"), this.#text(request, "path")];
    const { objects } = this.#session;
    const completed = objects.get(request, "completed");
    if (method === null || path === null || completed === null) return null;
    const isOver = this.#is(request, "completed") || this.#is(request, "aborted");
    return {
      request,
      method,
      url: path,
      state: isOver ? "answered" : "waiting for an answer",
      age: isOver ? null : this.#ages.undici(request),
      peer: this.#text(request, "origin"),
      source: "fetch",
      response: null,
    };
  }

  /** Node asks the kernel for the address of a peer when a program asks; then it keeps it. */
  #peer(request: Tagged): string | null {
    const socket = this.#object(request, "socket");
    const name = socket === null ? null : this.#object(socket, "_peername");
    const address = name === null ? null : this.#text(name, "address");
    if (name === null || address === null) return null;
    const { objects } = this.#session;
    const port = objects.number(objects.get(name, "port") ?? 0);
    return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
  }

  /** Since Node 24 the path stands under a symbol of its own; the head has it too. */
  #pathOf(request: Tagged): string | null {
    const head = this.#text(request, "_header") ?? "";
    return /^\S+ (\S+) HTTP\//u.exec(head)?.[1] ?? null;
  }

  #socketOf(request: Tagged): Tagged | null {
    const { objects } = this.#session;
    const value = objects.getSymbol(request, "kSocket");
    return value !== null && objects.isReceiver(value) ? value : this.#object(request, "socket");
  }

  /** The port, when it is not that of the protocol. */
  #portOf(request: Tagged): string {
    const header = /^host: \S*?(:\d+)\r?$/imu.exec(this.#text(request, "_header") ?? "");
    return header?.[1] ?? "";
  }

  #object(object: Tagged, name: string): Tagged | null {
    const { objects } = this.#session;
    const value = objects.get(object, name);
    return value !== null && objects.isReceiver(value) ? value : null;
  }

  #text(object: Tagged, name: string): string | null {
    const { objects, v8 } = this.#session;
    const value = objects.get(object, name);
    return value === null ? null : v8.heap.string(value);
  }

  #is(object: Tagged, name: string): boolean {
    const { objects } = this.#session;
    const value = objects.get(object, name);
    return value !== null && objects.oddball(value) === "true";
  }
}
