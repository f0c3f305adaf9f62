/** Memory of a small service: keeper, reactor and one worker with the hello application. */
import { HoldfastService, holdfast } from "../contenders/mod.ts";
import { delay, processMemory } from "../support/mod.ts";
import { startHello } from "./hello.ts";
import { runLoad } from "./load.ts";

export interface ServiceMemoryResult {
  /** Proportional set sizes in bytes, by process. */
  readonly pss: Readonly<Record<"keeper" | "reactor" | "worker", number>>;
  readonly totalBytes: number;
  /** The same after a second of load. */
  readonly totalAfterLoadBytes: number;
  readonly barBytes: number;
}

const BAR_BYTES = 128 * 1024 * 1024;
const SETTLE_MS = 1500;

export async function measureServiceMemory(
  progress: (what: string) => void,
): Promise<ServiceMemoryResult> {
  progress("starting");
  const { service, stop } = await startHello(holdfast, { workers: 1 });
  if (!(service instanceof HoldfastService)) throw new Error("not holdfast");
  try {
    await delay(SETTLE_MS);
    const pss = await read(service);
    progress("a second of load");
    await runLoad("keep-alive", service.options.port, 1000);
    await delay(SETTLE_MS);
    const totalAfterLoadBytes = sum(await read(service));
    return { pss, totalBytes: sum(pss), totalAfterLoadBytes, barBytes: BAR_BYTES };
  } finally {
    await stop();
  }
}

async function read(service: HoldfastService): Promise<ServiceMemoryResult["pss"]> {
  const { pid, reactorPid, workers } = await service.status();
  const [worker] = workers;
  if (worker === undefined || workers.length !== 1) throw new Error("not one worker");
  return {
    keeper: processMemory(pid).pss,
    reactor: processMemory(reactorPid).pss,
    worker: processMemory(worker.pid).pss,
  };
}

function sum(pss: ServiceMemoryResult["pss"]): number {
  return pss.keeper + pss.reactor + pss.worker;
}
