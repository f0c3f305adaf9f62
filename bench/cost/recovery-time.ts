/**
 * How long it takes until every idle connection of a dead worker is with another one. One worker takes
 * all connections, a second one is added, the first is killed. Two figures, in two deaths:
 * by the reactor's own count of moved connections, and by the answers to a request that is sent on
 * every connection at the moment of death (so this one includes serving all those requests).
 */
import { HoldfastService, holdfast } from "../contenders/mod.ts";
import type { HoldfastStatus } from "../contenders/mod.ts";
import { kill, waitFor } from "../support/mod.ts";
import { Crowd, raiseDescriptorLimit } from "./crowd.ts";
import { startHello } from "./hello.ts";

export interface RecoveryTimeResult {
  readonly connections: number;
  /** From the kill until the reactor has moved the last connection. */
  readonly movedMs: number;
  /** From another kill until the last of as many requests was answered. */
  readonly answeredMs: number;
  readonly failed: number;
  readonly barMs: number;
}

const BAR_MS = 1000;
const DEADLINE_MS = 30_000;

export async function measureRecoveryTime(
  asked: number,
  progress: (what: string) => void,
): Promise<RecoveryTimeResult> {
  const count = raiseDescriptorLimit(asked);
  progress("starting");
  const { service, stop } = await startHello(holdfast, { workers: 1 });
  if (!(service instanceof HoldfastService)) throw new Error("not holdfast");
  const crowd = new Crowd(service.options.port, count);
  try {
    progress(`opening ${count} connections`);
    await crowd.open();
    const scaled = await service.verb("scale", "2");
    if (scaled.code !== 0) throw new Error(`scale failed: ${scaled.output}`);
    progress("killing their worker");
    const before = await whenReady(service);
    const victim = crowded(before, count);
    const moved = before.totals["moved"] ?? 0;
    const killedAt = performance.now();
    kill(victim, "SIGKILL");
    await waitFor("all connections moved", DEADLINE_MS, async () => {
      const { totals } = await service.status();
      return (totals["moved"] ?? 0) - moved >= count;
    });
    const movedMs = performance.now() - killedAt;
    const first = await crowd.ask();
    progress("killing their worker and asking on each");
    const second = crowded(await whenReady(service), count);
    const secondAt = Number(process.hrtime.bigint()) / 1e6;
    kill(second, "SIGKILL");
    const last = await crowd.ask();
    return {
      connections: count,
      movedMs,
      answeredMs: last.lastAt - secondAt,
      failed: first.failed + last.failed,
      barMs: BAR_MS,
    };
  } finally {
    progress("stopping");
    crowd.destroy();
    await stop();
  }
}

function whenReady(service: HoldfastService): Promise<HoldfastStatus> {
  return waitFor("two workers ready", DEADLINE_MS, async () => {
    const status = await service.status();
    const ready = status.workers.filter((worker) => worker.state === "ready");
    return ready.length === 2 ? status : undefined;
  });
}

/** The worker that has them all. */
function crowded(status: HoldfastStatus, count: number): number {
  const worker = status.workers.find((each) => each.connections >= count);
  if (worker === undefined) {
    const shares = status.workers.map((each) => each.connections).join(", ");
    throw new Error(`no worker has all ${count} connections: ${shares}`);
  }
  return worker.pid;
}
