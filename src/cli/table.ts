/** Text in columns, and text of strangers made safe for a terminal. */
import { oneLine } from "../base/mod.ts";

export interface Column {
  readonly title: string;
  readonly align: "left" | "right";
}

/** A cell, with the colour that it has on a terminal (an SGR number, or null). */
export interface Cell {
  readonly text: string;
  readonly color: number | null;
}

const GAP = "  ";

/** Lines of a table, titles first. Widths are those of the longest cell; no line ends in spaces. */
export function renderTable(
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
  isColored: boolean,
): readonly string[] {
  const titles = columns.map(({ title }): Cell => ({ text: title, color: 2 }));
  const all = [titles, ...rows];
  const widths = columns.map((_, index) =>
    Math.max(...all.map((row) => row[index]?.text.length ?? 0)),
  );
  return all.map((row) => {
    const cells = columns.map(({ align }, index) => {
      const cell = row[index] ?? { text: "", color: null };
      const width = widths[index] ?? 0;
      const padded = align === "left" ? cell.text.padEnd(width) : cell.text.padStart(width);
      return { text: padded, color: cell.text === "" ? null : cell.color };
    });
    const last = cells.findLastIndex((cell) => cell.text.trim() !== "");
    return cells
      .slice(0, last + 1)
      .map((cell, index) => paint(index === last ? trimmedEnd(cell) : cell, isColored))
      .join(GAP);
  });
}

/** The text in its colour. */
export function paint(cell: Cell, isColored: boolean): string {
  if (!isColored || cell.color === null) return cell.text;
  return `\u001B[${cell.color}m${cell.text}\u001B[0m`;
}

/** What a client or an application wrote, on one line and without control characters. */
export function printable(text: string): string {
  return oneLine(text);
}

/** At most `lengthMax` characters of it. */
export function shortened(text: string, lengthMax: number): string {
  return text.length <= lengthMax ? text : `${text.slice(0, lengthMax - 1)}…`;
}

function trimmedEnd(cell: Cell): Cell {
  return { ...cell, text: cell.text.trimEnd() };
}
