/** The route of a request: the framework's pattern where it has one, else its path made general. */
import { cut, member } from "./values.ts";

/** Of a path: numbers, UUIDs and long hexadecimal words are names of things, not of routes. */
const NAME_OF_A_THING =
  /^(?:\d+|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{16,})$/i;
/** Most paths have none: then nothing is taken apart. */
const MAY_NAME_A_THING = /\d|[a-f]{16}|(?:\/[^/]*){9}/i;
const SEGMENTS_MAX = 8;

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
  const path = pathOf(member(request, "url"));
  if (path === undefined) return undefined;
  if (!MAY_NAME_A_THING.test(path)) return path;
  const segments = path.split("/");
  const general = segments
    .slice(0, SEGMENTS_MAX + 1)
    .map((segment) => (NAME_OF_A_THING.test(segment) ? ":id" : segment));
  return `${general.join("/")}${segments.length > SEGMENTS_MAX + 1 ? "/…" : ""}`;
}
