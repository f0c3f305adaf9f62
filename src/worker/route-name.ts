/**
 * What a request is counted under where no framework has a pattern for it: its path with those
 * parts replaced that look like names of single things. The number of routes must stay small
 * whatever clients ask for.
 *
 * ```
 *   /users/42/orders/9f86d081-884c-4d63-a1b2-0015ad0a8c08?x=1  ->  /users/:id/orders/:id
 *   /assets/app.3f2a9c1b.js  ->  /assets/app.:id.js            /v1/items  ->  /v1/items
 * ```
 */

const SEGMENTS_MAX = 8;
const SEGMENT_CHARACTERS_MAX = 40;
/** Replaces a part. */
const ID = ":id";

const UUID = /^[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}$/i;
/** Digits, also with signs between them: 42, 2026-11-21, 10.0.0.1, 1,5. */
const NUMBER = /^\d[\d.,:_-]*$/;
/** A hash or an object id; words of these letters have no digit in them. */
const HEX = /^(?=.*\d)[\da-f]{8,}$/i;
/** A token such as base64url makes: long, of letters and digits. */
const TOKEN = /^(?=.*\d)(?=.*[a-z])(?=.*[A-Z])[\w-]{16,}$/;
/** What no programmer names a route: an address, an escape, a quoted text. */
const FOREIGN = /[@%"'<>{}()\\^`|=;,*+]/;

/** The path of a target, as one of few. */
export function routeOfPath(target: string): string {
  const end = target.search(/[?#]/);
  const path = end < 0 ? target : target.slice(0, end);
  if (!path.startsWith("/")) return path === "*" ? "*" : "(absolute)";
  const segments = path.slice(1).split("/", SEGMENTS_MAX + 1);
  const shown = segments.slice(0, SEGMENTS_MAX).map((segment) => segmentName(segment));
  if (segments.length > SEGMENTS_MAX) shown.push("...");
  return `/${shown.join("/")}`;
}

function segmentName(segment: string): string {
  if (segment.length > SEGMENT_CHARACTERS_MAX || FOREIGN.test(segment)) return ID;
  if (isId(segment)) return ID;
  if (!segment.includes(".") && !segment.includes("-")) return segment;
  // a file with a hash in its name, an id behind a word
  return segment.replace(/[^.-]+/g, (part) => (isId(part) && part.length >= 6 ? ID : part));
}

function isId(text: string): boolean {
  return NUMBER.test(text) || HEX.test(text) || UUID.test(text) || TOKEN.test(text);
}

/** A framework's pattern as text: Express allows patterns, and lists of them. */
export function patternText(path: unknown): string | null {
  if (typeof path === "string") return path;
  if (path instanceof RegExp) return String(path);
  if (!Array.isArray(path)) return null;
  const texts = path.slice(0, 4).map(patternText);
  return texts.includes(null) ? null : texts.join(" | ");
}
