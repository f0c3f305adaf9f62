/**
 * What keeps a program waiting outside of JavaScript: sockets, servers, timers, files, children.
 * Read from Node's own objects, which say that their handle of libuv is open:
 *
 * | class | open while | what it tells |
 * | --- | --- | --- |
 * | Server, Socket | `_handle`, `[kHandle]` is an object | `_connectionKey`, `_peername` |
 * | Timeout | not `_destroyed` | `_idleTimeout`, `_repeat`, `_onTimeout` |
 * | ChildProcess, FSWatcher | `_handle` is an object | `pid`, `spawnfile` |
 * | ReadStream, WriteStream of files | `fd` is a number | `path` |
 *
 * The addresses of a connection are the kernel's: they are in the memory of the process only when
 * the program has asked for them. What is not there is null, not guessed.
 */
import type { Describer } from "../heap/describe.ts";
import type { ObjectReader } from "../v8/objects.ts";
import { CLEARED, isSmi } from "../v8/tagged.ts";
import type { Tagged } from "../v8/tagged.ts";

export interface OpenHandle {
  readonly address: Tagged;
  readonly kind: "server" | "socket" | "udp" | "timer" | "child" | "watcher" | "file";
  /** Where a server listens, who a socket's peer is, which file, when a timer fires. */
  readonly detail: string | null;
  /** The callback of a timer, the request that a connection serves. */
  readonly owner: string | null;
}

const CLASSES: ReadonlySet<string> = new Set([
  "Socket",
  "TLSSocket",
  "Server",
  "Timeout",
  "ChildProcess",
  "FSWatcher",
  "ReadStream",
  "WriteStream",
]);
const STREAM_CLASSES: ReadonlySet<string> = new Set(["Socket", "TLSSocket"]);
/** `net.Server#_connectionKey`: address type, address, port. */
const CONNECTION_KEY = /^(-?\d):(.*):(-?\d+)$/;
/** The symbol under which a handle has the object that owns it. */
const OWNER = "owner_symbol";
const DGRAM_STATE = "state symbol";

/** Tells which objects are open handles. */
export class HandleReader {
  readonly #objects: ObjectReader;
  readonly #describer: Describer;
  /** By map: whether objects of it can be handles at all. */
  readonly #candidates = new Map<number, boolean>();

  constructor(objects: ObjectReader, describer: Describer) {
    this.#objects = objects;
    this.#describer = describer;
  }

