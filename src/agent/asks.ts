/** What the reactor asks of the agent, carried out; what it means is in base/agent-messages.ts. */
import { existsSync, rmSync } from "node:fs";
import type { Runtime } from "node:inspector";
import { fileURLToPath } from "node:url";
import { TRACE_CHANNEL, entryUrl } from "../base/mod.ts";
import type {
  AgentRequest,
  AgentToReactor,
  HeapFigures,
  ReactorToAgent,
  TraceMessage,
} from "../base/mod.ts";
import { DebuggerSession } from "./debug.ts";
import { channelOf } from "./line-session.ts";
import { Watches } from "./watches.ts";
import { MainSession } from "./main-session.ts";
import { pauses } from "./pauses.ts";
import { Patches } from "./patch.ts";
import { Profiles } from "./profile.ts";
import { rescue } from "./rescue.ts";
import { SourceMaps } from "./source-maps.ts";
import { mainStack } from "./stack.ts";

/** A pause is over in some milliseconds, or given up after a second. */
const PAUSE_LOOK_MS = 10;
/** A reactor asks a few at a time; more is a fault of its own. */
const ASKS_MAX = 64;
/** As the reactor waits: a heap that takes longer is too large to stop a service for. */
const SNAPSHOT_LIMIT_MS = 600_000;
const EVALUATE_LIMIT_MS = 30_000;

const HEAP = `(() => {
  const { used_heap_size, external_memory, heap_size_limit } =
    process.getBuiltinModule("node:v8").getHeapStatistics();
  return { usedBytes: used_heap_size, externalBytes: external_memory, limitBytes: heap_size_limit };
})()`;

/** An ask that is under way. */
interface Ask {
  readonly receive: (value: unknown) => void;
  readonly cancel: () => void;
}

/** See the file's docstring. */
export class Asks {
  readonly #send: (message: AgentToReactor) => void;
  readonly #session: MainSession = new MainSession();
  readonly #maps: SourceMaps = new SourceMaps();
  readonly #profiles: Profiles = new Profiles(this.#session, this.#maps);
  readonly #patches: Patches = new Patches(this.#session);
  readonly #watches: Watches = new Watches();
  readonly #open = new Map<number, Ask>();

  readonly #isAttached: boolean;
  readonly #worker: number;

  /** @param isAttached to a process that Holdfast has not started: no desk of traces is there */
  constructor(send: (message: AgentToReactor) => void, isAttached: boolean, worker: number) {
    this.#send = send;
    this.#isAttached = isAttached;
    this.#worker = worker;
  }

  receive(message: ReactorToAgent): void {
    switch (message.type) {
      case "reset":
        this.end();
        return;
      case "ask":
        this.#ask(message.id, message.request);
        return;
      case "tell":
        this.#open.get(message.id)?.receive(message.value);
        return;
      case "cancel":
        this.#open.get(message.id)?.cancel();
    }
  }

