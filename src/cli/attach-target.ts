/**
 * Whether a process may be attached to, found out without touching it: a signal that it does not
 * expect would end it.
 */
import { readFileSync, readdirSync, readlinkSync, statSync } from "node:fs";
import { openTarget, readVersion } from "../autopsy/mod.ts";
import type { Target } from "../autopsy/mod.ts";
import { HoldfastError } from "../base/mod.ts";
import { PtraceTracer, listeningSockets } from "../os/mod.ts";
import type { ListeningSocket } from "../os/mod.ts";

/** The oldest Node that has what the agent needs (package.json, engines), */
export const NODE_MIN: readonly [major: number, minor: number] = [22, 18];
/** and the V8 that every Node 22 has, which stands in the binary. */
const V8_MIN: readonly [major: number, minor: number] = [12, 4];

const SIGUSR1 = 10;
/**
 * `uv_signal_t` (libuv, uv.h and uv/unix.h, 1.x, 64 bits): type of the handle, number, left and
 * right in the tree. Behind type and number come four bytes that nobody has written.
 */
const UV_SIGNAL = { type: 16, signum: 104, left: 112, right: 120, bytes: 128 } as const;
/** `UV_SIGNAL` in `uv_handle_type`. */
const UV_SIGNAL_TYPE = 16;
const SIGNAL_MAX = 64;
/** Handles, one for each loop and signal. */
const SIGNALS_MAX = 4096;
/** Node's default; other ports stand on the command line. */
const INSPECTOR_PORT = 9229;
/** LISTEN in /proc/net/tcp (include/net/tcp_states.h). */
const LISTEN = "0A";

type AttachCode = "ERR_HOLDFAST_ATTACH" | "ERR_HOLDFAST_ATTACH_DENIED" | "ERR_HOLDFAST_ATTACH_GONE";

/**
 * Throws when the process is not one that can be attached to.
 * @param proc where proc(5) is
 */
export function checkTarget(pid: number, proc = "/proc"): void {
  const refuse = (why: string, code?: AttachCode): never => {
    const message = `Cannot attach to process ${pid}: ${why}. Nothing was done to it.`;
    throw attachError(message, undefined, code);
  };
  const gone = "ERR_HOLDFAST_ATTACH_GONE";
  const status = read(`${proc}/${pid}/status`) ?? refuse("there is no such process", gone);
  const owner = statSync(`${proc}/${pid}`).uid;
  const own = process.geteuid?.() ?? 0;
  if (owner !== own) {
    const why = `it belongs to another user (${owner}, you are ${own})`;
    refuse(why, "ERR_HOLDFAST_ATTACH_DENIED");
  }
  const command = (read(`${proc}/${pid}/cmdline`) ?? "").split("\0");
  if (pid === process.pid) refuse("it is this very command");
  if (command.some((word) => /\/(?:worker|portable)\/preload\.c[jt]s$/.test(word))) {
    refuse("it is a worker of a service of Holdfast: use `holdfast stacks` and the like at once");
  }
  for (const name of ["net", "mnt", "pid"]) {
    if (link(`${proc}/${pid}/ns/${name}`) === link(`${proc}/self/ns/${name}`)) continue;
    refuse("it is in another container: run holdfast there");
  }
  if (!isCaught(status, SIGUSR1)) {
    const flags = [command.join(" "), read(`${proc}/${pid}/environ`) ?? ""];
    const has = (flag: string): boolean => flags.some((text) => text.includes(flag));
    if (has("--disable-sigusr1")) refuse("it runs with --disable-sigusr1");
    if (has("--permission")) refuse("its permission model allows no inspector (--allow-inspector)");
    refuse("it does not expect SIGUSR1, which would end it: it is not Node");
  }
  const { v8, signals } = lookAt(pid);
  if (isOld(v8)) refuse(`it runs V8 ${v8}, and Node ${NODE_MIN.join(".")} or newer is needed`);
  const unread = "its signal handlers cannot be read: it is not Node, or its symbols are missing";
  const handled = signals ?? refuse(unread);
  if (handled.includes(SIGUSR1)) refuse("the application handles SIGUSR1 itself");
  const port = INSPECTOR_PORT;
  // by any of these flags it is another port, or it is open already
  const isOwn = command.some((word) => word.startsWith("--inspect"));
  if (!isOwn && isTaken(port)) refuse(`port ${port} is taken, where Node would open its inspector`);
}

