/**
 * Holds connections, as a process of its own (a process has a limit of descriptors), and asks on
 * them when told to. Parent and child speak by `process.send`:
 *
 * ```
 *   -> {type: "open", count}       <- {type: "opened", open, failed}   each has served a request
 *   -> {type: "ask"}               <- {type: "asked", answered, failed, lastAt}   a request on each
 *   -> {type: "close"}             <- {type: "closed"}
 * ```
 * `node holder.ts <port> <first source>`: source addresses are 127.0.<first source>.1 and up, each
 * for so many connections that the ports of one address do not run out.
 */
import net from "node:net";

/** At a time; more would only queue in the kernel's backlog. */
const CONCURRENCY = 100;
const CONNECTIONS_EACH_SOURCE = 10_000;
/** Until what is asked for counts as lost: so long no connection at all has had an answer. */
const SILENCE_MS_MAX = 60_000;
const REQUEST = "GET / HTTP/1.1\r\nhost: bench\r\n\r\n";

export type ToHolder = { readonly type: "open"; readonly count: number } | { readonly type: "ask" };

export type FromHolder =
  | { readonly type: "opened"; readonly open: number; readonly failed: number }
  /** `lastAt`: when the last answer came, by `process.hrtime`, in milliseconds. */
  | {
      readonly type: "asked";
      readonly answered: number;
      readonly failed: number;
      readonly lastAt: number;
    };

class Holder {
  readonly #port: number;
  readonly #firstSource: number;
  readonly #sockets: net.Socket[] = [];
  #answeredAt = performance.now();

  constructor(port: number, firstSource: number) {
    this.#port = port;
    this.#firstSource = firstSource;
  }

  async open(count: number): Promise<FromHolder> {
    let left = count;
    let failed = 0;
    const opener = async (): Promise<void> => {
      while (left > 0) {
        left -= 1;
        const socket = await this.#connect();
        if (socket !== undefined && (await this.#ask(socket))) this.#sockets.push(socket);
        else failed += 1;
      }
    };
    await Promise.all(Array.from({ length: CONCURRENCY }, opener));
    return { type: "opened", open: this.#sockets.length, failed };
  }

  /** All at once. */
  async ask(): Promise<FromHolder> {
    let lastAt = 0;
    const answers = await Promise.all(
      this.#sockets.map(async (socket) => {
        const isAnswered = await this.#ask(socket);
        lastAt = Number(process.hrtime.bigint()) / 1e6;
        return isAnswered;
      }),
    );
    const answered = answers.filter(Boolean).length;
    return { type: "asked", answered, failed: answers.length - answered, lastAt };
  }

  #connect(): Promise<net.Socket | undefined> {
    const source = Math.floor(this.#sockets.length / CONNECTIONS_EACH_SOURCE) + 1;
    const localAddress = `127.0.${this.#firstSource}.${source}`;
    return new Promise((resolve) => {
      const socket = net.connect({ port: this.#port, host: "127.0.0.1", localAddress });
      socket.once("connect", () => resolve(socket));
      socket.on("error", () => resolve(undefined));
    });
  }

  /** True when a request on this connection is answered with 200. */
  #ask(socket: net.Socket): Promise<boolean> {
    if (socket.destroyed || socket.readableEnded) return Promise.resolve(false);
    return new Promise((resolve) => {
      const askedAt = performance.now();
      const settle = (isAnswered: boolean): void => {
        clearTimeout(timer);
        socket.off("data", onData);
        socket.off("close", onClose);
        resolve(isAnswered);
      };
      // A hello response fits into one packet.
      const onData = (chunk: Buffer): void => {
        this.#answeredAt = performance.now();
        settle(chunk.toString("latin1", 9, 12) === "200");
      };
      const onClose = (): void => settle(false);
      const onSilence = (): void => {
        const silentMs = performance.now() - Math.max(askedAt, this.#answeredAt);
        if (silentMs < SILENCE_MS_MAX) timer = setTimeout(onSilence, SILENCE_MS_MAX - silentMs);
        else settle(false);
      };
      let timer = setTimeout(onSilence, SILENCE_MS_MAX);
      socket.on("data", onData);
      socket.on("close", onClose);
      socket.write(REQUEST);
    });
  }
}

function main(): void {
  const [port = 0, firstSource = 1] = process.argv.slice(2).map(Number);
  const holder = new Holder(port, firstSource);
  const handle = async (message: ToHolder): Promise<void> => {
    if (message.type === "open") process.send?.(await holder.open(message.count));
    else process.send?.(await holder.ask());
  };
  process.on("message", (message) => void handle(message as ToHolder)); // our parent's word
  process.on("disconnect", () => process.exit());
}

main();
