/**
 * The worker's end of `holdfast trace`. The runtime is loaded when the first trace starts; until
 * then nothing of it is in the process.
 *
 * ```
 *   reactor --trace-start, -pull, -stop, -probes--> TracePort --> TraceRuntime
 *   reactor <-- PACKET_TRACE (id, is last, part of a JSON text) --'
 * ```
 */
import { PACKET_TRACE, once } from "../base/mod.ts";
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
  /** Messages are carried out in their order, also while the runtime is being loaded. */
  #last: Promise<void> = Promise.resolve();

  /** @param index of the worker */
  constructor(channel: PacketChannel, index: number) {
    this.#channel = channel;
    this.#index = index;
  }

  receive(message: TraceMessage): void {
    this.#last = this.#last.then(async () => {
      try {
        this.#answer(message.id, this.#carryOut(await this.#load(), message));
      } catch (error) {
        this.#answer(message.id, { error: String(error) });
      }
    });
  }

  #carryOut(runtime: TraceRuntime, message: TraceMessage): unknown {
    switch (message.type) {
      case "trace-start":
        return { error: runtime.start(message.id, { ...message.order, worker: this.#index }) };
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
