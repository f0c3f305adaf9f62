/**
 * What this process may use of the machine: CPUs and memory, by its cgroup (cgroups(7), Linux
 * Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst).
 *
 * ```
 *   /proc/self/cgroup   0::/a/b            v2: one path
 *                       4:memory:/a/b      v1: a path for each controller
 *   limit = the smallest one of /a/b, /a and /
 * ```
 * A limit of any ancestor holds for all below it. In a container the path may be the host's and not
 * exist below the mount; walking up then ends at the mount's root, which is the container's own.
 */
import { readFileSync } from "node:fs";
import path from "node:path";

export interface CgroupLimits {
  /** CPUs by quota, possibly a fraction; null: no quota. */
  readonly cpus: number | null;
  /** Bytes of memory; null: no limit. */
  readonly memoryBytes: number | null;
}

/** v1 says "no limit" with the largest multiple of a page: 2^63 - 4096. No machine has a PiB. */
const V1_UNLIMITED_BYTES: number = 2 ** 50;

/** Where the controllers of v1 are usually mounted, below /sys/fs/cgroup. */
const V1_MOUNTS: Readonly<Record<"memory" | "cpu", readonly string[]>> = {
  memory: ["memory"],
  cpu: ["cpu,cpuacct", "cpu", "cpuacct,cpu"],
};

/**
 * The limits of the cgroup that this process is in; none when there is no cgroup file system.
 *
 * @param root directory that has `proc` and `sys`, for tests
 */
export function readCgroupLimits(root = "/"): CgroupLimits {
  const membership = readText(path.join(root, "proc/self/cgroup"));
  if (membership === null) return { cpus: null, memoryBytes: null };
  const cpus: number[] = [];
  const memory: number[] = [];
  for (const line of membership.split("\n")) {
    const [, controllers, group] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    if (controllers === undefined || group === undefined) continue;
    const names = controllers.split(",");
    if (controllers === "") {
      collect(root, "", group, (folder) => {
        push(memory, wholeNumber(readText(path.join(folder, "memory.max"))));
        push(cpus, quotaV2(readText(path.join(folder, "cpu.max"))));
      });
    }
    if (names.includes("memory")) {
      for (const mount of V1_MOUNTS.memory) {
        collect(root, mount, group, (folder) => push(memory, memoryV1(folder)));
      }
    }
    if (names.includes("cpu")) {
      for (const mount of V1_MOUNTS.cpu) {
        collect(root, mount, group, (folder) => push(cpus, quotaV1(folder)));
      }
    }
  }
  return { cpus: smallest(cpus), memoryBytes: smallest(memory) };
}

/**
 * How many workers can run at the same time: the CPUs of the affinity mask, or fewer by quota. A
 * fraction counts as a whole: a worker that may run half the time serves more than none.
 *
 * @param affinityCount `os.availableParallelism()`
 */
export function usableCpuCount(affinityCount: number, limits: CgroupLimits): number {
  const quota = limits.cpus === null ? affinityCount : Math.ceil(limits.cpus);
  return Math.max(1, Math.min(affinityCount, quota));
}

/** Calls `visit` with the group's folder and each one above it, up to the mount. */
function collect(
  root: string,
  mount: string,
  group: string,
  visit: (folder: string) => void,
): void {
  const top = path.join(root, "sys/fs/cgroup", mount);
  // A group outside of our cgroup namespace is shown as /../..: what we can see starts at the top.
  const parts = group.split("/").filter((part) => part !== "" && part !== "." && part !== "..");
  for (let depth = parts.length; depth >= 0; depth -= 1) {
    visit(path.join(top, ...parts.slice(0, depth)));
  }
}

function memoryV1(folder: string): number | null {
  const bytes = wholeNumber(readText(path.join(folder, "memory.limit_in_bytes")));
  return bytes === null || bytes >= V1_UNLIMITED_BYTES ? null : bytes;
}

function quotaV1(folder: string): number | null {
  const quota = wholeNumber(readText(path.join(folder, "cpu.cfs_quota_us"))); // -1: none
  const period = wholeNumber(readText(path.join(folder, "cpu.cfs_period_us")));
  return ratio(quota, period);
}

/** `150000 100000` is one CPU and a half, `max 100000` no quota. */
function quotaV2(text: string | null): number | null {
  const [quota = "", period = ""] = (text ?? "").trim().split(" ");
  return ratio(wholeNumber(quota), wholeNumber(period));
}

function ratio(quota: number | null, period: number | null): number | null {
  return quota === null || period === null || quota === 0 || period === 0 ? null : quota / period;
}

/** The number in a file of the kernel's; null for `max`, `-1` and anything else. */
function wholeNumber(text: string | null): number | null {
  return text !== null && /^\d+\s*$/.test(text) ? Number(text) : null;
}

function readText(file: string): string | null {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return null; // Not Linux, not mounted, or not ours to read: no limit is known.
  }
}

function push(values: number[], value: number | null): void {
  if (value !== null) values.push(value);
}

function smallest(values: readonly number[]): number | null {
  return values.length === 0 ? null : Math.min(...values);
}
