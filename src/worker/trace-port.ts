/**
 * The worker's end of `holdfast trace`. The runtime is loaded when the first trace starts; until
 * then nothing of it is in the process. While the main thread does not come to read its channel,
 * its agent carries the same messages in, in an interrupt (TRACE_CHANNEL).
 *
 * ```
 *   reactor --trace-start, -pull, -stop, -probes--> TracePort --> TraceRuntime
 *   reactor <-- PACKET_TRACE (id, is last, part of a JSON text) --'
 * ```
 */
import { channel as diagnosticsChannel } from "node:diagnostics_channel";
import { createRequire } from "node:module";
import { PACKET_TRACE, TRACE_CHANNEL, once } from "../base/mod.ts";
import type { ReactorToWorker } from "../base/mod.ts";
import type { PacketChannel } from "../os/mod.ts";
import type { TraceRuntime } from "../trace/mod.ts";

type TraceMessage = Extract<ReactorToWorker, { type: `trace-${string}` }>;

/** The application's calls of it may be traced; ours are not among them. */
const toJson = JSON.stringify;

/** Less than a packet holds. */
const PART_BYTES = 64 * 1024;
const HEADER_BYTES = 8;

export class TracePort {
  readonly #channel: PacketChannel;
  readonly #index: number;
  readonly #load = once(async (): Promise<TraceRuntime> => {
    const { TraceRuntime } = await import("../trace/mod.ts");
    return new TraceRuntime();
  });
  #runtime: TraceRuntime | null = null;
  /** Kept, as a channel lives as long as somebody holds it. */
  readonly #interrupts = diagnosticsChannel(TRACE_CHANNEL);
  /** Of the traces that are on, by their number. */
  readonly #tokens = new Map<number, string>();
  /** Messages are carried out in their order, also while the runtime is being loaded. */
  #last: Promise<void> = Promise.resolve();

  /** @param index of the worker */
  constructor(channel: PacketChannel, index: number) {
    this.#channel = channel;
    this.#index = index;
    this.#interrupts.subscribe((message) => {
      this.#interrupted(message as { asked?: TraceMessage; answer?: unknown }); // our own agent's
    });
  }

  /** In the middle of the application's code: nothing may escape from here. */
  #interrupted(interrupt: { asked?: TraceMessage; answer?: unknown }): void {
    if (interrupt.asked === undefined) return;
    try {
      this.#runtime ??= loadNow();
      interrupt.answer = toJson(this.#carryOut(this.#runtime, interrupt.asked));
    } catch (error) {
      interrupt.answer = toJson({ error: String(error) });
    }
  }

  receive(message: TraceMessage): void {
    this.#last = this.#last.then(async () => {
      try {
        this.#runtime ??= await this.#load();
        this.#answer(message.id, this.#carryOut(this.#runtime, message));
      } catch (error) {
        this.#answer(message.id, { error: String(error) });
      }
    });
  }

  #carryOut(runtime: TraceRuntime, message: TraceMessage): unknown {
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

  #answer(id: number, value: unknown): void {
    const text = Buffer.from(toJson(value));
    for (let from = 0; from < text.length; from += PART_BYTES) {
      const part = text.subarray(from, from + PART_BYTES);
      const packet = Buffer.allocUnsafe(HEADER_BYTES + part.length);
      packet.writeUInt32LE(id, 0);
      packet.writeUInt32LE(from + PART_BYTES >= text.length ? 1 : 0, 4);
      part.copy(packet, HEADER_BYTES);
      this.#channel.send(PACKET_TRACE, packet);
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
