/**
 * Memory of an idle connection, beyond the kernel's own: how much the reactor and the ledger grow.
 *
 * The ledger is shared memory, so its pages are counted once, by what the file holds; the reactor's
 * own memory is what it shares with nobody. A JavaScript heap grows by garbage too, and has room to
 * grow into: so many connections are opened and closed first, and the figure is the slope of a line
 * through several numbers of held connections (least squares).
 */
import { readFileSync, readlinkSync, readdirSync, statSync } from "node:fs";
import { HoldfastService, holdfast } from "../contenders/mod.ts";
import { delay, say } from "../support/mod.ts";
import { Crowd, hardLimit, raiseDescriptorLimit } from "./crowd.ts";
import { startHello } from "./hello.ts";
import { runLoad } from "./load.ts";
import { median, slope } from "./statistics.ts";

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
  /** What the figures were made of: bytes, at several numbers of held connections. */
  readonly steps: readonly (Memory & { readonly held: number })[];
  readonly bar: number;
}

interface Memory {
  readonly reactor: number;
  readonly ledger: number;
  readonly workers: number;
}

const BAR_BYTES = 512;
const WORKERS = 2;
/** Parts of the connections that are held when memory is looked at. */
const STEPS = [0, 0.25, 0.5, 0.75, 1];
const WARM_UP_LOAD_MS = 4000;
const SETTLE_MS = 2500;
const SAMPLES = 9;
const SAMPLE_INTERVAL_MS = 200;

/** Holds up to `asked` idle connections and measures what one takes. */
export async function measureIdleMemory(
  asked: number,
  holdfastFlags: readonly string[],
  progress: (what: string) => void,
): Promise<IdleMemoryResult> {
  const count = raiseDescriptorLimit(asked);
  progress("starting");
  const { service, stop } = await startHello(holdfast, { workers: WORKERS, holdfastFlags });
  if (!(service instanceof HoldfastService)) throw new Error("not holdfast");
  const crowd = new Crowd(service.options.port, count);
  try {
    progress("warming up");
    await runLoad("connection each", service.options.port, WARM_UP_LOAD_MS);
    const steps: (Memory & { readonly held: number })[] = [];
    for (const step of STEPS) {
      const held = Math.round(count * step);
      progress(`${held} of ${count} connections`);
      await crowd.open(held);
      await delay(SETTLE_MS);
      const memory = await sample(service);
      steps.push({ held, ...memory });
      say(`${held} held: reactor ${memory.reactor}, ledger ${memory.ledger} bytes`);
    }
    progress("asking on each");
    const { answered } = await crowd.ask();
    const each = (kind: keyof Memory): number => slope(steps.map((at) => [at.held, at[kind]]));
    return {
      asked,
      held: count,
      descriptorLimit: hardLimit(),
      reactorBytesEach: each("reactor"),
      ledgerBytesEach: each("ledger"),
      bytesEach: each("reactor") + each("ledger"),
      workerBytesEach: each("workers"),
      answered,
      steps,
      bar: BAR_BYTES,
    };
  } finally {
    progress("stopping");
    crowd.destroy();
    await stop();
  }
}

async function sample(service: HoldfastService): Promise<Memory> {
  const samples: Memory[] = [];
  const { reactorPid, workers } = await service.status();
  for (let i = 0; i < SAMPLES; i += 1) {
    samples.push({
      reactor: anonymousBytes(reactorPid),
      ledger: memoryFileBytes(reactorPid),
      workers: workers.reduce((sum, worker) => sum + anonymousBytes(worker.pid), 0),
    });
    await delay(SAMPLE_INTERVAL_MS);
  }
  const middle = (kind: keyof Memory): number => median(samples.map((each) => each[kind]));
  return { reactor: middle("reactor"), ledger: middle("ledger"), workers: middle("workers") };
}

/**
 * Memory of a process that no other shares: its heaps. From proc_pid_smaps(5). The share that a
 * process has of its program's pages changes with whatever else runs the same program.
 */
function anonymousBytes(pid: number): number {
  const smaps = readFileSync(`/proc/${pid}/smaps`, "utf8");
  const matches = [...smaps.matchAll(/^Anonymous:\s+(\d+) kB/gm)];
  if (matches.length === 0) throw new Error(`process ${pid} has no readable smaps`);
  return matches.reduce((sum, match) => sum + Number(match[1]) * 1024, 0);
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
