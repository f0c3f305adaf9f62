/**
 * Node's parser of HTTP, as it lies in memory: since when it receives the message that it has not
 * read to its end yet. It keeps that for `headersTimeout` and `requestTimeout`.
 *
 * ```
 *   HTTPParser (JavaScript) --internal field--> node::Parser
 *             ^------- *persistent_handle_ ----------'  max_http_header_size_
 *                                                       last_message_start_ <-- parserMessageStart
 *                                                       connectionsList_
 * ```
 * The constant stands in the table of the version (layouts/). What lies on either side of it must
 * be what is declared there. Source: src/node_http_parser.cc, src/base_object.h of Node.
 */
import type { HeapView } from "../v8/heap-view.ts";
import type { Tagged } from "../v8/tagged.ts";

/** `JSObject`: map, properties, elements; then the fields of its own. */
const FIELDS_AT = 24;
const FIELDS_MAX = 4;
/** `BaseObject`: behind the virtual table. */
const PERSISTENT_HANDLE = 8;
/** `--max-http-header-size`: more than anybody sets, less than any address. */
const HEADER_BYTES_MAX = 2 ** 24;

/** What the parser of a connection of a server is doing. */
export interface ParserState {
  /**
   * By the machine's monotonic clock; null: it waits for the next message. For the first one on a
   * connection it waits since that was accepted.
   */
  readonly messageStartMs: number | null;
}

/** The C++ object behind a JavaScript one that has it wrapped; null: it has none any more. */
export function wrappedObject(heap: HeapView, object: Tagged): number | null {
  for (let field = 0; field < FIELDS_MAX; field += 1) {
    const wrap = heap.word(object, FIELDS_AT + 8 * field);
    if (wrap === 0 || wrap % 8 !== 0) continue;
    const persistent = heap.word(wrap, PERSISTENT_HANDLE);
    if (persistent !== 0 && heap.tagged(persistent, 0) === object) return wrap;
  }
  return null;
}

/**
 * The state of an HTTPParser.
 * @returns null: it has been freed, or is no server's (of a client's, the time is set late);
 *   "unlike": what is there is not as it is declared
 */
export function readParser(heap: HeapView, parser: Tagged): ParserState | "unlike" | null {
  const wrap = wrappedObject(heap, parser);
  if (wrap === null) return null;
  const offset = heap.layout.stated.parserMessageStart;
  if (offset % 8 !== 0) return "unlike";
  const headerBytes = heap.word(wrap, offset - 8);
  const start = heap.word(wrap, offset);
  const connections = heap.word(wrap, offset + 8);
  const isLike = headerBytes > 0 && headerBytes < HEADER_BYTES_MAX && connections % 8 === 0;
  if (!isLike) return "unlike";
  if (connections === 0) return null;
  return { messageStartMs: start === 0 ? null : start / 1e6 };
}
