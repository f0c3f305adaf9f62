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
  return processFlow().storage.getStore() ?? null;
}

/** Runs `f`, and all that it starts, in the current context with these members changed. */
export function withContext<T>(change: Partial<FlowContext>, f: () => T): T {
  const { deadline = null, work = 0, criticality = "critical" } = currentContext() ?? {};
  return processFlow().storage.run({ deadline, work, criticality, ...change }, f);
}
