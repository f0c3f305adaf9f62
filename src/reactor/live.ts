/**
 * What operators ask of running workers, passed on to their agents: stacks, profiles, heap
 * snapshots, debuggers. Answers go to the control socket as they come.
 */
import { formatSize } from "../base/mod.ts";
import type {
  HeapFigures,
  LoadedScript,
  MainStack,
  PatchResult,
  ResolvedConfig,
  StackFrame,
} from "../base/mod.ts";
import { machineNowMs, readProcessMemory } from "../os/mod.ts";
import { LineQueue } from "../supervision/mod.ts";
import type {
  AttachedDebugger,
  ControlledLive,
  LogFields,
  PatchOrder,
  ProfileLine,
  ProfileOrder,
  WorkerPatch,
  WorkerScript,
  WorkerStack,
} from "../supervision/mod.ts";
import type { AgentAsk } from "./agent-link.ts";
import { DebugSignal } from "./debug-signal.ts";
import type { Looking } from "./lookout.ts";
import type { WorkerLink } from "./worker-link.ts";

/** The agent gives up holding the main thread after a second at most. */
const STACK_LIMIT_MS = 3000;
/** For a process to start, to read what the worker's binary says of V8, and to look. */
const LOOK_LIMIT_MS = 5000;
/** Beyond the time of the profile: to make it and to hand it over. */
const PROFILE_LATE_MS = 60_000;
const HEAP_LIMIT_MS = 10_000;
const SNAPSHOT_LIMIT_MS = 600_000;
const SCRIPT_LIMIT_MS = 5000;
/** A large heap is walked twice. */
const PATCH_LIMIT_MS = 300_000;
/**
 * Of a heap snapshot: memory beyond the heap for each of its bytes, and how many of them are done
 * in a millisecond. Measured with `bench/live/snapshot-cost.ts` on Node 22, 24 and 26 with small
 * objects, which are the dearest: 13.2 to 15.5 bytes for a byte, 7,700 to 21,200 bytes a
 * millisecond. (Node's manual speaks of twice the heap.) Of large strings it takes far less.
 */
const SNAPSHOT_BYTES_FOR_BYTE = 16;
const SNAPSHOT_BYTES_PER_MS = 7500;

/** A worker as far as its agent is concerned. */
export type LiveLink = Pick<
  WorkerLink,
  "index" | "pid" | "agent" | "isFed" | "heartbeatMs" | "holds"
>;

export interface LivePorts {
  readonly links: ReadonlyMap<number, LiveLink>;
  /** Of all workers together; 0: no limit. */
  limitBytes(): number;
  /** Where the agent cannot tell what the main thread does. */
  readonly lookout: Pick<Looking, "look">;
  readonly log: (level: "info" | "warn", message: string, fields: LogFields) => void;
}

/** See the file's docstring. */
export class Live implements ControlledLive {
  readonly #ports: LivePorts;
  readonly #debugSignal: DebugSignal;
  /** Profiles that are being taken, by number. */
  readonly #profiles = new Map<number, AgentAsk>();
  #lastProfile = 0;

  constructor(ports: LivePorts) {
    this.#ports = ports;
    this.#debugSignal = new DebugSignal(ports.log);
  }

