/**
 * How long requests took: counted in the ledger when the last byte of a response has been handed
 * to the kernel. On the path of every request, so nothing is allocated here once a route is known.
 *
 * ```
 *   first byte read (less what it waited in the kernel) ...... response handed over: one count in
 *   the series of its route and of the first digit of its status
 * ```
 * The route is the framework's pattern where the request shows one (`req.route` of Express, Nest
 * and restify; what Fastify tells now and then), else its path made one of few.
 */
import { RoutePatterns, patternText, routeOfPath } from "../base/mod.ts";
import { OTHER_ROUTE } from "../ledger/mod.ts";
import type { LatencyTable } from "../ledger/mod.ts";
import type { RoutedRequest } from "./node-internals.ts";

/** Paths of a client's making: beyond these, requests without a pattern are `(other)`. */
const PATH_ROUTES_MAX = 100;
/** Targets whose route is remembered, and how long one may be. Then they are forgotten together. */
const TARGETS_MAX = 1024;
const TARGET_CHARACTERS_MAX = 256;
/** Routes of which the series are found without a search. */
const ROUTES_MAX = 1024;
/** 0: the client left; 1 to 5: the first digit of the status. */
const STATUS_KINDS = 6;
/** A series takes an exemplar no more often than this. */
const EXEMPLAR_INTERVAL_MS = 1000;
/** Nobody serves that path. */
const NO_ROUTE = "(no route)";
/** W3C trace context, level 1, section 3.2.2. */
const TRACEPARENT = /^[\da-f]{2}-([\da-f]{32})-([\da-f]{16})-[\da-f]{2}/;

/** What is remembered of an Express route: most have one mount point and one method. */
interface Pattern {
  readonly baseUrl: string;
  readonly method: string;
  readonly route: number;
}

/** What is known of the requests of one method. */
interface Method {
  /** Routes by what is asked for, to be forgotten when there are too many. */
  readonly targets: Map<string, number>;
  /** Routes by their path as one of few. */
  readonly paths: Map<string, number>;
}

/** See the file's docstring. One for each worker. */
export class Latency {
  readonly #table: LatencyTable;
  readonly #routes = new Map<string, number>();
  readonly #names: string[] = [];
  /** Series by route and kind of status; -1: not looked for yet. */
  readonly #series = new Int16Array(ROUTES_MAX * STATUS_KINDS).fill(-1);
  /** When an exemplar of a series was last looked for. */
  readonly #lookedAtMs = new Float64Array(256);
  readonly #ofPattern = new WeakMap<object, Pattern>();
  readonly #patterns = new RoutePatterns();
  readonly #methods = new Map<string, Method>();
  #targetCount = 0;
  #pathRoutes = 0;
  #lastTarget = "";
  #lastMethod = "";
  #lastRoute = -1;

  constructor(table: LatencyTable) {
    this.#table = table;
    this.#routeOf(OTHER_ROUTE); // 0
  }

