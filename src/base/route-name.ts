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
/** Classes of characters, as bits: what a segment is made of says what it is, mostly. */
const DIGIT = 1;
const LETTER = 2;
/** Part of a number, between digits: 2026-11-21, 10.0.0.1. */
const SIGN = 4;
/** What no programmer names a route: an address, an escape, a quoted text, other alphabets. */
const FOREIGN = 8;

const CLASSES: Uint8Array = Uint8Array.from({ length: 128 }, (_, code) => {
  const character = String.fromCharCode(code);
  if (/\d/.test(character)) return DIGIT;
  if (/[A-Za-z~]/.test(character)) return LETTER;
  return /[.,:_-]/.test(character) ? SIGN : /[!$&]/.test(character) ? LETTER : FOREIGN;
});

const SLASH = 47;
const QUESTION_MARK = 63;
const HASH = 35;

/** The path of a target, as one of few. On the way of each request whose path has an id in it. */
export function routeOfPath(target: string): string {
  if (target.charCodeAt(0) !== SLASH) return target === "*" ? "*" : "(absolute)";
  let route = "";
  let segments = 1;
  let start = 1;
  let classes = 0;
  /** Up to where the target is in `route`, as it is or replaced. */
  let done = 0;
  for (let at = 1; at <= target.length; at += 1) {
    const code = at < target.length ? target.charCodeAt(at) : QUESTION_MARK;
    const isEnd = code === QUESTION_MARK || code === HASH;
    if (!isEnd && code !== SLASH) {
      classes |= code < 128 ? (CLASSES[code] ?? FOREIGN) : FOREIGN;
      continue;
    }
    // most segments are words, and stay as they are
    if ((classes & (DIGIT | FOREIGN)) !== 0 || at - start > SEGMENT_CHARACTERS_MAX) {
      route += target.slice(done, start) + segmentName(target.slice(start, at), classes);
      done = at;
    }
    if (isEnd) return route + target.slice(done, at);
    if (segments === SEGMENTS_MAX) return `${route}${target.slice(done, at)}/...`;
    segments += 1;
    start = at + 1;
    classes = 0;
  }
  return route;
}

function segmentName(segment: string, classes: number): string {
  if ((classes & FOREIGN) !== 0 || segment.length > SEGMENT_CHARACTERS_MAX) return ID;
  if ((classes & LETTER) === 0) return NUMBER.test(segment) ? ID : segment;
  if (isId(segment)) return ID;
  if ((classes & SIGN) === 0) return segment;
  // a file with a hash in its name, an id behind a word
  return segment.replace(/[^.-]+/g, (part) => (part.length >= 6 && isId(part) ? ID : part));
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
