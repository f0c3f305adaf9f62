import assert from "node:assert/strict";
import { test } from "node:test";
import { descriptorLimit, ledgerShape } from "./ledger-shape.ts";

test("as many connections as the reactor may have descriptors, within bounds", () => {
  assert.equal(ledgerShape(2, 20_000).connectionsMax, 20_000 - 512);
  assert.equal(ledgerShape(2, 1024).connectionsMax, 512);
  assert.equal(ledgerShape(2, 300).connectionsMax, 150);
  assert.equal(ledgerShape(2, 160).connectionsMax, 64);
  assert.equal(ledgerShape(2, 100).connectionsMax, 16);
  assert.equal(ledgerShape(2, Number.MAX_SAFE_INTEGER).connectionsMax, 262_144);
});

test("rows for several generations of workers", () => {
  assert.equal(ledgerShape(1, 1e4).workersMax, 64);
  assert.equal(ledgerShape(100, 1e4).workersMax, 400);
  assert.equal(ledgerShape(256, 1e4).workersMax, 1024);
});

test("the limit is the hard one", () => {
  const head = "Limit                     Soft Limit           Hard Limit           Units     \n";
  const line = "Max open files            1024                 524288               files     \n";
  assert.equal(descriptorLimit(head + line), 524_288);
  assert.equal(descriptorLimit(line.replaceAll(/524288/g, "unlimited")), Number.MAX_SAFE_INTEGER);
  assert.ok(descriptorLimit() >= 256, "our own");
});
