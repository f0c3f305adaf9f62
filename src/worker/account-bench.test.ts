/**
 * An http server of this process whose one connection is accounted for as in a worker, and a court
 * that sits before and after every write, every change of the ledger, and at every turn of the
 * event loop: if the worker died now, would the verdict from ledger and kernel be true? What has
 * really left is parsed out of what the server has written, cut where the kernel's count is.
 * No test itself.
 */
import assert from "node:assert/strict";
import http from "node:http";
import { Socket } from "node:net";
import type { TestContext } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { connect } from "../../test/support/loopback.ts";
import type { Client } from "../../test/support/loopback.ts";
import { FLAG_JOURNAL_SHORT, INBOX_BYTES, Ledger, STATE, scanRequests } from "../ledger/mod.ts";
import type { ConnectionSnapshot, RequestScan } from "../ledger/mod.ts";
import {
  PacketChannel,
  TcpCountReader,
  closeDescriptor,
  duplicate,
  libc,
  socketPair,
  stableBuffer,
} from "../os/mod.ts";
import type { TcpCounts } from "../os/mod.ts";
import { judge } from "../reactor/verdict.ts";
import type { Verdict } from "../reactor/verdict.ts";
import { ConnectionAccount } from "./connection-account.ts";
import { heldClass } from "./held-handle.ts";
import type { HeldClass } from "./held-handle.ts";
import { handleClassOf } from "./node-internals.ts";
import type { StreamHandleClass } from "./node-internals.ts";
import { WorkerContext } from "./worker-context.ts";

export const SLOT = 0;
const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
/** Little, so that the kernel does not take a response of some size at once. */
const SEND_BUFFER_BYTES = 16 * 1024;
const reader = new TcpCountReader();

/** What has left, as a client would understand it. */
interface Left {
  readonly whole: number;
  readonly isPart: boolean;
  /** Interim responses have left behind the last whole one. */
  readonly isInterim: boolean;
}

/** Whether `text` begins with a whole body framed so; its end, or -1. */
function bodyEnd(text: string, start: number, head: string, method: string): number {
  const status = Number(head.slice(9, 12));
  if (method === "HEAD" || status === 204 || status === 304) return start;
  if (/\r\ntransfer-encoding: chunked/i.test(head)) {
    return chunksEnd(text, start);
  }
  const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? Number.NaN);
  return start + length <= text.length ? start + length : -1;
}

function chunksEnd(text: string, start: number): number {
  for (let at = start; ;) {
    const size = /^([0-9a-f]+)\r\n/i.exec(text.slice(at, at + 10));
    if (size === null) return -1;
    at += size[0].length + Number.parseInt(size[1] ?? "", 16) + 2;
    if (size[1] !== "0") continue;
    const trailers = /^([^\r\n]+\r\n)*\r\n/.exec(text.slice(at - 2));
    return trailers === null ? -1 : at - 2 + trailers[0].length;
  }
}

function parseLeft(text: string, methods: readonly string[]): Left {
  let at = 0;
  let whole = 0;
  let isInterim = false;
  while (at < text.length) {
    const headEnd = text.indexOf("\r\n\r\n", at) + 4;
    if (headEnd < 4) return { whole, isPart: true, isInterim };
    const head = text.slice(at, headEnd);
    isInterim = head.startsWith("HTTP/1.1 1");
    const end = isInterim ? headEnd : bodyEnd(text, headEnd, head, methods[whole] ?? "");
    if (end < 0) return { whole, isPart: true, isInterim };
    if (!isInterim) whole += 1;
    at = end;
  }
  return { whole, isPart: false, isInterim };
}

/** See the file's docstring. */
export class AccountBench {
  readonly client: Client;
  readonly context: WorkerContext;
  readonly account: ConnectionAccount;
  readonly socket: Socket;
  /** How often the court sat, and with which verdicts. */
  readonly verdicts: Map<string, number> = new Map();
  /** Not part of a response had left, and yet the connection would have been aborted. */
  readonly needlessAborts: string[] = [];
  readonly #ledger: Ledger;
  readonly #duplicate: number;
  readonly #written: Buffer[] = [];
  #sent = "";
  /** Bytes of the requests and responses that are settled long since. */
  #origin = { read: 0, written: 0 };

