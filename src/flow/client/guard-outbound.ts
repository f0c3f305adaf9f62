/**
 * Limits for what an unmodified application asks of others: its `fetch`, and whatever goes through
 * an agent of `node:http` or `node:https`. A gate for each origin, shared by both.
 *
 * ```
 *   fetch          --> global dispatcher, ours --> exchange, gate --> Node's own dispatcher
 *   http.request() --> Agent.addRequest, ours  --> gate           --> Node's own
 * ```
 */
import { errorMonitor } from "node:events";
import type { ClientRequest, IncomingMessage } from "node:http";
import { checkNames } from "../errors.ts";
import { checkQueue } from "../gate.ts";
import type { Gate, GateOptions, GateStats, QueueOptions } from "../gate.ts";
import { makeLimit } from "../limits.ts";
import type { LimitOptions } from "../limits.ts";
import type { WorkOutcome } from "../../ledger/mod.ts";
import { Deadline } from "../deadline.ts";
import { account, outcomeOf } from "../work.ts";
import { Budget } from "./budget.ts";
import { Exchange } from "./exchange.ts";
import type { DispatchOptions } from "./exchange.ts";
import { modern } from "./handlers.ts";
import type { Handler, LegacyHandler } from "./handlers.ts";
import { LegacyForm } from "./legacy.ts";
import { Origin } from "./origin.ts";
import type { Connections } from "./origin.ts";
import { currentContext } from "../context.ts";
import { processFlow } from "../process-flow.ts";

export interface OutboundOptions {
  /** Of each origin; default: by the gradient of its latency, at most 1,000. */
  readonly limit?: LimitOptions;
  readonly queue?: QueueOptions;
  /** `observe`: everything is sent, and what would have been refused is counted. */
  readonly mode?: GateOptions["mode"];
}

/** What `guardOutbound` gives. */
export interface OutboundGuard extends Disposable {
  stats(): readonly GateStats[];
}

/** Of what an application asks of one origin. */
export const OUTBOUND_LIMIT: LimitOptions = { kind: "gradient", initial: 20, max: 1000 };
/** Beyond so many origins the others share one gate. */
const ORIGINS_MAX = 256;
const OTHER_ORIGINS = "(other origins)";
/** Where the copies of undici in a process keep the dispatcher of `fetch` (lib/global.js). */
const DISPATCHERS = [
  Symbol.for("undici.globalDispatcher.1"),
  Symbol.for("undici.globalDispatcher.2"),
] as const;

type Globals = Record<symbol, Dispatcher | undefined>;

interface Dispatcher extends Connections {
  dispatch(options: DispatchOptions, handler: Handler | LegacyHandler): boolean;
}

/** What `addRequest` of an agent is given (lib/_http_agent.js). */
interface AgentOptions {
  readonly host?: string;
  readonly hostname?: string;
  readonly port?: number | string;
  readonly socketPath?: string;
}

interface PatchedAgent {
  addRequest(this: AgentLike, request: ClientRequest, ...rest: unknown[]): void;
}

interface AgentLike {
  readonly protocol?: string;
}

/** Gates by origin. */
class Gates {
  readonly #options: OutboundOptions;
  readonly #origins = new Map<string, Origin>();

  constructor(options: OutboundOptions) {
    this.#options = options;
  }

  /** `connections` of the one who asks first are not used by who brings its own. */
  at(url: string, connections: Connections): Origin {
    const name = this.#origins.size < ORIGINS_MAX ? url : OTHER_ORIGINS;
    const known = this.#origins.get(url) ?? this.#origins.get(name);
    if (known !== undefined) return known;
    const { limit = OUTBOUND_LIMIT, queue = {}, mode = "enforce" } = this.#options;
    const origin = new Origin(name, { limit, queue, mode }, connections, null);
    this.#origins.set(name, origin);
    return origin;
  }

