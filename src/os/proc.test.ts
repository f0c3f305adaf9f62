import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import fc from "fast-check";
import {
  ProcessMeter,
  parseProcessMemory,
  parseProcessStat,
  readChildren,
  readMainThread,
  readProcessMemory,
  readProcessStat,
} from "./proc.ts";

test("reads its own process", () => {
  const stat = readProcessStat(process.pid);
  const memory = readProcessMemory(process.pid);
  assert.equal(stat?.parentPid, process.ppid);
  assert.ok(stat !== null && stat.cpuMs > 0 && stat.startTicks > 0);
  const main = readMainThread(process.pid);
  assert.ok(main !== null && main.cpuMs > 0 && main.cpuMs <= stat.cpuMs + 10);
  assert.equal(main.state, "R");
  assert.ok(main.runDelayMs !== null && main.runDelayMs > 0 && main.runDelayMs < 1e9);
  assert.ok(memory !== null && memory.anonBytes > 1e6 && memory.rssBytes > memory.anonBytes);
});

test("a process that does not exist is null, and has no children", () => {
  const pid = 0x7fff_fff0;
  assert.equal(readProcessStat(pid), null);
  assert.equal(readMainThread(pid), null);
  assert.equal(readProcessMemory(pid), null);
  assert.deepEqual(readChildren(pid), []);
});

test("a child is seen", async () => {
  const child = spawn("sleep", ["30"]);
  await once(child, "spawn");
  assert.ok(child.pid !== undefined && readChildren(process.pid).includes(child.pid));
  child.kill("SIGKILL");
  await once(child, "exit");
});

test("a name with parentheses and spaces does not shift the fields", () => {
  const rest = `S 7 ${"0 ".repeat(9)}12 34 ${"0 ".repeat(6)}99 0`;
  assert.deepEqual(parseProcessStat(`4 (a) R 1 (b) ${rest}`), {
    state: "S",
    parentPid: 7,
    cpuMs: 460,
    startTicks: 99,
  });
});

test("no text breaks the parsers", () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      const stat = parseProcessStat(text);
      assert.ok(stat === null || Number.isSafeInteger(stat.cpuMs));
      assert.ok(parseProcessMemory(text) === null || text.includes("VmRSS"));
    }),
  );
});

test("the meter counts CPU between two looks, and forgets who is gone", () => {
  const meter = new ProcessMeter();
  meter.update([process.pid], 0);
  assert.equal(meter.of(process.pid)?.cpuPercent, 0);
  const until = process.cpuUsage().user + 30_000;
  while (process.cpuUsage().user < until);
  meter.update([process.pid], 100);
  const percent = meter.of(process.pid)?.cpuPercent ?? 0;
  assert.ok(percent >= 10, `${percent}`);
  meter.update([], 200);
  assert.equal(meter.of(process.pid), null);
});
