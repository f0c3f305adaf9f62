/**
 * The short matrix: plain http, Express and Fastify on every supported Node. Each starts, serves,
 * and loses nothing that can be saved when one of its workers is killed.
 */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, describe, it } from "node:test";
import type { TestContext } from "node:test";
import { ClosedLoops, distinctAnswers, expectOk, openIdle } from "./support/load.ts";
import { app } from "./support/paths.ts";
import type { NodeVersion } from "./support/paths.ts";
import { kill } from "./support/processes.ts";
import type { RawConnection } from "./support/raw-client.ts";
import { startService } from "./support/service.ts";
import { waitFor } from "./support/wait.ts";

const IDLE = 30;
const GETS = 12;
const POSTS = 8;
/** Long enough to be in flight when the worker is killed. */
const SLOW_MS = 1_000;

const folder = mkdtempSync(path.join(os.tmpdir(), "hf-matrix-"));
after(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe("kill -9 of a worker loses nothing that can be saved", () => {
  for (const node of [22, 24, 26] as const) {
    for (const entry of ["http.cjs", "express.cjs", "fastify.mjs"]) {
      it(`${entry} on Node ${node}`, (t) => killed(t, entry, node));
    }
  }
});

async function killed(t: TestContext, entry: string, node: NodeVersion): Promise<void> {
  const executed = path.join(folder, `${entry}-${node}`);
  const env = { EXECUTED_FILE: executed };
  const service = await startService(t, { entry: app(entry), node, env });
  const target = await service.target();
  await distinctAnswers(target, 2);
  const idle = await openIdle(target, IDLE);
  const gets = await openIdle(target, GETS);
  const posts = await openIdle(target, POSTS);
  const owners = await Promise.all(posts.map(async (each) => Number((await expectOk(each)).text)));
  const [victim] = owners; // a busy machine may give all connections to one worker
  assert.ok(victim !== undefined);
  const loops = new ClosedLoops(target, 2);

  for (const connection of gets) connection.sendRequest("GET", `/slow?ms=${SLOW_MS}`);
  for (const [id, connection] of posts.entries()) {
    const headers = { "x-id": String(id), "content-type": "text/plain" };
    connection.sendRequest("POST", `/slow?ms=${SLOW_MS}`, { headers, body: "body" });
  }
  await waitFor("every POST is being executed", () => executions(executed).length === POSTS);
  await service.waitForStatus("all in flight", ({ workers }) => {
    return workers.reduce((sum, { inFlight }) => sum + inFlight, 0) >= GETS + POSTS;
  });
  kill(victim, "SIGKILL");

  for (const connection of gets) assert.equal((await connection.readResponse()).status, 200);
  for (const [id, connection] of posts.entries()) {
    await assertPostOutcome(connection, owners[id] === victim);
  }
  for (const connection of idle) await expectOk(connection);
  await loops.progress(5);
  assert.deepEqual((await loops.stop()).failures, []);
  const ids = executions(executed);
  assert.equal(new Set(ids).size, ids.length, "no POST was executed twice");
  const status = await service.waitForStatus("another worker in its place", ({ workers }) =>
    workers.every(({ pid, state }) => pid !== victim && state === "ready"),
  );
  assert.ok((status.totals["moved"] ?? 0) > 0, "connections were moved");
  for (const connection of [...idle, ...gets, ...posts]) connection.close();
}

/** A POST that was in flight in the dead worker gets one clean 503 or 502; others get their 200. */
async function assertPostOutcome(connection: RawConnection, wasVictims: boolean): Promise<void> {
  const response = await connection.readResponse();
  if (!wasVictims) {
    assert.equal(response.status, 200);
    return;
  }
  assert.ok(response.status === 503 || response.status === 502, `status ${response.status}`);
  assert.equal(response.headers["connection"]?.toLowerCase(), "close");
  assert.equal(await connection.waitForEnd(), "fin");
  assert.equal(connection.unread.length, 0);
}

function executions(file: string): string[] {
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, "utf8").trimEnd().split("\n");
  return lines.map((line) => line.split(" ")[0] ?? "");
}
