/**
 * What Holdfast uses of Node's internals, in one place. All of it is reached through objects that
 * Node hands out (a socket's handle, the cluster module), but for three numbers (`streamWords`).
 * Checked on Node 22, 24 and 26 by the system tests; `supportsAccounting` looks before anything
 * relies on it.
 */
import { Socket } from "node:net";
import type { Request } from "./account-host.ts";
import type { Server } from "node:net";

/** A libuv stream handle (`TCP`, `Pipe`; src/stream_base.cc). */
export interface StreamHandle {
  readonly fd: number;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** Bytes that the kernel has not taken yet. */
  readonly writeQueueSize: number;
  /** The stream that owns the handle, once it has one. */
  readonly owner?: HttpSocket | null;
  /** Called after each read; with `useUserBuffer` the bytes lie in that buffer. */
  onread: (this: HeldStreamHandle, arrayBuffer?: ArrayBuffer) => unknown;
  /** True: the HTTP server leaves reading to the stream (lib/_http_server.js). */
  _consumed?: boolean;
  open(fd: number): number;
  close(callback?: () => void): void;
  reset?(callback?: () => void): number;
  readStart(): number;
  readStop(): number;
  useUserBuffer(buffer: Uint8Array): void;
  getsockname?(out: Record<string, string | number>): number;
  writeBuffer(request: object, bytes: Uint8Array): number;
  writev(request: object, chunks: readonly unknown[], allBuffers: boolean): number;
  writeUtf8String(request: object, text: string): number;
  writeAsciiString(request: object, text: string): number;
  writeLatin1String(request: object, text: string): number;
  writeUcs2String(request: object, text: string): number;
}

export type StreamHandleClass = new (type: number) => StreamHandle;

/** `UDP` (src/udp_wrap.cc). */
export interface DatagramHandle {
  open(fd: number): number;
  close(callback?: () => void): void;
}

/**
 * An IncomingMessage, as far as it tells what is asked for. The last three are put there by
 * frameworks (Express: lib/router).
 */
export interface RoutedRequest {
  readonly method?: string | undefined;
  readonly url?: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly route?: { readonly path?: unknown } | null;
  readonly baseUrl?: string;
  readonly originalUrl?: string;
}

/**
 * Calls `listener` before Node hears that a write is done which the kernel had not taken at once.
 * A write's request has one callback (lib/internal/stream_base_commons.js).
 */
export function onWritten(request: object, listener: () => void): void {
  // any write request has it; see above
  const write = request as { oncomplete?: (this: unknown, ...args: unknown[]) => unknown };
  const { oncomplete } = write;
  if (typeof oncomplete !== "function") return;
  write.oncomplete = function (...args): unknown {
    listener();
    return oncomplete.apply(this, args);
  };
}

/**
 * The part of an OutgoingMessage that says how long the response will be (lib/_http_outgoing.js).
 */
export interface Response {
  /** The request that it answers. */
  readonly req?: RoutedRequest;
  readonly statusCode: number;
  readonly writableEnded: boolean;
  readonly _header: string | null;
  readonly _hasBody: boolean;
  readonly _contentLength: number | null;
  readonly _trailer: string;
  readonly chunkedEncoding: boolean;
  readonly headersSent: boolean;
  shouldKeepAlive: boolean;
}

/**
 * A connection's HTTP parser (lib/_http_server.js sets its callbacks when a socket connects). One
 * callback has a number for its name, `kOnExecute`: what follows when bytes have been parsed that
 * the native side has read itself.
 */
export interface Parser {
  readonly constructor: { readonly kOnExecute?: number };
  readonly [callback: number]: unknown;
  readonly incoming?: { readonly upgrade?: boolean } | null;
  onIncoming: (request: Request, shouldKeepAlive: boolean) => number;
  /** The bytes of it that were parsed, or what is wrong with them. Keeps nothing of the buffer. */
  execute(bytes: Uint8Array): number | Error;
  /** What is being parsed, in a copy: for `clientError` and `upgrade`. */
  getCurrentBuffer(): Buffer;
}

/** An http server's socket. */
export interface HttpSocket extends Socket {
  readonly _handle: HeldStreamHandle | null;
  /** The response that is being written now. */
  readonly _httpMessage?: Response | null;
  /** The HTTP parser; null once the connection was upgraded. */
  readonly parser?: Parser | null;
  /** Set by net.Server. */
  readonly server?: Server;
  _unrefTimer(): void;
  /** Listeners by event: a function where there is one (lib/events.js). */
  readonly _events: { readonly data?: unknown };
}

/** What Holdfast puts on its own handles. */
export interface HeldStreamHandle extends StreamHandle {
  account: Account | null;
}

/** What is told of a response once it is out. */
export type Answer = Pick<Response, "req" | "statusCode" | "writableEnded">;

