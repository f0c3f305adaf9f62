/**
 * The listening sockets of this worker's servers. The descriptors are the reactor's; a server here
 * gets a handle that looks like a listening one and is told of connections by `onconnection`, so
 * that `net.Server` does its own accounting (as node:cluster's workers do).
 *
 * ```
 *   server.listen --> cluster._getServer --> "listen" --> reactor: bind, listen
 *   server        <-- faux handle        <-- "listening" (errno, sockname)
 *   server        <-- onconnection(handle of the received descriptor) <-- PACKET_CONNECTIONS
 * ```
 */
import { resolve } from "node:path";
import type { Server as HttpServer } from "node:http";
import type { Server } from "node:net";
import { throwLater } from "../base/mod.ts";
import type { ListenerSpec, ReactorToWorker } from "../base/mod.ts";
import { EAGAIN, EMFILE, ENFILE, acceptConnection, closeDescriptor, libc } from "../os/mod.ts";
import type { Watch } from "../os/mod.ts";
import { PROMPT_MS, STATE } from "../ledger/mod.ts";
import { ConnectionAccount } from "./connection-account.ts";
import { heldClass } from "./held-handle.ts";
import type { HeldClass } from "./held-handle.ts";
import { countStreams, countUnaccounted } from "./latency-channels.ts";
import { every, later, soon } from "./own-timers.ts";
import { handleClassOf, supportsAccounting } from "./node-internals.ts";
import type {
  DatagramHandle,
  ListeningHandle,
  ServerCallback,
  ServerQuery,
  SharingServer,
} from "./node-internals.ts";
import type { WorkerContext } from "./worker-context.ts";

/**
 * setInterval's longest delay: a timer that only keeps the event loop alive, as a listening handle
 * does.
 */
const LONGEST_DELAY_MS = 0x7fff_ffff;
/** Connections taken in one turn in kernel mode; more would keep the other workers idle. */
const ACCEPTS_PER_TURN_MAX = 16;
/**
 * Slots that a worker holds for its own accepting: a burst of connections of one round trip to the
 * reactor.
 */
const SLOTS_WANTED = 256;

/** Without a descriptor left the next try is worth nothing sooner. */
const NO_ROOM_MS = 100;

interface Pending {
  readonly server: Server | null;
  readonly query: ServerQuery;
  readonly spec: ListenerSpec;
  readonly accounted: boolean;
  readonly callback: ServerCallback;
  /** The index of the socket may be used again. */
  readonly forget: () => void;
}

interface Listen2 {
  _listen2(
    address: string | null,
    port: number | null,
    addressType: unknown,
    backlog: number | undefined,
    fd: number | undefined,
    flags: number | undefined,
  ): void;
}

interface Listening {
  readonly handle: ListeningHandle;
  readonly server: Server;
  readonly accounted: boolean;
  readonly kind: "tcp" | "unix" | "udp";
  /** Kernel mode: when nothing was left in its accept queue. */
  emptyAtMs: number;
}

type ListeningMessage = Extract<ReactorToWorker, { type: "listening" }>;

/** The path of a unix socket as the reactor, whose directory is another, can use it. */
function pathOf(address: string | null): string | null {
  return address === null || address.startsWith("\0") ? address : resolve(address);
}

function specOf(query: ServerQuery, index: number, server: Server | null): ListenerSpec {
  const isUdp = query.addressType === "udp4" || query.addressType === "udp6";
  const isUnix = query.addressType === -1;
  const data = (server as SharingServer | null)?._getServerData?.(); // tls.Server only
  return {
    kind: isUdp ? "udp" : isUnix ? "unix" : "tcp",
    address: isUnix ? pathOf(query.address) : query.address,
    port: typeof query.port === "number" && query.port > 0 ? query.port : 0,
    family: query.addressType === 6 || query.addressType === "udp6" ? 6 : 4,
    flags: query.flags ?? 0,
    backlog: query.backlog !== undefined && query.backlog > 0 ? query.backlog : 511,
    index,
    fd: query.fd ?? -1,
    mode: (query.readableAll === true ? 0o444 : 0) | (query.writableAll === true ? 0o222 : 0),
    data: data === undefined ? null : JSON.stringify(data),
  };
}

/**
 * Node's http server class. Loaded when somebody listens: a script that does not never pays for it.
 */
