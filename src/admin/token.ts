/**
 * The token of the admin listener: in a file that only its owner may read, made once and then kept,
 * so that `credentials_file` of Prometheus can name it.
 */
import { randomBytes, timingSafeEqual } from "node:crypto";
import { chmodSync, readFileSync, writeFileSync } from "node:fs";

const TOKEN = /^[\da-f]{64}$/;

/** The token in the file, which is made if it is not there or holds none. */
export function tokenIn(path: string): string {
  const found = read(path);
  if (found !== null) {
    chmodSync(path, 0o600);
    return found;
  }
  const token = randomBytes(32).toString("hex");
  writeFileSync(path, `${token}\n`, { mode: 0o600 });
  chmodSync(path, 0o600); // one that was there keeps its mode when it is written
  return token;
}

function read(path: string): string | null {
  try {
    const text = readFileSync(path, "utf8").trim();
    return TOKEN.test(text) ? text : null;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    throw error;
  }
}

/** Whether an `Authorization` field has the token (RFC 6750); takes as long for a near miss. */
export function isAuthorized(field: string | undefined, token: string): boolean {
  const [, given = ""] = /^bearer +(\S+) *$/i.exec(field ?? "") ?? [];
  const [ours, theirs] = [Buffer.from(token), Buffer.from(given)];
  return ours.length === theirs.length && timingSafeEqual(ours, theirs);
}
