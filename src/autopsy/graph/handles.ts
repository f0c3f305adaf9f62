/**
 * What keeps a program waiting outside of JavaScript: sockets, servers, timers, files, children.
 * Read from Node's own objects, which say that their handle of libuv is open:
 *
 * | class | open while | what it tells |
 * | --- | --- | --- |
 * | Server, Socket | `_handle`, `[kHandle]` is an object | `_connectionKey`, `_peername` |
 * | TLSSocket | the same, which wraps `_parent` | `servername` |
 * | Timeout | not `_destroyed` | `_idleTimeout`, `_repeat`, `_onTimeout` |
 * | ChildProcess, FSWatcher | `_handle` is an object | `pid`, `spawnfile`; libuv has the path |
 * | ReadStream, WriteStream of files | `fd` is a number | `path` |
 *
 * The addresses of a connection are the kernel's. A live process and our dumps have them by the
 * descriptor, which libuv keeps; another core, only when the program has asked for them. What is
 * not there is null, not guessed.
 */
import type { Describer } from "../heap/describe.ts";
import { AsyncChainReader } from "../stack/mod.ts";
import type { Memory } from "../target/memory.ts";
import type { Target } from "../target/target.ts";
import type { ObjectReader } from "../v8/objects.ts";
import { CLEARED, isSmi } from "../v8/tagged.ts";
import type { Tagged } from "../v8/tagged.ts";
import { readUvHandle } from "./libuv-handle.ts";
import type { UvHandle } from "./libuv-handle.ts";

export interface OpenHandle {
  readonly address: Tagged;
  readonly kind: "server" | "socket" | "udp" | "timer" | "child" | "watcher" | "file";
  /** Where a server listens, who a socket's peer is, which file, when a timer fires. */
  readonly detail: string | null;
  /** The callback of a timer, the request that a connection serves. */
  readonly owner: string | null;
  /** Null: it has none, or it is not known. */
  readonly descriptor: number | null;
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
const CONNECT_OPTIONS = "connect-options";
const DGRAM_STATE = "state symbol";

/** Tells which objects are open handles. */
export class HandleReader {
  readonly #objects: ObjectReader;
  readonly #describer: Describer;
  readonly #chains: AsyncChainReader;
  readonly #memory: Memory;
  readonly #descriptors: ReadonlyMap<number, string>;
  /** By map: whether objects of it can be handles at all. */
  readonly #candidates = new Map<number, boolean>();

  constructor(objects: ObjectReader, describer: Describer, target: Target) {
    this.#objects = objects;
    this.#describer = describer;
    this.#chains = new AsyncChainReader(objects.heap, objects.functions);
    this.#memory = target.memory;
    this.#descriptors = target.descriptors?.() ?? new Map();
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
        return this.#watcher(address);
      case "ReadStream":
      case "WriteStream":
        return this.#hasHandle(address) ? this.#socket(address) : this.#file(address);
      default:
        return null;
    }
  }

  /** What libuv has of a socket, of one with TLS too; null: it is closed. */
  connection(socket: Tagged): UvHandle | null {
    const handle = this.#handleOf(socket);
    return handle === null ? null : readUvHandle(this.#memory, this.#connectionOf(handle));
  }

  /** TLS wraps the handle of the connection. */
  #connectionOf(handle: Tagged): Tagged {
    const wrapped = this.#objects.get(handle, "_parent");
    return this.#isObject(wrapped) ? (wrapped ?? handle) : handle;
  }

