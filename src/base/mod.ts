/** What everything stands on: errors, units, messages, configuration. Imports nothing of ours. */
export { AGENT_OPTIONS } from "./agent-options.ts";
export { LINE_CHANNEL, ROUTE_CHANNEL, TRACE_CHANNEL } from "./agent-messages.ts";
export type * from "./agent-messages.ts";
export { monotonicNowMs } from "./clock.ts";
export type { Clock } from "./clock.ts";
export { stackText } from "./call-sites.ts";
export { loadConfig } from "./config.ts";
export type { ConfigFlags } from "./config.ts";
export { CONFIG_FLAG, CONFIG_OPTIONS, variableOf } from "./config-options.ts";
export type { ConfigOption } from "./config-options.ts";
export { defineConfig } from "./config-input.ts";
export type { Config, DurationText, SizeText } from "./config-input.ts";
export type { AdminAddress, ResolvedConfig } from "./config-types.ts";
export { entryUrl } from "./entry-url.ts";
export {
  HISTOGRAM_BUCKETS,
  HISTOGRAM_UNIT_NS,
  bucketLowUs,
  bucketOf,
  bucketUs,
  bucketWidthUs,
  quantilesUs,
} from "./histogram.ts";
export { HoldfastError } from "./errors.ts";
export { EXIT_CODES, exitCodeOf } from "./exit-codes.ts";
export { fileOfFrameLine, foldFrames } from "./fold-frames.ts";
export type { FoldedFrame } from "./fold-frames.ts";
export { JsonLines } from "./json-lines.ts";
export { Logger, oneLine, parseLogEntry, renderHuman, renderJson, wantsColor } from "./log.ts";
export type { LogEntry, LogFields, LogLevel, TextOutput } from "./log.ts";
export type * from "./messages.ts";
export {
  PACKET_CLOSED,
  PACKET_CONNECTIONS,
  PACKET_JOURNAL,
  PACKET_JSON,
  PACKET_OPAQUE,
  PACKET_RELEASED,
  PACKET_RETAIN,
  PACKET_TRACE,
} from "./messages.ts";
export { deadlineOf, flowOrders, hasDeadlines, isBounded, pipeLimits } from "./flow-orders.ts";
export type { RequestLine } from "./flow-orders.ts";
export {
  DEADLINE_HEADER,
  DEADLINE_HEADERS,
  deadlineHeader,
  deadlineOfHeaders,
} from "./request-deadline.ts";
export { Crowd } from "./crowd.ts";
export type { CrowdMember } from "./crowd.ts";
export { readCgroupLimits, usableCpuCount } from "./machine.ts";
export type { CgroupLimits } from "./machine.ts";
export { didYouMean, nearestName } from "./nearest.ts";
export { once } from "./once.ts";
export {
  BACKOFF_MAX_MS,
  HEALTHY_AFTER_MS,
  RestartIntensity,
  backoffMs,
} from "./restart-intensity.ts";
export type { IntensityLimit } from "./restart-intensity.ts";
export { patternText, routeOfPath } from "./route-name.ts";
export { RoutePatterns } from "./route-patterns.ts";
export { NAME_PATTERN, controlSocketPath, runtimeDirectory } from "./runtime-dir.ts";
export type { Environment } from "./runtime-dir.ts";
export { MASK, isSecretName, maskTarget } from "./secret-names.ts";
export { BUDGET_SHARE, EXPIRY_MS, PROGRAM_CHARS_MAX } from "./trace-limits.ts";
export { throwLater } from "./throw-later.ts";
export { formatDuration, formatSize, parseDuration, parseSize } from "./units.ts";
export { VERSION } from "./version.ts";
