/**
 * A TCP connection within this process: one end a descriptor, as the reactor has it, the other a
 * client that writes down what it receives and how the connection ended.
 */
import net from "node:net";
import { acceptConnection, closeDescriptor, localAddress, openSocket } from "../../src/os/mod.ts";
import { waitUntil } from "./wait-until.ts";

export type Ended = "no" | "fin" | "rst";

/** What owns a connection and outlives it: a test context. */
export interface Owner {
  after(hook: () => void): void;
}

export class Client {
  readonly socket: net.Socket;
  ended: Ended = "no";
  /** How many bytes have come so far. */
  bytes = 0;
  readonly #received: Buffer[] = [];

  constructor(socket: net.Socket) {
    this.socket = socket;
    socket.on("data", (chunk: Buffer) => {
      this.#received.push(chunk);
      this.bytes += chunk.length;
    });
    socket.on("end", () => {
      if (this.ended === "no") this.ended = "fin";
    });
    socket.on("error", () => {
      this.ended = "rst";
    });
  }

  /** All that has come so far. */
  get text(): string {
    return Buffer.concat(this.#received).toString("latin1");
  }

  send(text: string | Buffer): void {
    this.socket.write(text);
  }

  /** Waits until this text, and nothing else, has come. */
  async receives(text: string): Promise<void> {
    await waitUntil(`the client receives ${text}`, () => this.text === text);
  }

  async endsWith(ended: Exclude<Ended, "no">): Promise<void> {
    await waitUntil(`the client's end, ${ended}`, () => this.ended !== "no");
    if (this.ended !== ended) throw new Error(`the connection ended with ${this.ended}`);
  }
}

/** Listens on a free port of 127.0.0.1. */
export function listen(): number {
  return openSocket({
    kind: "tcp",
    address: { address: "127.0.0.1", family: 4, port: 0 },
    ipv6Only: false,
    reuseAddress: true,
    reusePort: false,
    backlog: 16,
  });
}

/** A connected pair. The descriptor is the caller's to close; the client goes with its owner. */
export async function connect(owner: Owner): Promise<{ fd: number; client: Client }> {
  const listener = listen();
  const port = localAddress(listener)?.port ?? 0;
  const socket = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
  owner.after(() => socket.destroy());
  const client = new Client(socket);
  let fd = -1;
  await waitUntil("a connection", () => {
    if (fd < 0) fd = acceptConnection(listener);
    return fd >= 0 && !socket.connecting;
  });
  closeDescriptor(listener);
  return { fd, client };
}
