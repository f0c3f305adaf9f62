/** Portable mode: stacks, profiles, traces, debugger and stall records, by the workers' agents. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { describe, it } from "node:test";
import { Debugger } from "./support/debugger.ts";
import { get } from "./support/load.ts";
import { app } from "./support/paths.ts";
import { startService } from "./support/service.ts";
import { waitFor } from "./support/wait.ts";

const entry = app("live/stall-shapes.cjs");
const flags = ["--portable", "--json", "--stall-limit", "0", "--drain-timeout", "1s"];

describe("portable mode", () => {
  for (const node of [22, 24, 26] as const) {
    it(`answers stacks, profile, trace and debug, also while it spins, Node ${node}`, async (t) => {
      const service = await startService(t, { entry, flags, workers: 1, node });
      const target = await service.target();
      // the worker serves before its agent has come
      const idle = async (): Promise<boolean> =>
        service
          .control("stacks", "0")
          .then(({ stdout }) => /^worker 0 .*idle/mu.test(String(stdout)));
      await waitFor("the agent of an idle worker", idle);
      const program = "http:done { @[worker] = count() } tick:1s { exit() }";
      const tracing = service.control("trace", program, "--for", "5s", "--json");
      const counted = async (): Promise<boolean> => {
        await get(target, "/");
        return service.control("probes", "http:done").then(({ code }) => code === 0);
      };
      await waitFor("probes are listed", counted);
      const traced = await tracing;
      assert.equal(traced.code, 0, `${String(traced.stderr)}${String(traced.stdout)}`);
      void get(target, "/count").catch(() => undefined); // never answered
      const stalled = /worker 0 makes no progress .* in count \(.*shapes\.cjs:9\)/;
      await waitFor("a record of the stall", () => stalled.test(service.stderr));
      assert.match(service.stderr, /"requestSeen":"GET \/count"/);
      const spinning = await service.control("stacks", "0", "--variables");
      assert.match(String(spinning.stdout), /count \(.*shapes\.cjs:9/);
      assert.match(String(spinning.stdout), /passes = \d+|passes=\d+/);
      const file = `${service.runtimeDir}/x.cpuprofile`;
      const profile = await service.control("profile", "cpu", "0", "--for", "300ms", "-o", file);
      assert.equal(profile.code, 0, String(profile.stderr));
      assert.ok(!readdirSync(service.runtimeDir).some((name) => name.endsWith(".agent")));
      const pid = (await service.workerPids())[0] ?? 0;
      const end = (): void => void process.kill(pid, "SIGKILL"); // it would not end by itself
      if (node !== 24) return end();
      service.signal("SIGUSR2");
      const told = (): string | undefined => /"webSocketUrl":"([^"]+)"/.exec(service.stderr)?.[1];
      const tool = await Debugger.open(await waitFor("an address", told));
      await tool.post("Debugger.enable");
      await tool.post("Debugger.pause");
      const paused = await tool.event("Debugger.paused");
      assert.equal(paused.params?.callFrames?.[0]?.functionName, "count");
      tool.close();
      end();
    });
  }
});
