/**
 * With what code `holdfast` ends: sysexits.h where it has a word for it. Explained for users in
 * docs/exit-codes.md, which a test compares with this table.
 */
import { HoldfastError } from "./errors.ts";

export const EXIT_CODES = {
  /** In good order. */
  ok: 0,
  /** What the verb was to do has failed, e.g. the new version of a reload did not become ready. */
  failed: 1,
  /** EX_USAGE: command line or configuration is wrong; nothing was started. */
  usage: 64,
  /** EX_DATAERR: a file is not what it should be: no core, another build, another version. */
  badData: 65,
  /** EX_NOINPUT: there is no such file or process. */
  noInput: 66,
  /** EX_UNAVAILABLE: the name is in use, or no service answers. */
  unavailable: 69,
  /** EX_SOFTWARE: gave up, no worker is left; or a fault of Holdfast's own. */
  gaveUp: 70,
  /** EX_CANTCREAT: the runtime directory cannot be written. */
  cannotCreate: 73,
  /** EX_TEMPFAIL: the first worker was not ready in time. */
  notReady: 75,
  /** EX_NOPERM: the system does not allow it. */
  denied: 77,
} as const;

const BY_ERROR_CODE: ReadonlyMap<string, number> = new Map([
  ["ERR_HOLDFAST_USAGE", EXIT_CODES.usage],
  ["ERR_HOLDFAST_CONFIG", EXIT_CODES.usage],
  ["ERR_HOLDFAST_CONFIG_FILE", EXIT_CODES.usage],
  ["ERR_HOLDFAST_ENTRY", EXIT_CODES.usage],
  ["ERR_HOLDFAST_ENV_FILE", EXIT_CODES.usage],
  ["ERR_HOLDFAST_UNIT", EXIT_CODES.usage],
  ["ERR_HOLDFAST_TRACE_PROGRAM", EXIT_CODES.usage],
  ["ERR_HOLDFAST_NAME_IN_USE", EXIT_CODES.unavailable],
  ["ERR_HOLDFAST_NOT_RUNNING", EXIT_CODES.unavailable],
  ["ERR_HOLDFAST_CONTROL", EXIT_CODES.unavailable],
  ["ERR_HOLDFAST_FFI", EXIT_CODES.unavailable],
  ["ERR_HOLDFAST_RUNTIME_DIR", EXIT_CODES.cannotCreate],
  ["ERR_HOLDFAST_AUTOPSY_MISSING", EXIT_CODES.noInput],
  ["ERR_HOLDFAST_AUTOPSY_GONE", EXIT_CODES.noInput],
  ["ERR_HOLDFAST_AUTOPSY_NOT_ELF", EXIT_CODES.badData],
  ["ERR_HOLDFAST_AUTOPSY_NOT_CORE", EXIT_CODES.badData],
  ["ERR_HOLDFAST_AUTOPSY_NOT_NODE", EXIT_CODES.badData],
  ["ERR_HOLDFAST_AUTOPSY_BINARY", EXIT_CODES.badData],
  ["ERR_HOLDFAST_AUTOPSY_VERSION", EXIT_CODES.badData],
  ["ERR_HOLDFAST_AUTOPSY_NO_HEAP", EXIT_CODES.badData],
  ["ERR_HOLDFAST_AUTOPSY_WRITE", EXIT_CODES.cannotCreate],
  ["ERR_HOLDFAST_AUTOPSY_DENIED", EXIT_CODES.denied],
  ["ERR_HOLDFAST_AUTOPSY_PAUSE", EXIT_CODES.failed],
  ["ERR_HOLDFAST_REFUSED", EXIT_CODES.failed],
  ["ERR_HOLDFAST_NO_CRASH", EXIT_CODES.failed],
  ["ERR_HOLDFAST_PROFILE", EXIT_CODES.failed],
  ["ERR_HOLDFAST_PATCH", EXIT_CODES.noInput],
  ["ERR_HOLDFAST_ATTACH", EXIT_CODES.failed],
  ["ERR_HOLDFAST_ATTACH_DENIED", EXIT_CODES.denied],
  ["ERR_HOLDFAST_ATTACH_GONE", EXIT_CODES.noInput],
  ["ERR_HOLDFAST_DEBUG", EXIT_CODES.unavailable],
]);

/** The exit code for an error that nobody handled. */
export function exitCodeOf(error: unknown): number {
  const code = error instanceof HoldfastError ? BY_ERROR_CODE.get(error.code) : undefined;
  return code ?? EXIT_CODES.gaveUp;
}
