/** What travels with a piece of work through everything that it waits for. */
import type { Deadline } from "./deadline.ts";
import { processFlow } from "./process-flow.ts";
import type { Work } from "./work.ts";

/** From what must be served to what may be shed first. */
export const CRITICALITIES = ["critical-plus", "critical", "sheddable-plus", "sheddable"] as const;
export type Criticality = (typeof CRITICALITIES)[number];

export interface FlowContext {
  readonly deadline: Deadline | null;
  /** What is being worked on; 0: nothing that is accounted. */
  readonly work: Work;
  readonly criticality: Criticality;
}

/** The context that the caller runs in; null outside of any. */
export function currentContext(): FlowContext | null {
  const flow = processFlow();
  if (!flow.isAsked) {
    flow.isAsked = true;
    flow.onAsked();
  }
  return flow.storage.getStore() ?? null;
}

/** What the caller does from here on, and all that it starts, is part of `work`. */
export function enterWork(work: Work): void {
  processFlow().storage.enterWith({ deadline: null, work, criticality: "critical" });
}

/** Runs `f`, and all that it starts, in the current context with these members changed. */
export function withContext<T>(change: Partial<FlowContext>, f: () => T): T {
  const { storage } = processFlow();
  const { deadline = null, work = 0, criticality = "critical" } = storage.getStore() ?? {};
  return storage.run({ deadline, work, criticality, ...change }, f);
}
