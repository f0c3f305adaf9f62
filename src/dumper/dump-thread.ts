/** Writes the memory of a process that stands still into a file: a thread of the dumper. */
import { rmSync } from "node:fs";
import { parentPort } from "node:worker_threads";
import { openTarget, writeDump } from "../autopsy/mod.ts";
import { readProcessStat } from "../os/mod.ts";

export interface DumpOrder {
  readonly pid: number;
  readonly path: string;
  /** Of every thread; it is held by another thread than this one. */
  readonly registers: ReadonlyMap<number, Uint8Array>;
}

export interface DumpOutcome {
  /** Null: it is whole. */
  readonly error: string | null;
  readonly bytes: number;
}

function dump({ pid, path, registers }: DumpOrder): DumpOutcome {
  const known = new Map([...registers].map(([tid, words]) => [tid, Buffer.from(words)]));
  try {
    const tracer = { seize: () => known, release: () => undefined };
    const target = openTarget(pid, { tracer });
    try {
      const { bytes } = writeDump(target, path);
      const state = readProcessStat(pid)?.state ?? "X";
      if (state !== "X" && state !== "Z") return { error: null, bytes };
      rmSync(path, { force: true });
      return { error: "it was killed while it was copied", bytes: 0 };
    } finally {
      target.close();
    }
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error), bytes: 0 };
  }
}

parentPort?.once("message", (order: DumpOrder) => {
  parentPort?.postMessage(dump(order));
  parentPort?.close();
});
