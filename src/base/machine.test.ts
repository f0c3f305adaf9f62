import assert from "node:assert/strict";
import { test } from "node:test";
import { makeFolder } from "../../test/support/folder.ts";
import { readCgroupLimits, usableCpuCount } from "./machine.ts";

const V2 = "sys/fs/cgroup";

test("v2: the smallest limit of the group and all above it holds", (t) => {
  const root = makeFolder(t, {
    "proc/self/cgroup": "0::/a/b\n",
    [`${V2}/a/memory.max`]: "268435456\n",
    [`${V2}/a/cpu.max`]: "max 100000\n",
    [`${V2}/a/b/memory.max`]: "1073741824\n",
    [`${V2}/a/b/cpu.max`]: "150000 100000\n",
  });
  assert.deepEqual(readCgroupLimits(root), { cpus: 1.5, memoryBytes: 268_435_456 });
});

test("v2 in a container: the path is the host's, the limit stands at the mount's root", (t) => {
  const root = makeFolder(t, {
    "proc/self/cgroup": "0::/../../kubepods/pod1\n",
    [`${V2}/memory.max`]: "134217728\n",
    [`${V2}/cpu.max`]: "50000 100000\n",
  });
  assert.deepEqual(readCgroupLimits(root), { cpus: 0.5, memoryBytes: 134_217_728 });
});

test("v1: each controller has its own path; the largest number means no limit", (t) => {
  const files = {
    "proc/self/cgroup": "4:memory:/docker/x\n3:cpu,cpuacct:/docker/x\n1:name=systemd:/docker/x\n",
    [`${V2}/memory/memory.limit_in_bytes`]: "9223372036854771712\n",
    [`${V2}/memory/docker/x/memory.limit_in_bytes`]: "536870912\n",
    [`${V2}/cpu,cpuacct/docker/x/cpu.cfs_quota_us`]: "200000\n",
    [`${V2}/cpu,cpuacct/docker/x/cpu.cfs_period_us`]: "100000\n",
    [`${V2}/cpu,cpuacct/cpu.cfs_quota_us`]: "-1\n",
    [`${V2}/cpu,cpuacct/cpu.cfs_period_us`]: "100000\n",
  };
  assert.deepEqual(readCgroupLimits(makeFolder(t, files)), { cpus: 2, memoryBytes: 536_870_912 });
});

test("no cgroup file system, or nonsense in it: no limit is known", (t) => {
  const none = { cpus: null, memoryBytes: null };
  assert.deepEqual(readCgroupLimits(makeFolder(t, {})), none);
  const nonsense = makeFolder(t, {
    "proc/self/cgroup": "0::/a\nhello\n::::\n",
    [`${V2}/a/memory.max`]: "max\n",
    [`${V2}/a/cpu.max`]: "0 0\n",
    [`${V2}/memory.max`]: "-17\n",
  });
  assert.deepEqual(readCgroupLimits(nonsense), none);
});

test("as many workers as can run at the same time, at least one", () => {
  const count = (affinity: number, cpus: number | null): number => {
    return usableCpuCount(affinity, { cpus, memoryBytes: null });
  };
  assert.equal(count(8, null), 8);
  assert.equal(count(8, 2), 2);
  assert.equal(count(8, 1.5), 2);
  assert.equal(count(8, 0.1), 1);
  assert.equal(count(2, 16), 2);
});
