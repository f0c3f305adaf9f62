/** Raw TCP servers: bytes in both directions, both workers, and what a reload does to a client. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { before, describe, it } from "node:test";
import { app } from "./support/paths.ts";
import { RawConnection } from "./support/raw-client.ts";
import { DRAIN_TIMEOUT_MS, reloadWithStayingClient } from "./support/reload.ts";
import { startService, suiteOwner } from "./support/service.ts";
import type { Service, Target } from "./support/service.ts";
import { kill } from "./support/processes.ts";
import { waitFor } from "./support/wait.ts";

describe("a raw TCP server", () => {
  const owner = suiteOwner();
  let service: Service;
  let target: Target;

  before(async () => {
    const flags = ["--drain-timeout", `${DRAIN_TIMEOUT_MS}ms`];
    service = await startService(owner, { entry: app("net-echo.cjs"), flags });
    target = await service.target();
  });

  it("speaks first, echoes megabytes, and ends after the client", async () => {
    const { connection } = await greet(target);
    const bytes = randomBytes(2_000_000);
    connection.send(bytes);
    assert.deepEqual(await connection.readBytes(bytes.length), bytes);
    connection.halfClose();
    assert.equal(await connection.waitForEnd(), "fin");
  });

  it("is served by both workers", async () => {
    const pids = new Set<number>();
    const all: RawConnection[] = [];
    await waitFor("greetings of two workers", async () => {
      const { connection, pid } = await greet(target);
      all.push(connection);
      pids.add(pid);
      return pids.size === 2;
    });
    assert.deepEqual(pids, new Set(await service.workerPids()));
    for (const connection of all) connection.close();
  });

  it("a client stays through a reload until the drain deadline", async () => {
    const old = await service.workerPids();
    const { connection, pid } = await greet(target);
    await reloadWithStayingClient(service, {
      exchange: async () => {
        await echo(connection);
        const fresh = await greet(target);
        assert.ok(!old.includes(fresh.pid), "a new client comes to a new worker");
        fresh.connection.close();
      },
      ended: connection.waitForEnd(),
    });
    assert.ok(old.includes(pid));
    connection.close();
  });

  it("a reload is over as soon as the last client has gone", async () => {
    const before = await service.workerPids();
    const { connection } = await greet(target);
    const reload = service.control("reload");
    await service.waitForStatus("a new generation", ({ workers }) =>
      workers.some((worker) => worker.state === "ready" && !before.includes(worker.pid)),
    );
    await echo(connection);
    connection.close();
    assert.equal((await reload).code, 0);
    await service.waitForStatus("the old generation is gone", ({ workers }) =>
      workers.every((worker) => !before.includes(worker.pid)),
    );
  });

  it("a crash of the worker ends its clients, at once, and nobody else's", async () => {
    const victim = await greet(target);
    let other = await greet(target);
    const extra: RawConnection[] = [];
    await waitFor("a client of the other worker", async () => {
      if (other.pid !== victim.pid) return true;
      extra.push(other.connection);
      other = await greet(target);
      return false;
    });
    kill(victim.pid, "SIGKILL");
    await victim.connection.waitForEnd();
    for (const connection of extra) await connection.waitForEnd();
    await echo(other.connection);
    other.connection.close();
    await service.ready();
    (await greet(target)).connection.close();
  });
});

async function greet(target: Target): Promise<{ connection: RawConnection; pid: number }> {
  const connection = await RawConnection.open(target);
  return { connection, pid: Number(await connection.readLine()) };
}

async function echo(connection: RawConnection): Promise<void> {
  const bytes = randomBytes(32);
  connection.send(bytes);
  assert.deepEqual(await connection.readBytes(bytes.length), bytes);
}
