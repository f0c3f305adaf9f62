/**
 * The C library through koffi: every foreign function of Holdfast is declared here, once, and
 * nowhere else. Loaded on first use, so that importing this folder costs nothing.
 *
 * Pointers are passed as `void *` with a Buffer whose memory does not move (`stableBuffer`);
 * structures are laid out by hand (LP64: the same on x64 and arm64), because the hot calls then
 * need no conversion at all.
 */
import { createRequire } from "node:module";
import { HoldfastError, once, throwLater } from "../base/mod.ts";

type Call<A extends unknown[], R> = (...args: A) => R;

/** The functions, as JavaScript sees them. A negative result means: see `errno()`. */
export interface Libc {
  readonly accept4: Call<[number, Buffer | null, Buffer | null, number], number>;
  readonly bind: Call<[number, Buffer, number], number>;
  readonly clock_getres: Call<[number, Buffer], number>;
  readonly close: Call<[number], number>;
  readonly connect: Call<[number, Buffer, number], number>;
  readonly dup: Call<[number], number>;
  readonly fcntl: Call<[number, number, number], number>;
  readonly flock: Call<[number, number], number>;
  readonly ftruncate: Call<[number, number], number>;
  readonly getpeername: Call<[number, Buffer, Buffer], number>;
  readonly getsockname: Call<[number, Buffer, Buffer], number>;
  readonly getsockopt: Call<[number, number, number, Buffer, Buffer], number>;
  readonly ioctl: Call<[number, number, Buffer], number>;
  readonly kill: Call<[number, number], number>;
  readonly listen: Call<[number, number], number>;
  readonly memfd_create: Call<[string, number], number>;
  readonly mmap: Call<[null, number, number, number, number, number], bigint>;
  readonly munmap: Call<[bigint, number], number>;
  readonly poll: Call<[Buffer, number, number], number>;
  readonly prctl: Call<[number, number, number, number, number], number>;
  readonly process_vm_readv: Call<[number, Buffer, number, Buffer, number, number], number>;
  readonly ptrace: Call<[number, number, number, Buffer | null], number>;
  /** With a number where others have a buffer. */
  readonly ptraceNumber: Call<[number, number, number, number], number>;
  readonly recv: Call<[number, Buffer, number, number], number>;
  readonly recvmsg: Call<[number, Buffer, number], number>;
  readonly send: Call<[number, Buffer, number, number], number>;
  readonly sendmsg: Call<[number, Buffer, number], number>;
  readonly setsockopt: Call<[number, number, number, Buffer, number], number>;
  readonly shutdown: Call<[number, number], number>;
  readonly socket: Call<[number, number, number], number>;
  readonly socketpair: Call<[number, number, number, Buffer], number>;
  /** What the C libraries have no function for yet, by its number. */
  readonly syscall: Call<[number, number, number, number], number>;
  readonly waitpid: Call<[number, Buffer, number], number>;
  readonly errno: () => number;
  /** Address of the first byte of a stable buffer. */
  readonly address: (buffer: Buffer) => bigint;
  /** An ArrayBuffer over memory that is not JavaScript's. */
  readonly view: (pointer: bigint, bytes: number) => ArrayBuffer;
  /** Watches a descriptor on the event loop (level triggered). */
  readonly watch: (fd: number, events: WatchEvents, onEvent: () => void) => Watch;
}

export interface WatchEvents {
  readonly readable?: boolean;
  readonly writable?: boolean;
}

/** A descriptor that is being watched; `close` must come before the descriptor is closed. */
export interface Watch {
  start(events: WatchEvents, onEvent: () => void): void;
  stop(): void;
  close(): void;
  ref(): void;
  unref(): void;
}

interface Koffi {
  load(path: null): { func(prototype: string): (...args: never[]) => unknown };
  errno(): number;
  address(value: Buffer): bigint;
  view(pointer: bigint, bytes: number): ArrayBuffer;
  readonly node: { poll(fd: number, events: WatchEvents, onEvent: () => void): Watch };
}

