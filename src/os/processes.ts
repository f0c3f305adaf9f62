/** Processes: signals, parenthood, the clock that all processes of a machine share. */
import { constants } from "node:os";
import { libc, stableBuffer } from "./libc.ts";

const PR_SET_PDEATHSIG = 1;
const PR_SET_CHILD_SUBREAPER = 36;
const WNOHANG = 1;

/** Sends a signal by name; false when there is no such process. */
export function signalProcess(pid: number, signal: NodeJS.Signals): boolean {
  return libc().kill(pid, constants.signals[signal]) === 0;
}

/** Orphans below this process become its children, as those of pid 1 do (prctl(2)). */
export function becomeSubreaper(): void {
  libc().prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

/** The kernel sends this process `signal` when its parent ends; null turns that off. */
export function setParentDeathSignal(signal: NodeJS.Signals | null): void {
  libc().prctl(PR_SET_PDEATHSIG, signal === null ? 0 : constants.signals[signal], 0, 0, 0);
}

/** Reaps one ended child by pid; true when it was there to be reaped. */
export function reapProcess(pid: number): boolean {
  return libc().waitpid(pid, stableBuffer(4), WNOHANG) === pid;
}

/**
 * Milliseconds on the machine's monotonic clock: the same in every process (CLOCK_MONOTONIC), so
 * that times in shared memory can be compared.
 */
export function machineNowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
