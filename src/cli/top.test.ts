import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { describe, it } from "node:test";
import type { TestContext } from "node:test";
import { serveControl } from "../../test/support/control-server.ts";
import { exampleStatus } from "../../test/support/example-status.ts";
import { makeFolder } from "../../test/support/folder.ts";
import { waitUntil } from "../../test/support/wait-until.ts";
import { makeWorld } from "../../test/support/world.ts";
import type { TestWorld } from "../../test/support/world.ts";
import { bucketOf } from "../base/mod.ts";
import { LatencyGroup } from "../supervision/mod.ts";
import type { LatencyReport } from "../supervision/mod.ts";
import { dispatch } from "./dispatch.ts";
import { timeText } from "./latency-view.ts";
import { renderTop, topJson } from "./top-view.ts";
import { execute } from "./top.ts";
import type { Keyboard } from "./top.ts";

function exampleReport(atMs: number, count: number): LatencyReport {
  const buckets = [bucketOf(1500), count, bucketOf(900_000), 1];
  const series = {
    name: "GET /orders/:id",
    status: 2,
    sumUs: 1500 * count + 900_000,
    waitedUs: 0,
    maxUs: 900_000,
    exemplar: null,
    buckets,
  };
  const failed = { ...series, name: "GET /\u001B[2Jbad", status: 5, buckets: [10, count] };
  return {
    atMs,
    startedAt: "2026-01-02T03:04:05.000Z",
    workers: [
      {
        index: 0,
        id: 3,
        pid: 4713,
        generation: 2,
        requests: count,
        inFlight: 4,
        connections: 12,
        loopLagMs: 2000,
        loopActiveMs: atMs / 2,
        heapUsedBytes: 500 * 1024 * 1024,
        heapLimitBytes: 512 * 1024 * 1024,
        externalBytes: 0,
        gcCount: 1,
        gcMs: atMs / 4,
        series: [series, failed],
      },
    ],
    gone: [],
  };
}

const NOW = Date.parse("2026-01-02T03:05:05.000Z");
const interval = {
  before: { status: exampleStatus(), report: exampleReport(NOW - 1000, 100) },
  now: { status: exampleStatus(), report: exampleReport(NOW, 350) },
};

async function served(t: TestContext): Promise<Record<string, string>> {
  const directory = makeFolder(t, {});
  await serveControl(t, directory, "shop", {
    "GET /v1/status": { lines: [exampleStatus()] },
    "GET /v1/latency": { lines: [exampleReport(NOW, 350)] },
  });
  return { HOLDFAST_RUNTIME_DIR: directory };
}

