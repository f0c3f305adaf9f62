/** Results of autopsy as text for people. */
import type { CellKind, CellValue, Result, TableResult } from "../autopsy/mod.ts";
import { formatDuration, formatSize } from "../base/mod.ts";
import { paint, printable, renderTable, shortened } from "./table.ts";
import type { Cell } from "./table.ts";

const DIM = 2;
const TEXT_CHARS_MAX = 160;

/** The whole of it, with a line end. */
export function resultText(result: Result, isColored: boolean): string {
  if (result.kind === "text") return `${result.text}\n`;
  return `${tableLines(result, isColored).join("\n")}\n`;
}

function tableLines(result: TableResult, isColored: boolean): readonly string[] {
  const { columns, rows, more, remarks } = result;
  const titles = columns.map(({ name, kind }) => ({
    title: name.toUpperCase(),
    align: kind === "count" || kind === "bytes" ? ("right" as const) : ("left" as const),
  }));
  const cells = rows.map((row) =>
    columns.map(({ kind }, index): Cell => {
      return { text: cellText(row[index] ?? null, kind), color: null };
    }),
  );
  const isEmpty = rows.length === 0 && more === 0 && remarks.length === 0;
  const notes = [
    ...(isEmpty ? ["nothing of that kind"] : []),
    ...(more > 0 ? [`${more} more`] : []),
    ...remarks,
  ];
  const lines = rows.length === 0 ? [] : renderTable(titles, cells, isColored);
  return [...lines, ...notes.map((text) => paint({ text, color: DIM }, isColored))];
}

function cellText(value: CellValue, kind: CellKind): string {
  if (value === null) return "-";
  if (typeof value === "string") return shortened(printable(value), TEXT_CHARS_MAX);
  if (kind === "address") return `0x${value.toString(16)}`;
  if (kind === "bytes") return formatSize(value);
  return kind === "milliseconds" ? formatDuration(value) : String(value);
}
