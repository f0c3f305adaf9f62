/**
 * `stream:stuck`: each second, every socket in which bytes wait of which none has left since the
 * look before. Nothing is replaced and nothing of the application's is called: Node knows its open
 * handles, and tells of their own data.
 */
import net from "node:net";
import type { Site } from "../site.ts";
import { className, member } from "../values.ts";
import { every, now, stopEvery } from "./platform.ts";
import { fireAll } from "./provider.ts";
import type { Detach } from "./provider.ts";

const LOOK_MS = 1000;
/** A look at 10,000 sockets takes some milliseconds. */
const SOCKETS_MAX = 10_000;

/** Node's own, for sockets and servers that are open; undocumented since Node 0.8, and kept. */
interface Handles {
  _getActiveHandles?(): readonly unknown[];
}

interface Seen {
  readonly sent: number;
  readonly buffered: number;
  readonly sinceMs: number;
}

/** Looks once a second; undone by what it gives. */
export function watchStuck(sites: readonly Site[]): Detach {
  let seen = new Map<object, Seen>();
  const look = (): void => {
    const time = now();
    const current = new Map<object, Seen>();
    const handles = (process as Handles)._getActiveHandles?.() ?? []; // there in 22, 24 and 26
    for (const socket of handles.slice(0, SOCKETS_MAX)) {
      if (!(socket instanceof net.Socket)) continue;
      const buffered = number(member(member(socket, "_writableState"), "length"));
      if (buffered === 0) continue;
      const handle = member(socket, "_handle");
      // an accessor of libuv's streams, as native as the handle
      const queued = number(isObject(handle) ? Reflect.get(handle, "writeQueueSize") : 0);
      const sent = number(member(socket, "_bytesDispatched")) - queued;
      const last = seen.get(socket);
      const isStill = last !== undefined && last.sent === sent && last.buffered <= buffered;
      current.set(socket, { sent, buffered, sinceMs: isStill ? last.sinceMs : time });
      if (isStill) {
        fireAll(sites, null, [socket, className(socket), buffered, time - last.sinceMs]);
      }
    }
    seen = current;
  };
  const timer = every(look, LOOK_MS);
  timer.unref();
  return () => stopEvery(timer);
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

function number(value: unknown): number {
  return typeof value === "number" ? value : 0;
}
