/**
 * The files of a run: directory, lock on the name, control socket.
 *
 * ```
 *   <name>.pid    locked (flock) for as long as the keeper lives, so a crash frees the name
 *   <name>.sock   made anew by the holder of the lock, whatever lies there
 *   <name>.log    see log-file.ts
 * ```
 */
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  accessSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { HoldfastError, controlSocketPath } from "../base/mod.ts";
import { closeDescriptor, errnoName, flock, openSocket, UNIX_PATH_BYTES_MAX } from "../os/mod.ts";

/** Operators that wait at the same time to be accepted. */
const CONTROL_BACKLOG = 64;
/** Another run may remove the file between our opening and our locking it, a few times at most. */
const LOCK_ATTEMPTS_MAX = 10;

/** What the keeper holds while it lives. */
export interface RunFiles {
  /** Listening descriptor of the control socket. */
  readonly controlDescriptor: number;
  readonly logPath: string;
  /** Removes socket and pid file and frees the name. */
  release(): void;
}

/**
 * Makes the directory, takes the name, and listens on the control socket.
 * @throws HoldfastError ERR_HOLDFAST_RUNTIME_DIR when the directory cannot be used;
 *   ERR_HOLDFAST_NAME_IN_USE when a service of that name runs
 */
export function openRunFiles(directory: string, name: string): RunFiles {
  prepareDirectory(directory);
  const pidPath = join(directory, `${name}.pid`);
  const lock = lockName(pidPath, name);
  const socketPath = controlSocketPath(directory, name);
  try {
    const controlDescriptor = listenOn(socketPath);
    return {
      controlDescriptor,
      logPath: join(directory, `${name}.log`),
      release: () => {
        rmSync(socketPath, { force: true });
        rmSync(pidPath, { force: true });
        closeDescriptor(controlDescriptor);
        closeSync(lock);
      },
    };
  } catch (error) {
    rmSync(pidPath, { force: true });
    closeSync(lock);
    throw error;
  }
}

/** Makes a directory that only we may enter; one that is there must be ours, or root's for us. */
function prepareDirectory(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const { uid, mode } = statSync(directory);
    const isForeign = uid !== process.getuid?.() && uid !== 0;
    const isOpen = (mode & 0o022) !== 0 && (mode & STICKY) === 0;
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

/** Opens and locks the pid file, and writes our pid into it. Returns its descriptor. */
function lockName(path: string, name: string): number {
  for (let attempt = 0; attempt < LOCK_ATTEMPTS_MAX; attempt += 1) {
    const fd = openPidFile(path);
    if (!flock(fd)) {
      closeSync(fd);
      throw nameInUse(path, name);
    }
    if (isStillAt(path, fd)) {
      ftruncateSync(fd);
      writeSync(fd, `${process.pid}\n`, 0);
      return fd;
    }
    closeSync(fd); // its last holder removed it just now: this lock would hold nothing
  }
  throw nameInUse(path, name);
}

function openPidFile(path: string): number {
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
  try {
    return openSync(path, flags, 0o600);
  } catch (error) {
    throw directoryError(path, reasonOf(error), error);
  }
}

function isStillAt(path: string, fd: number): boolean {
  const at = statSync(path, { throwIfNoEntry: false });
  const { ino, dev } = fstatSync(fd);
  return at !== undefined && at.ino === ino && at.dev === dev;
}

function nameInUse(path: string, name: string): HoldfastError {
  const pid = readFileSync(path, "utf8").trim();
  const holder = /^\d+$/.test(pid) ? `process ${pid}` : "another process";
  return new HoldfastError(
    "ERR_HOLDFAST_NAME_IN_USE",
    `Cannot start the service ${name}: ${holder} runs one of that name. Choose another name with ` +
      `--name, or stop that one with: holdfast stop --name ${name}`,
  );
}

/**
 * A listening unix socket, only for this user. We hold the name, so an old socket is a leftover.
 */
function listenOn(path: string): number {
  if (Buffer.byteLength(path) > UNIX_PATH_BYTES_MAX) {
    const reason = `the socket path ${path} is longer than ${UNIX_PATH_BYTES_MAX} bytes`;
    throw directoryError(path, reason);
  }
  rmSync(path, { force: true });
  const mask = process.umask(0o177);
  const fd = openSocket({
    kind: "unix",
    address: { address: path, family: 0, port: 0 },
    ipv6Only: false,
    reuseAddress: false,
    reusePort: false,
    backlog: CONTROL_BACKLOG,
  });
  process.umask(mask);
  if (fd < 0) throw directoryError(path, `cannot listen on ${path}: ${errnoName(-fd)}`);
  return fd;
}
