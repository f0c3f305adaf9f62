/**
 * What a verb of autopsy finds out, as data: the command line makes a table or text of it, `--json`
 * prints it, and the next verb of a pipe takes its addresses.
 */

export type CellKind = "text" | "count" | "bytes" | "address" | "milliseconds";

export interface ColumnSpec {
  /** The key in JSON. */
  readonly name: string;
  readonly kind: CellKind;
}

/** Null: not known, or does not apply. */
export type CellValue = string | number | null;

export interface TableResult {
  readonly kind: "table";
  readonly columns: readonly ColumnSpec[];
  readonly rows: readonly (readonly CellValue[])[];
  /** Rows that a limit has cut off. */
  readonly more: number;
  /** What must be known to read the table: in sentences. */
  readonly remarks: readonly string[];
}

export interface TextResult {
  readonly kind: "text";
  readonly text: string;
  /** The same for programs. */
  readonly json: unknown;
  readonly addresses: readonly number[];
}

export type Result = TableResult | TextResult;

/** The objects that a result names: of a table, its first column of addresses. */
export function addressesOf(result: Result): readonly number[] {
  if (result.kind === "text") return result.addresses;
  const column = result.columns.findIndex(({ kind }) => kind === "address");
  return result.rows.flatMap((row) => {
    const value = row[column];
    return typeof value === "number" && value > 0 ? [value] : [];
  });
}

/** A result as plain data: a table as an array of objects, addresses as `0x...`. */
export function jsonOf(result: Result): unknown {
  if (result.kind === "text") return result.json;
  const { columns, rows, more, remarks } = result;
  const list = rows.map((row) =>
    Object.fromEntries(
      columns.map(({ name, kind }, index) => {
        const value = row[index] ?? null;
        const isAddress = kind === "address" && typeof value === "number";
        return [name, isAddress ? `0x${value.toString(16)}` : value];
      }),
    ),
  );
  return { rows: list, more, remarks };
}
