/**
 * `import { probe, setRoute } from "holdfast/trace"`: points of observation in the application's
 * own code. One that nobody listens to costs a load and a comparison.
 *
 * ```
 *   probe("order:placed")  -->  diagnostics channel  holdfast:user:order:placed
 *                          -->  the process's list of probes, for `holdfast probes`
 * ```
 */
import { channel } from "node:diagnostics_channel";
import { USER_CHANNEL_PREFIX, listProbe } from "./user-probes.ts";

export interface ProbeOptions {
  /** One line for `holdfast probes`. */
  readonly meaning?: string;
  /** Names of the arguments, in their order. */
  readonly args?: readonly string[];
}

/** A function to call with what there is to say, and whether anybody would hear it. */
export interface Probe {
  (...args: readonly unknown[]): void;
  /** Whether somebody listens: ask before making an argument that costs something. */
  readonly isEnabled: boolean;
}

const NAME = /^[A-Za-z][A-Za-z0-9_.:-]{0,99}$/;

/**
 * Declares a probe. `holdfast trace 'user:order:placed { @[arg0] = count() }'` listens to it. Two
 * of one name are one.
 *
 * @throws TypeError when the name is anything but letters, digits, `_`, `-`, `.` and `:`
 * @example
 * const placed = probe("order:placed", { meaning: "an order was paid", args: ["id", "total"] });
 * placed("o-17", 99.5);
 */
export function probe(name: string, options: ProbeOptions = {}): Probe {
  if (!NAME.test(name)) {
    throw new TypeError(
      `Cannot make a probe named ${JSON.stringify(name)}: a name has letters, digits, _ - . :, ` +
        `begins with a letter and has at most 100 characters.`,
    );
  }
  const { meaning = "", args = [] } = options;
  listProbe({ name, meaning, args: [...args] });
  const point = channel(USER_CHANNEL_PREFIX + name);
  const fire = (...values: readonly unknown[]): void => {
    if (point.hasSubscribers) point.publish(values);
  };
  Object.defineProperty(fire, "isEnabled", { get: () => point.hasSubscribers });
  return fire as Probe; // just made
}

/** A request that Express has routed shows its pattern so: what reads that, reads ours too. */
interface Routed {
  route?: { readonly path: string };
}

/** A service has some hundred; one that makes patterns up gets an object for each call. */
const ROUTES_MAX = 1000;
const routes = new Map<string, { readonly path: string }>();

/**
 * Says which route serves a request, where the framework does not show that on the request itself:
 * Koa and Hono know it only inside, in their own context. Express, Nest, restify and Fastify need
 * no help. Latencies, traces and reports then have the pattern instead of the path. A route that is
 * there already stays.
 *
 * @param request the `IncomingMessage` of node:http
 * @example
 * app.use(async (context, next) => {
 *   await next(); // Koa with @koa/router
 *   setRoute(context.req, context._matchedRoute);
 * });
 */
export function setRoute(request: object, pattern: unknown): void {
  const routed = request as Routed; // as Express leaves it, or without
  if (typeof pattern !== "string" || pattern === "" || routed.route !== undefined) return;
  const route = routes.get(pattern) ?? { path: pattern };
  if (routes.size < ROUTES_MAX) routes.set(pattern, route);
  routed.route = route;
}
