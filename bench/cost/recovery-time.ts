/**
 * How long it takes until every idle connection of a dead worker is with another one. Two workers
 * have half of the connections each, and one is killed. Two figures, of two such deaths: by the
 * reactor's own count of moved connections, and by the answers to a request that is sent on every
 * connection at the moment of death (so this one includes serving all those requests).
 */
import { HoldfastService, holdfast } from "../contenders/mod.ts";
import { delay, kill, waitFor } from "../support/mod.ts";
import { Crowd, raiseDescriptorLimit } from "./crowd.ts";
import { startHello } from "./hello.ts";

export interface RecoveryTimeResult {
  /** Connections of the dead worker. */
  readonly connections: number;
  /** From the kill until the reactor has moved the last connection. */
  readonly movedMs: number;
  /** The same for as many connections as were asked for, in proportion. */
  readonly scaledMs: number;
  /**
   * From another kill until the last of `requests` requests, one on each connection, was answered.
   */
  readonly answeredMs: number;
  readonly requests: number;
  readonly failed: number;
  readonly barMs: number;
}

/** The worker that has most connections, when nothing moves any more. */
interface Victim {
  readonly pid: number;
  readonly connections: number;
  /** Connections moved since start, of the whole service. */
  readonly moved: number;
}

const BAR_MS = 1000;
const DEADLINE_MS = 240_000;
const SETTLE_MS = 1000;

/** One worker gets `asked` connections, or as many as the limit of descriptors allows. */
export async function measureRecoveryTime(
  asked: number,
  holdfastFlags: readonly string[],
  progress: (what: string) => void,
): Promise<RecoveryTimeResult> {
  const total = raiseDescriptorLimit(2 * asked);
  progress("starting");
  const { service, stop } = await startHello(holdfast, { workers: 2, holdfastFlags });
  if (!(service instanceof HoldfastService)) throw new Error("not holdfast");
  const crowd = new Crowd(service.options.port, total);
  try {
    progress(`opening ${total} connections`);
    await crowd.open(total);
    progress("killing a worker");
    const { connections, movedMs } = await measureMove(service);
    const asked1 = await crowd.ask();
    progress("killing a worker and asking on each");
    const victim = await whenSettled(service);
    const killedAt = Number(process.hrtime.bigint()) / 1e6;
    kill(victim.pid, "SIGKILL");
    const asked2 = await crowd.ask();
    return {
      connections,
      movedMs,
      scaledMs: (movedMs * asked) / connections,
      answeredMs: asked2.lastAt - killedAt,
      requests: total,
      failed: asked1.failed + asked2.failed,
      barMs: BAR_MS,
    };
  } finally {
    progress("stopping");
    crowd.destroy();
    await stop();
  }
}

async function measureMove(
  service: HoldfastService,
): Promise<{ readonly connections: number; readonly movedMs: number }> {
  const { pid, connections, moved } = await whenSettled(service);
  const killedAt = performance.now();
  kill(pid, "SIGKILL");
  await waitFor(`${connections} connections moved`, DEADLINE_MS, async () => {
    const { totals } = await service.status();
    return (totals["moved"] ?? 0) - moved >= connections;
  });
  return { connections, movedMs: performance.now() - killedAt };
}

/** Until both workers are ready and have kept their connections for a while. */
async function whenSettled(service: HoldfastService): Promise<Victim> {
  let last = "";
  return waitFor("two workers, nothing moving", DEADLINE_MS, async () => {
    const { workers, totals } = await service.status();
    const now = JSON.stringify(workers.map(({ pid, connections }) => [pid, connections]));
    const isSettled = now === last && workers.every(({ state }) => state === "ready");
    last = now;
    await delay(isSettled ? 0 : SETTLE_MS);
    const [most] = workers.toSorted((a, b) => b.connections - a.connections);
    if (!isSettled || workers.length !== 2 || most === undefined) return undefined;
    return { pid: most.pid, connections: most.connections, moved: totals["moved"] ?? 0 };
  });
}
