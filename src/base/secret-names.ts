/**
 * Names whose values are not for others to read: of header fields, of query parameters, of
 * variables and properties. By name alone, so it is a help and no proof: what it misses is still in
 * files of mode 0600.
 */

/** Parts of names, as separated by case, `-`, `_` or `.`: `apiKey`, `x-api-key`, `API_KEY`. */
const SECRET_PARTS: ReadonlySet<string> = new Set([
  "auth",
  "authentication",
  "authorization",
  "bearer",
  "cookie",
  "cookies",
  "credential",
  "credentials",
  "csrf",
  "cvc",
  "cvv",
  "iban",
  "jwt",
  "otp",
  "passcode",
  "passphrase",
  "passwd",
  "password",
  "passwort",
  "pin",
  "pw",
  "pwd",
  "secret",
  "secrets",
  "session",
  "sessionid",
  "sid",
  "sig",
  "signature",
  "ssn",
  "token",
  "tokens",
  "xsrf",
]);

/** The same run together with others: `accesstoken`, `apikey`, `userpassword`. */
const SECRET_TEXT = /api-?key|private-?key|access-?key|password|passwd|secret|token$|credential/;

/** What stands in the place of a value. */
export const MASK = "***";

/**
 * Whether a name is that of a secret.
 * @example
 * isSecretName("X-Api-Key"); // true
 */
export function isSecretName(name: string): boolean {
  const parts = name
    .replace(/([a-z\d])([A-Z])/g, "$1-$2")
    .toLowerCase()
    .split(/[^a-z\d]+/);
  return parts.some((part) => SECRET_PARTS.has(part)) || SECRET_TEXT.test(parts.join("-"));
}

/** A request target with the values of secret query parameters masked, and its length kept sane. */
export function maskTarget(target: string): string {
  const queryAt = target.indexOf("?");
  if (queryAt < 0) return target;
  const pairs = target.slice(queryAt + 1).split("&");
  const masked = pairs.map((pair) => {
    const equals = pair.indexOf("=");
    if (equals < 0) return pair;
    return isSecretName(decoded(pair.slice(0, equals))) ? `${pair.slice(0, equals)}=${MASK}` : pair;
  });
  return `${target.slice(0, queryAt)}?${masked.join("&")}`;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // A broken escape is no reason to show a value: its name is looked at as it is.
  }
}
