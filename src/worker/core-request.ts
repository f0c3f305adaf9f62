/**
 * An uncaught error ends a process in order, and when it is gone its memory is too. With `--core`
 * the worker asks to be copied in between: after the error was printed and every `exit` listener of
 * the application's has run. A signal to itself does it: the dumper sees it before it comes; where
 * nobody watches, SIGURG does nothing.
 */
import { libc } from "../os/mod.ts";

const PR_SET_PTRACER = 0x5961_6d61;

/**
 * Where the kernel lets only ancestors look (Yama), those that the keeper has started may as well:
 * the lookout, when the main thread does not move.
 */
export function letKeeperLook(): void {
  libc().prctl(PR_SET_PTRACER, process.ppid, 0, 0, 0); // EINVAL without Yama: nothing to allow
}

/** Where the kernel lets only ancestors look (Yama), others of this user may from now on. */
export function askForCore(): void {
  libc().prctl(PR_SET_PTRACER, -1, 0, 0, 0); // EINVAL without Yama: nothing to allow
  process.on("uncaughtExceptionMonitor", () => {
    const isHandled =
      process.listenerCount("uncaughtException") > 0 ||
      process.hasUncaughtExceptionCaptureCallback();
    if (!isHandled) process.on("exit", () => process.kill(process.pid, "SIGURG")); // the last one
  });
}
