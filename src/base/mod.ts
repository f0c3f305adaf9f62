/** What everything stands on: errors, units, messages, configuration. Imports nothing of ours. */
export type { ResolvedConfig } from "./config-types.ts";
export { entryUrl } from "./entry-url.ts";
export { HoldfastError } from "./errors.ts";
export type * from "./messages.ts";
export {
  PACKET_CLOSED,
  PACKET_CONNECTIONS,
  PACKET_JOURNAL,
  PACKET_JSON,
  PACKET_OPAQUE,
  PACKET_RELEASED,
  PACKET_RETAIN,
} from "./messages.ts";
export { once } from "./once.ts";
export { formatDuration, formatSize, parseDuration, parseSize } from "./units.ts";
export { VERSION } from "./version.ts";
