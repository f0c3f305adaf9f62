/** `holdfast trace`: lines, functions that nobody exports, and workers that spin already. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { describe, it } from "node:test";
import { LiveTrace } from "./support/live.ts";
import { get } from "./support/load.ts";
import { app } from "./support/paths.ts";
import { startService } from "./support/service.ts";
import { waitFor } from "./support/wait.ts";

const entry = app("live/lines.cjs");

describe("holdfast trace", { concurrency: 3 }, () => {
  for (const node of [22, 24, 26] as const) {
    it(`of lines, in a worker that spins too, Node ${node}`, async (t) => {
      const flags = ["--stall-limit", "0"];
      const service = await startService(t, { entry, flags, workers: 1, node });
      const target = await service.target();
      const trace = await LiveTrace.start(
        t,
        service,
        "line:lines.cjs:8 { @total[local.total, path] = count() }" +
          " line:lines.cjs:999 { @no = count() }" +
          " fn:lines.hidden:entry { @extra[arg1] = count() } fn:lines.nope:entry { @no = count() }",
      );
      const off = (
        await trace.waitFor("lines are off", ({ probes = [] }) => {
          return probes.filter((each) => each.off !== null).length === 2;
        })
      ).probes?.map((each) => each.off);
      assert.match(off?.[1] ?? "", /the file has no line 999/);
      assert.match(off?.[3] ?? "", /there is no function nope in the file/);
      assert.equal((await get(target, "/")).text, "45");
      await trace.waitForRow("total", "42,/", 1);
      await trace.waitForRow("extra", "abc", 1);
      assert.equal(await trace.interrupt(), 0, trace.describe());
      assert.equal((await get(target, "/listened")).text, "false");

      const folder = mkdtempSync(path.join(os.tmpdir(), "holdfast-lines-"));
      t.after(() => rmSync(folder, { recursive: true }));
      const file = path.join(folder, "enough");
      const spinning = get(target, `/spin?until=${file}`);
      await waitFor("it spins", async () => {
        const { stdout } = await service.control("stacks");
        return stdout.toString().includes("hidden (") || / running/.test(stdout.toString());
      });
      const late = new LiveTrace(t, service, [
        "line:lines.cjs:8 { @[local.extra] = count() } tick:1s { printa(@where) }" +
          ' profile:97hz /stack(8) ~ "lines.cjs"/ { @where["here"] = count() }',
      ]);
      await late.waitFor("a figure of the worker that spins", (line) => {
        return (late.row(line, "", "a") ?? 0) > 0 && (late.row(line, "where", "here") ?? 0) > 0;
      });
      late.child.kill("SIGKILL"); // nobody is left who ends it
      writeFileSync(file, "");
      assert.equal((await spinning).text, "true");
      await waitFor(
        "nothing listens",
        async () => (await get(target, "/listened")).text === "false",
      );
      assert.equal((await get(target, "/")).text, "45");
    });
  }
});
