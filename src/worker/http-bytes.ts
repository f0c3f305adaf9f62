/** What bytes of HTTP/1.1 say by themselves, without a parser. */

/** A whole interim response (RFC 9110 15.2), as Node writes one. */
export const INTERIM = /^HTTP\/1\.1 1\d\d .*\r\n\r\n$/s;
/** What ends a chunked body without trailers (RFC 9112 7.1). */
export const LAST_CHUNK = "0\r\n\r\n";
const CR = 13;
const LF = 10;

/** Whether a head may end here (RFC 9112 2.1). */
export function endsWithEmptyLine(bytes: Buffer, length: number): boolean {
  return (
    length >= 4 &&
    bytes[length - 1] === LF &&
    bytes[length - 2] === CR &&
    bytes[length - 3] === LF &&
    bytes[length - 4] === CR
  );
}

type Piece = string | Uint8Array;

/** Bytes of what `writev` is given: buffers, or (piece, encoding) pairs. */
export function chunksBytes(chunks: readonly unknown[], allBuffers: boolean): number {
  let bytes = 0;
  const step = allBuffers ? 1 : 2;
  for (let index = 0; index < chunks.length; index += step) {
    const piece = chunks[index] as Piece; // net.Socket gives strings and buffers only
    if (typeof piece !== "string") bytes += piece.byteLength;
    else if (chunks[index + 1] === "latin1") bytes += piece.length;
    // as Writable has it
    else bytes += Buffer.byteLength(piece, chunks[index + 1] as BufferEncoding);
  }
  return bytes;
}