/** TCP sockets on which the process listens, of those that are not known already. */
export function listening(
  pid: number,
  known: readonly ListeningSocket[] = [],
): readonly ListeningSocket[] {
  const inodes = new Set(known.map(({ inode }) => inode));
  const fresh = listeningAnywhere().filter(({ inode }) => !inodes.has(inode));
  if (fresh.length === 0) return [];
  const own = new Set(readdirSync(`/proc/${pid}/fd`).map((fd) => link(`/proc/${pid}/fd/${fd}`)));
  return fresh.filter(({ inode }) => own.has(`socket:[${inode}]`));
}

/** TCP sockets on which anybody listens, in this network namespace. */
export function listeningAnywhere(): readonly ListeningSocket[] {
  return listeningSockets() ?? listeningInTable();
}

export function attachError(
  message: string,
  cause?: unknown,
  code: AttachCode = "ERR_HOLDFAST_ATTACH",
): HoldfastError {
  return new HoldfastError(code, message, { cause });
}

function isTaken(wanted: number): boolean {
  return listeningAnywhere().some(({ port }) => port === wanted);
}

/** From proc_pid_net(5): sl local_address rem_address st ... inode. */
function listeningInTable(): readonly ListeningSocket[] {
  return ["tcp", "tcp6"].flatMap((name) => {
    const lines = (read(`/proc/self/net/${name}`) ?? "").split("\n").slice(1);
    return lines.flatMap((line) => {
      const [, local = "", , state, , , , , , inode = ""] = line.trim().split(/\s+/);
      const port = parseInt(local.split(":")[1] ?? "", 16);
      return state === LISTEN ? [{ port, inode: Number(inode) }] : [];
    });
  });
}

/** Whether the process has a handler for a signal (`SigCgt` in proc_pid_status(5)). */
function isCaught(status: string, signal: number): boolean {
  const [, mask = "0"] = /^SigCgt:\s*([0-9a-f]+)$/m.exec(status) ?? [];
  return ((BigInt(`0x${mask}`) >> BigInt(signal - 1)) & 1n) === 1n;
}

/** Whether a version of V8 is too old; not, where the binary does not say it. */
export function isOld(v8: string): boolean {
  const [, major = Infinity, minor = 0] = (/^(\d+)\.(\d+)/.exec(v8) ?? []).map(Number);
  const [wantedMajor, wantedMinor] = V8_MIN;
  return major < wantedMajor || (major === wantedMajor && minor < wantedMinor);
}

/**
 * The version of V8, and the signals that the application listens to: libuv's tree of handles, read
 * from the process's memory. Null: it has no libuv that can be read.
 */
function lookAt(pid: number): { readonly v8: string; readonly signals: readonly number[] | null } {
  const target = openTarget(pid, { tracer: new PtraceTracer() });
  try {
    // a static variable of src/unix/signal.c; the compiler may add a suffix
    const { symbols } = target.executable;
    const symbol =
      symbols.named("uv__signal_tree") ?? [...symbols.beginning("uv__signal_tree.")][0];
    const root = symbol === undefined ? null : target.modules.address(symbol.name);
    const signals = root === null ? null : signalsIn(target.memory, root);
    return { v8: readVersion(target.executable), signals };
  } finally {
    target.close();
  }
}

/**
 * The numbers in a tree of `uv_signal_t` whose root stands at an address. Null: something in it is
 * not as it should be, and then nothing is known.
 */
export function signalsIn(
  memory: Pick<Target["memory"], "read">,
  root: number,
): readonly number[] | null {
  const found: number[] = [];
  const first = memory.read(root, 8);
  if (first === null) return null;
  const queue = [addressAt(first, 0)];
  for (let node = queue.pop(); node !== undefined; node = queue.pop()) {
    if (node === 0) continue;
    const handle = memory.read(node, UV_SIGNAL.bytes);
    if (handle?.readUInt32LE(UV_SIGNAL.type) !== UV_SIGNAL_TYPE) return null;
    const signal = handle.readUInt32LE(UV_SIGNAL.signum);
    if (signal < 1 || signal > SIGNAL_MAX || found.length === SIGNALS_MAX) return null;
    found.push(signal);
    queue.push(addressAt(handle, UV_SIGNAL.left), addressAt(handle, UV_SIGNAL.right));
  }
  return found;
}

/** Exact for whatever is an address; of anything else it is none. */
function addressAt(bytes: Buffer, at: number): number {
  return Number(bytes.readBigUInt64LE(at));
}

function read(file: string): string | null {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return null; // it has ended, or it is not ours to read
  }
}

function link(file: string): string | null {
  try {
    return readlinkSync(file);
  } catch {
    return null; // as above
  }
}
