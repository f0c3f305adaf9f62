/** The route of a request: the framework's pattern where it has one, else its path made general. */
import { cut, member } from "./values.ts";

/** Of a path: numbers, UUIDs and long hexadecimal words are names of things, not of routes. */
const NAME_OF_A_THING =
  /^(?:\d+|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{16,})$/i;
/** Most paths have none: then nothing is taken apart. */
const MAY_NAME_A_THING = /\d|[a-f]{16}|(?:\/[^/]*){9}/i;
const SEGMENTS_MAX = 8;

/** What is made of a target is the same the next time: this takes a tenth of it. */
const KNOWN_MAX = 256;
const KNOWN_CHARS_MAX = 200;
const general = new Map<string, string>();

/** The path of a URL, without query and fragment. */
export function pathOf(url: unknown): string | undefined {
  if (typeof url !== "string") return undefined;
  const end = url.search(/[?#]/);
  return cut(end < 0 ? url : url.slice(0, end));
}

/** @param request an `http.IncomingMessage`; express leaves `route` and `baseUrl` on it */
export function routeOf(request: unknown): string | undefined {
  const pattern = member(member(request, "route"), "path");
  if (typeof pattern === "string") {
    const base = member(request, "baseUrl");
    return cut(`${typeof base === "string" ? base : ""}${pattern}`);
  }
  const url = member(request, "url");
  if (typeof url !== "string") return undefined;
  const known = general.get(url);
  if (known !== undefined) return known;
  const route = generalOf(pathOf(url) ?? "");
  if (url.length > KNOWN_CHARS_MAX) return route;
  if (general.size >= KNOWN_MAX) general.clear();
  general.set(url, route);
  return route;
}

function generalOf(path: string): string {
  if (!MAY_NAME_A_THING.test(path)) return path;
  const segments = path.split("/");
  const parts = segments
    .slice(0, SEGMENTS_MAX + 1)
    .map((segment) => (NAME_OF_A_THING.test(segment) ? ":id" : segment));
  return `${parts.join("/")}${segments.length > SEGMENTS_MAX + 1 ? "/…" : ""}`;
}