function isHttpServer(server: Server | null): server is HttpServer {
  return server instanceof process.getBuiltinModule("node:http").Server;
}

/** Of http or https: both have this of their options (lib/_http_server.js, storeHTTPOptions). */
function speaksHttp(server: Server | null): server is HttpServer {
  return server !== null && "keepAliveTimeout" in server;
}

/** A server of http2, which has no class of its own to be seen (lib/internal/http2/core.js). */
function speaksHttp2(server: Server | null): server is Server {
  return server !== null && "updateSettings" in server;
}

/** `getsockname` of a handle: fills `out` and gives 0. */
function nameOf(sockname: Readonly<Record<string, string | number>>) {
  return (out: Record<string, string | number>): number => {
    Object.assign(out, sockname);
    return 0;
  };
}

/** The class of dgram's handle, taken from a socket of Node's own. */
function datagramHandleClass(): new () => DatagramHandle {
  const socket = process.getBuiltinModule("node:dgram").createSocket("udp4");
  const key = Object.getOwnPropertySymbols(socket).find(
    (symbol) => symbol.description === "state symbol",
  );
  // lib/internal/dgram.js: the state holds the handle
  const state = (socket as unknown as Record<symbol, { handle: DatagramHandle }>)[
    key ?? Symbol.iterator
  ];
  const handleClass = state?.handle.constructor as new () => DatagramHandle;
  socket.close();
  return handleClass;
}

/** All listeners of a worker, by the reactor's number. */
export class Listeners {
  readonly #context: WorkerContext;
  readonly #pending: Map<number, Pending> = new Map();
  readonly #listening: Map<number, Listening> = new Map();
  readonly #indexes: Map<string, Set<number>> = new Map();
  readonly #classes: Map<string, HeldClass> = new Map();
  readonly #granted: number[] = [];
  readonly #watches: Map<Watch, () => void> = new Map();
  #isAsking = false;
  #countsUnaccounted = false;
  #countsStreams = false;
  #sequence = 0;
  readonly #onHttpServer: (server: Server, accounted: boolean) => void;
  #onListening: () => void;

  /**
   * `onHttpServer` is called for each server of http, https or http2 that is about to listen, with
   * whether its connections are accounted; `onListening` when the first server listens.
   */
  constructor(
    context: WorkerContext,
    onHttpServer: (server: Server, accounted: boolean) => void,
    onListening: () => void,
  ) {
    this.#context = context;
    this.#onHttpServer = onHttpServer;
    this.#onListening = onListening;
  }

