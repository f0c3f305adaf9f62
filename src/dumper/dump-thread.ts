/** Writes the memory of a process that stands still into a file: a thread of the dumper. */
import { rmSync } from "node:fs";
import { parentPort } from "node:worker_threads";
import { openTarget, signalName, writeDump } from "../autopsy/mod.ts";
import type { SignalFacts, Target } from "../autopsy/mod.ts";
import { HoldfastError } from "../base/mod.ts";
import { readProcessStat } from "../os/mod.ts";

export interface DumpOrder {
  readonly pid: number;
  readonly path: string;
  /** Of every thread; it is held by another thread than this one. */
  readonly registers: ReadonlyMap<number, Uint8Array>;
  /** What ends the process, and the thread that has got it; null: no signal does. */
  readonly fatal: (Omit<SignalFacts, "name"> & { readonly tid: number }) | null;
}

export interface DumpOutcome {
  /** Null: it is whole. */
  readonly error: string | null;
  readonly bytes: number;
}

function dump({ pid, path, registers, fatal }: DumpOrder): DumpOutcome {
  const known = new Map([...registers].map(([tid, words]) => [tid, Buffer.from(words)]));
  try {
    const tracer = { seize: () => known, release: () => undefined };
    const target = openTarget(pid, { tracer });
    try {
      const { bytes } = writeDump(fatal === null ? target : diedOf(target, fatal), path);
      const state = readProcessStat(pid)?.state ?? "X";
      if (state !== "X" && state !== "Z") return { error: null, bytes };
      rmSync(path, { force: true });
      return { error: "it was killed while it was copied", bytes: 0 };
    } finally {
      target.close();
    }
  } catch (error) {
    return { error: failure(error), bytes: 0 };
  }
}

/** Its advice is for people who have named a file. */
function failure(error: unknown): string {
  if (!(error instanceof HoldfastError)) return String(error);
  const isUnwritten = error.code === "ERR_HOLDFAST_AUTOPSY_WRITE";
  return isUnwritten ? error.message.replace(/ Name another place.*$/s, "") : error.message;
}

/** The thread that has got the signal comes first, as in the kernel's own cores. */
function diedOf(target: Target, fatal: NonNullable<DumpOrder["fatal"]>): Target {
  const isOther = (tid: number): number => Number(tid !== fatal.tid);
  return {
    ...target,
    threads: target.threads.toSorted((a, b) => isOther(a.tid) - isOther(b.tid)),
    signal: { ...fatal, name: signalName(fatal.number) },
  };
}

parentPort?.once("message", (order: DumpOrder) => {
  parentPort?.postMessage(dump(order));
  parentPort?.close();
});