const PROTOTYPES = {
  accept4: "int accept4(int, void *, void *, int)",
  bind: "int bind(int, void *, uint)",
  clock_getres: "int clock_getres(int, void *)",
  close: "int close(int)",
  connect: "int connect(int, void *, uint)",
  dup: "int dup(int)",
  fcntl: "int fcntl(int, int, int)",
  flock: "int flock(int, int)",
  ftruncate: "int ftruncate(int, long)",
  getpeername: "int getpeername(int, void *, void *)",
  getsockname: "int getsockname(int, void *, void *)",
  getsockopt: "int getsockopt(int, int, int, void *, void *)",
  ioctl: "int ioctl(int, ulong, void *)",
  kill: "int kill(int, int)",
  listen: "int listen(int, int)",
  memfd_create: "int memfd_create(const char *, uint)",
  mmap: "void *mmap(void *, size_t, int, int, int, long)",
  munmap: "int munmap(void *, size_t)",
  poll: "int poll(void *, ulong, int)",
  prctl: "int prctl(int, ulong, ulong, ulong, ulong)",
  process_vm_readv: "long process_vm_readv(int, void *, ulong, void *, ulong, ulong)",
  ptrace: "long ptrace(long, int, ulong, void *)",
  ptraceNumber: "long ptrace(long, int, ulong, ulong)",
  recv: "long recv(int, void *, size_t, int)",
  recvmsg: "long recvmsg(int, void *, int)",
  send: "long send(int, void *, size_t, int)",
  sendmsg: "long sendmsg(int, void *, int)",
  setsockopt: "int setsockopt(int, int, int, void *, uint)",
  shutdown: "int shutdown(int, int)",
  socket: "int socket(int, int, int)",
  socketpair: "int socketpair(int, int, int, void *)",
  syscall: "long syscall(long, long, long, long)",
  waitpid: "int waitpid(int, void *, int)",
} as const;

/**
 * The C library, loaded on the first call.
 * @throws Error from koffi when there is no binary of it for this platform.
 */
export const libc: () => Libc = once(() => {
  const koffi = loadKoffi(createRequire(import.meta.url));
  const library = koffi.load(null); // the process itself: finds glibc and musl alike
  const functions = Object.entries(PROTOTYPES).map(([name, prototype]) => [
    name,
    library.func(prototype),
  ]);
  return {
    ...Object.fromEntries(functions),
    errno: () => koffi.errno(),
    address: (buffer: Buffer) => koffi.address(buffer),
    view: (pointer: bigint, bytes: number) => koffi.view(pointer, bytes),
    watch: (fd: number, events: WatchEvents, onEvent: () => void) =>
      throwing(koffi.node.poll(fd, events, () => throwLater(onEvent))),
  } as Libc; // the prototypes above and the interface are one table in two notations
});

/** With events whose exceptions are thrown. */
function throwing(watch: Watch): Watch {
  return {
    start: (events, onEvent) => watch.start(events, () => throwLater(onEvent)),
    stop: () => watch.stop(),
    close: () => watch.close(),
    ref: () => watch.ref(),
    unref: () => watch.unref(),
  };
}

/**
 * koffi, or why not.
 * @throws HoldfastError ERR_HOLDFAST_FFI when it is not installed, or has no binary here.
 */
export function loadKoffi(load: (name: string) => unknown): Koffi {
  try {
    return load("koffi") as Koffi; // typed by hand: only what is used
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.split("\n", 1)[0] : String(cause);
    throw new HoldfastError(
      "ERR_HOLDFAST_FFI",
      `Cannot call the C library (Node for ${process.platform} ${process.arch}): koffi does ` +
        `not load: ${why}. Install Holdfast again on this machine; or run in portable mode ` +
        `(--portable), in which a crash loses the connections of its worker.`,
      { cause },
    );
  }
}

/** A zeroed buffer outside the JavaScript heap, whose address never changes. */
export function stableBuffer(bytes: number): Buffer {
  return Buffer.from(new ArrayBuffer(Math.max(bytes, 128)), 0, bytes);
}
