/**
 * What all copies of this library in one process share: the table of work and the storage that
 * carries the context. Under `holdfast run` the worker offers both, so that the table lies in the
 * ledger; elsewhere it is memory of this process.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { channel } from "node:diagnostics_channel";
import { WORK_BYTES, WorkTable } from "../ledger/mod.ts";
import type { WorkView } from "../ledger/mod.ts";
import type { FlowContext } from "./context.ts";

/** Raised when `ProcessFlow` changes: copies of another version keep to themselves. */
const VERSION = 4;
export const FLOW_CHANNEL = "holdfast:flow";

export interface ProcessFlow {
  readonly version: number;
  readonly table: WorkTable;
  readonly storage: AsyncLocalStorage<FlowContext>;
  /** Requests in flight that the server accounts for elsewhere. */
  readonly requests: () => readonly WorkView[];
  /**
   * Somebody has asked what is being worked on: each request that comes from now on is a context.
   * Before that nobody would see it, and it costs a microsecond.
   */
  isAsked: boolean;
  /** Called once, when somebody asks. */
  readonly onAsked: () => void;
}

/** What a worker knows and is told. */
export type FlowHosting = Partial<Pick<ProcessFlow, "requests" | "onAsked">>;

interface Question {
  answer: ProcessFlow | null;
}

let found: ProcessFlow | null = null;

/** The one of this process. */
export function processFlow(): ProcessFlow {
  if (found !== null) return found;
  const question: Question = { answer: null };
  channel(FLOW_CHANNEL).publish(question);
  const isOurs = question.answer?.version === VERSION;
  found = isOurs && question.answer !== null ? question.answer : make(null, {});
  return found;
}

function make(table: WorkTable | null, host: FlowHosting): ProcessFlow {
  return {
    version: VERSION,
    table: table ?? new WorkTable(new ArrayBuffer(WORK_BYTES), 0, "writer"),
    storage: new AsyncLocalStorage<FlowContext>(),
    requests: host.requests ?? (() => []),
    isAsked: false,
    onAsked: host.onAsked ?? (() => undefined),
  };
}

/**
 * What a worker subscribes to `FLOW_CHANNEL`, so that every copy of this library in its process
 * writes to its part of the ledger.
 */
export function tableOffer(table: WorkTable, host: FlowHosting = {}): (question: unknown) => void {
  const flow = make(table, host);
  return (question) => {
    (question as Question).answer = flow; // published above, by us or another copy
  };
}
