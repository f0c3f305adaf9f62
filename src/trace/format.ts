/** Numbers for people, and the formats of `printf`. */
import { formatSize } from "../base/mod.ts";
import { LINE_CHARS_MAX } from "./limits.ts";
import type { Unit } from "./syntax.ts";
import { cut, number, text } from "./values.ts";

/** At most three digits that matter, and none behind the point that are 0. */
function short(value: number): string {
  const size = Math.abs(value);
  const digits = size >= 100 ? 0 : size >= 10 ? 1 : 2;
  return String(Number(value.toFixed(digits)));
}

/** A number of milliseconds: `12us`, `1.5ms`, `2s`, `3m`. */
export function formatMs(ms: number): string {
  const size = Math.abs(ms);
  if (!Number.isFinite(ms)) return String(ms);
  if (size === 0) return "0ms";
  if (size < 1e-3) return `${short(ms * 1e6)}ns`;
  if (size < 1) return `${short(ms * 1000)}us`;
  if (size < 1000) return `${short(ms)}ms`;
  if (size < 120_000) return `${short(ms / 1000)}s`;
  return size < 7_200_000 ? `${short(ms / 60_000)}m` : `${short(ms / 3_600_000)}h`;
}

/** A number with its unit. */
export function formatNumber(value: number, unit: Unit | null): string {
  if (!Number.isFinite(value)) return value > 0 ? "∞" : value < 0 ? "-∞" : "-";
  if (unit === "ms") return formatMs(value);
  if (unit === "bytes") return formatSize(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return String(value);
  return Math.abs(value) < 1e-3 || Math.abs(value) >= 1e15
    ? value.toPrecision(3)
    : String(Number(value.toFixed(3)));
}

export type FormatPart =
  | { readonly kind: "text"; readonly text: string }
  | {
      readonly kind: "value";
      readonly conversion: "s" | "d" | "f" | "t" | "b";
      readonly width: number;
      readonly digits: number;
    };

const CONVERSION = /%(-?\d{1,3})?(?:\.(\d{1,2}))?([a-zA-Z%]|$)/g;

/** The parts of a format; a text when it is wrong: what is wrong with it. */
export function parseFormat(format: string): readonly FormatPart[] | string {
  const parts: FormatPart[] = [];
  let from = 0;
  for (const match of format.matchAll(CONVERSION)) {
    const [all, width = "0", digits, conversion] = match;
    parts.push({ kind: "text", text: format.slice(from, match.index) });
    from = match.index + all.length;
    if (conversion === "%") parts.push({ kind: "text", text: "%" });
    else if (isConversion(conversion)) {
      parts.push({
        kind: "value",
        conversion,
        width: Math.max(-200, Math.min(200, Number(width))),
        digits: digits === undefined ? 6 : Math.min(20, Number(digits)),
      });
    } else return `${all} is no conversion`;
  }
  parts.push({ kind: "text", text: format.slice(from) });
  return parts.filter((part) => part.kind === "value" || part.text !== "");
}

function isConversion(name: string | undefined): name is "s" | "d" | "f" | "t" | "b" {
  return name !== undefined && "sdftb".includes(name) && name !== "";
}

/** A line; `textMax` characters of a text. */
export function formatLine(
  parts: readonly FormatPart[],
  values: readonly unknown[],
  textOf: (value: unknown, index: number) => string,
): string {
  let line = "";
  let index = 0;
  for (const part of parts) {
    if (part.kind === "text") line += part.text;
    else {
      line += pad(convert(part, values[index], index, textOf), part.width);
      index += 1;
    }
  }
  return cut(line, LINE_CHARS_MAX);
}

function convert(
  part: Extract<FormatPart, { kind: "value" }>,
  value: unknown,
  index: number,
  textOf: (value: unknown, index: number) => string,
): string {
  switch (part.conversion) {
    case "s":
      return textOf(value, index);
    case "d":
      return plain(value, (each) => String(Math.trunc(each)));
    case "f":
      return plain(value, (each) => each.toFixed(part.digits));
    case "t":
      return plain(value, formatMs);
    case "b":
      return plain(value, formatSize);
  }
}

/** What is no number is printed as what it is. */
function plain(value: unknown, format: (value: number) => string): string {
  const converted = number(value);
  return Number.isFinite(converted) ? format(converted) : text(value);
}

function pad(value: string, width: number): string {
  return width < 0 ? value.padEnd(-width) : value.padStart(width);
}
