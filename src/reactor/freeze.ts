/**
 * Waits until a process that was sent SIGSTOP has stopped: only then does its ledger stand still.
 */
import { readProcessStat } from "../os/mod.ts";

const POLL_MS = 2;
/**
 * A thread that is not stopped by then hangs in the kernel; recovery waits for its exit instead.
 */
const FREEZE_TIMEOUT_MS = 500;

/**
 * Calls back with true when every thread of `pid` has stopped, with false when that takes too long.
 */
export function freeze(pid: number, onFrozen: (isFrozen: boolean) => void): void {
  const deadline = performance.now() + FREEZE_TIMEOUT_MS;
  const check = (): void => {
    const state = readProcessStat(pid)?.state ?? null;
    if (state === "T" || state === "t" || state === "Z" || state === "X" || state === null)
      onFrozen(true);
    else if (performance.now() > deadline) onFrozen(false);
    else setTimeout(check, POLL_MS);
  };
  check();
}
