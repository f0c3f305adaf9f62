/**
 * The account of one HTTP/1.1 connection: writes into the ledger, as it happens, what the reactor
 * needs to go on with the connection if this process dies at the next instruction.
 *
 * ```
 *   kernel --read--> inbox (in the ledger) --> Node's parser --> application
 *                    ^ onRead: attributes          |                   |
 *                      unanswered after that: journal blocks           |
 *   kernel <--write-- response <---- beforeWrite: where it will end ---+
 *                        afterWrite: it is out
 *   settled: every request answered and the last byte read was the end of one: new quiescent point
 * ```
 * Order matters everywhere here: what is stored before a system call is what the reactor can rely
 * on after a death inside it. See the exactness rule in DESIGN and `reactor/verdict.ts`.
 */
import type { Server as HttpServer } from "node:http";
import type { ParkedBytes, ParkedRequest } from "../flow/mod.ts";
import { STATE, scanRequests } from "../ledger/mod.ts";
import { shutdownBoth } from "../os/mod.ts";
import type { AccountHost, Request } from "./account-host.ts";
import { chunksBytes, endsWithEmptyLine, INTERIM, LAST_CHUNK } from "./http-bytes.ts";
import { hasTimedOut } from "./keep-alive.ts";
import { ParserFeed } from "./parser-feed.ts";
import { RequestClock } from "./request-clock.ts";
import { RequestJournal } from "./request-journal.ts";
import { onWritten } from "./node-internals.ts";
import type { Account, Answer, HeldStreamHandle, HttpSocket, Response } from "./node-internals.ts";

/** `onread` of every held handle: one function, so that V8 sees one shape. */
function heldRead(this: HeldStreamHandle, arrayBuffer?: ArrayBuffer): unknown {
  return this.account?.onRead(arrayBuffer);
}

const PARKED_BYTES_MAX = 2048; // longer requests are parsed before they wait
/** A request that was answered as it was parked. */
const PARKED = { method: "GET", headers: {}, complete: true } as const;

/** See the file's docstring. One for each connection; opaque ones keep only their slot. */
export class ConnectionAccount implements Account, ParkedBytes {
  readonly slot: number;
  readonly generation: number;
  /** See CrowdMember. */
  place = -1;
  readonly #host: AccountHost;
  readonly #handle: HeldStreamHandle;
  /** Kernel counts when this process received the descriptor: its own counts start at 0. */
  readonly #baseRead: number;
  readonly #baseWritten: number;
  /** Kernel read count up to which bytes are accounted for. */
  #read: number;
  /** Kernel written counts at the quiescent point and at the end of the response begun last. */
  #quiescentWritten: number;
  #writtenEnd = -1;
  /** Of the interim response that was written last, behind the quiescent point. */
  #interimBytes = 0;
  #isOpaque = false;
  #isClosed = false;
  #isReleased = false;
  /** Node's own `onread`. */
  #forward: (arrayBuffer?: ArrayBuffer) => unknown = () => undefined;
  readonly #feed = new ParserFeed();
  #begun = 0;
  #answered = 0;
  /** Responses of which something was written. */
  #started = 0;
  #lastRequest: Request | null = null;
  /** Kernel read count at the end of the only request since the quiescent point; -1: not known. */
  #requestEnd = -1;
  #predicted: Answer | null = null;
  /** Bytes of the predicted response that have not been handed over; -1: no end is known. */
  #remaining = -1;
  /** Node's parser has the bytes right now. */
  #isDelivering = false;
  /** Something was written since the quiescent point. */
  #hasWritten = false;
  #adoptedTimeout = false;
  /** Node has answered a request here, so its timeouts between requests are on. */
  #isKept = false;
  /** The only request, which waits as bytes. */
  #parked: ParkedRequest | null = null;
  /** It stands in the counts, although it has not begun. */
  #isCounted = false;
  readonly #clock: RequestClock;
  readonly #journal: RequestJournal;

