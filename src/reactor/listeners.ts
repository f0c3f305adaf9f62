/**
 * Listening sockets: made for the first worker that asks, shared by those that ask for the same,
 * and kept by the keeper as well, so that a new reactor goes on with them.
 *
 * ```
 *   worker "listen" --> same key known? --> its socket, or: bind, listen, keep
 *   readable --> accept up to ACCEPTS_PER_TURN_MAX --> retention
 *   no descriptors left, table full --> paused; tried again every ACCEPT_RETRY_MS
 * ```
 */
import { chmodSync, statSync, unlinkSync } from "node:fs";
import type { ListenerSpec, WorkerToReactor } from "../base/mod.ts";
import { PROMPT_MS } from "../ledger/mod.ts";
import {
  EAGAIN,
  EMFILE,
  ENFILE,
  acceptConnection,
  closeDescriptor,
  libc,
  localAddress,
  machineNowMs,
  openSocket,
  shutdownBoth,
} from "../os/mod.ts";
import type { SocketAddress, Watch } from "../os/mod.ts";
import type { WorkerLink } from "./worker-link.ts";

/** More would keep the worker channels waiting; the listening socket stays readable. */
const ACCEPTS_PER_TURN_MAX = 64;
/** How long accepting rests when there is no descriptor or slot left. */
export const ACCEPT_RETRY_MS = 100;
/** Why accepting pauses, and what to do. */
const NO_DESCRIPTORS = "the limit of open descriptors is reached; raise it (ulimit -n)";
const TABLE_FULL =
  "the connection table is full; it is as large as the limit of open descriptors allows: " +
  "raise that (ulimit -n) and start the service again";
const ECONNABORTED = 103;
/** UV_TCP_IPV6ONLY and UV_UDP_IPV6ONLY (uv.h). */
const IPV6_ONLY = 1;
/** UV_TCP_REUSEPORT (uv.h), and UV_UDP_REUSEPORT. */
const TCP_REUSEPORT = 2;
const UDP_REUSEADDR = 4;
const UDP_REUSEPORT = 8;

/** A socket that listens (or, for udp, is bound). */
interface Listener {
  readonly id: number;
  readonly key: string;
  readonly spec: ListenerSpec;
  readonly fd: number;
  readonly sockname: Readonly<Record<string, string | number>>;
  /** Ids of the workers with a server for it. */
  readonly users: Set<number>;
  watch: Watch | null;
  /** When nothing was left in its accept queue, on the machine's clock. */
  emptyAtMs: number;
}

/** What listeners need of the reactor. */
export interface ListenersHost {
  readonly acceptsInKernel: boolean;
  /** A connection was accepted; see `setAccepted` in ledger/connection-table.ts. */
  accepted(fd: number, listener: number, nowMs: number, isPrompt: boolean): void;
  /** The end of a turn of accepting. */
  flush(): void;
  hasRoom(): boolean;
  keep(key: string, id: number, spec: ListenerSpec, fd: number): void;
  drop(key: string): void;
  /** Accepting stopped (`reason`) or goes on (null). */
  paused(reason: string | null): void;
}

function keyOf(spec: ListenerSpec): string {
  const { kind, address, port, family, flags, index, fd } = spec;
  return `${kind}:${address ?? ""}:${port}:${family}:${flags}:${index}:${fd}`;
}

function socketAddressOf(spec: ListenerSpec): SocketAddress {
  if (spec.kind === "unix") return { address: spec.address ?? "", family: 0, port: 0 };
  const unspecified = spec.family === 6 ? "::" : "0.0.0.0";
  return { address: spec.address ?? unspecified, family: spec.family, port: spec.port };
}

/**
 * Opens the socket of a spec: its descriptor, or a negative error number. Without an address a tcp
 * socket takes IPv6 and IPv4 where the machine has IPv6 (net.js, setupListenHandle).
 */
function open(spec: ListenerSpec): number {
  if (spec.kind === "tcp" && spec.address === null && spec.family === 4) {
    const dual = bound({ ...spec, address: "::", family: 6 });
    if (dual >= 0) return dual;
  }
  return bound(spec);
}

