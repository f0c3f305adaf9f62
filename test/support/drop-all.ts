/** A peer whose machine is gone: its kernel takes nothing of what comes, and answers nothing. */
import type { Socket } from "node:net";
import koffi from "koffi";

const SOL_SOCKET = 1;
const SO_ATTACH_FILTER = 26;
/** BPF_RET | BPF_K (linux/bpf_common.h): so many bytes of the packet are taken, which are none. */
const TAKE = 0x06;

/** Drops all that comes to a connected socket from now on. */
export function dropAll(socket: Socket): void {
  const libc = koffi.load("libc.so.6");
  const setsockopt = libc.func("int setsockopt(int, int, int, const void *, unsigned int)");
  const filter = Buffer.alloc(8); // struct sock_filter
  filter.writeUInt16LE(TAKE, 0);
  const program = Buffer.alloc(16); // struct sock_fprog
  program.writeUInt16LE(1, 0);
  program.writeBigUInt64LE(koffi.address(filter), 8);
  const { _handle: handle } = socket as { _handle?: { readonly fd: number } }; // lib/net.js
  const done: unknown = setsockopt(handle?.fd, SOL_SOCKET, SO_ATTACH_FILTER, program, 16);
  if (done !== 0) throw new Error("the kernel takes no filter");
}
