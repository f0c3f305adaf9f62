/**
 * What the kernel knows of a request that waits: how long its bytes have lain there, and whether
 * its sender has gone. Linux; elsewhere nothing is known.
 */
import type { Socket } from "node:net";
import { ArrivalReader } from "../os/mod.ts";

let reader: ArrivalReader | null | undefined;

function arrivals(): ArrivalReader | null {
  if (reader === undefined) {
    try {
      reader = process.platform === "linux" ? new ArrivalReader() : null;
    } catch {
      reader = null; // no koffi for this machine: ages are those that JavaScript sees
    }
  }
  return reader;
}

function descriptorOf(socket: Socket): number {
  // every net.Socket has one while it is open (lib/net.js); a TLS socket's is its own
  const { _handle: handle } = socket as { _handle?: { readonly fd?: number } | null };
  return handle?.fd ?? -1;
}

/** Milliseconds for which the last bytes of a socket have been here; 0: not known. */
export function kernelAgeMs(socket: Socket): number {
  const fd = descriptorOf(socket);
  return fd < 0 ? 0 : (arrivals()?.waitedMs(fd) ?? 0);
}

/** Whether the peer has closed its side, also where JavaScript has not been told yet. */
export function hasPeerLeft(socket: Socket): boolean {
  if (socket.destroyed) return true;
  const fd = descriptorOf(socket);
  const found = arrivals();
  if (fd < 0 || found === null) return false;
  found.waitedMs(fd);
  return found.hasPeerFinished;
}