  /** Ends everything: nobody waits for it any more. */
  end(): void {
    for (const ask of this.#open.values()) ask.cancel();
  }

  #ask(id: number, request: AgentRequest): void {
    if (this.#open.size >= ASKS_MAX) {
      this.#send({ type: "failed", id, message: `${ASKS_MAX} asks are under way already` });
      return;
    }
    const ended = Promise.withResolvers<void>();
    let receive: Ask["receive"] = () => undefined;
    const onReceive = (listener: Ask["receive"]): void => {
      receive = listener;
    };
    this.#open.set(id, { receive: (value) => receive(value), cancel: () => ended.resolve() });
    const part = (value: unknown): void => this.#send({ type: "part", id, value });
    this.#answer(request, ended.promise, part, onReceive)
      .then(
        (value) => this.#send({ type: "done", id, value }),
        (error: unknown) => this.#send({ type: "failed", id, message: messageOf(error) }),
      )
      .finally(() => this.#open.delete(id));
  }

  async #answer(
    request: AgentRequest,
    ended: Promise<void>,
    part: (value: unknown) => void,
    onReceive: (listener: (value: unknown) => void) => void,
  ): Promise<unknown> {
    switch (request.kind) {
      case "stack":
        return mainStack(this.#session, this.#maps, request);
      case "evaluate":
        return this.#evaluate(request.expression, request.awaitPromise);
      case "heap":
        return this.#heap();
      case "profile": {
        const timer = setTimeout(() => cut.resolve(), request.durationMs);
        const cut = Promise.withResolvers<void>();
        const until = Promise.race([ended, cut.promise]).finally(() => clearTimeout(timer));
        return this.#profiles.take(request, until, part);
      }
      case "snapshot":
        return this.#snapshot(request.path);
      case "debug": {
        const debuggerSession = new DebuggerSession(part);
        onReceive((value) => debuggerSession.receive(value));
        return ended.finally(() => debuggerSession.close());
      }
      case "script":
        return this.#patches.script(request.path);
      case "patch":
        return this.#patches.apply(request);
      case "trace":
        return this.#trace(request.message);
      case "lines":
        return this.#watches.watch(request.lines, ended);
      case "rescue":
        return rescue(this.#session, request.progress);
    }
  }

  async #heap(): Promise<HeapFigures> {
    // the expression above makes one
    return (await this.#evaluate(HEAP, false)) as HeapFigures;
  }

  /** Carried out in the main thread by our own code there, in the middle of whatever it does. */
  async #trace(asked: TraceMessage): Promise<unknown> {
    if (this.#isAttached) await this.#openDesk();
    while (pauses.asked > 0) await new Promise((resolve) => setTimeout(resolve, PAUSE_LOOK_MS));
    const publish = `${channelOf(TRACE_CHANNEL)}.publish(message)`;
    const call = `((message) => { ${publish}; return message.answer; })`;
    const text = await this.#evaluate(`${call}({ asked: ${JSON.stringify(asked)} })`, false);
    if (typeof text !== "string") throw new Error("the worker does not listen yet");
    return JSON.parse(text) as unknown;
  }

  /** Where there is none. */
  async #openDesk(): Promise<void> {
    const url = entryUrl(import.meta.url, "../worker/attached.ts");
    const path = JSON.stringify(fileURLToPath(url));
    const module = `process.getBuiltinModule("node:module").createRequire(${path})(${path})`;
    const isOpen = `${channelOf(TRACE_CHANNEL)}.hasSubscribers`;
    await this.#evaluate(`${isOpen} || void ${module}.openDesk(${this.#worker})`, false);
  }

  /** Of a process that Holdfast has not started: nothing is left in its main thread. */
  async leave(): Promise<void> {
    const over = `${channelOf(TRACE_CHANNEL)}.publish({ isOver: true })`;
    await this.#evaluate(over, false).catch(() => undefined); // traces end by themselves, too
  }

  async #snapshot(path: string): Promise<{ readonly path: string }> {
    if (existsSync(path)) throw new Error(`${path} is there already`);
    const call = `process.getBuiltinModule("node:v8").writeHeapSnapshot(${JSON.stringify(path)})`;
    try {
      await this.#evaluate(call, false, SNAPSHOT_LIMIT_MS);
    } catch (error) {
      // what there is of it is none; one that takes too long is written on
      if (error instanceof Thrown) rmSync(path, { force: true });
      throw error;
    }
    return { path };
  }

  async #evaluate(
    expression: string,
    awaitPromise: boolean,
    limitMs: number = EVALUATE_LIMIT_MS,
  ): Promise<unknown> {
    const options = { expression, awaitPromise, returnByValue: true, silent: true };
    const answer = await this.#session.post("Runtime.evaluate", options, limitMs);
    const { result, exceptionDetails } = answer as Runtime.EvaluateReturnType; // by the protocol
    if (exceptionDetails === undefined) return result.value as unknown;
    const { exception, text } = exceptionDetails;
    const [firstLine = text] = (exception?.description ?? text).split("\n");
    throw new Thrown(firstLine);
  }
}

/** What the main thread has thrown, as against that it did not answer. */
class Thrown extends Error {}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
