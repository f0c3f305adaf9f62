/** What `import ... from "holdfast/flow"` offers: every piece of work bounded and accounted for. */
export { nowMs } from "./clock.ts";
export { CRITICALITIES, currentContext, withContext } from "./context.ts";
export type { Criticality, FlowContext } from "./context.ts";
export { Deadline, deadline } from "./deadline.ts";
export { DeadlineExceeded, FlowError, Overloaded } from "./errors.ts";
export { tableOffer } from "./process-flow.ts";
export { account, gates, inFlight, totals } from "./work.ts";
export type { Account, Work } from "./work.ts";
export { Gate, Permit, gate } from "./gate.ts";
export type { EnterOptions, GateOptions, GateStats, QueueOptions, Visitor } from "./gate.ts";
export type { LimitOptions, Sample } from "./limits.ts";
export { forwardDeadlines } from "./outbound-deadline.ts";
export { SlowPeers } from "./slow-peers.ts";
export type { SlowPeerOptions, SlowReason } from "./slow-peers.ts";
export { guardServer } from "./server-guard.ts";
export type { ServerGuard, ServerGuardOptions } from "./server-guard.ts";
