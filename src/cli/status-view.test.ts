import assert from "node:assert/strict";
import { test } from "node:test";
import { EXAMPLE_WORKER, exampleStatus } from "../../test/support/example-status.ts";
import type { Status } from "../supervision/mod.ts";
import { renderStatus } from "./status-view.ts";

test("a page for people", () => {
  assert.deepEqual(renderStatus(exampleStatus(), false), [
    "shop  running  up 3m12s  generation 2  2 workers",
    "/srv/shop/server.js on 127.0.0.1:3000, unix /run/shop.socket",
    "holdfast 0.1.0, keeper 4711, reactor 4712, accepts in the reactor",
    "! worker 1 is restarted in 2s",
    "",
    "WORKER   PID  STATE    CONNECTIONS  IN FLIGHT  OLDEST          REQUESTS  LAG  CPU    RSS  " +
      "HEAP LIMIT  RESTARTS  LAST EXIT",
    "     0  4713  ready             12          1  GET /slow 1.2s      1024  1ms  12%  64MiB  " +
      "    512MiB         0",
    "     1     -  backoff            0          0                         7    -    -      -  " +
      "         -         4  SIGKILL",
    " total                          12          1                      1031       12%  64MiB  " +
      "                   4",
    "",
    "since start  accepted 100, requests 1031, restarts 4",
    "recovery     moved 3, replayed 2, refused 1, aborted 0",
    "limits       connections 12 of 65536, descriptors 1048576",
  ]);
});

test("a path of a client cannot write to the terminal, nor make the table wide", () => {
  const path = `/\u001B[2J${"x".repeat(500)}\n`;
  const worker = { ...EXAMPLE_WORKER, oldest: { method: "GET", path, ageMs: 5 } };
  const text = renderStatus({ ...exampleStatus(), workers: [worker] }, false).join("\n");
  assert.ok(!text.includes("\u001B"));
  assert.ok(Math.max(...text.split("\n").map((line) => line.length)) < 180);
});

test("colours only where asked for; the words are the same", () => {
  const strip = (lines: readonly string[]): readonly string[] => {
    // eslint-disable-next-line no-control-regex -- colours are what it is about
    return lines.map((line) => line.replaceAll(/\u001B\[\d+m/g, ""));
  };
  const colored = renderStatus(exampleStatus(), true);
  assert.ok(colored.some((line) => line.includes("\u001B[32mready")));
  assert.deepEqual(
    strip(colored).map((line) => line.trimEnd()),
    renderStatus(exampleStatus(), false),
  );
});

test("what is rare is shown when it happened", () => {
  const { totals } = exampleStatus();
  const status: Status = {
    ...exampleStatus(),
    mode: "portable",
    reactorRestarts: 2,
    listeners: [],
    notes: [],
    totals: { ...totals, requestsOfDeath: 1, journalFull: 5 },
  };
  const text = renderStatus(status, false).join("\n");
  assert.match(text, /server\.js on nothing yet/);
  assert.match(text, /reactor 4712, restarted 2x, portable mode/);
  assert.match(text, /aborted 0, requests of death 1, journal full 5/);
});
