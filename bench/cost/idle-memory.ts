/**
 * Memory of an idle connection, beyond the kernel's own: how much the reactor and the ledger grow.
 *
 * The ledger is shared memory, so its pages are counted once, by what the file holds, and left out of
 * the reactor's share. A JavaScript heap grows by garbage too: so as many connections as will be held
 * are first opened and closed, a few at a time; then nothing but what is held is new.
 */
import { readFileSync, readlinkSync, readdirSync, statSync } from "node:fs";
import { HoldfastService, holdfast } from "../contenders/mod.ts";
import { delay, processMemory } from "../support/mod.ts";
import { Crowd, hardLimit, raiseDescriptorLimit } from "./crowd.ts";
import { startHello } from "./hello.ts";
import { CONNECTIONS, runLoad } from "./load.ts";
import { median } from "./statistics.ts";

export interface IdleMemoryResult {
  /** Connections that were asked for, and that the descriptor limit allowed. */
  readonly asked: number;
  readonly held: number;
  readonly descriptorLimit: number;
  readonly reactorBytesEach: number;
  readonly ledgerBytesEach: number;
  readonly bytesEach: number;
  /** For comparison: what the workers grow, which is Node's own sockets mostly. */
  readonly workerBytesEach: number;
  /** Connections that answered a request at the end. */
  readonly answered: number;
  readonly bar: number;
}

interface Memory {
  readonly reactor: number;
  readonly ledger: number;
  readonly workers: number;
}

const BAR_BYTES = 512;
const WORKERS = 2;
const WARM_UP_LOAD_MS = 4000;
const SETTLE_MS = 2500;
const SAMPLES = 9;
const SAMPLE_INTERVAL_MS = 200;

/** Holds up to `asked` idle connections and measures what one takes. */
export async function measureIdleMemory(
  asked: number,
  progress: (what: string) => void,
): Promise<IdleMemoryResult> {
  const count = raiseDescriptorLimit(asked);
  progress("starting");
  const { service, stop } = await startHello(holdfast, { workers: WORKERS });
  if (!(service instanceof HoldfastService)) throw new Error("not holdfast");
  const crowd = new Crowd(service.options.port, count);
  try {
    progress("warming up");
    await runLoad("connection each", service.options.port, WARM_UP_LOAD_MS);
    await delay(SETTLE_MS);
    const before = await sample(service);
    progress(`opening ${count} connections`);
    await crowd.open();
    await delay(SETTLE_MS);
    const after = await sample(service);
    progress("asking on each");
    const { answered } = await crowd.ask();
    const each = (kind: keyof Memory): number => (after[kind] - before[kind]) / count;
    return {
      asked,
      held: count,
      descriptorLimit: hardLimit(),
      reactorBytesEach: each("reactor"),
      ledgerBytesEach: each("ledger"),
      bytesEach: each("reactor") + each("ledger"),
      workerBytesEach: each("workers"),
      answered,
      bar: BAR_BYTES,
    };
  } finally {
    progress("stopping");
    crowd.destroy();
    await stop();
  }
}

/** How many connections the warm-up had open at most. */
export const WARM_UP_CONNECTIONS: number = CONNECTIONS;

async function sample(service: HoldfastService): Promise<Memory> {
  const samples: Memory[] = [];
  const { reactorPid, workers } = await service.status();
  for (let i = 0; i < SAMPLES; i += 1) {
    const { pss, ledgerPss, ledgerBytes } = reactorMemory(reactorPid);
    const workersPss = workers.reduce((sum, worker) => sum + processMemory(worker.pid).pss, 0);
    samples.push({ reactor: pss - ledgerPss, ledger: ledgerBytes, workers: workersPss });
    await delay(SAMPLE_INTERVAL_MS);
  }
  const middle = (kind: keyof Memory): number => median(samples.map((each) => each[kind]));
  return { reactor: middle("reactor"), ledger: middle("ledger"), workers: middle("workers") };
}

/** Of the reactor, from proc_pid_smaps(5): its share of all memory, and of memory files alone. */
function reactorMemory(pid: number): { pss: number; ledgerPss: number; ledgerBytes: number } {
  let isLedger = false;
  let pss = 0;
  let ledgerPss = 0;
  for (const line of readFileSync(`/proc/${pid}/smaps`, "utf8").split("\n")) {
    if (/^[\da-f]+-[\da-f]+ /.test(line)) isLedger = line.includes("/memfd:");
    const match = /^Pss:\s+(\d+) kB/.exec(line);
    if (match === null) continue;
    pss += Number(match[1]) * 1024;
    if (isLedger) ledgerPss += Number(match[1]) * 1024;
  }
  return { pss, ledgerPss, ledgerBytes: memoryFileBytes(pid) };
}

/** What the memory files that a process has open hold, each once. */
function memoryFileBytes(pid: number): number {
  const folder = `/proc/${pid}/fd`;
  const sizes = new Map<number, number>();
  for (const fd of readdirSync(folder)) {
    if (!targetOf(`${folder}/${fd}`).startsWith("/memfd:")) continue;
    const { ino, blocks } = statSync(`${folder}/${fd}`);
    sizes.set(ino, blocks * 512);
  }
  if (sizes.size === 0) throw new Error(`process ${pid} has no memory file open`);
  return [...sizes.values()].reduce((sum, bytes) => sum + bytes, 0);
}

function targetOf(link: string): string {
  try {
    return readlinkSync(link);
  } catch {
    return ""; // Closed between the listing and the look.
  }
}
