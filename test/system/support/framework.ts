/**
 * What a web framework must do under `holdfast run`, the same for each of them. The applications
 * have the routes listed in `test/apps/shared/work.cjs`.
 */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { before, describe, it } from "node:test";
import {
  ClosedLoops,
  EventReader,
  distinctAnswers,
  expectOk,
  get,
  openIdle,
  send,
} from "./load.ts";
import { app } from "./paths.ts";
import { RawConnection } from "./raw-client.ts";
import { startService, suiteOwner } from "./service.ts";
import type { Service, ServiceOptions, Target } from "./service.ts";

/** Larger than the default journal limit of 64 KiB, so that both kinds of body are seen. */
const LARGE_BODY_BYTES = 300_000;

interface Running {
  service: Service;
  target: Target;
}

/** Declares the suite of one framework. */
export function frameworkSuite(
  name: string,
  entry: string,
  options: Omit<ServiceOptions, "entry"> = {},
): void {
  describe(name, () => {
    const running = {} as Running; // Filled by `before`, which every case waits for.
    const owner = suiteOwner();
    before(async () => {
      running.service = await startService(owner, { entry: app(entry), ...options });
      running.target = await running.service.target();
    });
    it("answers from every worker", async () => {
      const answers = await distinctAnswers(running.target, 2);
      const pids = (await running.service.workerPids()).map(String);
      assert.deepEqual(answers, new Set(pids));
    });
    it("keeps a connection for many requests", () => keepsConnection(running.target));
    it("answers HEAD without a body, and 404", () => answersHead(running.target));
    it("takes a JSON body", () => takesJson(running.target));
    it("takes large bodies, counted and chunked", () => takesLargeBodies(running.target));
    it("streams a response", () => streams(running.target));
    it("streams events until the client goes", () => streamsEvents(running.target));
    it("reloads without failing a request", () => reloads(running));
    it("stops in good order", async () => {
      assert.deepEqual(await running.service.stop(), { code: 0, signal: null });
    });
  });
}

async function keepsConnection(target: Target): Promise<void> {
  const connection = await RawConnection.open(target);
  const answers = new Set<string>();
  for (let i = 0; i < 50; i += 1) answers.add((await expectOk(connection)).text);
  assert.equal(answers.size, 1, "one worker serves a connection while nothing happens");
  assert.equal(connection.ended, "open");
  assert.equal(connection.unread.length, 0);
  connection.close();
}

async function answersHead(target: Target): Promise<void> {
  const connection = await RawConnection.open(target);
  const head = await connection.request("HEAD", "/");
  assert.equal(head.status, 200);
  const missing = await connection.request("GET", "/missing");
  assert.equal(missing.status, 404);
  await expectOk(connection);
  connection.close();
}

async function takesJson(target: Target): Promise<void> {
  const body = JSON.stringify({ text: "grüße", numbers: [1, 2, 3] });
  const headers = { "content-type": "application/json" };
  const connection = await RawConnection.open(target);
  for (let i = 0; i < 3; i += 1) {
    const response = await connection.request("POST", "/json", { headers, body });
    assert.equal(response.status, 200, response.text);
    assert.deepEqual(JSON.parse(response.text), JSON.parse(body));
  }
  connection.close();
}

async function takesLargeBodies(target: Target): Promise<void> {
  const body = randomBytes(LARGE_BODY_BYTES);
  const type = { "content-type": "application/octet-stream" };
  const connection = await RawConnection.open(target);
  const counted = await connection.request("POST", "/echo", { headers: type, body });
  assert.equal(digest(counted.body), digest(body));
  const headers = { ...type, "transfer-encoding": "chunked" };
  connection.sendRequest("POST", "/echo", { headers });
  for (let start = 0; start < body.length; start += 10_000) {
    const piece = body.subarray(start, start + 10_000);
    connection.send(`${piece.length.toString(16)}\r\n`);
    connection.send(piece);
    connection.send("\r\n");
  }
  connection.send("0\r\n\r\n");
  const chunked = await connection.readResponse();
  assert.equal(digest(chunked.body), digest(body));
  await expectOk(connection);
  connection.close();
}

async function streams(target: Target): Promise<void> {
  const connection = await RawConnection.open(target);
  const lines = await connection.request("GET", "/chunked?n=20");
  assert.equal(lines.headers["transfer-encoding"], "chunked");
  assert.equal(lines.text, Array.from({ length: 20 }, (_, i) => `line ${i}\n`).join(""));
  const big = await connection.request("GET", "/big?bytes=3000000");
  assert.equal(digest(big.body), digest(Buffer.alloc(3_000_000, "holdfast")));
  connection.close();
}

async function streamsEvents(target: Target): Promise<void> {
  const reader = await EventReader.open(target);
  await reader.next(3);
  reader.close();
  assert.equal((await get(target)).status, 200);
}

async function reloads({ service, target }: Running): Promise<void> {
  const before = await service.workerPids();
  const idle = await openIdle(target, 20);
  const loops = new ClosedLoops(target, 4);
  const slowLoops = new ClosedLoops(target, 8, "/slow?ms=50");
  await slowLoops.progress(16);
  const result = await service.control("reload");
  assert.equal(result.code, 0, result.stderr.toString() + service.describe());
  await loops.progress(50);
  await slowLoops.progress(16);
  for (const { failures, reconnects } of [await loops.stop(), await slowLoops.stop()]) {
    assert.deepEqual(failures, []);
    assert.equal(reconnects, 0, "no kept connection was closed");
  }
  const after = await service.workerPids();
  assert.deepEqual(
    before.filter((pid) => after.includes(pid)),
    [],
    "every worker is new",
  );
  for (const connection of idle) {
    assert.equal(connection.ended, "open", "no idle connection was closed");
    const { text } = await expectOk(connection);
    assert.ok(after.includes(Number(text)), `answered by ${text}, not by a new worker`);
    connection.close();
  }
  assert.equal((await send(target, "GET", "/")).status, 200);
}

function digest(bytes: Buffer): string {
  return `${bytes.length} ${createHash("sha256").update(bytes).digest("hex")}`;
}
