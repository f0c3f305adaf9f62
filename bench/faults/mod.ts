/** The fault table: what clients notice of a fault. `npm run faults`, and tests in short form. */
export { misses } from "./bar.ts";
export { FAULT_NAMES } from "./fault.ts";
export type { FaultName } from "./fault.ts";
export { faultTable } from "./report.ts";
export { APP_NAMES, FULL, runScenario } from "./scenario.ts";
export type { AppName, FaultResult, Population, ScenarioOptions } from "./scenario.ts";
