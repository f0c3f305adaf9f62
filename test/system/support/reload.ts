/** Reloading a service under a client whose connection cannot be moved. */
import assert from "node:assert/strict";
import { readyPids } from "./service.ts";
import type { Service } from "./service.ts";
import { within } from "./wait.ts";

/** For `--drain-timeout` of such a service: long enough to exchange something meanwhile. */
export const DRAIN_TIMEOUT_MS = 2_500;

export interface StayingClient {
  /** Exchanges something with the old worker, once the new ones are ready. */
  readonly exchange: () => Promise<void>;
  /** Settles when the client's connection has ended. */
  readonly ended: Promise<unknown>;
}

/**
 * Reloads while the client stays: the connection works on when the new generation is ready, and
 * ends when the drain deadline has passed, not before. Returns the pids before and after.
 */
export async function reloadWithStayingClient(
  service: Service,
  client: StayingClient,
): Promise<{ before: number[]; after: number[] }> {
  const before = await service.workerPids();
  const startedAt = performance.now();
  let endedAt = Infinity;
  const ended = client.ended.then(() => {
    endedAt = performance.now();
  });
  const reload = service.control("reload");
  const status = await service.waitForStatus("the new generation is ready", (now) => {
    const fresh = readyPids(now).filter((pid) => !before.includes(pid));
    return fresh.length >= before.length;
  });
  await client.exchange();
  const result = await reload;
  assert.equal(result.code, 0, result.stderr.toString() + service.describe());
  await within("end of the staying client", ended);
  const stayedMs = endedAt - startedAt;
  assert.ok(stayedMs >= DRAIN_TIMEOUT_MS, `ended after ${stayedMs} ms, before the deadline`);
  const after = readyPids(status).filter((pid) => !before.includes(pid));
  await service.waitForStatus("only the new generation is left", ({ workers }) =>
    workers.every((worker) => !before.includes(worker.pid)),
  );
  return { before, after };
}
