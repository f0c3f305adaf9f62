/** `--trace-context`: the trace of a request goes on to what is asked for it. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { app } from "./support/paths.ts";
import { startService } from "./support/service.ts";
import type { Service } from "./support/service.ts";

const entry = app("live/context.cjs");
const PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

async function asked(service: Service, headers: Record<string, string>): Promise<string[]> {
  const target = await service.target();
  assert.ok("port" in target);
  const response = await fetch(`http://127.0.0.1:${target.port}/`, { headers });
  return (await response.text()).split("\n");
}

describe("a request with a trace context", () => {
  for (const node of [22, 24, 26] as const) {
    it(`takes it along, where nobody has set one, Node ${node}`, async (t) => {
      const flags = ["--trace-context"];
      const service = await startService(t, { entry, flags, node, workers: 1 });
      const state = "congo=t61rcWkgMzE";
      const [byHttp, byFetch, mine, mineToo, byList] = await asked(service, {
        traceparent: PARENT,
        tracestate: state,
      });
      assert.deepEqual([byHttp, byFetch], [`${PARENT} ${state}`, `${PARENT} ${state}`]);
      assert.deepEqual([mine, mineToo, byList], ["mine none", "mine none", "none none"]);
      for (const traceparent of [
        "",
        "00-xyz",
        PARENT.replace(/^00/, "ff"),
        "00-".padEnd(55, "0"),
      ]) {
        const [first, second] = await asked(service, { traceparent, tracestate: state });
        assert.deepEqual([first, second], ["none none", "none none"], traceparent);
      }
    });
  }

  it("does not without the flag", async (t) => {
    const service = await startService(t, { entry, workers: 1 });
    const [byHttp, byFetch] = await asked(service, { traceparent: PARENT });
    assert.deepEqual([byHttp, byFetch], ["none none", "none none"]);
  });
});
