/** A debugger that speaks the Chrome DevTools Protocol. */
import { WebSocket } from "ws";
import { waitFor, within } from "./wait.ts";

export interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: { readonly callFrames?: readonly { readonly functionName: string }[] };
  readonly result?: { readonly result?: { readonly value?: unknown } };
  readonly error?: { readonly code: number; readonly message: string };
}

/** See the file's docstring. */
export class Debugger {
  readonly #socket: WebSocket;
  readonly #messages: Message[] = [];
  readonly closed: Promise<void>;
  #lastId = 0;

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on("message", (data: Buffer) => {
      this.#messages.push(JSON.parse(data.toString()) as Message); // what is tested
    });
    this.closed = new Promise((resolve) => void socket.on("close", () => resolve()));
  }

  static async open(url: string): Promise<Debugger> {
    const socket = new WebSocket(url);
    const opened = new Promise<void>((resolve, reject) => {
      socket.on("open", resolve);
      socket.on("error", reject);
    });
    const made = new Debugger(socket);
    await within("the WebSocket is open", opened);
    return made;
  }

  async post(method: string, params: object = {}): Promise<Message> {
    const id = ++this.#lastId;
    // as some debuggers do: with line ends
    this.#socket.send(JSON.stringify({ id, method, params }, null, 2));
    return waitFor(`answer to ${method}`, () => this.#messages.find((each) => each.id === id));
  }

  event(method: string): Promise<Message> {
    return waitFor(method, () => this.#messages.find((each) => each.method === method));
  }

  close(): void {
    this.#socket.close();
  }
}