  constructor(host: AccountHost, handle: HeldStreamHandle, slot: number, replayBytes: number) {
    this.#host = host;
    this.#handle = handle;
    this.slot = slot;
    this.generation = host.connections.generation(slot);
    // bytes to be replayed have left the kernel already, and will be delivered as if just read
    this.#read = host.connections.quiescentRead(slot);
    this.#baseRead = this.#read + replayBytes;
    this.#baseWritten = host.connections.quiescentWritten(slot);
    this.#quiescentWritten = this.#baseWritten;
    this.#clock = new RequestClock(host.latency);
    this.#journal = new RequestJournal(host, slot);
    handle.account = this;
  }

  get handle(): HeldStreamHandle {
    return this.#handle;
  }

  get isOpaque(): boolean {
    return this.#isOpaque;
  }

  get isReleased(): boolean {
    return this.#isReleased;
  }

  get isIdle(): boolean {
    return (
      !this.#isOpaque && !this.#isClosed && this.#host.connections.state(this.slot) === STATE.idle
    );
  }

  /** The socket exists: from now on its reads come here first. */
  attach(): void {
    const { owner } = this.#handle;
    const parser = owner?.parser;
    if (!parser || typeof parser.onIncoming !== "function") {
      this.becomeOpaque();
      return;
    }
    this.#feed.attach(owner, parser);
    const { onIncoming } = parser;
    parser.onIncoming = (request, shouldKeepAlive) => {
      this.requestBegan(request);
      return onIncoming(request, shouldKeepAlive);
    };
    this.#forward = this.#handle.onread;
    this.#handle.useUserBuffer(this.#host.arena.inbox);
    this.#handle.onread = heldRead;
  }

  /**
   * As Node's keep-alive timeout does between requests; a moved connection starts in that pause.
   */
  startKeepAliveTimeout(timeoutMs: number): void {
    if (timeoutMs <= 0) return;
    this.#handle.owner?.setTimeout(timeoutMs);
    this.#clock.rested(this.#host.nowMs());
    this.#adoptedTimeout = true;
  }

