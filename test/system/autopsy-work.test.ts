/** Outstanding work in a core against what the service knew of it: asyncs, requests, handles. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, it } from "node:test";
import { Session, parseExpression, runExpression } from "../../src/autopsy/mod.ts";
import type { TableResult } from "../../src/autopsy/mod.ts";
import type { CellValue } from "../../src/autopsy/front/result.ts";
import { PtraceTracer } from "../../src/os/mod.ts";
import { NODES, inPosition, makeCore, program, startPatient } from "./support/autopsy.ts";

const HELD = 25;
/** One whose body is not all sent, and one that `fetch` has asked for; see the program. */
const UPLOAD = "POST /orders/23";
const FETCHED = "GET /fetched";
const [LIVE_MAJOR, PLAIN_MAJOR] = [24, 26];
/** The kernel counts in ticks, ages are whole milliseconds. */
const TICK_MS = 20;

/** What the program has written. */
interface Truth {
  readonly requests: readonly string[];
  /** On the machine's clock: before it was asked for, and when it was seen. */
  readonly times: Readonly<Record<string, { readonly sentMs: number; readonly seenMs: number }>>;
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

/** A request in flight, by what `requests` tells of it. */
interface InFlight {
  readonly request: string;
  readonly state: CellValue;
  readonly age: CellValue;
  readonly since: CellValue;
  readonly peer: CellValue;
  readonly source: CellValue;
}

async function inFlightOf(session: Session): Promise<readonly InFlight[]> {
  const { columns, rows } = await ask(session, "requests --limit 0");
  return rows.map((row) => {
    const at = (name: string): CellValue =>
      row[columns.findIndex((column) => column.name === name)] ?? null;
    return {
      request: `${at("method")} ${at("url")}`,
      state: at("state"),
      age: at("age"),
      since: at("since"),
      peer: at("peer"),
      source: at("source"),
    };
  });
}

/** Ages, and since when they are counted, against the program's own clock. */
function checkAges(rows: readonly InFlight[], nowMs: number, { times }: Truth): void {
  for (const { request, age, since, source } of rows) {
    const { sentMs = NaN, seenMs = NaN } = times[request] ?? {};
    const [least, most] = [nowMs - seenMs - TICK_MS, nowMs - sentMs + TICK_MS];
    const isUploading = request === UPLOAD;
    const first = isUploading && source === "server";
    const whole = source === "server" ? "last byte received" : "last byte sent";
    assert.equal(since, first ? "first byte" : source === "fetch" ? "fetch()" : whole);
    assert.ok(
      typeof age === "number" && age <= most,
      `${source} ${request}: ${age} ms, at most ${most}`,
    );
    // of an upload, bytes were sent after it was seen perhaps
    const isLater = isUploading && !first;
    assert.ok(isLater || age >= least, `${source} ${request}: ${age} ms, at least ${least}`);
  }
}

/** A core of the kernel does not say when it was taken, and has no times of connections. */
async function checkPlainCore(core: string, nowMs: number, truth: Truth): Promise<void> {
  const bytes = readFileSync(core);
  for (const key of ["takenAtMs", "sockets"]) {
    const at = bytes.lastIndexOf(`"${key}":`);
    assert.ok(at > 0);
    bytes.write(`"x`, at, "latin1");
  }
  writeFileSync(core, bytes);
  const { rows, remarks } = await opened(core, (session) => ask(session, "requests --limit 0"));
  const aged = rows.filter((row) => row[4] !== null);
  assert.deepEqual(aged.map((row) => `${String(row[7])} since ${String(row[5])}`).toSorted(), [
    "fetch since fetch()",
    "server since first byte",
  ]);
  for (const [, method, url, , age] of aged) {
    const { sentMs = NaN } = truth.times[`${String(method)} ${String(url)}`] ?? {};
    const most = nowMs - sentMs + TICK_MS;
    assert.ok(Number(age) >= 0 && Number(age) <= most, `${String(url)}: ${age} ms of ${most}`);
  }
  const text = remarks.join("\n");
  assert.match(text, /ages go to the loop's last turn, at least/);
  assert.match(text, new RegExp(`^${2 * HELD} have no age: .*holdfast autopsy dump`, "m"));
}

async function opened<Value>(
  what: string,
  look: (session: Session) => Promise<Value> | Value,
): Promise<Value> {
  const tracer = new PtraceTracer();
  const session = await Session.open(what, { node: null, tracer, environment: {} });
  try {
    return await look(session);
  } finally {
    session.close();
  }
}

async function checkWork(session: Session, truth: Truth): Promise<void> {
  const { requests, place } = truth;
  const waitsAt = `${program("service.cjs")}:${place.line}:${place.column}`;
  const asyncs = await ask(session, "asyncs");
  assert.deepEqual(
    asyncs.rows
      .map(([count, name, at]) => [count, name, at])
      .filter(([, name, at]) => name !== "sleeper" && !String(at).startsWith("node:")), // of fetch
    [[HELD, "answerRequest", waitsAt]],
  );
  const promises = await ask(session, "promises --limit 0");
  const awaited = promises.rows.filter(([, name]) => name === "answerRequest");
  assert.equal(awaited.length, HELD);
  for (const [, , at] of awaited) assert.equal(at, waitsAt);
  const inFlight = await inFlightOf(session);
  // it asks itself: each request is there twice, as it is served and as it is awaited
  for (const source of ["server", "client", "fetch"]) {
    const rows = inFlight.filter((row) => row.source === source);
    const fetched = source === "client" ? [] : [FETCHED];
    assert.deepEqual(
      rows.map(({ request }) => request).toSorted(),
      [...(source === "fetch" ? [] : requests), ...fetched].toSorted(),
    );
    const isPeerKnown = rows.every(({ peer }) => /^http:\/\/[\d.]+:\d+$/u.test(String(peer)));
    assert.equal(isPeerKnown, source !== "server");
  }
  for (const { source, request, state } of inFlight) {
    const isUpload = source === "server" && request.includes(UPLOAD);
    assert.equal(state, isUpload ? "its body is still coming" : "waiting for an answer");
  }
  checkAges(inFlight, session.target.takenAtMs ?? NaN, truth);
  const modules = await ask(session, "modules");
  assert.deepEqual(
    modules.rows
      .map(([file, kind]) => [file, kind])
      .filter(([file]) => !String(file).startsWith("wasm:")), // of fetch
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
  const answers = [...expected("answers"), `answers ${FETCHED}`];
  assert.deepEqual(served("answers").toSorted(), answers.toSorted());
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
  const own = timers.rows.filter(([, , , callback]) =>
    /^on(Tick|Due) .*service\.cjs:\d+/.test(String(callback)),
  );
  assert.deepEqual(own.map(([, , what, by]) => `${what} ${String(by).split(" ")[0]}`).toSorted(), [
    "every 1000000 ms onTick",
    "once, after 2000000 ms onDue",
  ]);
  // a timer that settles a promise: who waits for that
  const sleeps = timers.rows.filter(([, , what]) => what === "once, after 4000000 ms");
  assert.equal(sleeps.length, 1);
  assert.match(String(sleeps[0]?.[3]), /^await in sleeper .*service\.cjs:\d+:3$/u);
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
      const takenAtMs = await opened(core, async (session) => {
        await checkWork(session, truth);
        await checkHandles(session, truth);
        return session.target.takenAtMs ?? NaN;
      });
      // the rest does not depend on the version
      if (major === PLAIN_MAJOR) await checkPlainCore(core, takenAtMs, truth);
      if (major !== LIVE_MAJOR) return;
      await opened(String(patient.pid), async (session) => {
        checkAges(await inFlightOf(session), session.target.takenAtMs ?? NaN, truth);
      });
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
