/**
 * Where messages of traces are carried out in the application's main thread, whoever brings them: a
 * worker's channel, or the agent in an interrupt (TRACE_CHANNEL).
 */
import { channel } from "node:diagnostics_channel";
import { createRequire } from "node:module";
import { TRACE_CHANNEL, once } from "../base/mod.ts";
import type { TraceMessage } from "../base/mod.ts";
import type { TraceRuntime } from "../trace/mod.ts";

/** The application's calls of it may be traced; ours are not among them. */
export const toJson: (value: unknown) => string = JSON.stringify;

/** What the agent publishes. */
interface Interrupt {
  readonly asked?: TraceMessage;
  /** Nobody will ask any more: of a process that Holdfast has not started. */
  readonly isOver?: boolean;
  answer?: unknown;
}

/** See the file's docstring. The runtime is loaded when the first trace starts. */
export class TraceDesk {
  readonly #index: number;
  readonly #load = once(async (): Promise<TraceRuntime> => {
    const { TraceRuntime } = await import("../trace/mod.ts");
    return new TraceRuntime();
  });
  #runtime: TraceRuntime | null = null;
  /** Then Node cannot load it in an interrupt as well: whoever asks so asks again. */
  #isLoading = false;
  /** Kept, as a channel lives as long as somebody holds it. */
  readonly #interrupts = channel(TRACE_CHANNEL);
  /** Of the traces that are on, by their number. */
  readonly #tokens = new Map<number, string>();

  /** @param index of the worker */
  constructor(index: number) {
    this.#index = index;
  }

  /** Hears what the agent publishes. */
  open(): void {
    this.#interrupts.subscribe(this.#interrupted);
  }

  async carryOut(message: TraceMessage): Promise<unknown> {
    this.#isLoading = true;
    this.#runtime ??= await this.#load();
    return this.#answer(this.#runtime, message);
  }

  /** Ends every trace, and hears of no other. */
  #close(): void {
    this.#interrupts.unsubscribe(this.#interrupted);
    for (const id of this.#tokens.keys()) this.#runtime?.stop(id);
  }

  /** In the middle of the application's code: nothing may escape from here. */
  readonly #interrupted = (message: unknown): void => {
    const interrupt = message as Interrupt; // our own agent's
    try {
      if (interrupt.isOver === true) this.#close();
      if (interrupt.asked === undefined) return;
      if (this.#runtime === null && this.#isLoading) return;
      this.#runtime ??= loadNow();
      interrupt.answer = toJson(this.#answer(this.#runtime, interrupt.asked));
    } catch (error) {
      interrupt.answer = toJson({ error: String(error) });
    }
  };

  #answer(runtime: TraceRuntime, message: TraceMessage): unknown {
    switch (message.type) {
      case "trace-start": {
        const { id, order, token } = message;
        if (this.#tokens.get(id) === token) return { error: null, lines: runtime.lines(id) };
        this.#tokens.set(id, token);
        const error = runtime.start(id, { ...order, worker: this.#index });
        return { error, lines: runtime.lines(id) };
      }
      case "trace-pull":
        return { snapshot: runtime.snapshot(message.id) };
      case "trace-stop":
        return { snapshot: runtime.stop(message.id) };
      case "trace-probes":
        return { probes: runtime.probes() };
    }
  }
}

/** In an interrupt nothing can be waited for. */
function loadNow(): TraceRuntime {
  const path = import.meta.url.endsWith(".js") ? "../trace/mod.js" : "../trace/mod.ts";
  // our own module
  const { TraceRuntime: Runtime } = createRequire(import.meta.url)(path) as {
    TraceRuntime: new () => TraceRuntime;
  };
  return new Runtime();
}
