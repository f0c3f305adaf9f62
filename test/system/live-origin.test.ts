/** The line that set a timer is in the report of its error: the second time, or always. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { get } from "./support/load.ts";
import { app } from "./support/paths.ts";
import { startService } from "./support/service.ts";
import type { Service } from "./support/service.ts";
import { waitFor } from "./support/wait.ts";

const entry = app("live/origin.cjs");
const LINES = readFileSync(entry, "utf8").split("\n");

/** Where in the application a text stands, as a stack says it. */
function place(text: string): string {
  const index = LINES.findIndex((line) => line.includes(text));
  assert.ok(index >= 0, text);
  return `origin.cjs:${index + 1}:`;
}

/** What was said about the origin of the n-th failure since `from`. */
async function failure(service: Service, way: string, seen: string): Promise<string> {
  const before = service.stderr.length;
  await get(await service.target(), `/${way}`);
  return waitFor(`${way} fails`, () => {
    const said = service.stderr.slice(before);
    return said.includes(seen) && said;
  });
}

async function ready(service: Service, restarts: number): Promise<void> {
  await service.waitForStatus("ready again", ({ totals, workers }) => {
    return totals.restarts === restarts && workers.every(({ state }) => state === "ready");
  });
}

describe("an uncaught error in a callback", () => {
  it("names the line that set the timer from the second time on, in the next worker", async (t) => {
    const service = await startService(t, { entry, workers: 1 });
    const first = await failure(service, "a", "Error: it fails");
    assert.doesNotMatch(first, /was set by/);
    await ready(service, 1);
    const second = await failure(service, "b", "Error: it fails");
    assert.match(second, /the callback that fails now was set by/);
    assert.ok(second.includes(`at b (`) && second.includes(place("// line b")), second);
    await ready(service, 2);
    const third = await failure(service, "a", "Error: it fails");
    assert.ok(third.includes(`at a (`) && third.includes(place("// line a")), third);
  });

  for (const node of [22, 24, 26] as const) {
    it(`and in the same worker, if that lives on; for ticks and files, Node ${node}`, async (t) => {
      const service = await startService(t, { entry, workers: 1, env: { STAYS: "1" }, node });
      for (const way of ["b", "immediate", "tick", "microtask", "stat", "readFile"]) {
        await failure(service, way, "survived");
        const again = await failure(service, way, "survived");
        const line = way === "b" ? "// line b" : `${way}: () =>`;
        assert.ok(again.includes(place(line)), `${way}: ${again}`);
      }
      // Node itself has set what fails: nothing of the application's is known of it
      assert.doesNotMatch(await failure(service, "stream", "survived"), /was set by/);
    });
  }

  it("names it the first time with --async-origin always, and never with off", async (t) => {
    const env = { STAYS: "1" };
    const flags = ["--async-origin", "always"];
    const always = await startService(t, { entry, workers: 1, env, flags });
    for (const way of ["a", "interval", "immediate", "tick", "microtask", "stat"]) {
      const said = await failure(always, way, "survived");
      const line = way === "a" ? "// line a" : `${way}: () =>`;
      assert.ok(said.includes(place(line)), `${way}: ${said}`);
      if (way === "interval") break; // it fails for ever
    }
    const off = await startService(t, { entry, workers: 1, env, flags: ["--async-origin", "off"] });
    await failure(off, "a", "survived");
    assert.doesNotMatch(await failure(off, "a", "survived"), /was set by/);
  });
});
