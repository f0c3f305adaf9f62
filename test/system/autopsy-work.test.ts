/** Outstanding work in a core against what the service knew of it: asyncs, requests, handles. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, it } from "node:test";
import { Session, parseExpression, runExpression } from "../../src/autopsy/mod.ts";
import type { TableResult } from "../../src/autopsy/mod.ts";
import { NODES, inPosition, makeCore, program, startPatient } from "./support/autopsy.ts";

const HELD = 25;

/** What the program has written. */
interface Truth {
  readonly requests: readonly string[];
  readonly place: { readonly line: number; readonly column: number };
  readonly address: string;
  readonly port: number;
  readonly chosenPort: number;
  readonly udp: string;
  readonly watched: string;
  readonly connections: readonly string[];
  readonly socketPath: string;
  readonly counts: Readonly<Record<string, number>>;
}

async function ask(session: Session, expression: string): Promise<TableResult> {
  const result = await runExpression(session, parseExpression(expression), undefined);
  assert.ok(result.kind === "table");
  return result;
}

async function checkWork(session: Session, { requests, place }: Truth): Promise<void> {
  const waitsAt = `${program("service.cjs")}:${place.line}:${place.column}`;
  const asyncs = await ask(session, "asyncs");
  assert.deepEqual(
    asyncs.rows.map(([count, name, at]) => [count, name, at]),
    [[HELD, "answerRequest", waitsAt]],
  );
  const promises = await ask(session, "promises --limit 0");
  const awaited = promises.rows.filter(([, name]) => name === "answerRequest");
  assert.equal(awaited.length, HELD);
  for (const [, , at] of awaited) assert.equal(at, waitsAt);
  const inFlight = await ask(session, "requests --limit 0");
  // it asks itself: each request is there twice, as it is served and as it is awaited
  for (const source of ["server", "client"]) {
    const rows = inFlight.rows.filter((row) => row[6] === source);
    assert.deepEqual(
      rows.map(([, method, url]) => `${method} ${url}`).toSorted(),
      requests.toSorted(),
    );
    const isPeerKnown = rows.every((row) => /^http:\/\/[\d.]+:\d+$/u.test(String(row[5])));
    assert.equal(isPeerKnown, source === "client");
  }
  for (const row of inFlight.rows) assert.equal(row[3], "waiting for an answer");
  const modules = await ask(session, "modules");
  assert.deepEqual(
    modules.rows.map(([file, kind]) => [file, kind]),
    [[program("service.cjs"), "commonjs"]],
  );
}

async function checkHandles(
  session: Session,
  { requests, address, port, chosenPort, counts, socketPath, ...truth }: Truth,
): Promise<void> {
  const servers = await ask(session, "handles server");
  // our dump has the descriptors of the process, and what the kernel knew of each
  const places = servers.rows.map(([, , what]) => String(what));
  for (const place of [`${address}:${port}`, socketPath]) assert.ok(places.includes(place), place);
  assert.ok(places.some((place) => place === `${address}:${chosenPort}`));
  for (const row of servers.rows) assert.ok(Number(row[4]) > 2, "a descriptor");
  const sockets = await ask(session, "handles socket --limit 0");
  const served = (verb: string): readonly string[] =>
    sockets.rows.map((row) => String(row[3])).filter((text) => text.startsWith(`${verb} `));
  const expected = (verb: string): readonly string[] =>
    requests.map((request) => `${verb} ${request}`).toSorted();
  assert.deepEqual(served("answers").toSorted(), expected("answers"));
  assert.deepEqual(served("asks").toSorted(), expected("asks"));
  // both ends of each connection, and standard error if Node has opened it; one pipe is a server
  const expectedCount = (counts["TCPSocketWrap"] ?? 0) + (counts["PipeWrap"] ?? 0) - 1;
  assert.equal(sockets.rows.length, expectedCount);
  const connected = sockets.rows.map(([, , what]) => String(what));
  assert.equal(truth.connections.length, 2 * HELD);
  for (const pair of truth.connections) assert.ok(connected.includes(pair), pair);
  const [[, , udp] = []] = (await ask(session, "handles udp")).rows;
  assert.equal(udp, truth.udp);
  const [[, , watched] = []] = (await ask(session, "handles watcher")).rows;
  assert.equal(watched, truth.watched);
  const timers = await ask(session, "handles timer --limit 0");
  const own = timers.rows.filter(([, , , callback]) => /^on(Tick|Due) /.test(String(callback)));
  assert.deepEqual(own.map(([, , what, by]) => `${what} ${String(by).split(" ")[0]}`).toSorted(), [
    "every 1000000 ms onTick",
    "once, after 2000000 ms onDue",
  ]);
  for (const [, , , callback] of own) assert.match(String(callback), /service\.cjs:\d+/);
}

describe("outstanding work in a core", () => {
  for (const major of NODES.keys()) {
    it(`is what the service itself knew, Node ${major}`, async (t) => {
      const patient = startPatient(t, major, (folder) => [
        program("service.cjs"),
        path.join(folder, "truth.json"),
      ]);
      const file = path.join(patient.folder, "truth.json");
      await inPosition(patient, { file });
      // the program writes it, see there
      const truth = JSON.parse(readFileSync(file, "utf8")) as Truth;
      const core = makeCore(patient);
      const session = await Session.open(core, { node: null, tracer: null, environment: {} });
      try {
        await checkWork(session, truth);
        await checkHandles(session, truth);
      } finally {
        session.close();
      }
    });

    it(`has the modules of both loaders, Node ${major}`, async (t) => {
      const patient = startPatient(t, major, [program("modules/main.mjs")]);
      await inPosition(patient, { line: "loaded" });
      const core = makeCore(patient);
      const session = await Session.open(core, { node: null, tracer: null, environment: {} });
      t.after(() => session.close());
      const { rows } = await ask(session, "modules");
      assert.deepEqual(
        rows.map(([file, kind]) => `${path.basename(String(file))} ${kind}`),
        ["common.cjs commonjs", "data.json commonjs", "imported.mjs esm", "main.mjs esm"],
      );
    });
  }
});