  /**
   * A response has been handed over (`status` its code), or its client has left (0). Times in
   * milliseconds of the worker's clock.
   */
  ended(
    request: RoutedRequest | undefined,
    status: number,
    startMs: number,
    endMs: number,
    waitedMs: number,
  ): void {
    const kind = status < 100 ? 0 : status >= 600 ? 5 : (status / 100) | 0;
    const route = request === undefined ? 0 : this.#route(request, status);
    const at = route * STATUS_KINDS + kind;
    let series = this.#series[at] ?? -1;
    if (series < 0) {
      series = this.#table.series(this.#names[route] ?? OTHER_ROUTE, kind);
      this.#series[at] = series;
    }
    const us = (endMs - startMs) * 1000;
    this.#table.record(series, us, waitedMs * 1000);
    if (endMs - (this.#lookedAtMs[series] ?? 0) < EXEMPLAR_INTERVAL_MS) return;
    this.#lookedAtMs[series] = endMs;
    if (request !== undefined) this.#takeExemplar(series, request, us);
  }

  /** The framework says which of its patterns a request is for; see `base/route-patterns.ts`. */
  learnRoute(method: string, target: string, pattern: string): void {
    if (this.#patterns.learn(method, target, pattern)) this.#forgetTargets();
  }

  /**
   * What a request that has not ended would be counted under, `GET /orders/:id`: what is known so
   * far. Nothing is counted.
   */
  routeOf(request: RoutedRequest): string {
    const { route, baseUrl = "", method = "", url = "" } = request;
    const base = baseUrl === "" ? "" : routeOfPath(baseUrl);
    const text = typeof route === "object" && route !== null ? patternText(route.path) : null;
    if (text !== null) return `${method} ${base}${text}`;
    const target = request.originalUrl ?? url;
    return `${method} ${this.#patterns.find(method, target) ?? routeOfPath(target)}`;
  }

  #takeExemplar(series: number, { headers }: RoutedRequest, us: number): void {
    const header = headers["traceparent"];
    const match = typeof header === "string" ? TRACEPARENT.exec(header) : null;
    const [, traceId, spanId] = match ?? [];
    if (traceId === undefined || spanId === undefined) return;
    this.#table.setExemplar(series, { traceId, spanId, us, atMs: Date.now() });
  }

  #route(request: RoutedRequest, status: number): number {
    const { route: pattern, method = "", url = "" } = request;
    if (typeof pattern === "object" && pattern !== null) {
      const found = this.#routeOfPattern(pattern, request.baseUrl ?? "", method);
      if (found >= 0) return found;
    }
    const target = request.originalUrl ?? url;
    if (target === this.#lastTarget && method === this.#lastMethod) return this.#lastRoute;
    const route = this.#routeOfTarget(target, method, status);
    if (route < 0) return this.#routeOf(`${method} ${NO_ROUTE}`);
    this.#lastTarget = target;
    this.#lastMethod = method;
    this.#lastRoute = route;
    return route;
  }

  #routeOfPattern(pattern: { readonly path?: unknown }, baseUrl: string, method: string): number {
    const known = this.#ofPattern.get(pattern);
    if (known?.baseUrl === baseUrl && known.method === method) return known.route;
    const text = patternText(pattern.path);
    if (text === null) return -1;
    const base = baseUrl === "" ? "" : routeOfPath(baseUrl);
    const route = this.#routeOf(`${method} ${base}${text}`);
    this.#ofPattern.set(pattern, { baseUrl, method, route });
    return route;
  }

  /** -1: a path that nobody serves, and that would be a route of its own. */
  #routeOfTarget(target: string, name: string, status: number): number {
    const method = this.#methods.get(name) ?? this.#methodOf(name);
    const found = method.targets.get(target);
    if (found !== undefined) return found;
    const pattern = this.#patterns.find(name, target);
    const path = routeOfPath(target);
    let route = pattern === null ? method.paths.get(path) : this.#routeOf(`${name} ${pattern}`);
    if (route === undefined) {
      if (status === 404 || status === 405) return -1;
      if (this.#pathRoutes >= PATH_ROUTES_MAX) return 0;
      this.#pathRoutes += 1;
      route = this.#routeOf(`${name} ${path}`);
      method.paths.set(path, route);
    }
    // the next target of a route with an id is most likely another one
    const isRare = pattern === null && path.includes(":");
    if (!isRare && target.length <= TARGET_CHARACTERS_MAX) this.#remember(method, target, route);
    return route;
  }

  #methodOf(name: string): Method {
    const method = { targets: new Map<string, number>(), paths: new Map<string, number>() };
    this.#methods.set(name, method); // Node's parser knows some 35 of them
    return method;
  }

  #remember(method: Method, target: string, route: number): void {
    if (this.#targetCount >= TARGETS_MAX) this.#forgetTargets();
    this.#targetCount += 1;
    method.targets.set(target, route);
  }

  #forgetTargets(): void {
    for (const { targets } of this.#methods.values()) targets.clear();
    this.#targetCount = 0;
    this.#lastRoute = -1;
    this.#lastMethod = "";
  }

  #routeOf(name: string): number {
    const known = this.#routes.get(name);
    if (known !== undefined) return known;
    const route = this.#names.length;
    if (route >= ROUTES_MAX) return 0;
    this.#names.push(name);
    this.#routes.set(name, route);
    return route;
  }
}