  /** Delivers the journal of a request that another worker has died with. */
  replay(bytes: Buffer): void {
    const socket = this.#handle.owner;
    if (!socket || this.#isClosed) return;
    const { connections } = this.#host;
    const nowMs = this.#host.nowMs();
    const formerMs = connections.requestAtMs(this.slot);
    this.#markBusy(nowMs, formerMs > 0 ? nowMs - formerMs : 0);
    this.#journal.append(bytes, bytes.length, this.#read);
    this.#read += bytes.length;
    this.#host.setExecuting(this.slot + 1);
    this.#isDelivering = true;
    try {
      socket.emit("data", bytes);
    } finally {
      this.#isDelivering = false;
      this.#host.setExecuting(0);
      this.#afterDelivery(socket, bytes, bytes.length, endsWithEmptyLine(bytes, bytes.length));
    }
  }

  /** Everything about this connection lives in JavaScript from now on. */
  becomeOpaque(): void {
    if (this.#isOpaque || this.#isClosed) return;
    this.#isOpaque = true;
    this.#journal.release();
    this.#host.connections.enter(this.slot, STATE.opaque);
    this.#host.requestsEnded(this.#begun - this.#answered);
    this.#begun = this.#answered = 0;
    this.#host.becameOpaque(this);
  }

  /** See Account. */
  get ageMs(): number | null {
    if (this.#isOpaque || this.#begun - this.#answered !== 1) return null;
    return Math.max(0, this.#host.nowMs() - this.#host.connections.requestAtMs(this.slot));
  }

  /** A request head was parsed. */
  requestBegan(request: Request): void {
    if (this.#isOpaque) return;
    this.#begun += 1;
    this.#clock.began(this.#begun - this.#answered === 1);
    this.#lastRequest = request;
    if (this.#isCounted) this.#isCounted = false;
    else this.#host.requestBegan();
  }

  /**
   * For a response that the kernel did not take at once, or whose end is not known: true when it is
   * out, or nobody waits for it any more.
   */
  checkFlushed(): boolean {
    if (this.#isOpaque || this.#isClosed) return true;
    if (this.#handle.owner?._httpMessage || this.#handle.writeQueueSize > 0) return false;
    if (this.#begun > this.#answered) this.#responsesOut(this.#begun - this.#answered);
    return true;
  }

  /** Asks that the response in flight be the last on this connection. */
  closeAfterResponse(): void {
    const response = this.#handle.owner?._httpMessage;
    if (response && !response.headersSent) response.shouldKeepAlive = false;
  }

  /**
   * Gives an idle connection back: the descriptor is closed here without a word to the peer, and
   * the reactor's duplicate goes to another worker. False when bytes have come meanwhile.
   */
  release(): boolean {
    const socket = this.#handle.owner;
    if (!this.isIdle || !socket) return false;
    if (socket.writableLength > 0 || socket._httpMessage) return false;
    this.#handle.readStop();
    if (this.#baseRead + this.#handle.bytesRead !== this.#read || !this.#giveBack()) {
      this.#handle.readStart();
      return false;
    }
    this.#isReleased = true;
    socket.destroy();
    return true;
  }

  beforeClose(): void {
    if (this.#isClosed) return;
    this.#parked?.close();
    this.#isReleased ||= this.#hasMoreToDo();
    this.#isClosed = true;
    if (!this.#isReleased) {
      this.#host.connections.enter(this.slot, STATE.closed);
      // with the reactor's duplicate the kernel would say nothing to the peer
      const hasSaid = this.#handle.owner?.writableFinished === true;
      if (!hasSaid && !this.#isOpaque && this.#handle.fd >= 0) shutdownBoth(this.#handle.fd);
    }
    this.#journal.release();
    if (!this.#isOpaque) this.#endAll();
    this.#host.closed(this);
  }

  /** Node closes it since nothing has come, and something has: to the reactor with it. */
  #hasMoreToDo(): boolean {
    const { owner, fd } = this.#handle;
    if (!owner || !this.isIdle) return false;
    if (!hasTimedOut(owner, this.#clock.idleMs(this.#host.nowMs()))) return false;
    return this.#host.hasUnread(fd) && this.#giveBack();
  }

  #giveBack(): boolean {
    return this.#host.connections.exchange(this.slot, this.generation, "idle", "released");
  }

  /** The connection ends: a response that is out is one, every other request has been left. */
  #endAll(): void {
    const open = this.#begun - this.#answered;
    if (open === 0) return;
    const [nowMs, response] = [this.#host.nowMs(), this.#predicted];
    const isOut = response?.writableEnded === true && this.#handle.writeQueueSize === 0;
    for (let count = 0; count < open; count += 1) {
      if (count === 0 && isOut) this.#clock.ended(response, nowMs);
      else this.#clock.left(this.#handle.owner?._httpMessage, nowMs);
    }
    this.#host.requestsEnded(open);
  }

  beforeWrite(text: string | null, chunks: readonly unknown[] | null, allBuffers: boolean): void {
    if (this.#isOpaque) return;
    const response = this.#handle.owner?._httpMessage;
    if (!response) {
      this.#hasWritten = true; // to the socket by hand: the counts will tell, and nobody guesses
      return;
    }
    if (response !== this.#predicted) {
      if (response._header === null) {
        this.#noteInterim(text);
        return;
      }
      this.#writtenEnd = this.#remaining = -1;
      // Node begins a response when the one before has left, also one that nobody has looked at yet
      const out = this.#started - this.#answered;
      this.#started += 1;
      if (out > 0) this.#responsesOut(out);
      this.#predicted = response;
      const length = response._hasBody ? response._contentLength : 0;
      if (length !== null && !(response._hasBody && response.chunkedEncoding)) {
        this.#setResponseEnd(response._header.length + length);
        this.#hasWritten = true;
        return;
      }
      if (!response.chunkedEncoding) this.#host.awaitFlush(this);
    }
    if (response.chunkedEncoding && response._hasBody) {
      this.#noteChunk(response, text, chunks, allBuffers);
    }
    this.#hasWritten = true;
  }

  afterWrite(errno: number, request: object): void {
    if (this.#remaining < 0 || errno !== 0) return;
    const { streamWords } = this.#host;
    this.#remaining =
      streamWords === null
        ? this.#writtenEnd - this.#baseWritten - this.#handle.bytesWritten
        : this.#remaining - streamWords.writtenBytes();
    if (this.#remaining > 0) return;
    // a head outside ASCII is written in the encoding of the body: then the handle's count is true
    if (this.#remaining < 0) this.#writtenEnd = -1;
    const isOut =
      this.#remaining === 0 &&
      (streamWords === null ? this.#handle.writeQueueSize === 0 : streamWords.wroteAtOnce());
    this.#remaining = -1;
    if (isOut) {
      this.#responsesOut(1);
      return;
    }
    this.#host.awaitFlush(this);
    onWritten(request, () => {
      if (this.#handle.writeQueueSize === 0) this.#clock.flushed(this.#host.nowMs());
    });
  }

  /** Responses have been handed to the kernel, whole. */
  #responsesOut(count: number): void {
    this.#answered += count;
    const nowMs = this.#host.nowMs();
    for (let done = 0; done < count; done += 1) this.#clock.ended(this.#predicted, nowMs);
    this.#host.requestsEnded(count);
    if (!this.#isDelivering) this.#settleIfDone();
  }

  /** The last chunk is about to be written: now the end is known. */
  #noteChunk(
    response: Response,
    text: string | null,
    chunks: readonly unknown[] | null,
    allBuffers: boolean,
  ): void {
    const last = chunks === null ? text : allBuffers ? null : chunks[chunks.length - 2];
    if (typeof last !== "string" || !last.startsWith("0\r\n")) return;
    const isEnd = last === LAST_CHUNK || last === `0\r\n${response._trailer}\r\n`;
    if (isEnd)
      this.#setResponseEnd(chunks === null ? last.length : chunksBytes(chunks, allBuffers));
  }

  /** `remaining` bytes from now complete the response that is being written. */
  #setResponseEnd(remaining: number): void {
    // the first write since the quiescent point needs no question to the handle
    const isFirst = this.#answered === 0 && !this.#hasWritten;
    const written = isFirst
      ? this.#quiescentWritten
      : this.#baseWritten + this.#handle.bytesWritten;
    this.#writtenEnd = written + remaining;
    this.#remaining = remaining;
    this.#host.connections.setResponseEnd(this.slot, this.#writtenEnd, this.#answered + 1);
  }

  /** A `1xx`: it may be repeated, so it does not count as the beginning of the response. */
  #noteInterim(text: string | null): void {
    const { connections } = this.#host;
    this.#hasWritten = true;
    if (text === null || !INTERIM.test(text)) return; // by hand: the counts will tell
    const written = this.#baseWritten + this.#handle.bytesWritten;
    if (written !== this.#quiescentWritten) {
      // more than interim responses has left: what was answered must not be read as unanswered
      if (written !== this.#quiescentWritten + this.#interimBytes) return;
      this.#quiescentWritten = written;
      connections.settle(this.slot, connections.quiescentRead(this.slot), written);
    }
    this.#interimBytes = text.length;
    connections.setInterimBytes(this.slot, text.length);
  }

  onRead(arrayBuffer?: ArrayBuffer): unknown {
    const handle = this.#handle;
    const before = this.#read;
    const bytes = this.#host.streamWords?.readBytes() ?? this.#baseRead + handle.bytesRead - before;
    const socket = handle.owner;
    // the end of the stream, an error
    if (bytes <= 0 || !socket) return this.#forward.call(handle, arrayBuffer);
    const { arena } = this.#host;
    if (this.#isOpaque) {
      this.#read = before + bytes;
      const copy = this.#copyOfInbox(bytes);
      arena.inbox[0] = 0; // what is left there is nobody's: see `inboxClaimant` in recovery.ts
      return this.#forward.call(handle, copy);
    }
    const view = arena.inboxView(bytes);
    this.#host.setInboxSlot(this.slot + 1);
    this.#parked?.parse(); // more than one request at a time
    const nowMs = this.#host.nowMs();
    const waitedMs = this.#host.waitedMs(nowMs, this, !this.#clock.hasRead);
    const isFirst = this.#markBusy(nowMs, waitedMs);
    this.#read = before + bytes;
    const endsRequest = endsWithEmptyLine(view, bytes);
    if (isFirst && endsRequest && this.#park(socket, view, waitedMs)) return undefined;
    this.#host.setExecuting(this.slot + 1);
    this.#isDelivering = true;
    try {
      if (!socket.destroyed) this.#deliver(socket, view);
    } finally {
      // the application may have thrown, and may catch that as an uncaught exception
      this.#isDelivering = false;
      this.#host.setExecuting(0);
      this.#keep(view, bytes, endsRequest);
      this.#afterDelivery(socket, view, bytes, endsRequest);
      // last: until it is settled, a request that was answered at once is nowhere but in the inbox
      arena.inbox[0] = 0;
      this.#host.setInboxSlot(0);
    }
    return undefined;
  }

  /**
   * The inbox is about to be used for another read: what is still unanswered goes into the journal.
   * A request that was answered while it was delivered never needs one.
   */
  #keep(view: Buffer, bytes: number, endsRequest: boolean): void {
    if (this.#isClosed) return;
    const isAnswered = endsRequest && this.#begun === 1 && this.#answered === 1;
    if (isAnswered && this.#journal.isEmpty && this.#lastRequest?.complete === true) return;
    this.#journal.append(view, bytes, this.#read - bytes);
  }

  /** To the parser where it lies; everybody else may keep what he is given: a copy. */
  #deliver(socket: HttpSocket, view: Buffer): void {
    if (this.#feed.isAlone(socket)) this.#feed.parse(socket, view);
    else this.#forward.call(this.#handle, this.#copyOfInbox(view.length));
  }

  #copyOfInbox(bytes: number): ArrayBuffer {
    const copy = new ArrayBuffer(bytes);
    new Uint8Array(copy).set(this.#host.arena.inbox.subarray(0, bytes));
    return copy;
  }

  /**
   * Bytes were read at `nowMs`, which had been in the kernel (or a journal) for `waitedMs`. Whether
   * they are the first of a request.
   */
  #markBusy(nowMs: number, waitedMs: number): boolean {
    const { connections } = this.#host;
    if (connections.state(this.slot) !== STATE.idle) {
      this.#clock.read(nowMs);
      return false;
    }
    this.#clock.arrived(nowMs, waitedMs);
    connections.setRequestAtMs(this.slot, nowMs - waitedMs);
    connections.enter(this.slot, STATE.busy);
    if (!this.#adoptedTimeout) return true;
    this.#adoptedTimeout = false;
    const { owner } = this.#handle;
    owner?.setTimeout((owner.server as HttpServer | undefined)?.timeout ?? 0); // see `attach`
    return true;
  }

  /**
   * Keeps a request as bytes while it waits for a gate that is full. False: it must be parsed, or
   * the journal has no room. Between requests of a connection only, where Node's parser and timers
   * stand still.
   */
  #park(socket: HttpSocket, view: Buffer, waitedMs: number): boolean {
    const host = this.#host;
    if (host.park === null || host.streamWords === null || !this.#isKept) return false;
    if (view.length > PARKED_BYTES_MAX || !this.#feed.isAlone(socket) || socket.destroyed)
      return false;
    const parked = host.park(socket, view, waitedMs, this);
    if (parked === null) return false;
    this.#journal.append(view, view.length, this.#read - view.length);
    if (!this.#journal.isWhole) return false;
    host.arena.inbox[0] = 0;
    host.setInboxSlot(0);
    socket._unrefTimer(); // as for every read
    this.#parked = parked;
    this.#isCounted = true;
    host.requestBegan();
    parked.enter();
    return true;
  }

  /** See ParkedBytes. */
  parse(): void {
    const socket = this.#handle.owner;
    const bytes = this.#journal.read();
    if (this.#parked === null || this.#isClosed || !socket || bytes === null) return;
    this.#parked = null;
    const former = this.#host.executing;
    this.#host.setExecuting(this.slot + 1);
    this.#isDelivering = true;
    try {
      if (this.#feed.isAlone(socket)) this.#feed.parse(socket, bytes);
      else socket.push(bytes);
    } finally {
      this.#isDelivering = false;
      this.#host.setExecuting(former);
      if (this.#isCounted) this.#host.requestsEnded(1); // it was none
      this.#isCounted = false;
      this.#afterDelivery(socket, bytes, bytes.length, true);
    }
  }

  /** See ParkedBytes. */
  answer(statusCode: number, response: string, url: string): void {
    const { streamWords } = this.#host;
    if (this.#parked === null || this.#isClosed || streamWords === null) return;
    this.#parked = null;
    this.#isCounted = false;
    this.#begun = this.#started = 1;
    this.#clock.began(true);
    this.#lastRequest = PARKED;
    this.#predicted = { req: { ...PARKED, url }, statusCode, writableEnded: true };
    this.#requestEnd = this.#read;
    this.#setResponseEnd(response.length);
    const request = streamWords.writeRequest();
    const errno = this.#handle.writeLatin1String(request, response);
    if (errno !== 0) this.#handle.owner?.destroy();
  }

  /** See ParkedBytes. */
  get socket(): HttpSocket | null {
    return this.#isClosed ? null : (this.#handle.owner ?? null);
  }

  /** Node's parser has seen the bytes. */
  #afterDelivery(socket: HttpSocket, chunk: Buffer, bytes: number, endsRequest: boolean): void {
    if (this.#isClosed) return;
    if (socket.parser === null && !socket.destroyed) {
      this.becomeOpaque();
      return;
    }
    if (this.#begun === 1 && this.#requestEnd < 0) {
      this.#noteRequestEnd(chunk, bytes, endsRequest);
    }
    if (this.#begun > 0 && this.#begun === this.#answered) this.#settleIfDone();
  }

  /**
   * Where the only request since the quiescent point ends, as soon as the bytes say so. Bytes
   * behind a complete request would be the beginning of another head, which cannot end with an
   * empty line without being a second request; so an empty line at the end is the end.
   */
  #noteRequestEnd(chunk: Buffer, bytes: number, endsRequest: boolean): void {
    const request = this.#lastRequest;
    if (request === null) return;
    if (endsRequest) {
      if (request.complete) this.#requestEnd = this.#read;
      return;
    }
    const start = this.#host.connections.quiescentRead(this.slot);
    const length = request.headers["content-length"];
    if (typeof length !== "string" || this.#read - start !== bytes) return;
    const head = chunk.indexOf("\r\n\r\n", 0, "latin1");
    if (head >= 0) this.#requestEnd = start + head + 4 + Number(length);
  }

  /** Every request answered, and read to its end: a quiescent point. */
  #settleIfDone(): void {
    if (this.#begun === 0 || this.#answered !== this.#begun) return;
    if (this.#lastRequest?.complete !== true || this.#isClosed) return;
    const end = this.#begun === 1 && this.#requestEnd >= 0 ? this.#requestEnd : this.#endByScan();
    if (end < 0) {
      this.becomeOpaque();
      return;
    }
    const { connections } = this.#host;
    // wrong if more or less was written than declared: the kernel's count will not agree then
    this.#quiescentWritten =
      this.#writtenEnd >= 0 ? this.#writtenEnd : this.#baseWritten + this.#handle.bytesWritten;
    connections.settle(this.slot, end, this.#quiescentWritten);
    this.#writtenEnd = this.#remaining = -1;
    this.#interimBytes = 0;
    this.#hasWritten = false;
    this.#begun = this.#answered = this.#started = 0;
    this.#requestEnd = -1;
    this.#lastRequest = null; // both would live on with the connection, into the old generation
    this.#predicted = null;
    this.#isKept = true;
    if (end < this.#read) return; // the beginning of the next request is here already
    this.#journal.restart();
    connections.setDeaths(this.slot, 0);
    connections.enter(this.slot, STATE.idle);
    this.#host.settled(this);
  }

  /** Reads the journal again. -1 when that does not tell. */
  #endByScan(): number {
    const start = this.#host.connections.quiescentRead(this.slot);
    const bytes = this.#journal.read();
    if (bytes === null) return -1;
    const journalFrom = this.#read - bytes.length;
    const { requests, isClear } = scanRequests(bytes.subarray(start - journalFrom));
    const last = requests[this.#begun - 1];
    return isClear && last !== undefined && last.end >= 0 ? start + last.end : -1;
  }
}
