/** `--heapsnapshot-near-heap-limit`: a worker that leaks leaves its heap, and nobody's request. */
import assert from "node:assert/strict";
import { readFileSync, statSync } from "node:fs";
import { describe, it } from "node:test";
import { openIdle } from "./support/load.ts";
import { app } from "./support/paths.ts";
import { RawConnection } from "./support/raw-client.ts";
import { startService } from "./support/service.ts";
import { waitFor } from "./support/wait.ts";

describe("--heapsnapshot-near-heap-limit", () => {
  for (const node of [22, 24, 26] as const) {
    it(`the snapshot is with the crash report, connections go on, Node ${node}`, async (t) => {
      const service = await startService(t, {
        entry: app("live/dies.cjs"),
        // writing takes longer than a stall may
        flags: ["--heapsnapshot-near-heap-limit", "1", "--stall-limit", "1s", "--json"],
        // as little as it starts with
        env: { NODE_OPTIONS: "--max-old-space-size=24 --max-semi-space-size=1" },
        workers: 1,
        node,
      });
      const target = await service.target();
      const idle = await openIdle(target, 5);
      // not repeatable: one worker dies of it
      const guilty = await RawConnection.open(target);
      const { status } = await guilty.request("POST", "/oom");
      guilty.close();
      assert.ok(status >= 500, String(status));
      await waitFor("the report", () => service.stderr.includes("crash report: "));
      const shown = await service.control("crashes", "show");
      const page = String(shown.stdout);
      const path = /heap snapshots, for Chrome DevTools\n {2}(\/\S+\.heapsnapshot)/.exec(page);
      assert.ok(path?.[1] !== undefined, `${page}\n${service.describe()}`);
      assert.equal(statSync(path[1]).mode & 0o777, 0o600);
      const text = readFileSync(path[1], "latin1");
      assert.match(text.slice(0, 100), /^\{"snapshot":\{"meta"/);
      assert.match(text.slice(-20), /"\]\}\n?$/, "whole");
      for (const connection of idle) {
        assert.equal((await connection.request("GET", "/")).status, 200);
        connection.close();
      }
    });
  }
});
