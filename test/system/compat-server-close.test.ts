/** `server.close()`, listening again, and what happens to the address meanwhile. */
import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { distinctAnswers, expectOk, get, openIdle } from "./support/load.ts";
import { jsonLines } from "./support/output.ts";
import { app } from "./support/paths.ts";
import { RawConnection } from "./support/raw-client.ts";
import { startService, suiteOwner } from "./support/service.ts";
import type { Service, Target } from "./support/service.ts";
import { waitFor } from "./support/wait.ts";

interface Event {
  readonly pid: number;
  readonly event: string;
  readonly address?: { readonly port: number } | null;
  readonly error?: string;
  readonly listening?: boolean;
}

describe("server.close()", () => {
  const owner = suiteOwner();
  let service: Service;
  let target: Target;

  before(async () => {
    service = await startService(owner, { entry: app("listen-actions.cjs") });
    target = await service.target();
  });

  it("ends idle connections of that worker only, and the other one answers all", async () => {
    const idle = await openIdle(target, 12);
    const closing = await RawConnection.open(target);
    const owners = await Promise.all(idle.map(async (each) => (await expectOk(each)).text));
    const victim = (await expectOk(closing)).text;
    assert.equal((await closing.request("GET", "/close")).text, "closing");
    await closing.waitForEnd();
    await happened(service, "closed", victim);
    for (const [index, connection] of idle.entries()) {
      if (owners[index] === victim) assert.equal(await connection.waitForEnd(), "fin");
      else await expectOk(connection);
      connection.close();
    }
    for (let i = 0; i < 10; i += 1) assert.notEqual((await get(target)).text, victim);
  });

  it("of the last worker frees the address", async () => {
    assert.equal((await get(target, "/close")).text, "closing");
    await waitFor("nobody listens any more", async () => {
      try {
        (await RawConnection.open(target)).close();
        return false;
      } catch (error) {
        return (error as NodeJS.ErrnoException).code === "ECONNREFUSED";
      }
    });
    await waitFor("both closed", () => eventsOf(service, "closed").length === 2);
    assert.deepEqual(
      eventsOf(service, "closed").map(({ error, listening }) => [error, listening]),
      [
        [undefined, false],
        [undefined, false],
      ],
    );
    assert.deepEqual(
      eventsOf(service, "close").map(({ address }) => address),
      [null, null],
      "a closed server has no address",
    );
  });
});

describe("a server that listens again", () => {
  it("gets the same port, and both workers answer there", async (t) => {
    const service = await startService(t, { entry: app("listen-actions.cjs") });
    const target = await service.target();
    for (let round = 0; round < 3; round += 1) {
      assert.equal((await get(target, "/relisten")).text, "listening again");
      await waitFor("listening again", () => {
        return eventsOf(service, "listening").length === 2 + round + 1;
      });
    }
    const ports = new Set(eventsOf(service, "listening").map(({ address }) => address?.port));
    assert.equal(ports.size, 1);
    await distinctAnswers(target, 2);
  });

  it("works with one worker, where nobody else holds the address", async (t) => {
    const entry = app("listen-actions.cjs");
    const service = await startService(t, { entry, workers: 1 });
    const target = await service.target();
    assert.equal((await get(target, "/relisten")).text, "listening again");
    await waitFor("listening again", () => eventsOf(service, "listening").length === 2);
    const [first, second] = eventsOf(service, "listening");
    assert.deepEqual(second, first, service.describe()); // Same worker, same address.
    assert.equal((await get(target)).status, 200);
  });
});

function eventsOf(service: Service, event: string): Event[] {
  return jsonLines<Event>(service.stdout).filter((line) => line.event === event);
}

async function happened(service: Service, event: string, pid: string): Promise<void> {
  await waitFor(`${event} in ${pid}`, () => {
    return eventsOf(service, event).some((line) => line.pid === Number(pid));
  });
}
