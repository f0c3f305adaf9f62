/** What of the reactor `holdfast attach` does for one process: its agent, asked for operators. */
export { AgentLink } from "./agent-link.ts";
export { Live } from "./live.ts";
export type { LiveLink } from "./live.ts";
export { Lookout } from "./lookout.ts";
export { Stalls } from "./stalls.ts";
export type { StallPorts, StalledLink } from "./stalls.ts";
export { Traces } from "./traces.ts";
export type { TracedLink } from "./traces.ts";