  stats(): readonly GateStats[] {
    return [...this.#origins.values()].map(({ gate }) => gate.stats());
  }

  close(): void {
    for (const { gate } of this.#origins.values()) gate.close();
  }
}

/** Nothing of the application's own settings is changed: no timeouts, no second tries. */
function exchangePool(gates: Gates, connections: Connections) {
  return {
    timeouts: { headMs: 0, bodyMs: 0, totalMs: 0 },
    retries: 0,
    budget: new Budget("retry", {}),
    hedges: null,
    keepsTimeouts: true,
    sender: connections,
    choose: (options: DispatchOptions) => gates.at(String(options.origin), connections),
    hedgeAfterMs: () => null,
    answered: () => undefined,
  };
}

/** The dispatcher of a copy of undici, with our gates in front. */
function guarded(inner: Dispatcher, gates: Gates, isLegacy: boolean): Dispatcher {
  const connections: Connections = {
    dispatch: (options, handler) =>
      inner.dispatch(options, isLegacy ? new LegacyForm(handler) : handler),
    close: () => Promise.resolve(),
    destroy: () => Promise.resolve(),
  };
  const shared = exchangePool(gates, connections);
  const dispatch: Dispatcher["dispatch"] = (options, handler) => {
    const exchange = new Exchange(
      shared,
      options,
      modern(handler),
      currentContext()?.deadline ?? null,
    );
    exchange.start();
    return true;
  };
  return new Proxy(inner, {
    get(target, key) {
      if (key === "dispatch") return dispatch;
      const value: unknown = Reflect.get(target, key);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
}

function guardFetch(gates: Gates): () => void {
  // the first look at one of its classes makes Node load its undici, which sets the dispatcher
  void globalThis.Response;
  const globals = globalThis as unknown as Globals; // undici's own places
  const isLegacy = Number(process.versions.undici?.split(".")[0] ?? 7) < 7;
  const restore = DISPATCHERS.map((key) => {
    const inner = globals[key];
    if (inner === undefined) return () => undefined;
    const ours = guarded(inner, gates, isLegacy && key === DISPATCHERS[0]);
    globals[key] = ours;
    return () => {
      if (globals[key] === ours) globals[key] = inner;
    };
  });
  return () => restore.forEach((each) => each());
}

function originOf(agent: AgentLike, options: AgentOptions): string {
  if (options.socketPath !== undefined) return `unix:${options.socketPath}`;
  const { protocol = "http:" } = agent;
  const port = Number(options.port ?? 0);
  const isDefault = port === 0 || port === (protocol === "https:" ? 443 : 80);
  const host = options.host ?? options.hostname ?? "localhost";
  const shown = host.includes(":") ? `[${host}]` : host;
  return `${protocol}//${shown}${isDefault ? "" : `:${port}`}`;
}

const NO_CONNECTIONS: Connections = {
  dispatch: () => false,
  close: () => Promise.resolve(),
  destroy: () => Promise.resolve(),
};

function guardAgents(gates: Gates): () => void {
  // not imported: an import reads all exports, WebSocket among them, which makes Node load undici
  const http = process.getBuiltinModule("node:http");
  // it is there in every version, and what agents of libraries override too
  const prototype = http.Agent.prototype as unknown as PatchedAgent;
  // called with the agent as `this`, below
  // oxlint-disable-next-line typescript/unbound-method
  const original = prototype.addRequest;
  const ours: PatchedAgent["addRequest"] = function addRequest(request, ...rest) {
    const first = rest[0];
    const options: AgentOptions =
      typeof first === "object" && first !== null ? first : { host: String(first) };
    const { gate } = gates.at(originOf(this, options), NO_CONNECTIONS);
    enter(gate, request, () => {
      Reflect.apply(original, this, [request, ...rest]);
    });
  };
  prototype.addRequest = ours;
  return () => {
    if (prototype.addRequest === ours) prototype.addRequest = original;
  };
}

/** A request of `node:http` passes a gate. */
function enter(gate: Gate, request: ClientRequest, send: () => void): void {
  processFlow().table.observed.add(request);
  const outbound = account("http.out");
  const around = currentContext()?.deadline ?? null;
  const until = around !== null && Number.isFinite(around.atMs) ? around.atMs : 0;
  const work = outbound.begin(`${request.method} ${gate.name}`, until);
  outbound.state(work, "queued");
  const deadline = new Deadline(Number.POSITIVE_INFINITY, around);
  let stay: (() => void) | null = null;
  gate.offer(
    {
      admit: (permit) => {
        stay?.();
        outbound.state(work, "sent");
        // not a listener of "response": with one, Node would leave unread bodies to it
        hearEnd(request, (outcome) => {
          permit.release(outcome === "ok" ? "ok" : outcome === "cancelled" ? "ignore" : "drop");
          outbound.end(work, outcome);
        });
        send();
      },
      refuse: (_reason, _retryAfterMs, error) => {
        stay?.();
        const isLeft = request.destroyed;
        outbound.end(work, isLeft ? "cancelled" : deadline.isOver ? "expired" : "refused");
        // what Node's own agent calls when it has no socket to give (lib/_http_agent.js)
        (request as unknown as NodeRequest).onSocket(null, isLeft ? null : error());
      },
      isGone: () => request.destroyed,
    },
    { deadline },
  );
  // it still waits: who destroys it is heard at once, as when it had a socket
  if (gate.queued > 0 && !request.destroyed) stay = hearDestroy(request, deadline);
}

/** Takes a request out of the queue when it is destroyed. Returns what ends that. */
function hearDestroy(request: ClientRequest, deadline: Deadline): () => void {
  // called with the request as `this`, below
  // oxlint-disable-next-line typescript/unbound-method
  const { destroy } = request;
  const heard = function heard(this: ClientRequest, error?: Error): ClientRequest {
    Reflect.apply(destroy, this, [error]);
    deadline.cancel(error ?? new Error("destroyed"));
    return this;
  };
  const own = { value: heard, configurable: true, enumerable: false, writable: true };
  Object.defineProperty(request, "destroy", own);
  return () => {
    if (request.destroy === heard) Reflect.deleteProperty(request, "destroy");
  };
}

/**
 * Tells how a request has ended. One that is destroyed without a reason is taken for one that took
 * too long, as in `request.setTimeout(ms, () => request.destroy())`.
 */
function hearEnd(request: ClientRequest, tell: (outcome: WorkOutcome) => void): void {
  let error: unknown = null;
  // hears it without taking it from who should
  request.once(errorMonitor, (why: unknown) => (error = why));
  request.once("close", () => {
    const isWell = (request as unknown as NodeRequest).res?.complete === true;
    tell(isWell ? "ok" : outcomeOf(error));
  });
}

/** What Node keeps on a request (lib/_http_client.js). */
interface NodeRequest {
  readonly res?: IncomingMessage | null;
  onSocket(socket: null, error: Error | null): void;
}

/**
 * Bounds what this process asks of others, until it is disposed of.
 * @throws FlowError ERR_HOLDFAST_FLOW_OPTION
 */
export function guardOutbound(options: OutboundOptions = {}): OutboundGuard {
  checkNames(options, { limit: true, queue: true, mode: true });
  const gates = new Gates(options);
  if (options.limit !== undefined) makeLimit(options.limit);
  checkQueue(options.queue ?? {});
  const restoreFetch = guardFetch(gates);
  const restoreAgents = guardAgents(gates);
  return {
    stats: () => gates.stats(),
    [Symbol.dispose]: () => {
      restoreFetch();
      restoreAgents();
      gates.close();
    },
  };
}
