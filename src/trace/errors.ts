/** What is wrong with a program, exactly where, and what would be right. */
import { HoldfastError } from "../base/mod.ts";

/** A place in a program: 1 is the first line, and the first character of a line. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** Where the character at `offset` stands. */
export function positionAt(source: string, offset: number): Position {
  const before = source.slice(0, Math.min(offset, source.length));
  const lines = before.split("\n");
  return { line: lines.length, column: (lines.at(-1) ?? "").length + 1 };
}

/** A program that was refused before anything was traced. */
export class TraceProgramError extends HoldfastError {
  readonly offset: number;
  readonly position: Position;
  /** What is wrong, without the place. */
  readonly problem: string;
  /** A sentence that says what would be right. */
  readonly hint: string;

  constructor(source: string, offset: number, problem: string, hint: string) {
    const position = positionAt(source, offset);
    const at = `${position.line}:${position.column}`;
    super(
      "ERR_HOLDFAST_TRACE_PROGRAM",
      `Cannot compile the trace program, at ${at}: ${problem}. ${hint}`,
    );
    this.offset = Math.min(offset, source.length);
    this.position = position;
    this.problem = problem;
    this.hint = hint;
  }
}

/** The line of the program with a caret below the place, for a terminal. */
export function excerpt(source: string, offset: number): string {
  const { line, column } = positionAt(source, offset);
  const text = (source.split("\n")[line - 1] ?? "").replaceAll("\t", " ");
  const from = Math.max(0, column - 60);
  const shown = text.slice(from, from + 78);
  return `  ${shown}\n  ${" ".repeat(column - 1 - from)}^`;
}
