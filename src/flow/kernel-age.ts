/**
 * What the kernel knows of a request that waits: how long its bytes have lain there, and whether
 * its sender has gone. Linux; elsewhere nothing is known.
 */
import type { Socket } from "node:net";
import { ArrivalReader, PeerStateReader } from "../os/mod.ts";
import type { PeerState } from "../os/mod.ts";

interface Readers {
  readonly arrivals: ArrivalReader;
  readonly peers: PeerStateReader;
}

let readers: Readers | null | undefined;

function kernel(): Readers | null {
  if (readers === undefined) {
    try {
      readers =
        process.platform === "linux"
          ? { arrivals: new ArrivalReader(), peers: new PeerStateReader() }
          : null;
    } catch {
      readers = null; // no koffi for this machine: what is known is what JavaScript sees
    }
  }
  return readers;
}

function descriptorOf(socket: Socket): number {
  // every net.Socket has one while it is open (lib/net.js); a TLS socket's is its own
  const { _handle: handle } = socket as { _handle?: { readonly fd?: number } | null };
  return handle?.fd ?? -1;
}

/** Milliseconds for which the last bytes of a socket have been here; 0: not known. */
export function kernelAgeMs(socket: Socket): number {
  const fd = descriptorOf(socket);
  return fd < 0 ? 0 : (kernel()?.arrivals.waitedMs(fd) ?? 0);
}

/** Whether the peer has closed its side, also where JavaScript has not been told yet. */
export function hasPeerLeft(socket: Socket): boolean {
  if (socket.destroyed) return true;
  const fd = descriptorOf(socket);
  const found = kernel()?.arrivals;
  if (fd < 0 || found === undefined) return false;
  found.waitedMs(fd);
  return found.hasPeerFinished;
}

/** How the other end of a socket is doing; null: not known. */
export function peerState(socket: Socket): PeerState | null {
  const fd = descriptorOf(socket);
  return fd < 0 ? null : (kernel()?.peers.read(fd) ?? null);
}
