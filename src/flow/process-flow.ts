/**
 * What all copies of this library in one process share: the table of work and the storage that
 * carries the context. Under `holdfast run` the worker offers both, so that the table lies in the
 * ledger; elsewhere it is memory of this process.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { channel } from "node:diagnostics_channel";
import { WORK_BYTES, WorkTable } from "../ledger/mod.ts";
import type { FlowContext } from "./context.ts";

/** Raised when the meaning of `ProcessFlow` changes: copies of another version keep to themselves. */
const VERSION = 1;
const CHANNEL = "holdfast:flow";

export interface ProcessFlow {
  readonly version: number;
  readonly table: WorkTable;
  readonly storage: AsyncLocalStorage<FlowContext>;
}

interface Question {
  answer: ProcessFlow | null;
}

let found: ProcessFlow | null = null;

/** The one of this process. */
export function processFlow(): ProcessFlow {
  if (found !== null) return found;
  const question: Question = { answer: null };
  channel(CHANNEL).publish(question);
  const isOurs = question.answer?.version === VERSION;
  found = isOurs && question.answer !== null ? question.answer : make(null);
  return found;
}

function make(table: WorkTable | null): ProcessFlow {
  return {
    version: VERSION,
    table: table ?? new WorkTable(new ArrayBuffer(WORK_BYTES), 0, "writer"),
    storage: new AsyncLocalStorage<FlowContext>(),
  };
}

/** A worker offers its part of the ledger to every copy of this library. */
export function offerTable(makeTable: () => WorkTable): void {
  let flow: ProcessFlow | null = null;
  channel(CHANNEL).subscribe((question) => {
    flow ??= make(makeTable());
    (question as Question).answer = flow; // published above, by us or another copy
  });
}
