/** `holdfast trace`: entry and return of functions that only the scope of a module holds. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { LiveTrace } from "./support/live.ts";
import { get } from "./support/load.ts";
import { app } from "./support/paths.ts";
import { startService } from "./support/service.ts";
import { waitFor } from "./support/wait.ts";

describe("functions that nobody exports", { concurrency: 2 }, () => {
  for (const node of [22, 24, 26] as const) {
    it(`replaced where they are bound, and back again, Node ${node}`, async (t) => {
      const service = await startService(t, { entry: app("live/bindings.mjs"), workers: 1, node });
      const target = await service.target();
      const calls = "fn:bindings-lib.price:return { @price = count() }";
      const trace = await LiveTrace.start(
        t,
        service,
        `${calls} fn:bindings-lib.price:entry { @given = sum(arg0) }` +
          " fn:bindings-lib.tax:return { @tax[retval] = quantize(duration) }" +
          " fn:bindings-lib.total:return { @total = sum(retval) }" +
          " fn:bindings-lib.Basket.fill:return /thrown != undefined/" +
          " { @bad[thrown.message] = count() }",
      );
      const second = await LiveTrace.start(t, service, calls);
      // each is bound at a call, and that one is not seen to return
      await waitFor(
        "all are bound",
        async () => {
          assert.equal((await get(target, "/")).text, "176.3 true");
          const line = trace.lines.findLast(({ event }) => event === "aggregations");
          if (line === undefined) return false;
          const late = second.lines.findLast(({ event }) => event === "aggregations");
          if (late === undefined || (second.row(late, "price", "") ?? 0) === 0) return false;
          return ["price", "total"].every((name) => (trace.row(line, name, "") ?? 0) > 0);
        },
        20_000,
        () => `${trace.describe().slice(-2500)}\n${second.describe().slice(-800)}`,
      );
      const figures = async (): Promise<readonly number[]> => {
        const line = await settled(trace);
        const names = ["price", "given", "total"];
        const rows = names.map((name) => trace.row(line, name, "") ?? 0);
        return [
          ...rows,
          trace.row(line, "tax", "0.3") ?? 0,
          trace.row(line, "bad", "too many") ?? 0,
        ];
      };
      const before = await figures();
      for (let count = 0; count < 5; count += 1) await get(target, "/");
      const after = await figures();
      // in each: price(20), price(1), price(0...9); total(1), total(0...9)
      const more = after.map((value, at) => value - (before[at] ?? 0));
      assert.deepEqual(more, [5 * 12, 5 * 66, 5 * 138, 5, 5], trace.describe().slice(-2000));
      assert.equal(await trace.interrupt(), 0, trace.describe());
      const former = second.row(await settled(second), "price", "") ?? 0;
      await get(target, "/");
      await second.waitForRow("price", "", former + 12);
      assert.equal(await second.interrupt(), 0, second.describe());
      await waitFor("it is as it was", async () => (await get(target, "/clean")).text === "true");
      assert.equal((await get(target, "/")).text, "176.3 true");
    });
  }
});

/** Figures in which everything is that was before. */
function settled(trace: LiveTrace): ReturnType<LiveTrace["waitFor"]> {
  const count = trace.lines.length;
  return trace.waitFor("two rounds", (each) => {
    return each.event === "aggregations" && trace.lines.indexOf(each) >= count + 2;
  });
}
