import assert from "node:assert/strict";
import http from "node:http";
import { PassThrough } from "node:stream";
import { it } from "node:test";
import { cpu, gate, guard, guardOutbound, guardServer, pipe, pool, watchdog } from "./mod.ts";

/** As somebody without types writes them: what he meant is near, or is not there. */
const MISTYPED: readonly (readonly [make: (options: never) => unknown, object, RegExp])[] = [
  [gate, { name: "a", limit: { kind: "fixed", max: 1 }, que: {} }, /no option que\./],
  [gate, { name: "a", limit: { kind: "fixed", maxx: 1 } }, /no option limit\.maxx\./],
  [gate, { name: "a", limit: { kind: "loop", tolerance: 2 } }, /no option limit\.tolerance\./],
  [gate, { name: "a", limit: { kind: "gradient", initals: 2 } }, /Did you mean initial\?/],
  [
    gate,
    { name: "a", limit: { kind: "fixed", max: 1 }, queue: { maxWaitMS: 5 } },
    /no option queue\.maxWaitMS\. Did you mean maxWaitMs\? There are: max, policy, targetMs, /,
  ],
  [(options) => pool("http://127.0.0.1", options), { totalMS: 5 }, /mean totalMs\?/],
  [(options) => pool("http://127.0.0.1", options), { retry: { times: 1 } }, /retry\.times\./],
  [(options) => pool("http://127.0.0.1", options), { hedge: { after: 1 } }, /hedge\.after\./],
  [(options) => pool("http://127.0.0.1", options), { eject: { failure: 1 } }, /eject\.failure\./],
  [watchdog, { stall: 5 }, /no option stall\./],
  [(options) => guard({}, options), { limit: 1, method: ["a"] }, /mean methods\?/],
  [guardOutbound, { limits: {} }, /mean limit\?/],
  [
    (options) => guardServer(http.createServer(), options),
    { pass: () => true },
    /no option pass\./,
  ],
  [(options) => guardServer(http.createServer(), options), { slowPeers: { rate: 1 } }, /s\.rate\./],
  [(options) => cpu(new URL("task.js", import.meta.url), options), { thread: 1 }, /mean threads\?/],
];

it("an option that there is not is refused, with the one that was meant", async () => {
  for (const [make, options, message] of MISTYPED) {
    assert.throws(
      () => make(options as never),
      { code: "ERR_HOLDFAST_FLOW_OPTION", message },
      JSON.stringify(options),
    );
  }
  const mistyped = { stalMs: 5 } as object;
  await assert.rejects(pipe(new PassThrough(), new PassThrough(), mistyped), {
    code: "ERR_HOLDFAST_FLOW_OPTION",
    message: /no option stalMs\. Did you mean stallMs\?/,
  });
});
