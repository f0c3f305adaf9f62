/** Every point of `holdfast probes` fires, with every argument that it says it has. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import net from "node:net";
import { describe, it } from "node:test";
import { POINTS } from "../../src/trace/mod.ts";
import { LiveTrace } from "./support/live.ts";
import { get } from "./support/load.ts";
import { app } from "./support/paths.ts";
import { startService } from "./support/service.ts";
import type { Owner, Target } from "./support/service.ts";
import { waitFor } from "./support/wait.ts";

const entry = app("live/points.cjs");

function lineOf(text: string): number {
  const lines = readFileSync(entry, "utf8").split("\n");
  return lines.findIndex((line) => line.trim() === text) + 1;
}

/** What stands for what may be written there. */
const WRITTEN: Readonly<Record<string, string>> = {
  "tick:<duration>": "tick:100ms",
  "profile:<n>hz": "profile:50hz",
  "dc:<channel>": "dc:http.server.request.start",
  "user:<name>": "user:points:made",
  "line:<file>:<n>": `line:points.cjs:${lineOf("return doubled;")}`,
  "fn:<module>.<path>:entry": "fn:JSON.stringify:entry",
  "fn:<module>.<path>:return": "fn:points.helper:return",
};
/** At the end of the trace; there is none where nothing fails. */
const NOT_HERE = ["end"];
const SELDOM = ["timers:done thrown", "fn:<module>.<path>:return thrown"];

/** A client that asks for much and reads nothing: nobody listens to its data. */
function stuckReader(owner: Owner, target: Target): net.Socket {
  const reader = net.connect(target);
  reader.on("error", () => undefined);
  owner.after(async () => void reader.destroy());
  reader.write("GET /leave HTTP/1.1\r\nhost: t\r\n\r\n");
  return reader;
}

interface Expected {
  readonly key: string;
  readonly statement: string;
}

function expectedOf({ form, variables }: (typeof POINTS)[number]): readonly Expected[] {
  const all = [{ key: form, statement: `@n["${form}"] = sum(1)` }];
  for (const { name } of variables) {
    const key = `${form} ${name}`;
    const value = name === "local" ? "local.doubled" : name;
    const statement = `@n["${key}"] = sum(${value} == undefined ? 0 : 1)`;
    if (!SELDOM.includes(key)) all.push({ key, statement });
  }
  return all;
}

describe("holdfast trace: every point, with what it tells", { concurrency: 2 }, () => {
  for (const node of [22, 24, 26] as const) {
    it(`under Node ${node}`, async (t) => {
      const service = await startService(t, { entry, workers: 1, node });
      const points = POINTS.filter(({ form }) => !NOT_HERE.includes(form));
      const program = points.map((point) => {
        const statements = expectedOf(point).map(({ statement }) => statement);
        return `${WRITTEN[point.form] ?? point.form} { ${statements.join("; ")} }`;
      });
      const trace = await LiveTrace.start(t, service, program.join("\n"), "--budget", "100");
      const target = await service.target();
      let reader = stuckReader(t, target);
      const wanted = points.flatMap((each) => expectedOf(each).map(({ key }) => key));
      const missing = (): readonly string[] => {
        const line = trace.lines.findLast(({ event }) => event === "aggregations");
        if (line === undefined) return wanted;
        return wanted.filter((key) => !((trace.row(line, "n", key) ?? 0) > 0));
      };
      await waitFor(
        "every point",
        async () => {
          assert.equal((await get(target, "/all")).text, "all");
          const left = missing();
          const isSeen = !left.some((key) => key.startsWith("stream:stuck"));
          if (isSeen) reader.destroy();
          else if (reader.destroyed) reader = stuckReader(t, target);
          return left.length === 0;
        },
        40_000,
        () =>
          `missing: ${missing().join(", ")}\n${trace.describe().slice(-1000)}\n${service.stderr}`,
      );
      assert.equal(await trace.interrupt(), 0, trace.describe());
    });
  }
});
