/** Lines of JSON out of the chunks of a stream. */

/** See the file's docstring. A line that is no JSON is skipped: its writer died within it. */
export class JsonLines {
  readonly #charactersMax: number;
  readonly #decoder = new TextDecoder();
  #rest = "";

  /** @param charactersMax of one line; what is longer is skipped up to its end */
  constructor(charactersMax: number) {
    this.#charactersMax = charactersMax;
  }

  /**
   * The values of the lines that this chunk completes.
   * @example
   * [...new JsonLines(100).push(Buffer.from('{"a":1}\n'))]; // [{ a: 1 }]
   */
  push(chunk: Uint8Array): readonly unknown[] {
    const lines = (this.#rest + this.#decoder.decode(chunk, { stream: true })).split("\n");
    this.#rest = lines.pop() ?? "";
    // kept short, but not empty: what follows of it is no line either
    if (this.#rest.length > this.#charactersMax) this.#rest = "\0";
    return lines.flatMap((line) => {
      if (line === "" || line.length > this.#charactersMax) return [];
      try {
        return [JSON.parse(line) as unknown];
      } catch {
        return []; // half a line of a process that died: what it began, nobody waits for
      }
    });
  }
}
