/** Names for people: native functions without their mangling, and what a thread is there for. */

/** Nested names (`_ZN3foo3barE...`) and plain ones (`_Z3fooi`) of the Itanium C++ ABI, 5.1. */
const PARTS_MAX = 12;

/**
 * The qualified name of a C++ function, without its parameters; other names as they are. Templates
 * and operators stay mangled: they are rare at the top of a stack, and wrong is worse than ugly.
 */
export function readableName(symbol: string): string {
  const match = /^_ZZ?(?:N[KVr]*)?(.*)$/u.exec(symbol);
  if (match?.[1] === undefined) return symbol;
  let rest = match[1];
  const parts: string[] = [];
  while (parts.length < PARTS_MAX) {
    const sized = /^(?:L)?(\d+)/u.exec(rest);
    if (sized?.[1] === undefined) break;
    const from = sized[0].length;
    const length = Number(sized[1]);
    const name = rest.slice(from, from + length);
    if (name.length < length) return symbol;
    parts.push(name === "_GLOBAL__N_1" ? "(anonymous)" : name);
    rest = rest.slice(from + length);
    if (rest.startsWith("B5cxx11")) rest = rest.slice(7);
  }
  if (parts.length === 0) return symbol;
  const last = parts.at(-1) ?? "";
  if (/^C\d/u.test(rest)) parts.push(last);
  if (/^D\d/u.test(rest)) parts.push(`~${last}`);
  return rest.startsWith("I") ? `${parts.join("::")}<...>` : parts.join("::");
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
