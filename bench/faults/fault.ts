/** The faults: what each of them does to the service, and what must be whole in spite of it. */
import { renameSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { ReloadResult, Service } from "../contenders/mod.ts";
import { kill } from "../support/mod.ts";

export const FAULT_NAMES = [
  "throw",
  "kill9",
  "oom",
  "spin",
  "sigstop",
  "reload",
  "reload-broken",
  "reactor",
] as const;
export type FaultName = (typeof FAULT_NAMES)[number];

/**
 * What a fault hits: one worker, which is then gone; all workers, each replaced in order; nothing,
 * since the new version is refused; or the process that takes the connections.
 */
export type Target = "worker" | "every-worker" | "nothing" | "acceptor";

export const FAULT_TARGETS: Readonly<Record<FaultName, Target>> = {
  throw: "worker",
  kill9: "worker",
  oom: "worker",
  spin: "worker",
  sigstop: "worker",
  reload: "every-worker",
  "reload-broken": "nothing",
  reactor: "acceptor",
};

/** Heap of each worker where it is to run out of memory, in MiB; small, so that it does so soon. */
export const OOM_HEAP_MEGABYTES = 128;

/** What `apps/fault-entry.cjs` throws as a broken version; the operator must get to read it. */
export const BROKEN_VERSION_SAYS = "this version is broken";

/** What a worker is, by its answer to `GET /`: `<pid>`, or `<pid>.<thread>`. */
export type WorkerName = string;

/** When the fault happened, by `performance.now()`; of a reload, which goes on, also its end. */
export interface Injected {
  readonly at: number;
  readonly command?: Promise<ReloadResult>;
}

/** Makes the fault happen now. */
export async function injectFault(
  fault: FaultName,
  service: Service,
  victim: WorkerName,
): Promise<Injected> {
  const at = performance.now();
  switch (fault) {
    case "throw":
      order(service, victim, "crash");
      break;
    case "oom":
    case "spin":
      order(service, victim, fault);
      break;
    case "kill9":
      kill(pidOf(victim), "SIGKILL");
      break;
    case "sigstop":
      kill(pidOf(victim), "SIGSTOP");
      break;
    case "reactor": {
      const pid = await service.acceptor();
      if (pid <= 0) throw new Error("no process takes the connections for it");
      kill(pid, "SIGKILL");
      return { at: performance.now() };
    }
    case "reload":
      return { at, command: service.reload() };
    case "reload-broken":
      writeFileSync(path.join(service.options.folder, "broken"), "");
      return { at, command: service.reload() };
  }
  return { at };
}

/** Leaves an order for `apps/fault-entry.cjs` in that worker; complete before it can be seen. */
function order(service: Service, worker: WorkerName, fault: "crash" | "oom" | "spin"): void {
  const file = path.join(service.options.folder, `order-${worker}`);
  writeFileSync(`${file}.new`, fault);
  renameSync(`${file}.new`, file);
}

function pidOf(worker: WorkerName): number {
  return Number(worker.split(".")[0]);
}
