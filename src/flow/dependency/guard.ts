/**
 * A client of anything (a database, a cache) with a bound on what it has not had an answer to. It
 * looks like the client itself; its calls wait at a gate.
 *
 * ```
 *   const redis = guard(new Redis(), { limit: 100 });
 *   await redis.get("key");      Overloaded, when too many wait already
 * ```
 */
import { refuseOption } from "../errors.ts";
import { gate } from "../gate.ts";
import type { Gate, QueueOptions } from "../gate.ts";
import type { LimitOptions } from "../limits.ts";
import { account, outcomeOf } from "../work.ts";

export interface GuardOptions {
  /** Operations without an answer: a number, or how a gate finds it. */
  readonly limit: number | LimitOptions;
  /** Default: oldest first, since the order of operations may matter. */
  readonly queue?: QueueOptions;
  /** In the accounts; default: the name of the client's class. */
  readonly name?: string;
  /**
   * The methods that give promises. Default: the commands of ioredis, `query` of pg and of what
   * looks like it.
   */
  readonly methods?: readonly string[];
}

/** The gates of guarded clients. */
const gates = new WeakMap<object, Gate>();

interface LooksLikeRedis {
  getBuiltinCommands(): readonly string[];
}

function methodsOf(client: object): readonly string[] {
  const some = client as Partial<LooksLikeRedis> & { readonly query?: unknown }; // looked at only
  if (typeof some.getBuiltinCommands === "function") {
    const commands = some.getBuiltinCommands();
    return [...commands, ...commands.map((each) => `${each}Buffer`), "call", "callBuffer"];
  }
  if (typeof some.query === "function") return ["query"];
  return refuseOption("methods", "not given", "a list: this client is none that is known");
}

/**
 * The client, with its operations bounded.
 * @throws FlowError ERR_HOLDFAST_FLOW_OPTION
 */
export function guard<Client extends object>(client: Client, options: GuardOptions): Client {
  const { limit, queue, name = client.constructor.name } = options;
  const methods = new Set(options.methods ?? methodsOf(client));
  const bound = gate({
    name,
    limit: typeof limit === "number" ? { kind: "fixed", max: limit } : limit,
    queue: { policy: "fifo", targetMs: 100, intervalMs: 500, ...queue },
    account: null,
  });
  const operations = account("op");
  const wrapped = new Map<string, unknown>();
  const guarded = new Proxy(client, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key);
      if (typeof value !== "function") return value;
      if (typeof key !== "string" || !methods.has(key)) return value.bind(target) as unknown;
      const known = wrapped.get(key);
      if (known !== undefined) return known;
      const label = `${name} ${key}`;
      const made = async (...args: readonly unknown[]): Promise<unknown> => {
        const work = operations.begin(label);
        operations.state(work, "queued");
        try {
          const entered = bound.enter();
          const permit = entered instanceof Promise ? await entered : entered;
          operations.state(work, "sent");
          try {
            // looked up again: a client may replace its methods while it connects
            const method = Reflect.get(target, key) as (...all: readonly unknown[]) => unknown;
            const result = await Reflect.apply(method, target, args);
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