/** What a handle tells the account of its connection. */
export interface Account {
  /** Of the connection, in the ledger. */
  readonly slot: number;
  /** Milliseconds since its only request came; null: not known. */
  readonly ageMs: number | null;
  beforeWrite(text: string | null, chunks: readonly unknown[] | null, allBuffers: boolean): void;
  /** The write of `request` has returned, with 0 or libuv's error. */
  afterWrite(errno: number, request: object): void;
  beforeClose(): void;
  /** The handle's `onread`. */
  onRead(arrayBuffer?: ArrayBuffer): unknown;
}

/** A listening handle: here always one of ours. */
export interface ListeningHandle {
  onconnection?: (status: number, handle: StreamHandle) => void;
  listen(backlog: number): number;
  close(callback?: () => void): void;
  getsockname?(out: Record<string, string | number>): number;
  ref(): void;
  unref(): void;
  hasRef(): boolean;
}

/** What net.js and dgram.js ask the cluster module for (lib/internal/cluster/child.js). */
export interface ServerQuery {
  readonly address: string | null;
  readonly port: number | null;
  readonly addressType: 4 | 6 | -1 | "udp4" | "udp6";
  readonly fd?: number | undefined;
  readonly flags?: number | undefined;
  readonly backlog?: number | undefined;
  readonly readableAll?: boolean | undefined;
  readonly writableAll?: boolean | undefined;
}

/** What a tls.Server shares with its like in other workers: its ticket keys. */
export interface SharingServer {
  _getServerData?(): unknown;
  _setServerData?(data: unknown): void;
}

export type ServerCallback = (errno: number, handle: object | null) => void;

export interface ClusterModule {
  isWorker: boolean;
  worker?: unknown;
  readonly Worker: new (options: object) => unknown;
  _getServer(server: Server, query: ServerQuery, callback: ServerCallback): void;
}

/** The class of the handle behind a descriptor: `TCP` or `Pipe`. The descriptor is consumed. */
export function handleClassOf(fd: number): StreamHandleClass {
  const socket = new Socket({ fd, readable: false, writable: false });
  // typed by hand: _handle is not in @types/node
  const handle = (socket as unknown as { _handle: StreamHandle })._handle;
  const handleClass = handle.constructor as StreamHandleClass; // every handle has its own class
  socket.destroy();
  return handleClass;
}

/** Words that the native side leaves behind each call (lib/internal/stream_base_commons.js). */
export interface StreamWords {
  /** Of the read that is being reported; negative: its end, or an error. */
  readBytes(): number;
  /** Of the write that has just returned. */
  writtenBytes(): number;
  /** Whether the kernel took all of it. */
  wroteAtOnce(): boolean;
  /** What a write by hand needs; Node's native side fills it if the kernel does not take all. */
  writeRequest(): object;
}

/** Null under the permission model, which refuses `process.binding`; the handle is asked then. */
export function streamWords(): StreamWords | null {
  const former = Object.getOwnPropertyDescriptor(process, "noDeprecation");
  process.noDeprecation = true; // --pending-deprecation speaks to the application, not of us
  try {
    const binding = process.binding("stream_wrap");
    const { streamBaseState: words } = binding;
    const { kReadBytesOrError: read, kBytesWritten: written, kLastWriteWasAsync: async } = binding;
    const { WriteWrap } = binding;
    const isKnown = [read, written, async].every((index) => typeof index === "number");
    if (!isKnown || !(words instanceof Int32Array) || typeof WriteWrap !== "function") return null;
    return {
      readBytes: () => words[read] ?? 0,
      writtenBytes: () => words[written] ?? 0,
      wroteAtOnce: () => words[async] === 0,
      writeRequest: () => Object.assign(new WriteWrap(), { oncomplete: () => undefined }),
    };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ERR_ACCESS_DENIED") return null;
    throw error;
  } finally {
    if (former === undefined) delete process.noDeprecation;
    else Object.defineProperty(process, "noDeprecation", former);
  }
}

declare global {
  // eslint-disable-next-line @typescript-eslint/no-namespace -- how @types/node is extended
  namespace NodeJS {
    interface Process {
      binding(name: "stream_wrap"): {
        readonly streamBaseState: unknown;
        readonly kReadBytesOrError: number;
        readonly kBytesWritten: number;
        readonly kLastWriteWasAsync: number;
        readonly WriteWrap: new () => object;
      };
    }
  }
}

/** Whether this Node has what accounting needs; without it connections are served, but opaque. */
export function supportsAccounting(handleClass: StreamHandleClass): boolean {
  // the prototype is looked at, not called
  const prototype = handleClass.prototype as Partial<Record<keyof StreamHandle, unknown>>;
  return (
    typeof prototype.useUserBuffer === "function" &&
    typeof prototype.writev === "function" &&
    "onread" in prototype &&
    "bytesRead" in prototype &&
    "_unrefTimer" in Socket.prototype
  );
}
