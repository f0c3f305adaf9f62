/**
 * What the agent loads into the main thread of a process that Holdfast has not started
 * (`holdfast attach`), when the first trace starts: the desk of traces.
 */
import { TraceDesk } from "./trace-desk.ts";

/** It closes when the agent says that it is over. */
export function openDesk(worker: number): void {
  new TraceDesk(worker).open();
}
