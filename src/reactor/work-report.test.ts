import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { STATE } from "../ledger/mod.ts";
import { whileBusy } from "./work-report.ts";

describe("a connection whose request is listed", () => {
  function connection(): { state: number; atMs: number } {
    return { state: STATE.busy, atMs: 5 };
  }

  function read(row: { state: number; atMs: number }, meanwhile: () => void): string | null {
    const table = { state: () => row.state, requestAtMs: () => row.atMs };
    return whileBusy(table, 3, () => {
      meanwhile();
      return "GET /";
    });
  }

  it("is read as it is while its request lasts", () => {
    assert.equal(
      read(connection(), () => undefined),
      "GET /",
    );
  });

  it("is not listed, as a request without a name, when that ends meanwhile", () => {
    const row = connection();
    assert.equal(
      read(row, () => (row.state = STATE.idle)),
      null,
    );
  });

  it("is not listed under the age of one request and the name of the next", () => {
    const row = connection();
    assert.equal(
      read(row, () => (row.atMs = 6)),
      null,
    );
  });
});
