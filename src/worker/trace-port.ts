/**
 * The worker's end of `holdfast trace`. The runtime is loaded when the first trace starts; until
 * then nothing of it is in the process. While the main thread does not come to read its channel,
 * its agent carries the same messages in (trace-desk.ts).
 *
 * ```
 *   reactor --trace-start, -pull, -stop, -probes--> TracePort --> TraceDesk --> TraceRuntime
 *   reactor <-- PACKET_TRACE (id, is last, part of a JSON text) --'
 * ```
 */
import { PACKET_TRACE } from "../base/mod.ts";
import type { TraceMessage } from "../base/mod.ts";
import type { PacketChannel } from "../os/mod.ts";
import { TraceDesk, toJson } from "./trace-desk.ts";

/** Less than a packet holds. */
const PART_BYTES = 64 * 1024;
const HEADER_BYTES = 8;

export class TracePort {
  readonly #channel: PacketChannel;
  readonly #desk: TraceDesk;
  /** Messages are carried out in their order, also while the runtime is being loaded. */
  #last: Promise<void> = Promise.resolve();

  /** @param index of the worker */
  constructor(channel: PacketChannel, index: number) {
    this.#channel = channel;
    this.#desk = new TraceDesk(index);
    this.#desk.open();
  }

  receive(message: TraceMessage): void {
    this.#last = this.#last.then(async () => {
      try {
        this.#answer(message.id, await this.#desk.carryOut(message));
      } catch (error) {
        this.#answer(message.id, { error: String(error) });
      }
    });
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
