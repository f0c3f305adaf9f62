/** Names for people: native functions without their mangling, and what a thread is there for. */
import { demangle } from "./demangle.ts";

/**
 * The qualified name of a function of C++ or Rust, without its parameters; other names as they are.
 */
export function readableName(symbol: string): string {
  return demangle(symbol, false);
}

const ROLES: readonly (readonly [RegExp, string])[] = [
  [/Worker11StartThread|Worker3RunEv/u, "worker thread"],
  [/DelayedTaskScheduler/u, "V8 delayed tasks"],
  [/PlatformWorkerThread|WorkerThreadsTaskRunner/u, "V8 platform"],
  [/StartIoThreadMain|inspector.*Thread|WatchdogThread/u, "inspector"],
  [/SigintWatchdog/u, "watchdog"],
  [
    /^uv__fs_work|^uv__work|^worker$|^uv__threadpool|^uv__thread_start|uv__queue_work/u,
    "libuv pool",
  ],
  [/uv__io_poll|uv_run/u, "event loop"],
];

/**
 * What a thread is for, by the functions that it runs.
 *
 * @param symbols of its native frames, as they are in the binary
 */
export function roleOf(symbols: readonly string[], isMain: boolean, hasIsolate: boolean): string {
  if (isMain) return "main thread";
  for (const [pattern, role] of ROLES) {
    if (symbols.some((symbol) => pattern.test(symbol))) return role;
  }
  return hasIsolate ? "worker thread" : "native thread";
}