  private constructor(
    t: TestContext,
    client: Client,
    fd: number,
    server: http.Server,
    limit: number,
  ) {
    const ledgerFd = Ledger.create({ connectionsMax: 1, workersMax: 1 });
    this.#ledger = Ledger.attach(ledgerFd);
    closeDescriptor(ledgerFd);
    this.#ledger.workers.claim(1, 0, 1);
    const [end, other] = socketPair();
    const channel = new PacketChannel(end);
    this.context = new WorkerContext(this.#ledger, 0, channel, limit);
    this.#duplicate = duplicate(fd);
    this.client = client;
    const small = stableBuffer(4);
    small.writeInt32LE(SEND_BUFFER_BYTES, 0);
    libc().setsockopt(fd, SOL_SOCKET, SO_SNDBUF, small, 4);
    const { connections } = this.#ledger;
    connections.open(SLOT, 1, 1, "held");
    const generation = connections.handOver(SLOT, 1);
    connections.exchange(SLOT, generation, "handed", "idle");
    const handle = new (this.#tapped(fd))(0);
    assert.equal(handle.open(fd), 0);
    this.account = new ConnectionAccount(this.context, handle, SLOT, 0);
    this.context.opened(this.account);
    this.#observe(this.context, ["setInboxSlot", "setExecuting", "requestBegan", "requestsEnded"]);
    this.#observe(connections, ["enter", "settle", "setJournal", "setJournalBytes"]);
    this.#observe(connections, ["setResponseEnd", "setInterimBytes", "setFlags", "setDeaths"]);
    handle._consumed = true;
    const options = { handle, allowHalfOpen: true, readable: true, writable: true };
    this.socket = new Socket(options as object); // `handle` is how net.js makes an accepted socket
    Object.assign(this.socket, { server });
    server.emit("connection", this.socket);
    this.account.attach();
    t.after(() => {
      this.socket.destroy();
      channel.close();
      closeDescriptor(other);
      closeDescriptor(this.#duplicate);
    });
  }

  /** The court sits before and after each call of these. */
  #observe<T extends object>(target: T, names: readonly (keyof T & string)[]): void {
    for (const name of names) {
      const method = target[name] as (...args: unknown[]) => unknown; // named by the caller
      const observed = (...args: unknown[]): unknown => {
        this.sit();
        const result = method.apply(target, args);
        this.sit();
        return result;
      };
      Object.defineProperty(target, name, { value: observed });
    }
  }

  static async start(
    t: TestContext,
    handler: http.RequestListener,
    limit = 64 * 1024,
  ): Promise<AccountBench> {
    const server = http.createServer({ keepAliveTimeout: 60_000 }, handler);
    const { fd, client } = await connect(t);
    return new AccountBench(t, client, fd, server, limit);
  }

  /** The handle's class: all that is written is noted, and the court sits before and after. */
  #tapped(fd: number): HeldClass {
    const base = handleClassOf(duplicate(fd));
    const note = (...pieces: Buffer[]): void => void this.#written.push(...pieces);
    const sit = (): void => this.sit();
    const observed = <T>(write: () => T): T => {
      sit();
      const result = write();
      sit();
      return result;
    };
    const tapped: StreamHandleClass = class extends base {
      override writeUtf8String(request: object, text: string): number {
        note(Buffer.from(text));
        return observed(() => super.writeUtf8String(request, text));
      }

      override writeLatin1String(request: object, text: string): number {
        note(Buffer.from(text, "latin1"));
        return observed(() => super.writeLatin1String(request, text));
      }

      override writeAsciiString(request: object, text: string): number {
        note(Buffer.from(text, "latin1"));
        return observed(() => super.writeAsciiString(request, text));
      }

      override writeBuffer(request: object, bytes: Uint8Array): number {
        note(Buffer.from(bytes));
        return observed(() => super.writeBuffer(request, bytes));
      }

      override writev(request: object, chunks: readonly unknown[], allBuffers: boolean): number {
        // as held-handle.ts has it: buffers, or (piece, encoding) pairs
        for (let at = 0; at < chunks.length; at += allBuffers ? 1 : 2) {
          const piece = chunks[at] as string | Uint8Array;
          const encoding = chunks[at + 1] as BufferEncoding;
          note(typeof piece === "string" ? Buffer.from(piece, encoding) : Buffer.from(piece));
        }
        return observed(() => super.writev(request, chunks, allBuffers));
      }
    };
    return heldClass(tapped);
  }

  get snapshot(): ConnectionSnapshot {
    return this.#ledger.connections.snapshot(SLOT);
  }

  get counts(): TcpCounts {
    const counts = reader.read(this.#duplicate);
    assert.ok(counts !== null);
    return counts;
  }

  /** What the journal holds, without its part before the quiescent point. */
  get journal(): Buffer | null {
    const { journalFrom, journalBytes, journalBlock, quiescentRead, flags } = this.snapshot;
    const skip = quiescentRead - journalFrom;
    if ((flags & FLAG_JOURNAL_SHORT) !== 0 || journalBytes <= 0 || skip >= journalBytes)
      return null;
    return this.context.arena.read(journalBlock, journalBytes)?.subarray(skip) ?? null;
  }

  /** The client sends; it is written down for the court. */
  send(text: string): void {
    this.#sent += text;
    this.client.send(Buffer.from(text, "latin1"));
  }

  /** The bytes behind the quiescent point, as recovery.ts gathers them. */
  #evidenceBytes({ quiescentRead, flags }: ConnectionSnapshot, read: number): Buffer | null {
    const { journal } = this;
    const missing = read - quiescentRead - (journal?.length ?? 0);
    if (missing === 0) return journal ?? Buffer.alloc(0);
    const { workers } = this.#ledger;
    const { inbox } = this.context.arena;
    const isOurs = workers.int(0, "inboxSlot") === SLOT + 1 || inbox[0] !== 0;
    const isShort = (flags & FLAG_JOURNAL_SHORT) !== 0;
    if (missing < 0 || missing > INBOX_BYTES || !isOurs || isShort) return null;
    return Buffer.concat([journal ?? Buffer.alloc(0), inbox.subarray(0, missing)]);
  }

  /** What would be done with the connection if the worker died now. */
  verdict(): Verdict {
    const { snapshot, counts } = this;
    return judge(
      {
        kernelRead: counts.read,
        kernelWritten: counts.written,
        quiescentRead: snapshot.quiescentRead,
        quiescentWritten: snapshot.quiescentWritten,
        interimBytes: snapshot.interimBytes,
        responseEnd: snapshot.responseEnd,
        responseOrdinal: snapshot.responseOrdinal,
        deaths: snapshot.deaths,
        role: "bystander",
        bytes: this.#evidenceBytes(snapshot, counts.read),
      },
      "idempotent",
    );
  }

  /** The court. @throws AssertionError when the verdict would not be true. */
  sit(): void {
    const { state } = this.snapshot;
    if (state !== STATE.idle && state !== STATE.busy) return;
    const { read, written } = this.counts;
    const verdict = this.verdict();
    this.verdicts.set(verdict.kind, (this.verdicts.get(verdict.kind) ?? 0) + 1);
    const sent = this.#sent.slice(this.#origin.read, read);
    const { requests }: RequestScan = scanRequests(Buffer.from(sent, "latin1"));
    const all = Buffer.concat(this.#written).subarray(0, written - this.#origin.written);
    const methods = requests.map(({ method }) => method);
    const { whole, isPart, isInterim } = parseLeft(all.toString("latin1"), methods);
    const rest = sent.slice(requests[whole - 1]?.end ?? 0).replace(/^(\r\n)+/, "");
    const detail = (): string =>
      `${verdict.kind}, ${whole} of ${requests.length} have left, part: ${isPart}\n` +
      JSON.stringify({ ...this.snapshot, read, written });
    if (isPart) assert.equal(verdict.kind, "abort", detail());
    if (verdict.kind === "move") assert.equal(rest, "", detail());
    if (verdict.kind === "replay") {
      assert.equal(verdict.bytes.toString("latin1").replace(/^(\r\n)+/, ""), rest, detail());
    }
    // behind an answered request the next end is written down before the write, and the one before
    // is forgotten with it; an interim response there is not accounted for
    const { quiescentWritten, responseOrdinal } = this.snapshot;
    const settled = all.subarray(0, Math.max(0, quiescentWritten - this.#origin.written));
    const open = whole - parseLeft(settled.toString("latin1"), methods).whole;
    const isBehind = open > 0 && (isInterim || responseOrdinal > open);
    const isUnread = (requests[whole - 1]?.end ?? 0) < 0; // answered before its body was there
    const isNeedless = verdict.kind === "abort" && !isPart && !isBehind && !isUnread;
    if (isNeedless) this.needlessAborts.push(detail());
  }

  /** Sits at every turn of the event loop until `condition` holds. */
  async until(what: string, condition: () => boolean): Promise<void> {
    const endsAt = performance.now() + 20_000;
    while (!condition()) {
      this.sit();
      if (performance.now() > endsAt) throw new Error(`not in time: ${what}`);
      await nextTurn();
    }
    this.sit();
  }

  /** Until everything is answered and the ledger says so. The heartbeat is the test's. */
  async idle(): Promise<void> {
    await this.until("an idle connection", () => {
      this.context.checkFlushed();
      return this.snapshot.state === STATE.idle && this.counts.read === this.#sent.length;
    });
    const { read, written } = this.counts;
    this.#origin = { read, written };
    this.#written.length = 0; // what was written before is settled, and no longer looked at
  }
}