  /** Null: the object is none, or it is closed. `map`: the address of its map. */
  read(address: Tagged, map: Tagged): OpenHandle | null {
    const known = this.#candidates.get(map);
    if (known === false) return null;
    if (known === undefined && !this.#isCandidate(address, map)) return null;
    const name = this.#objects.className(address);
    if (STREAM_CLASSES.has(name)) return this.#socket(address);
    switch (name) {
      case "Server":
        return this.#server(address);
      case "Timeout":
        return this.#timer(address);
      case "ChildProcess":
        return this.#child(address);
      case "FSWatcher":
        if (!this.#hasHandle(address)) return null;
        return { address, kind: "watcher", detail: null, owner: null };
      case "ReadStream":
      case "WriteStream":
        return this.#hasHandle(address) ? this.#socket(address) : this.#file(address);
      default:
        return null;
    }
  }

  #isCandidate(address: Tagged, map: Tagged): boolean {
    const isOne =
      this.#objects.isReceiver(address) && CLASSES.has(this.#objects.className(address));
    this.#candidates.set(map, isOne);
    return isOne;
  }

  #server(address: Tagged): OpenHandle | null {
    if (!this.#hasHandle(address)) return null;
    const match = CONNECTION_KEY.exec(this.#text(address, "_connectionKey") ?? "");
    const [, family, host = "", port] = match ?? [];
    const shown = port === "0" ? "(a port that the kernel chose)" : port;
    const place = family === "6" ? `[${host}]:${shown}` : `${host}:${shown}`;
    const pipe = this.#text(address, "_pipeName");
    return { address, kind: "server", detail: pipe ?? (match && place), owner: null };
  }

  #socket(address: Tagged): OpenHandle | null {
    const state = this.#objects.getSymbol(address, DGRAM_STATE);
    if (state !== null && this.#objects.isReceiver(state)) {
      const isOpen = this.#isObject(this.#objects.get(state, "handle"));
      return isOpen ? { address, kind: "udp", detail: null, owner: null } : null;
    }
    if (!this.#hasHandle(address)) return null;
    return { address, kind: "socket", detail: this.#peer(address), owner: this.#message(address) };
  }

  #peer(socket: Tagged): string | null {
    const peer = this.#objects.get(socket, "_peername");
    if (peer !== null && this.#objects.isReceiver(peer)) {
      const host = this.#text(peer, "address");
      const port = this.#number(peer, "port");
      if (host !== null && port !== null)
        return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
    }
    const descriptor = this.#number(socket, "fd");
    return descriptor === null ? this.#text(socket, "_host") : `descriptor ${descriptor}`;
  }

  /** The HTTP exchange on a connection: server and client alike. */
  #message(socket: Tagged): string | null {
    const message = this.#objects.get(socket, "_httpMessage");
    if (message === null || !this.#objects.isReceiver(message)) return null;
    const request = this.#objects.get(message, "req");
    if (request !== null && this.#objects.isReceiver(request)) {
      const [method, url] = [this.#text(request, "method"), this.#text(request, "url")];
      return `answers ${method ?? "?"} ${url ?? "?"}`;
    }
    const [method, url] = [
      this.#text(message, "method"),
      this.#text(message, "path") ?? this.#kPath(message),
    ];
    return method === null ? null : `asks ${method} ${url ?? "?"}`;
  }

  /** The path of a ClientRequest is behind an accessor in newer versions. */
  #kPath(request: Tagged): string | null {
    const value = this.#objects.getSymbol(request, "kPath");
    return value === null ? null : this.#objects.heap.string(value);
  }

  #timer(address: Tagged): OpenHandle | null {
    const destroyed = this.#objects.get(address, "_destroyed");
    const delay = this.#number(address, "_idleTimeout");
    if (destroyed === null || this.#objects.oddball(destroyed) !== "false") return null;
    if (delay === null || delay < 0) return null;
    const repeat = this.#number(address, "_repeat");
    const callback = this.#objects.get(address, "_onTimeout");
    const detail = repeat === null ? `once, after ${delay} ms` : `every ${repeat} ms`;
    return {
      address,
      kind: "timer",
      detail,
      owner: callback === null ? null : this.#function(callback),
    };
  }

  #function(callback: Tagged): string | null {
    if (!this.#objects.heap.isFunction(callback)) return null;
    const place = this.#describer.placeOf(callback);
    const name = this.#objects.functions.nameOf(this.#objects.functions.sharedOf(callback));
    return [name || "(anonymous)", ...(place === null ? [] : [place])].join(" ");
  }

  #child(address: Tagged): OpenHandle | null {
    if (!this.#hasHandle(address)) return null;
    const pid = this.#number(address, "pid");
    const file = this.#text(address, "spawnfile");
    const detail = `${file ?? "?"}${pid === null ? "" : ` (process ${pid})`}`;
    return { address, kind: "child", detail, owner: null };
  }

  #file(address: Tagged): OpenHandle | null {
    if (this.#number(address, "fd") === null) return null;
    return { address, kind: "file", detail: this.#text(address, "path"), owner: null };
  }

  /** Whether it has a handle whose owner it is: the handle of a stale copy belongs to another. */
  #hasHandle(address: Tagged): boolean {
    // sockets keep it under a symbol, and have an accessor of the old name
    const named = this.#objects.get(address, "_handle");
    const handle = this.#isObject(named) ? named : this.#objects.getSymbol(address, "kHandle");
    if (handle === null || !this.#isObject(handle)) return false;
    return this.#objects.getSymbol(handle, OWNER) === address;
  }

  #isObject(value: Tagged | null): boolean {
    if (value === null || value === CLEARED || isSmi(value)) return false;
    return this.#objects.isReceiver(value);
  }

  #text(object: Tagged, name: string): string | null {
    const value = this.#objects.get(object, name);
    return value === null ? null : this.#objects.heap.string(value);
  }

  #number(object: Tagged, name: string): number | null {
    const value = this.#objects.get(object, name);
    return value === null ? null : this.#objects.number(value);
  }
}
