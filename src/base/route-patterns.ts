/**
 * Routes of a framework that a request does not show, learned from a few requests a second: which
 * pattern a path belongs to, said by the framework or concluded from the patterns that are known.
 *
 * A pattern that was learned is right for the paths that it was learned with. For other paths that
 * fit, it may be wrong as long as a more exact pattern has not been seen.
 */
import { routeOfPath } from "./route-name.ts";

/** A service has some hundred routes; an application that makes them up as it goes is cut here. */
const PATTERNS_MAX = 500;
/** Paths that a more exact pattern is known for than the others would tell. */
const EXCEPTIONS_MAX = 1000;

interface Known {
  readonly pattern: string;
  readonly matcher: RegExp;
  /** Characters that are not those of a parameter: more of them come first. */
  readonly exactness: number;
}

/** See the file's docstring. */
export class RoutePatterns {
  readonly #byMethod = new Map<string, Known[]>();
  readonly #exceptions = new Map<string, string>();
  #count = 0;

  /** The framework says that `pattern` serves a request. True when that was not known. */
  learn(method: string, target: string, pattern: string): boolean {
    if (this.find(method, target) === pattern) return false;
    const isNew = this.know(method, pattern);
    if (this.find(method, target) === pattern) return true;
    if (this.#exceptions.size >= EXCEPTIONS_MAX) return isNew;
    this.#exceptions.set(`${method} ${routeOfPath(target)}`, pattern);
    return true;
  }

  /** There is such a pattern, whatever paths are served by it. True when that was not known. */
  know(method: string, pattern: string): boolean {
    const known = this.#byMethod.get(method) ?? [];
    this.#byMethod.set(method, known);
    const isNew = !known.some((each) => each.pattern === pattern);
    if (isNew && this.#count < PATTERNS_MAX) {
      this.#count += 1;
      known.push({ pattern, matcher: matcherOf(pattern), exactness: exactnessOf(pattern) });
      known.sort((a, b) => b.exactness - a.exactness);
    }
    return isNew;
  }

  /** The pattern of a request, or null when none fits. */
  find(method: string, target: string): string | null {
    const known = this.#byMethod.get(method);
    if (known === undefined) return null;
    const exception = this.#exceptions.get(`${method} ${routeOfPath(target)}`);
    if (exception !== undefined) return exception;
    const end = target.search(/[?#]/);
    const path = end < 0 ? target : target.slice(0, end);
    return known.find(({ matcher }) => matcher.test(path))?.pattern ?? null;
  }
}

/**
 * A parameter of find-my-way or path-to-regexp: `:id`, `:id(\\d+)`, `:id?`; `*` and `*rest` are all
 * that follows.
 */
const PARAMETER = /:[A-Za-z_]\w*(\((?:[^()]|\([^()]*\))*\))?\??|\*\w*/g;

function matcherOf(pattern: string): RegExp {
  let source = "";
  let at = 0;
  for (const match of pattern.matchAll(PARAMETER)) {
    source += escaped(pattern.slice(at, match.index));
    source += match[0].startsWith("*") ? ".*" : match[0].endsWith("?") ? "[^/]*" : "[^/]+";
    at = match.index + match[0].length;
  }
  return new RegExp(`^${source}${escaped(pattern.slice(at))}/?$`);
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&");
}

function exactnessOf(pattern: string): number {
  return pattern.replaceAll(PARAMETER, "").length - (pattern.includes("*") ? 1000 : 0);
}
