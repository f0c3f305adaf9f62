/** Whether a program is right, before it is sent to anybody. */
import { compileProgram } from "./compile.ts";
import type { CompileOptions } from "./compile.ts";
import { checkingHost } from "./host.ts";

export interface CheckedProgram {
  readonly source: string;
  /** The probes that it names, as written. */
  readonly probes: readonly string[];
  readonly aggregations: number;
}

/**
 * @throws TraceProgramError ERR_HOLDFAST_TRACE_PROGRAM with the place and a hint
 */
export function checkProgram(source: string, options: CompileOptions): CheckedProgram {
  const { clauses, aggregations } = compileProgram(source, checkingHost(), options);
  return {
    source,
    probes: [...new Set(clauses.map(({ written }) => written))],
    aggregations: aggregations.length,
  };
}
