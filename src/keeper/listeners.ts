/**
 * The sockets that outlive a reactor: control socket and listeners, each by its key.
 */
import type { KeeperToReactor, ListenerSpec } from "../base/mod.ts";
import { closeDescriptor, duplicate, localAddress } from "../os/mod.ts";

/** More keys than this are a fault of the reactor's; a service has a handful. */
const LISTENERS_MAX = 1024;

interface Kept {
  readonly id: number;
  readonly spec: ListenerSpec | null;
  readonly descriptor: number;
}

/** Whom listeners are given to. */
interface Taker {
  send(message: KeeperToReactor, descriptors: readonly number[]): void;
}

export class Listeners {
  readonly #kept = new Map<string, Kept>();

  constructor(controlDescriptor: number) {
    const descriptor = duplicate(controlDescriptor);
    this.#kept.set("control", { id: 0, spec: null, descriptor });
  }

  get size(): number {
    return this.#kept.size;
  }

  /** Keeps a descriptor, which is then ours to close. */
  keep(key: string, id: number, spec: ListenerSpec | null, descriptor: number): void {
    if (descriptor < 0) return;
    this.drop(key);
    if (this.#kept.size >= LISTENERS_MAX) closeDescriptor(descriptor);
    else this.#kept.set(key, { id, spec, descriptor });
  }

  drop(key: string): void {
    const kept = this.#kept.get(key);
    this.#kept.delete(key);
    if (kept !== undefined) closeDescriptor(kept.descriptor);
  }

  giveTo(taker: Taker): void {
    for (const [key, { id, spec, descriptor }] of this.#kept) {
      taker.send({ type: "listener", key, id, spec }, [descriptor]);
    }
  }

  /** A copy of a socket that this process was started with; null when there is no such socket. */
  inherited(fd: number): number | null {
    const isOurs = [...this.#kept.values()].some(({ descriptor }) => descriptor === fd);
    const isSocket = Number.isSafeInteger(fd) && fd > 2 && !isOurs && localAddress(fd) !== null;
    return isSocket ? duplicate(fd) : null;
  }
}