  #isCandidate(address: Tagged, map: Tagged): boolean {
    const isOne =
      this.#objects.isReceiver(address) && CLASSES.has(this.#objects.className(address));
    this.#candidates.set(map, isOne);
    return isOne;
  }

  #server(address: Tagged): OpenHandle | null {
    const handle = this.#handleOf(address);
    if (handle === null) return null;
    const { descriptor, told } = this.#kernel(handle);
    const match = CONNECTION_KEY.exec(this.#text(address, "_connectionKey") ?? "");
    const [, family, host = "", port] = match ?? [];
    const shown = port === "0" ? "(a port that the kernel chose)" : port;
    const place = family === "6" ? `[${host}]:${shown}` : `${host}:${shown}`;
    const pipe = this.#text(address, "_pipeName");
    const detail = pipe ?? told ?? (match && place);
    return { address, kind: "server", detail, owner: null, descriptor };
  }

  #socket(address: Tagged): OpenHandle | null {
    const state = this.#objects.getSymbol(address, DGRAM_STATE);
    if (state !== null && this.#objects.isReceiver(state)) {
      const handle = this.#objects.get(state, "handle");
      if (handle === null || !this.#isObject(handle)) return null;
      const { descriptor, told } = this.#kernel(handle);
      return { address, kind: "udp", detail: told, owner: null, descriptor };
    }
    const handle = this.#handleOf(address);
    if (handle === null) return null;
    const inner = this.#connectionOf(handle);
    const { descriptor, told } = this.#kernel(inner);
    const place = told ?? this.#peer(address);
    const tls = inner === handle ? null : this.#tls(address);
    const detail = [tls, place].filter((part) => part !== null).join(", ") || null;
    return { address, kind: "socket", detail, owner: this.#message(address), descriptor };
  }

  /** `TLS to name`: of a client whom it asked for, of a server by what name it was asked. */
  #tls(socket: Tagged): string {
    const options = this.#objects.getSymbol(socket, CONNECT_OPTIONS);
    const asked =
      options === null || !this.#objects.isReceiver(options)
        ? null
        : (this.#text(options, "servername") ?? this.#text(options, "host"));
    const name = this.#text(socket, "servername") ?? asked;
    return name === null ? "TLS" : `TLS ${asked === null ? "as" : "to"} ${name}`;
  }

  /** What libuv and the kernel know of a handle. */
  #kernel(handle: Tagged): { readonly descriptor: number | null; readonly told: string | null } {
    const { descriptor = null } = readUvHandle(this.#memory, handle) ?? {};
    const told = descriptor === null ? null : (this.#descriptors.get(descriptor) ?? null);
    return { descriptor, told };
  }

  #watcher(address: Tagged): OpenHandle | null {
    const handle = this.#handleOf(address);
    if (handle === null) return null;
    const detail = readUvHandle(this.#memory, handle)?.path ?? null;
    return { address, kind: "watcher", detail, owner: null, descriptor: null };
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
      descriptor: null,
    };
  }

  #function(callback: Tagged): string | null {
    if (!this.#objects.heap.isFunction(callback)) return null;
    const { functions } = this.#objects;
    const place = this.#describer.placeOf(callback);
    const [waiter] = place === null ? this.#chains.waitingUntil(callback) : [];
    if (waiter !== undefined) {
      const script = functions.scriptOf(waiter.shared);
      const { position } = waiter;
      const at =
        script === null || position === null ? null : functions.lineColumn(script, position);
      const where = at === null ? "" : ` ${script?.name}:${at.line}:${at.column}`;
      return `await in ${functions.nameOf(waiter.shared) || "(anonymous)"}${where}`;
    }
    const name = functions.nameOf(functions.sharedOf(callback));
    return [name || "(anonymous)", ...(place === null ? [] : [place])].join(" ");
  }

  #child(address: Tagged): OpenHandle | null {
    if (!this.#hasHandle(address)) return null;
    const pid = this.#number(address, "pid");
    const file = this.#text(address, "spawnfile");
    const detail = `${file ?? "?"}${pid === null ? "" : ` (process ${pid})`}`;
    return { address, kind: "child", detail, owner: null, descriptor: null };
  }

  #file(address: Tagged): OpenHandle | null {
    const descriptor = this.#number(address, "fd");
    if (descriptor === null) return null;
    const detail = this.#text(address, "path") ?? this.#descriptors.get(descriptor) ?? null;
    return { address, kind: "file", detail, owner: null, descriptor };
  }

  #hasHandle(address: Tagged): boolean {
    return this.#handleOf(address) !== null;
  }

  /** Its handle, if that has it as its owner: the handle of a stale copy belongs to another. */
  #handleOf(address: Tagged): Tagged | null {
    // sockets keep it under a symbol, and have an accessor of the old name
    const named = this.#objects.get(address, "_handle");
    const handle = this.#isObject(named) ? named : this.#objects.getSymbol(address, "kHandle");
    if (handle === null || !this.#isObject(handle)) return null;
    return this.#objects.getSymbol(handle, OWNER) === address ? handle : null;
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