describe("a page of top", () => {
  it("shows what came in the interval", () => {
    const page = renderTop(interval, [], { columns: 160, rows: 50 }, false).join("\n");
    assert.match(page, /^shop {2}running {2}up 3m12s/);
    assert.match(page, /500 req\/s {2}in flight 4 /);
    assert.match(page, /0 {2}4713 {2}ready +500 +4 .* 2s +50% +12% +25% +500MiB/);
    assert.match(page, /1 +- {2}backoff$/m);
    assert.match(page, /GET \/orders\/:id +250 +1\.50ms +1\.50ms/);
    assert.match(page, /GET \/\\u001b\[2Jbad +250 .* 250$/m);
  });

  it("fits every terminal, also with colours", () => {
    const group = new LatencyGroup();
    for (const us of [100, 5000, 80_000, 1e9]) group.counts[bucketOf(us)] = 3;
    const heat = Array.from({ length: 300 }, () => group);
    for (const size of [
      { columns: 20, rows: 5 },
      { columns: 80, rows: 24 },
      { columns: 300, rows: 100 },
      { columns: 1, rows: 1 },
    ]) {
      const lines = renderTop(interval, heat, size, true);
      assert.ok(lines.length <= Math.max(1, size.rows - 1), `${lines.length} of ${size.rows}`);
      for (const line of lines) {
        // eslint-disable-next-line no-control-regex -- colours are what it is about
        assert.ok(line.replaceAll(/\u001B\[\d*m/g, "").length <= size.columns, line);
      }
    }
  });

  it("has a heat map with a row for each doubling", () => {
    const slow = new LatencyGroup();
    slow.counts[bucketOf(900)] = 1000;
    slow.counts[bucketOf(30_000)] = 1;
    const fast = new LatencyGroup();
    fast.counts[bucketOf(100)] = 1000;
    const page = renderTop(interval, [slow, fast], { columns: 100, rows: 60 }, false);
    assert.ok(page.includes("< 32.0ms ."), page.join("\n"));
    assert.ok(page.includes("< 1.00ms @"));
    assert.ok(page.includes("<  250us  @"));
  });

  it("is also a document", () => {
    const { all, routes, workers } = topJson(interval) as {
      all: { count: number };
      routes: Record<string, { count: number; p50Us: number }>;
      workers: { busyPercent: number; series?: unknown }[];
    };
    assert.equal(all.count, 500);
    assert.equal(routes["GET /orders/:id"]?.count, 250);
    assert.equal(workers[0]?.busyPercent, 50);
    assert.equal(workers[0].series, undefined);
  });
});

it("times have three digits and a unit", () => {
  const shown = [0, 0.5, 12.34, 999.4, 1000, 12_345, 999_499, 999_500, 61e6, 123e6].map(timeText);
  const expected = ["0", "0.500us", "12.3us", "999us", "1.00ms", "12.3ms", "999ms"];
  assert.deepEqual(shown, [...expected, "1.00s", "61.0s", "123s"]);
});

describe("holdfast top", () => {
  it("--once is one page, with --json one document", async (t) => {
    const environment = await served(t);
    const args = ["top", "--once", "--interval", "100ms"];
    const page = makeWorld(environment);
    assert.equal(await dispatch(args, page), 0, page.errors());
    assert.match(page.output(), /^shop {2}running[\s\S]*ROUTE/);
    assert.ok(!page.output().includes("\u001B"));
    const json = makeWorld(environment);
    assert.equal(await dispatch([...args, "--json"], json), 0);
    assert.equal((JSON.parse(json.output()) as { service: string }).service, "shop");
    const wrong = makeWorld(environment);
    assert.equal(await dispatch(["top", "--interval", "1ms"], wrong), 64);
    assert.match(wrong.errors(), /--interval is "1ms", must be 100ms to 1m/);
  });

  it("draws on a terminal, again when that changes its size, and gives it back", async (t) => {
    const environment = await served(t);
    const terminal = Object.assign(new EventEmitter(), { columns: 60, rows: 12 });
    const base = makeWorld(environment, true);
    const write = (text: string): unknown => base.stdout.write(text);
    const stdout = Object.assign(terminal, { isTTY: true, write });
    const world: TestWorld = { ...base, stdout };
    const modes: boolean[] = [];
    const keys = Object.assign(new EventEmitter(), {
      isTTY: true,
      setRawMode: (on: boolean) => void modes.push(on),
      resume: () => undefined,
      pause: () => undefined,
    }) satisfies Keyboard;
    const flags = { interval: "1m" };
    const ended = execute({ positionals: [], hasTerminator: false, flags }, world, keys);
    const pages = (): number => world.output().split("\u001B[H").length - 1;
    await waitUntil("a page", () => pages() === 1);
    terminal.rows = 6;
    terminal.emit("resize");
    assert.equal(pages(), 2);
    const last = world.output().split("\u001B[H").at(-1) ?? "";
    assert.ok(last.split("\r\n").length <= 5, last);
    keys.emit("data", Buffer.from("\u001B[A")); // an arrow
    keys.emit("data", Buffer.from("q"));
    assert.equal(await ended, 0);
    assert.deepEqual(modes, [true, false]);
    assert.ok(world.output().startsWith("\u001B[?1049h\u001B[?25l"));
    assert.ok(world.output().endsWith("\u001B[?25h\u001B[?1049l"));
    assert.equal(terminal.listenerCount("resize") + keys.listenerCount("data"), 0);
  });
});

it("an answer that is no report is refused, not shown", async (t) => {
  const directory = makeFolder(t, {});
  await serveControl(t, directory, "shop", { "GET /v1/latency": { lines: [{ hello: 1 }] } });
  const world = makeWorld({ HOLDFAST_RUNTIME_DIR: directory });
  assert.equal(await dispatch(["latency"], world), 69);
  assert.match(world.errors(), /has another shape/);
});
