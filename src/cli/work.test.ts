import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { WorkItem, WorkReport } from "../supervision/mod.ts";
import { onlyKind, page } from "./work.ts";

type Kind = WorkReport["workers"][number]["kinds"][number];

function kind(name: string, unlisted: number): Kind {
  const outcomes = { ok: 1, error: 0, refused: 0, expired: 0, cancelled: 0, lost: 0 };
  const figures = { bytes: 0, meanUs: 1, p50Us: 1, p99Us: 1, maxUs: 1 };
  return { kind: name, inFlight: 1, unlisted, opened: 2, outcomes, ...figures };
}

function item(name: string, of: string): WorkItem {
  const times = { ageMs: 1500, idleMs: 20, leftMs: null };
  const rest = { worker: 0, id: 1, state: "running", bytes: 0, buffered: 0, parent: null };
  return { ...rest, ...times, kind: of, name };
}

const REPORT: WorkReport = {
  atMs: 0,
  workers: [{ index: 0, id: 1, pid: 7, kinds: [kind("http.in", 0), kind("sql", 30)], gates: [] }],
  items: [item("GET /a", "http.in"), item("GET /b", "http.in"), item("orders", "sql")],
  unlisted: 30,
};

describe("the page of work in flight", () => {
  it("has rows of the chosen kind only, in every table", () => {
    const lines = page("shop", onlyKind(REPORT, "sql"), 30, false);
    assert.equal(lines[0], "shop  31 in flight, oldest: 1.50s");
    assert.equal(lines.filter((line) => line.includes("http.in")).length, 0);
    assert.equal(lines.filter((line) => line.includes("sql")).length, 2);
  });

  it("promises by --limit 0 only what that can show", () => {
    const lines = page("shop", REPORT, 1, false);
    assert.ok(lines.includes("... and 2 more: --limit 0"), lines.join("\n"));
    assert.ok(lines.includes("... and 30 that are counted, not listed"), lines.join("\n"));
  });
});
