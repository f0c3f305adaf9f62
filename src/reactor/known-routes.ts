/**
 * Which route a request belongs to, told from outside of its worker by the names that requests were
 * counted under before: patterns of the framework, and paths made one of few.
 */
import { RoutePatterns, routeOfPath } from "../base/mod.ts";

/** `GET /orders/:id`; not `(other)`, nor `GET (no route)`. */
const NAME = /^(\S+) (\/.*)$/;

/** See the file's docstring. */
export class KnownRoutes {
  readonly #names: ReadonlySet<string>;
  readonly #patterns = new RoutePatterns();

  /** @param names as the ledger has them */
  constructor(names: readonly string[]) {
    this.#names = new Set(names);
    for (const name of this.#names) {
      const [, method, pattern] = NAME.exec(name) ?? [];
      if (method !== undefined && pattern !== undefined) this.#patterns.know(method, pattern);
    }
  }

  /**
   * `GET /orders/:id`. Where no request of its route has ended yet, the path made one of few.
   *
   * @example
   * new KnownRoutes(["GET /shops/:name"]).of("GET", "/shops/tea?a=1"); // "GET /shops/:name"
   */
  of(method: string, target: string): string {
    const path = `${method} ${routeOfPath(target)}`;
    if (this.#names.has(path)) return path;
    const pattern = this.#patterns.find(method, target);
    return pattern === null ? path : `${method} ${pattern}`;
  }
}
