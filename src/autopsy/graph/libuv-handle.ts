/**
 * The handle of libuv behind an object of Node, as it lies in memory: its kind and its descriptor.
 *
 * ```
 *   TCP (JavaScript) --internal field--> node::HandleWrap --handle_--> uv_tcp_t
 *                                             ^------------ data ----------'
 * ```
 * An internal field is a word of the object that is an address; `handle_` is the word of the C++
 * object that leads to what refers back to it. Source: uv.h and uv/unix.h, whose layout is the ABI
 * of libuv 1 (x86-64; src/handle_wrap.h of Node).
 */
import { NotInMemory } from "../target/memory.ts";
import type { Memory } from "../target/memory.ts";

/** `JSObject`: map, properties, elements; then the fields of its own. */
const FIELDS_AT = 24;
const FIELDS_MAX = 8;
/** `HandleWrap` is a base of larger classes, and comes first. */
const WRAP_BYTES = 512;
/** `uv_handle_t`: data, loop, type. */
const LOOP = 8;
/** `uv_loop_t`: `time`, in milliseconds; what `uv_now` gives. */
const LOOP_TIME = 544;
const TYPE = 16;
/** `uv_stream_t` and `uv_udp_t`: `io_watcher.fd`. */
const STREAM_DESCRIPTOR = 184;
const UDP_DESCRIPTOR = 176;
/** `uv_fs_event_t`: `path`. */
const EVENT_PATH = 96;
const PATH_BYTES_MAX = 4_096;
/** `uv_handle_type`. */
const TYPES: ReadonlyMap<number, UvHandle["kind"]> = new Map([
  [3, "watcher"],
  [7, "pipe"],
  [12, "tcp"],
  [14, "terminal"],
  [15, "udp"],
]);

export interface UvHandle {
  readonly kind: "tcp" | "pipe" | "terminal" | "udp" | "watcher";
  /** Null: it has none (yet, or any more). */
  readonly descriptor: number | null;
  /** What a watcher watches. */
  readonly path: string | null;
  /** The address of its event loop. */
  readonly loop: number;
}

/** The handle of libuv of an object at an address; null: it has none that makes sense. */
export function readUvHandle(memory: Memory, object: number): UvHandle | null {
  try {
    for (let field = 0; field < FIELDS_MAX; field += 1) {
      const wrap = memory.word(object + FIELDS_AT + 8 * field);
      if (wrap === 0 || wrap % 8 !== 0) continue;
      const handle = handleOf(memory, wrap);
      if (handle !== null) return handle;
    }
  } catch (error) {
    if (!(error instanceof NotInMemory)) throw error;
  }
  return null;
}

/**
 * When the event loop of a handle last looked at the clock, which it does at each turn: by the
 * machine's monotonic clock; null: it is not there.
 */
export function loopTimeMs(memory: Memory, handle: UvHandle | null): number | null {
  const bytes = handle === null ? null : memory.read(handle.loop + LOOP_TIME, 8);
  const time = bytes === null ? 0 : Number(bytes.readBigUInt64LE(0));
  return time > 0 ? time : null;
}

function handleOf(memory: Memory, wrap: number): UvHandle | null {
  const body = memory.read(wrap, WRAP_BYTES);
  if (body === null) return null;
  for (let at = 0; at < WRAP_BYTES; at += 8) {
    const handle = body.readUInt32LE(at) + body.readUInt32LE(at + 4) * 2 ** 32;
    if (handle === 0 || handle % 8 !== 0) continue;
    const head = memory.read(handle, STREAM_DESCRIPTOR + 4);
    if (head === null || Number(head.readBigUInt64LE(0)) !== wrap) continue;
    const kind = TYPES.get(head.readUInt32LE(TYPE));
    const loop = Number(head.readBigUInt64LE(LOOP));
    if (kind === undefined || loop === 0 || loop % 8 !== 0) continue;
    if (kind === "watcher") {
      const path = Number(head.readBigUInt64LE(EVENT_PATH));
      return { kind, descriptor: null, path: textAt(memory, path), loop };
    }
    const descriptor = head.readInt32LE(kind === "udp" ? UDP_DESCRIPTOR : STREAM_DESCRIPTOR);
    return { kind, descriptor: descriptor < 0 ? null : descriptor, path: null, loop };
  }
  return null;
}

function textAt(memory: Memory, address: number): string | null {
  const bytes = Buffer.alloc(PATH_BYTES_MAX);
  const there = memory.readInto(address, bytes);
  const end = bytes.subarray(0, there).indexOf(0);
  return end <= 0 ? null : bytes.toString("utf8", 0, end);
}