function bound(spec: ListenerSpec): number {
  const isUdp = spec.kind === "udp";
  const fd = openSocket({
    kind: spec.kind,
    address: socketAddressOf(spec),
    ipv6Only: spec.family === 6 && spec.kind !== "unix" && (spec.flags & IPV6_ONLY) !== 0,
    // libuv: always for tcp; for udp only where asked
    reuseAddress: spec.kind === "tcp" || (isUdp && (spec.flags & UDP_REUSEADDR) !== 0),
    reusePort: (spec.flags & (isUdp ? UDP_REUSEPORT : TCP_REUSEPORT)) !== 0 && spec.kind !== "unix",
    backlog: spec.backlog,
  });
  if (fd >= 0 && spec.mode !== 0 && spec.address !== null) {
    chmodSync(spec.address, statSync(spec.address).mode | spec.mode);
  }
  return fd;
}

function socknameOf(fd: number): Record<string, string | number> {
  const address = localAddress(fd);
  if (address === null || address.family === 0) return {};
  return { address: address.address, family: `IPv${address.family}`, port: address.port };
}

/** See the file's docstring. */
export class Listeners {
  readonly #host: ListenersHost;
  readonly #byKey: Map<string, Listener> = new Map();
  readonly #byId: Map<number, Listener> = new Map();
  #nextId = 1;
  #retry: NodeJS.Timeout | null = null;
  #isStopped = false;

  constructor(host: ListenersHost) {
    this.#host = host;
  }

