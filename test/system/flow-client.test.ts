/** What a process asks of others is bounded, with every version of Node. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { app, nodeBinary } from "./support/paths.ts";
import { run } from "./support/run.ts";

/** What `test/apps/flow/outbound.mjs` says of forty requests at once. */
interface Seen {
  /** In flight at a time, as the upstream saw it. */
  readonly most: number;
  readonly ok: number;
  /** Codes of the errors of the others. */
  readonly reasons: readonly string[];
}

describe("outbound requests of an unmodified application, and a pool", () => {
  for (const version of [22, 24, 26] as const) {
    it(`Node ${version}`, async () => {
      const result = await run(nodeBinary(version), [
        app("flow/outbound.mjs"),
        ...(version === 24 ? ["connect"] : []), // takes undici a second
      ]);
      assert.equal(result.code, 0, result.stderr.toString());
      const seen = JSON.parse(result.stdout.toString()) as Record<string, unknown>; // the program's
      const limited: Seen = { most: 5, ok: 15, reasons: ["ERR_HOLDFAST_OVERLOADED"] };
      const { version: ran, without, withoutHttp, ...rest } = seen;
      assert.ok(String(ran).startsWith(`v${version}.`));
      for (const { most, ok } of [without, withoutHttp] as Seen[]) {
        assert.ok(most > 5 && ok === 40, JSON.stringify(seen)); // as it was, once disposed of
      }
      assert.deepEqual(rest, {
        fetch: limited,
        http: limited,
        both: ["GET /both", "GET /fetch"],
        post: "POST /",
        queued: 7,
        queuedAfterAbort: 0,
        httpQueued: 7,
        httpQueuedAfterAbort: 0,
        httpAborted: ["AbortError"],
        impatient: "TimeoutError",
        connecting: 1, // it stays at the gate until undici has let go of it
        ...(version === 24 ? { notConnected: "UND_ERR_CONNECT_TIMEOUT" } : {}),
        pool: { most: 3, ok: 20, reasons: [] },
        bytes: 1_000_000,
        left: 0,
      });
    });
  }
});
