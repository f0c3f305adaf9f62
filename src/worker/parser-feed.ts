/**
 * Gives the bytes of a connection to Node's parser where they lie, as it does from a stream that it
 * reads itself.
 */
import type { HttpSocket, Parser } from "./node-internals.ts";

/** One for each connection. */
export class ParserFeed {
  /** Node's own listener to `data`. */
  #listener: unknown = null;
  /** What Node does when the parser has seen bytes. */
  #executed: ((result: number | Error) => void) | null = null;

  /** The socket exists. */
  attach({ _events: events }: HttpSocket, parser: Parser): void {
    const executed = parser[parser.constructor.kOnExecute ?? -1];
    if (typeof executed !== "function") return;
    this.#listener = events.data;
    this.#executed = executed as (result: number | Error) => void; // see Parser
  }

  /** Whether nobody but Node listens to the socket's data, and nothing of it waits. */
  isAlone(socket: HttpSocket): boolean {
    if (this.#executed === null || socket._events.data !== this.#listener) return false;
    return Boolean(socket.parser) && socket.readableFlowing === true && socket.readableLength === 0;
  }

  /** Where nobody else listens. */
  parse({ parser }: HttpSocket, view: Buffer): void {
    if (!parser) return;
    const result = parser.execute(view);
    if (typeof result === "number" && parser.incoming?.upgrade !== true) {
      this.#executed?.(result);
      return;
    }
    parser.getCurrentBuffer = () => Buffer.from(view); // empty when nothing is being parsed
    try {
      this.#executed?.(result);
    } finally {
      Reflect.deleteProperty(parser, "getCurrentBuffer"); // a parser has many connections
    }
  }
}
