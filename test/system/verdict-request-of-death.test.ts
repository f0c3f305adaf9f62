/** A request that kills every worker it meets is found out, and nobody else pays for it. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { RawConnection } from "./support/raw-client.ts";
import { VerdictService, expectRefused, requestBytes } from "./support/verdict.ts";

const OTHERS = 10;
/** Two deaths make it suspect beside the others; then each is tried alone. */
const DEATHS_MAX = 4;

it("ten other requests in flight: all answered, the culprit 500, few workers die", async (t) => {
  const world = await VerdictService.start(t, { workers: 2 });
  const { pid, connections } = await world.openOnOne(1 + OTHERS);
  const [culprit, ...others] = connections;
  assert.ok(culprit !== undefined);
  for (const other of others) other.sendRequest("GET", "/slow?ms=400");
  await world.service.waitForStatus("the others are in flight", ({ workers }) =>
    workers.some((worker) => worker.pid === pid && worker.inFlight === OTHERS),
  );
  culprit.send(requestBytes("GET", "/death?ms=50", "death"));
  const [, ...answers] = await Promise.all([
    expectRefused(culprit, 500),
    ...others.map((other) => other.readResponse(60_000)),
  ]);
  assert.deepEqual(
    answers.map(({ status }) => status),
    Array.from({ length: OTHERS }, () => 200),
  );
  const deaths = world.executions("death");
  assert.ok(deaths.length >= 2 && deaths.length <= DEATHS_MAX, `${deaths.length} workers died`);
  const { totals } = await world.service.status();
  assert.equal(totals["requestsOfDeath"], 1);
  assert.match(world.service.stderr, /request of death.*\/death\?ms=50/);
  await world.service.ready();
  for (const connection of connections) connection.close();
});

it("alone in flight: the second worker that dies with it is the last", async (t) => {
  const world = await VerdictService.start(t);
  const connection = await RawConnection.open(world.target);
  connection.send(requestBytes("GET", "/death?ms=1", "alone"));
  await expectRefused(connection, 500);
  assert.equal(world.executions("alone").length, 2);
  await world.service.ready();
  connection.close();
});
