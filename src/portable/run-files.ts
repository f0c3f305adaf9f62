/**
 * The files of a portable run: directory, claim on the name, control socket.
 *
 * ```
 *   <name>.pid    made by whoever has the name (O_EXCL); a leftover if its process has gone, or if
 *                 nobody answers on the control socket
 *   <name>.sock   (on Windows a named pipe) made anew by whoever has the name
 *   <name>.log    see log-file.ts
 * ```
 * Node has no file locks. The control socket tells who is alive: whoever runs answers there.
 */
import { accessSync, constants, mkdirSync, readFileSync } from "node:fs";
import { rmSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { HoldfastError, controlSocketPath } from "../base/mod.ts";

/** Somebody who has just made the pid file will answer soon; looked at this often. */
const CLAIM_ATTEMPTS_MAX = 20;
const CLAIM_INTERVAL_MS = 100;
/** A socket of a live process accepts at once, its queue is the kernel's. */
const PROBE_TIMEOUT_MS = 1000;

/** What a run holds while it lives. */
export interface RunFiles {
  /** To listen on, now that the name is ours. */
  readonly socketPath: string;
  readonly logPath: string;
  /** Removes socket and pid file and frees the name. */
  release(): void;
}

/**
 * Makes the directory and takes the name.
 * @throws HoldfastError ERR_HOLDFAST_RUNTIME_DIR when the directory cannot be used;
 *   ERR_HOLDFAST_NAME_IN_USE when a service of that name runs
 */
export async function openRunFiles(directory: string, name: string): Promise<RunFiles> {
  prepareDirectory(directory);
  const pidPath = join(directory, `${name}.pid`);
  const socketPath = controlSocketPath(directory, name);
  await claim(pidPath, socketPath, name);
  const isFile = process.platform !== "win32";
  if (isFile) rmSync(socketPath, { force: true }); // a leftover: the name is ours
  return {
    socketPath,
    logPath: join(directory, `${name}.log`),
    release: () => {
      if (isFile) rmSync(socketPath, { force: true });
      rmSync(pidPath, { force: true });
    },
  };
}

/** Makes a directory that only we may enter; one that is there must be ours, or root's for us. */
function prepareDirectory(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const { uid, mode } = statSync(directory);
    const ownUserId = process.getuid?.();
    const isForeign = ownUserId !== undefined && uid !== ownUserId && uid !== 0;
    const isOpen = ownUserId !== undefined && (mode & 0o022) !== 0 && (mode & STICKY) === 0;
    if (isForeign || isOpen) {
      const what = isForeign ? `it belongs to user ${uid}` : "others may write to it";
      throw directoryError(directory, `${what}, who could stand in for the service`);
    }
    accessSync(directory, constants.W_OK | constants.X_OK);
  } catch (error) {
    if (error instanceof HoldfastError) throw error;
    throw directoryError(directory, reasonOf(error), error);
  }
}

/** The sticky bit (inode(7)): others cannot remove or rename what is ours. */
const STICKY = 0o1000;

async function claim(pidPath: string, socketPath: string, name: string): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    if (makePidFile(pidPath)) return;
    if (await answers(socketPath)) throw nameInUse(pidPath, name);
    const holder = readPid(pidPath);
    const isStarting = holder !== null && isAlive(holder) && attempt < CLAIM_ATTEMPTS_MAX;
    if (isStarting) await delay(CLAIM_INTERVAL_MS);
    else if (readPid(pidPath) === holder) rmSync(pidPath, { force: true });
    if (attempt > 2 * CLAIM_ATTEMPTS_MAX) throw nameInUse(pidPath, name);
  }
}

/** False when there is one. */
function makePidFile(path: string): boolean {
  try {
    writeFileSync(path, `${process.pid}\n`, { flag: "wx", mode: 0o600 });
    return true;
  } catch (error) {
    if (isCode(error, "EEXIST")) return false;
    throw directoryError(path, reasonOf(error), error);
  }
}

function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    const end = (hasAnswered: boolean): void => {
      socket.destroy();
      resolve(hasAnswered);
    };
    socket.setTimeout(PROBE_TIMEOUT_MS, () => end(true)); // somebody is there, if slow
    socket.on("connect", () => end(true));
    socket.on("error", () => end(false));
  });
}

function readPid(path: string): number | null {
  try {
    const text = readFileSync(path, "utf8").trim();
    return /^\d{1,10}$/.test(text) ? Number(text) : null;
  } catch (error) {
    if (isCode(error, "ENOENT")) return null; // released just now
    throw directoryError(path, reasonOf(error), error);
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return pid !== process.pid; // our own number, but it was there before us: a leftover
  } catch (error) {
    return isCode(error, "EPERM");
  }
}

function nameInUse(pidPath: string, name: string): HoldfastError {
  const pid = readPid(pidPath);
  const holder = pid === null ? "another process" : `process ${pid}`;
  return new HoldfastError(
    "ERR_HOLDFAST_NAME_IN_USE",
    `Cannot start the service ${name}: ${holder} runs one of that name. Choose another name with ` +
      `--name, or stop that one with: holdfast stop --name ${name}`,
  );
}

function directoryError(directory: string, reason: string, cause?: unknown): HoldfastError {
  return new HoldfastError(
    "ERR_HOLDFAST_RUNTIME_DIR",
    `Cannot use the runtime directory ${directory}: ${reason}. Make it writable for this user ` +
      "only, or name another one with HOLDFAST_RUNTIME_DIR.",
    { cause },
  );
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
