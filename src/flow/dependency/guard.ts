/**
 * A client of anything (a database, a cache) with a bound on what it has not had an answer to. It
 * looks like the client itself; its calls wait at a gate.
 *
 * ```
 *   const redis = guard(new Redis(), { limit: 100 });
 *   await redis.get("key");      Overloaded, when too many wait already
 * ```
 */
import { checkNames, checkThere, refuseOption } from "../errors.ts";
import { gate } from "../gate.ts";
import type { Gate, QueueOptions } from "../gate.ts";
import type { LimitOptions } from "../limits.ts";
import { account, outcomeOf } from "../work.ts";

export interface GuardOptions {
  /** Operations without an answer: a number, or how a gate finds it. */
  readonly limit: number | LimitOptions;
  /** Default: oldest first, since the order of operations may matter. */
  readonly queue?: QueueOptions;
  /** In the accounts; default: `Redis`, `pg`, or the name of the client's class. */
  readonly name?: string;
  /**
   * The methods that give promises. Default: the commands of ioredis, and `exec` of its pipelines
   * as one operation; `query` of pg and of what looks like it, and `connect` of its pools.
   */
  readonly methods?: readonly string[];
}

/** The gates of guarded clients. */
const gates = new WeakMap<object, Gate>();

interface LooksLikeRedis {
  getBuiltinCommands(): readonly string[];
}

/** Methods of ioredis that give something that gathers commands. */
const GATHERERS: ReadonlySet<string> = new Set(["pipeline", "multi"]);

interface Gatherer {
  exec?(...args: readonly unknown[]): Promise<unknown>;
}

function isRedis(client: object): client is LooksLikeRedis {
  return "getBuiltinCommands" in client && typeof client.getBuiltinCommands === "function";
}

function methodsOf(client: object): readonly string[] {
  const some = client as { readonly query?: unknown; readonly totalCount?: unknown }; // looked at
  if (isRedis(client)) {
    const commands = client.getBuiltinCommands().filter((each) => !GATHERERS.has(each));
    return [...commands, ...commands.map((each) => `${each}Buffer`), "call", "callBuffer"];
  }
  if (typeof some.query === "function") {
    return typeof some.totalCount === "number" ? ["query", "connect"] : ["query"];
  }
  return refuseOption("methods", "not given", "a list: this client is none that is known");
}

/** Classes that are made of others have names that say nothing: `EventEmitter`, `BoundPool`. */
function nameOf(client: object): string {
  if (isRedis(client)) return "Redis";
  const { constructor } = client;
  return constructor.name === "BoundPool" ? "pg" : constructor.name;
}

type Pass = (method: string, operate: () => unknown) => Promise<unknown>;

/** One operation: in the accounts, and through the gate. */
function guarding(bound: Gate, name: string): Pass {
  const operations = account("op");
  return async (method, operate) => {
    const work = operations.begin(`${name} ${method}`);
    operations.state(work, "queued");
    try {
      const entered = bound.enter();
      const permit = entered instanceof Promise ? await entered : entered;
      operations.state(work, "sent");
      try {
        const result = await operate();
        permit.release("ok");
        operations.end(work, "ok");
        return result;
      } catch (error) {
        permit.release(outcomeOf(error) === "expired" ? "drop" : "ignore");
        throw error;
      }
    } catch (error) {
      operations.end(work, outcomeOf(error));
      throw error;
    }
  };
}

/** What gathers commands sends them with `exec`, as one operation. */
function boundExec(gatherer: unknown, method: string, pass: Pass): unknown {
  if (typeof gatherer !== "object" || gatherer === null) return gatherer;
  const some = gatherer as Gatherer;
  const exec = some.exec?.bind(some);
  if (exec !== undefined) {
    // typed by ioredis as its own
    some.exec = (...args) => pass(method, () => exec(...args));
  }
  return gatherer;
}

/**
 * The client, with its operations bounded.
 * @throws FlowError ERR_HOLDFAST_FLOW_OPTION
 */
export function guard<Client extends object>(client: Client, options: GuardOptions): Client {
  checkThere("client", client, "the client itself");
  checkThere("options", options, "an object with a limit");
  checkNames(options, { limit: true, queue: true, name: true, methods: true });
  const { limit, queue, name = nameOf(client) } = options;
  const methods = new Set(options.methods ?? methodsOf(client));
  const bound = gate({
    name,
    limit: typeof limit === "number" ? { kind: "fixed", max: limit } : limit,
    queue: { policy: "fifo", targetMs: 100, intervalMs: 500, ...queue },
    account: null,
  });
  const pass = guarding(bound, name);
  const wrapped = new Map<string, unknown>();
  const guarded = new Proxy(client, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key);
      if (typeof value !== "function") return value;
      if (typeof key !== "string") return value.bind(target) as unknown;
      const gathers = options.methods === undefined && GATHERERS.has(key) && isRedis(client);
      if (!methods.has(key) && !gathers) return value.bind(target) as unknown;
      const known = wrapped.get(key);
      if (known !== undefined) return known;
      // looked up again at each call: a client may replace its methods while it connects
      const method = (args: readonly unknown[]): unknown =>
        Reflect.apply(Reflect.get(target, key) as (...all: unknown[]) => unknown, target, args);
      const made = gathers
        ? (...args: readonly unknown[]) => boundExec(method(args), key, pass)
        : (...args: readonly unknown[]) => pass(key, () => method(args));
      wrapped.set(key, made);
      return made;
    },
  });
  gates.set(guarded, bound);
  return guarded;
}

/** The gate of a guarded client; null: it is not guarded. */
export function gateOf(client: object): Gate | null {
  return gates.get(client) ?? null;
}