  /** `cluster._getServer`: asks the reactor for the socket; the answer comes by `answered`. */
  getServer(server: Server | null, query: ServerQuery, callback: ServerCallback): void {
    const key = `${query.address}:${query.port}:${query.addressType}:${query.fd ?? -1}`;
    const used = this.#indexes.get(key) ?? new Set<number>();
    this.#indexes.set(key, used);
    let index = 0;
    while (used.has(index)) index += 1;
    used.add(index);
    const spec = specOf(query, index, server);
    const accounted = spec.kind === "tcp" && isHttpServer(server);
    if (speaksHttp(server) || speaksHttp2(server)) this.#onHttpServer(server, accounted);
    if (spec.kind === "tcp" && !accounted && !this.#countsStreams) {
      this.#countsStreams = true;
      countStreams(this.#context.latency, () => this.#context.nowMs());
    }
    if (!accounted && !this.#countsUnaccounted && speaksHttp(server)) {
      this.#countsUnaccounted = true;
      countUnaccounted(this.#context.latency, () => this.#context.nowMs());
    }
    const sequence = (this.#sequence += 1);
    const forget = (): void => void used.delete(index);
    this.#pending.set(sequence, {
      server,
      query,
      spec,
      accounted,
      callback,
      forget,
    });
    this.#context.awaitAnswer(true);
    this.#context.send({ type: "listen", sequence, spec, accounted });
  }

  /** The reactor's answer to a `listen`. */
  answered(message: ListeningMessage, descriptors: readonly number[]): void {
    const pending = this.#pending.get(message.sequence);
    this.#pending.delete(message.sequence);
    this.#context.awaitAnswer(this.#pending.size > 0);
    if (pending === undefined) {
      descriptors.forEach(closeDescriptor);
      return;
    }
    const [descriptor = -1] = descriptors;
    if (pending.spec.kind === "udp") this.#answerDatagram(pending, message, descriptor);
    else this.#answerStream(pending, message, descriptor);
  }

  /**
   * A connection that the reactor has placed here. A negative descriptor: this process has no room
   * for one (EMFILE), and it goes back.
   */
  receive(
    fd: number,
    slot: number,
    generation: number,
    listener: number,
    journal: Buffer | null,
  ): void {
    const context = this.#context;
    context.countReceived();
    if (fd < 0) {
      // not at once: it may come here again
      later(() => context.leaveUntaken(slot, generation), NO_ROOM_MS).unref();
    } else if (!this.#listening.has(listener)) {
      closeDescriptor(fd);
      context.leaveUntaken(slot, generation);
    } else if (context.connections.exchange(slot, generation, "handed", "idle")) {
      this.#open(fd, slot, listener, journal);
    } else closeDescriptor(fd); // taken back meanwhile: nothing is said to the peer
  }

  /** Slots for connections that this worker accepts itself. */
  grant(slots: readonly number[]): void {
    this.#granted.push(...slots);
    this.#isAsking = false;
    for (const [watch, accept] of this.#watches) watch.start({ readable: true }, accept);
  }

  /** Kernel mode: leaves what comes now to the other workers. */
  stopAccepting(): void {
    for (const watch of this.#watches.keys()) watch.stop();
    this.#watches.clear();
  }

  #open(fd: number, slot: number, listener: number, journal: Buffer | null): void {
    const {
      handle: listening,
      server,
      accounted,
      kind,
    } = this.#listening.get(listener) as Listening; // checked by callers
    const handleClass = this.#classFor(kind, fd);
    const isAccounted = accounted && supportsAccounting(handleClass);
    const handle = new handleClass(0);
    const errno = handle.open(fd);
    if (errno !== 0) {
      closeDescriptor(fd);
      this.#context.connections.enter(slot, STATE.closed);
      return;
    }
    const account = new ConnectionAccount(this.#context, handle, slot, journal?.length ?? 0);
    this.#context.opened(account);
    handle._consumed = isAccounted;
    const wasUsed = this.#context.connections.quiescentRead(slot) > 0;
    // under Node an application that goes on after what it throws here has its connection
    throwLater(() => listening.onconnection?.(0, handle));
    if (handle.account === null) return; // dropped: maxConnections
    if (!isAccounted) {
      account.becomeOpaque(); // also of a Pipe, which shows no owner (lib/net.js: only TCP does)
      return;
    }
    if (!handle.owner) return;
    account.attach();
    if (journal !== null) throwLater(() => account.replay(journal));
    else if (wasUsed && isHttpServer(server))
      account.startKeepAliveTimeout(server.keepAliveTimeout);
  }

  #classFor(kind: string, fd: number): HeldClass {
    let found = this.#classes.get(kind);
    if (found === undefined) {
      found = heldClass(handleClassOf(libc().dup(fd)));
      this.#classes.set(kind, found);
    }
    return found;
  }

  #answerDatagram(pending: Pending, message: ListeningMessage, fd: number): void {
    if (message.errno !== 0) {
      pending.forget();
      pending.callback(message.errno, null);
      return;
    }
    const handle = new (datagramHandleClass())();
    const errno = handle.open(fd);
    const close = handle.close.bind(handle);
    handle.close = (callback?: () => void): void => {
      pending.forget();
      this.#context.send({ type: "unlisten", listener: message.listener });
      close(callback);
    };
    pending.callback(errno, handle);
    this.sayListening();
  }

  #answerStream(pending: Pending, message: ListeningMessage, fd: number): void {
    const { server } = pending;
    if (server === null) return;
    if (message.errno !== 0) {
      pending.forget();
      this.#failAsNode(server, pending);
      return;
    }
    const handle = this.#fauxHandle(message, fd, pending);
    const { accounted, spec } = pending;
    this.#listening.set(message.listener, {
      handle,
      server,
      accounted,
      kind: spec.kind,
      emptyAtMs: -Infinity,
    });
    if (message.data !== null) {
      (server as SharingServer)._setServerData?.(JSON.parse(message.data)); // as above
    }
    pending.callback(0, handle);
  }

  /** Node itself tries, fails alike, and says so as it does without a cluster. */
  #failAsNode(server: Server, { query }: Pending): void {
    const { address, port, addressType, backlog, fd, flags } = query;
    const node = server as unknown as Listen2; // lib/net.js: named so for those who wrap it
    node._listen2(address, port, addressType, backlog, fd, flags);
  }

  /** Some server listens, ours or (with `exclusive` or `reusePort`) Node's own. */
  sayListening(): void {
    // after the application's own listening callbacks
    soon(() => {
      this.#onListening();
      this.#onListening = () => undefined;
    });
  }

  #fauxHandle(message: ListeningMessage, fd: number, { forget, spec }: Pending): ListeningHandle {
    const isUnix = spec.kind === "unix";
    const keepAlive = every(() => undefined, LONGEST_DELAY_MS);
    let watch: Watch | null = null;
    let isOpen = true;
    return {
      listen: () => {
        if (message.accept && fd >= 0) {
          const accept = (): void => this.#accept(fd, message.listener);
          watch = libc().watch(fd, { readable: true }, accept);
          watch.unref();
          this.#watches.set(watch, accept);
          this.#askForSlots();
        }
        return 0;
      },
      close: (callback) => {
        clearInterval(keepAlive);
        if (isOpen) {
          isOpen = false;
          if (watch !== null) {
            this.#watches.delete(watch);
            watch.close();
          }
          if (fd >= 0) closeDescriptor(fd);
          forget();
          this.#listening.delete(message.listener);
          this.#context.send({ type: "unlisten", listener: message.listener });
        }
        if (callback !== undefined) soon(callback);
      },
      // server.address() gives the path itself where the handle has no such method
      ...(isUnix ? {} : { getsockname: nameOf(message.sockname) }),
      ref: () => void keepAlive.ref(),
      unref: () => void keepAlive.unref(),
      hasRef: () => keepAlive.hasRef(),
    };
  }

  /**
   * Kernel mode: takes connections from the listening socket itself. Until the reactor has its
   * duplicate, one is lost with this process: each is sent up before the next is taken, and all
   * before the application's code sees any.
   */
  #accept(listenerFd: number, listener: number): void {
    const { connections } = this.#context;
    const nowMs = this.#context.nowMs();
    const listening = this.#listening.get(listener) as Listening; // it closes its watch with itself
    const isPrompt = nowMs - listening.emptyAtMs < PROMPT_MS;
    const fresh: { readonly slot: number; readonly fd: number }[] = [];
    for (let count = 0; count < ACCEPTS_PER_TURN_MAX; count += 1) {
      const slot = this.#granted.at(-1);
      if (slot === undefined) {
        // they wait in the kernel until there are slots
        for (const watch of this.#watches.keys()) watch.stop();
        break;
      }
      connections.setAccepted(slot, listener, nowMs, isPrompt);
      const accept = (): number => {
        const accepted = acceptConnection(listenerFd);
        if (accepted >= 0) connections.enter(slot, STATE.idle); // what is retained has a state
        return accepted;
      };
      const fd = listening.accounted
        ? this.#context.acceptRetained(slot, connections.generation(slot), accept)
        : accept();
      if (fd < 0) {
        if (fd === -EAGAIN) listening.emptyAtMs = nowMs;
        else if (fd === -EMFILE || fd === -ENFILE) this.#rest();
        break;
      }
      this.#granted.pop();
      fresh.push({ slot, fd });
    }
    for (const { slot, fd } of fresh) {
      if (this.#listening.has(listener)) this.#open(fd, slot, listener, null);
      else {
        closeDescriptor(fd); // the application closed its server over one of the others
        if (listening.accounted) this.#context.giveBack(slot);
        else connections.enter(slot, STATE.closed);
      }
    }
    this.#askForSlots();
  }

  /** No descriptor is left: connections wait in the kernel, or other workers take them. */
  #rest(): void {
    for (const watch of this.#watches.keys()) watch.stop();
    const goOn = (): void => {
      for (const [watch, accept] of this.#watches) watch.start({ readable: true }, accept);
    };
    later(goOn, NO_ROOM_MS).unref();
  }

  #askForSlots(): void {
    if (this.#isAsking || this.#granted.length > SLOTS_WANTED / 2) return;
    this.#isAsking = true;
    this.#context.send({ type: "want-slots", count: SLOTS_WANTED - this.#granted.length });
  }
}
