/** Failures of looking at a live process, as sentences. */
import { constants } from "node:os";
import { HoldfastError } from "../../base/mod.ts";

export function told<Value>(pid: number, act: () => Value): Value {
  try {
    return act();
  } catch (error) {
    throw asTold(pid, error);
  }
}

/** System errors as sentences. */
export function asTold(pid: number, error: unknown): unknown {
  const code = nameOfFailure(error);
  if (code === "ENOENT" || code === "ESRCH") {
    return new HoldfastError(
      "ERR_HOLDFAST_AUTOPSY_GONE",
      `Cannot look at process ${pid}: there is no such process (any more). ` +
        `If it left a core file, give that: coredumpctl list, or \`holdfast crashes\`.`,
      { cause: error },
    );
  }
  if (code === "EACCES" || code === "EPERM") {
    return new HoldfastError(
      "ERR_HOLDFAST_AUTOPSY_DENIED",
      `Cannot look at process ${pid}: the system refuses it (${code}). Act as the user who ` +
        `runs it, or as root; in a container add the capability SYS_PTRACE; ` +
        `/proc/sys/kernel/yama/ptrace_scope above 0 allows only ancestors.`,
      { cause: error },
    );
  }
  return error;
}

/** `EPERM`, whether the error is of node:fs (a `code`) or of a tracer (an `errno`). */
export function nameOfFailure(error: unknown): string {
  const { code = "", errno } = error as NodeJS.ErrnoException;
  const found = Object.entries(constants.errno).find(([, number]) => number === errno);
  return found?.[0] ?? code;
}

export function snapshotGone(pid: number): HoldfastError {
  return new HoldfastError(
    "ERR_HOLDFAST_AUTOPSY_GONE",
    `Cannot read on: the system has ended the copy of process ${pid}, as it does first when ` +
      `memory runs out; the process itself was not touched. Try again when less of it is in ` +
      `use, or on a core: \`holdfast autopsy dump ${pid}\`.`,
  );
}
