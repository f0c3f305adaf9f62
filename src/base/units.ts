/**
 * Durations and sizes as people write them: `500ms`, `5s`, `2m`, `1h`; `64KiB`, `512MB`.
 * A bare number is refused but for `0`: the reader of a configuration must see the unit.
 */
import { HoldfastError } from "./errors.ts";

/** Milliseconds in each unit, smallest first. */
const DURATION_UNITS = [
  ["ms", 1],
  ["s", 1000],
  ["m", 60_000],
  ["h", 3_600_000],
  ["d", 86_400_000],
] as const;

/** Bytes in each unit: IEC 80000-13 for `KiB`, SI for `kB`. Written in any case. */
const SIZE_UNITS: ReadonlyMap<string, number> = new Map([
  ["b", 1],
  ["kb", 1000],
  ["kib", 1024],
  ["mb", 1000 ** 2],
  ["mib", 1024 ** 2],
  ["gb", 1000 ** 3],
  ["gib", 1024 ** 3],
  ["tb", 1000 ** 4],
  ["tib", 1024 ** 4],
]);

const NUMBER_AND_UNIT = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i;

/**
 * Milliseconds, rounded, of a text such as `1.5s`.
 *
 * @throws HoldfastError ERR_HOLDFAST_UNIT when it is not a number with a known unit.
 * @example
 * parseDuration("1.5s"); // 1500
 */
export function parseDuration(text: string): number {
  const units = new Map<string, number>(DURATION_UNITS);
  return parseQuantity(text, "duration", (unit) => units.get(unit), "500ms, 5s, 2m, 1h or 0");
}

/**
 * Bytes, rounded, of a text such as `64KiB`.
 *
 * @throws HoldfastError ERR_HOLDFAST_UNIT when it is not a number with a known unit.
 * @example
 * parseSize("64KiB"); // 65536
 */
export function parseSize(text: string): number {
  const find = (unit: string): number | undefined => SIZE_UNITS.get(unit.toLowerCase());
  return parseQuantity(text, "size", find, "64KiB, 512MB, 2GiB or 0");
}

/**
 * A duration for people: exact in the largest unit that needs at most one decimal, two units from
 * a minute on.
 *
 * @example
 * formatDuration(1500); // "1.5s"
 * formatDuration(95_000); // "1m35s"
 */
export function formatDuration(ms: number): string {
  if (!Number.isFinite(ms)) return "never";
  if (ms < 0) return `-${formatDuration(-ms)}`;
  const whole = Math.round(ms);
  if (whole < 1000) return `${whole}ms`;
  if (whole < 59_950) return `${trim(whole / 1000)}s`;
  const seconds = Math.round(whole / 1000);
  if (seconds < 3600) return pair(seconds, 60, "m", "s");
  const minutes = Math.round(seconds / 60);
  if (minutes < 1440) return pair(minutes, 60, "h", "m");
  return pair(Math.round(minutes / 60), 24, "d", "h");
}

/**
 * A size for people, in binary units with at most one decimal.
 *
 * @example
 * formatSize(65_536); // "64KiB"
 */
export function formatSize(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let index = 0;
  while (Math.abs(value) >= 1023.95 && index < units.length - 1) {
    value /= 1024;
    index += 1;
  }
  return `${trim(value)}${units[index]}`;
}

function trim(value: number): string {
  return String(Math.round(value * 10) / 10);
}

function pair(value: number, base: number, large: string, small: string): string {
  const rest = value % base;
  return `${Math.floor(value / base)}${large}${rest === 0 ? "" : `${rest}${small}`}`;
}

function parseQuantity(
  text: string,
  what: string,
  factorOf: (unit: string) => number | undefined,
  allowed: string,
): number {
  const [, digits = "", unit = ""] = NUMBER_AND_UNIT.exec(text.trim()) ?? [];
  const value = Number(digits);
  if (digits !== "" && unit === "" && value === 0) return 0;
  const factor = digits === "" || unit === "" ? undefined : factorOf(unit);
  const result = factor === undefined ? Number.NaN : Math.round(value * factor);
  if (Number.isSafeInteger(result)) return result;
  throw new HoldfastError(
    "ERR_HOLDFAST_UNIT",
    `Cannot read ${JSON.stringify(text)} as a ${what}: write a number with its unit, ` +
      `such as ${allowed}.`,
  );
}