  /** Addresses, for `status`. */
  describe(): { readonly address: string; readonly kind: "tcp" | "unix" | "udp" }[] {
    return [...this.#byId.values()].map(({ spec, sockname }) => {
      if (spec.kind === "unix") return { address: spec.address ?? "", kind: "unix" };
      const host = sockname.family === "IPv6" ? `[${sockname.address}]` : `${sockname.address}`;
      return { address: `${host}:${sockname.port}`, kind: spec.kind };
    });
  }

  /** A worker asks for a socket; `fd` is an inherited one, where the spec names it. */
  listen(
    link: WorkerLink,
    request: Extract<WorkerToReactor, { type: "listen" }>,
    fd: number | null,
  ): void {
    const key = keyOf(request.spec);
    let listener = this.#byKey.get(key);
    if (listener === undefined) {
      const opened = fd ?? open(request.spec);
      if (opened < 0) {
        const failed = { listener: 0, errno: opened, sockname: {}, accept: false, data: null };
        link.send({ type: "listening", sequence: request.sequence, ...failed });
        return;
      }
      listener = this.#add(this.#nextId, key, request.spec, opened);
      this.#host.keep(key, listener.id, listener.spec, opened);
    }
    listener.users.add(link.id);
    link.listeners.add(listener.id);
    const isUdp = listener.spec.kind === "udp";
    const inKernel = this.#host.acceptsInKernel && !isUdp;
    link.send(
      {
        type: "listening",
        sequence: request.sequence,
        listener: listener.id,
        errno: 0,
        sockname: listener.sockname,
        accept: inKernel,
        data: listener.spec.data,
      },
      isUdp || inKernel ? [listener.fd] : [],
    );
    if (!isUdp && !inKernel) this.#watch(listener);
  }

  /** A socket that a former reactor had opened. */
  adopt(key: string, id: number, spec: ListenerSpec, fd: number): void {
    const listener = this.#add(id, key, spec, fd);
    if (spec.kind !== "udp" && !this.#host.acceptsInKernel) this.#watch(listener);
  }

  /** For a new reactor: which workers have servers is not known; all of them are taken to. */
  adoptUser(link: WorkerLink): void {
    for (const listener of this.#byId.values()) {
      listener.users.add(link.id);
      link.listeners.add(listener.id);
    }
  }

  /** A server of a worker was closed by the application. */
  unlisten(link: WorkerLink, id: number): void {
    link.listeners.delete(id);
    const listener = this.#byId.get(id);
    if (listener === undefined) return;
    listener.users.delete(link.id);
    if (listener.users.size === 0) this.#close(listener);
  }

  /** A worker is gone. Its sockets stay: another may be on its way; see `closeUnused`. */
  forget(workerId: number): void {
    for (const listener of this.#byId.values()) listener.users.delete(workerId);
  }

  /** Closes what no worker serves any more. Called when nobody is starting. */
  closeUnused(): void {
    for (const listener of Array.from(this.#byId.values())) {
      if (listener.users.size === 0) this.#close(listener);
    }
  }

  /** Takes what waits in the accept queues, then closes every socket. */
  stop(): void {
    this.#isStopped = true;
    if (this.#retry !== null) clearTimeout(this.#retry);
    for (const listener of Array.from(this.#byId.values())) {
      if (listener.watch !== null) this.#accept(listener);
      this.#close(listener);
    }
  }

  #add(id: number, key: string, spec: ListenerSpec, fd: number): Listener {
    const sockname = spec.kind === "unix" ? {} : socknameOf(fd);
    const users = new Set<number>();
    const listener = { id, key, spec, fd, sockname, users, watch: null, emptyAtMs: -Infinity };
    this.#byKey.set(key, listener);
    this.#byId.set(id, listener);
    this.#nextId = Math.max(this.#nextId, id + 1);
    return listener;
  }

  #watch(listener: Listener): void {
    if (this.#isStopped || listener.watch !== null) return;
    listener.watch = libc().watch(listener.fd, { readable: true }, () => this.#accept(listener));
  }

  #close(listener: Listener): void {
    this.#byKey.delete(listener.key);
    this.#byId.delete(listener.id);
    listener.watch?.close();
    listener.watch = null;
    // the keeper's duplicate must not hold the port until it hears of this: `listen` may follow
    if (listener.spec.kind === "tcp") shutdownBoth(listener.fd);
    closeDescriptor(listener.fd);
    this.#host.drop(listener.key);
    if (listener.spec.kind === "unix" && listener.spec.address?.startsWith("\0") === false) {
      try {
        unlinkSync(listener.spec.address);
      } catch (error) {
        // another service may have taken the path, or somebody removed it: it is not ours to repair
        if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      }
    }
  }

  #accept(listener: Listener): void {
    const nowMs = machineNowMs();
    const isPrompt = nowMs - listener.emptyAtMs < PROMPT_MS;
    for (let count = 0; count < ACCEPTS_PER_TURN_MAX; count += 1) {
      if (!this.#host.hasRoom()) {
        this.#pause(TABLE_FULL);
        break;
      }
      const fd = acceptConnection(listener.fd);
      if (fd >= 0) {
        this.#host.accepted(fd, listener.id, nowMs, isPrompt);
        continue;
      }
      if (fd === -ECONNABORTED) continue; // the peer has gone while it waited
      if (fd === -EAGAIN) listener.emptyAtMs = nowMs;
      else if (fd === -EMFILE || fd === -ENFILE) this.#pause(NO_DESCRIPTORS);
      else this.#pause(`accept fails with error ${-fd}`);
      break;
    }
    this.#host.flush();
  }

  /** Connections wait in the kernel until there is room; nothing that was accepted is touched. */
  #pause(reason: string): void {
    if (this.#retry !== null || this.#isStopped) return;
    this.#host.paused(reason);
    for (const { watch } of this.#byId.values()) watch?.stop();
    this.#retry = setTimeout(() => this.#tryAgain(), ACCEPT_RETRY_MS);
  }

  #tryAgain(): void {
    this.#retry = null;
    const watched = [...this.#byId.values()].filter(({ watch }) => watch !== null);
    for (const listener of watched) {
      this.#accept(listener);
      if (this.#retry !== null) return; // it pauses still
    }
    this.#host.paused(null);
    for (const listener of watched) {
      listener.watch?.start({ readable: true }, () => this.#accept(listener));
    }
  }
}