  get workers(): readonly number[] {
    return [...new Set(this.#links().map(({ index }) => index))].toSorted((a, b) => a - b);
  }

  /** The agent of a worker has ended; its process may be about to. */
  agentGone(id: number, fault: string): void {
    const link = this.#ports.links.get(id);
    if (link === undefined || fault === "") return;
    const message =
      `the agent of worker ${link.index} has ended; its stacks, profiles and debugger are back ` +
      `with the next worker (holdfast restart ${link.index}): ${fault}`;
    this.#ports.log("warn", message, { worker: link.index, pid: link.pid });
  }

  /** SIGUSR2. */
  debugSignalled(config: Pick<ResolvedConfig, "runtimeDir" | "name">): void {
    const workers = this.#links().map((link) => ({ index: link.index, silentMs: silentFor(link) }));
    this.#debugSignal.received(config, workers);
  }

  stacks(worker: number | null, variables: boolean): Promise<readonly WorkerStack[]> {
    return Promise.all(this.#chosen(worker).map((link) => this.#stack(link, variables)));
  }

  async *profile(
    worker: number,
    order: ProfileOrder,
    signal: AbortSignal,
  ): AsyncGenerator<ProfileLine, void, void> {
    const link = this.#serving(worker);
    const lines = new LineQueue<ProfileLine>();
    this.#lastProfile += 1;
    const profile = this.#lastProfile;
    yield { type: "started", worker, pid: link.pid, profile };
    const ask = link.agent.open(
      { kind: "profile", ...order },
      {
        limitMs: order.durationMs + PROFILE_LATE_MS,
        onPart: (part) => lines.push({ type: "part", text: (part as { text: string }).text }),
      },
    );
    const cancel = (): void => ask.cancel();
    signal.addEventListener("abort", cancel, { once: true });
    this.#profiles.set(profile, ask);
    ask.answer
      .then(
        (answer) => lines.push({ type: "done", ...(answer as { characters: number }) }),
        (error: unknown) => lines.push(failure(error)),
      )
      .finally(() => {
        this.#profiles.delete(profile);
        lines.end();
      });
    for await (const line of lines) {
      if ("lost" in line) {
        ask.cancel();
        yield { type: "failed", message: "it was read too slowly, parts of it are lost" };
        return;
      }
      yield line;
    }
  }

  stopProfile(profile: number): boolean {
    const ask = this.#profiles.get(profile);
    ask?.cancel();
    return ask !== undefined;
  }

  async *snapshot(
    worker: number,
    path: string,
    isForced: boolean,
  ): AsyncGenerator<ProfileLine, void, void> {
    const link = this.#serving(worker);
    yield { type: "started", worker, pid: link.pid, profile: 0 };
    link.holds += 1;
    try {
      const heap = await link.agent.ask({ kind: "heap" }, HEAP_LIMIT_MS);
      const cost = this.#cost(heap as HeapFigures); // by agent-messages.ts
      yield cost;
      if (cost.neededBytes > cost.availableBytes && !isForced) {
        const needed = formatRounded(cost.neededBytes);
        const available = formatRounded(cost.availableBytes);
        const message = `it needs ${needed} more memory, and ${available} is left`;
        yield { type: "failed", message: `${message}; --force takes it all the same` };
        return;
      }
      await link.agent.ask({ kind: "snapshot", path }, SNAPSHOT_LIMIT_MS);
      yield { type: "done", characters: 0 };
    } catch (error) {
      yield failure(error);
    } finally {
      link.holds -= 1;
    }
  }

  debug(
    worker: number,
    onMessage: (message: unknown) => void,
    onEnd: () => void,
  ): AttachedDebugger {
    const link = this.#serving(worker);
    const { log } = this.#ports;
    const fields = { worker, pid: link.pid };
    const ask = link.agent.open({ kind: "debug" }, { limitMs: null, onPart: onMessage });
    link.holds += 1;
    log("warn", `a debugger is attached to worker ${worker}`, fields);
    ask.answer
      .catch((error: unknown) => log("warn", `the debugger: ${failure(error).message}`, fields))
      .finally(() => {
        link.holds -= 1;
        log("info", `the debugger has left worker ${worker}`, fields);
        onEnd();
      });
    return { receive: (message) => ask.tell(message), close: () => ask.cancel() };
  }

  scripts(worker: number | null, path: string): Promise<readonly WorkerScript[]> {
    return Promise.all(
      this.#chosen(worker).map(async (link) => {
        const { index, pid } = link;
        try {
          const script = await link.agent.ask({ kind: "script", path }, SCRIPT_LIMIT_MS);
          // by agent-messages.ts
          return { worker: index, pid, script: script as LoadedScript, error: null };
        } catch (error) {
          return { worker: index, pid, script: null, error: failure(error).message };
        }
      }),
    );
  }

  patch(worker: number | null, order: PatchOrder): Promise<readonly WorkerPatch[]> {
    return Promise.all(
      this.#chosen(worker).map(async (link) => {
        const { index, pid } = link;
        link.holds += 1;
        let result: PatchResult;
        try {
          const answer = await link.agent.ask({ kind: "patch", ...order }, PATCH_LIMIT_MS);
          result = answer as PatchResult; // by agent-messages.ts
        } catch (error) {
          result = { refused: failure(error).message };
        } finally {
          link.holds -= 1;
        }
        if (result.refused === null && !order.isDryRun) {
          const count = order.functions.length;
          const what = `${count} function${count === 1 ? "" : "s"} of ${order.path} replaced`;
          this.#ports.log("warn", `${what} in worker ${index}`, { worker: index, pid });
        }
        return { worker: index, pid, result };
      }),
    );
  }

  #chosen(worker: number | null): readonly LiveLink[] {
    return this.#links().filter(({ index }) => worker === null || index === worker);
  }

  async #stack(link: LiveLink, variables: boolean): Promise<WorkerStack> {
    const { index: worker, pid } = link;
    const silentMs = silentFor(link);
    let stack: MainStack | null = null;
    let error: string | null = null;
    try {
      const answer = await link.agent.ask({ kind: "stack", variables, silentMs }, STACK_LIMIT_MS);
      stack = answer as MainStack; // by agent-messages.ts
      if (stack.state !== "native") return { worker, pid, silentMs, stack, error };
    } catch (failed) {
      error = failure(failed).message;
    }
    try {
      const seen = await this.#ports.lookout.look(pid, LOOK_LIMIT_MS);
      return {
        worker,
        pid,
        silentMs,
        stack: variables ? seen : withoutVariables(seen),
        error: null,
      };
    } catch (failed) {
      if (error !== null) error = `${error}; ${failure(failed).message}`;
      return { worker, pid, silentMs, stack, error };
    }
  }

  #cost({ usedBytes }: HeapFigures): Extract<ProfileLine, { type: "cost" }> {
    const limitBytes = this.#ports.limitBytes();
    const pids = this.#links().map(({ pid }) => pid);
    const used = pids.reduce((sum, pid) => sum + (readProcessMemory(pid)?.anonBytes ?? 0), 0);
    const ownLeft = limitBytes > 0 ? Math.max(0, limitBytes - used) : Infinity;
    return {
      type: "cost",
      heapBytes: usedBytes,
      neededBytes: Math.round(SNAPSHOT_BYTES_FOR_BYTE * usedBytes),
      availableBytes: Math.min(ownLeft, process.availableMemory()),
      pauseMs: Math.ceil(usedBytes / SNAPSHOT_BYTES_PER_MS),
    };
  }

  /** The worker of an index that serves: during a reload there are two. */
  #serving(worker: number): LiveLink {
    const links = this.#links().filter(({ index }) => index === worker);
    const link = links.find(({ isFed }) => isFed) ?? links.at(-1);
    if (link === undefined) throw new Error(`worker ${worker} has just ended`);
    return link;
  }

  #links(): readonly LiveLink[] {
    return [...this.#ports.links.values()];
  }
}

/** Milliseconds since its last heartbeat; 0: it had none yet. */
function silentFor({ heartbeatMs }: LiveLink): number {
  return heartbeatMs === 0 ? 0 : Math.max(0, Math.round(machineNowMs() - heartbeatMs));
}

function withoutVariables(stack: MainStack): MainStack {
  const bare = ({ name, file, line, column }: StackFrame) => ({ name, file, line, column });
  return { ...stack, frames: stack.frames.map(bare) };
}

function failure(error: unknown): Extract<ProfileLine, { type: "failed" }> {
  return { type: "failed", message: error instanceof Error ? error.message : String(error) };
}

/** Sizes as people say them: whole MiB. */
function formatRounded(bytes: number): string {
  const mib = 1024 * 1024;
  return formatSize(Math.max(1, Math.round(bytes / mib)) * mib);
}
