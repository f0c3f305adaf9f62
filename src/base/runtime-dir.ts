/**
 * The directory of control sockets, pid files and logs.
 *
 * ```
 *   $HOLDFAST_RUNTIME_DIR  else  $XDG_RUNTIME_DIR/holdfast  else  /run/holdfast (root)
 *                          else  <temporary directory>/holdfast-<user id>
 *     <name>.sock   control socket        <name>.pid   locked by the keeper
 *     <name>.log    what was written      <name>.log.1 the older half of it
 *     <name>.crashes/                     reports of workers that crashed
 *     <name>.admin-token                  of the admin listener
 * ```
 */
import os from "node:os";
import path from "node:path";

export type Environment = Readonly<Record<string, string | undefined>>;

/** sockaddr_un.sun_path holds 108 bytes on Linux and 104 on macOS, the last of them 0 (unix(7)). */
export const SOCKET_PATH_BYTES_MAX: number = process.platform === "linux" ? 107 : 103;

/** Names of services are names of files, and are typed by people. */
export const NAME_PATTERN: RegExp = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** The directory, absolute; it need not exist. */
export function runtimeDirectory(environment: Environment, userId = ownUserId()): string {
  const chosen = environment["HOLDFAST_RUNTIME_DIR"] ?? "";
  if (chosen !== "") return path.resolve(chosen);
  const session = environment["XDG_RUNTIME_DIR"] ?? "";
  // The XDG base directory specification: a relative path is to be ignored.
  if (path.isAbsolute(session)) return path.join(session, "holdfast");
  if (userId === 0 && process.platform === "linux") return "/run/holdfast";
  return path.join(os.tmpdir(), `holdfast-${userId}`);
}

/** Where the service listens for its operators. On Windows that is a named pipe. */
export function controlSocketPath(runtimeDir: string, name: string): string {
  if (process.platform !== "win32") return path.join(runtimeDir, `${name}.sock`);
  return `\\\\.\\pipe\\${path.join(runtimeDir, name)}`;
}

function ownUserId(): number {
  return process.getuid?.() ?? 0;
}
