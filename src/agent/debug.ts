/**
 * A debugger that is attached from outside: a session of its own for each, through which its
 * messages pass as they are.
 */
import { Session } from "node:inspector";
import { connectToMain } from "./connect.ts";

/** The part of a Session that takes any message; @types/node has an overload for each. */
type Post = (
  method: string,
  parameters: object | undefined,
  callback: (error: Error | null, result: unknown) => void,
) => void;

/** See the file's docstring. Messages are of the Chrome DevTools Protocol. */
export class DebuggerSession {
  readonly #session: Session = new Session();
  readonly #send: (message: unknown) => void;
  #isOpen = true;

  constructor(send: (message: unknown) => void) {
    this.#send = send;
    connectToMain(this.#session);
    this.#session.on("inspectorNotification", (notification) => send(notification));
  }

  /** A message of the debugger's; one that is none is answered as the protocol says. */
  receive(message: unknown): void {
    if (!this.#isOpen) return;
    const isObject = typeof message === "object" && message !== null;
    const { id, method, params } = (isObject ? message : {}) as Record<string, unknown>;
    if (typeof id !== "number" || typeof method !== "string") {
      this.#send({ error: { code: -32_600, message: "not a request: id or method is missing" } });
      return;
    }
    const parameters = typeof params === "object" && params !== null ? params : undefined;
    // called on its session, with what the debugger said; V8 checks it
    (this.#session.post as Post).call(this.#session, method, parameters, (error, result) => {
      this.#send(error === null ? { id, result } : { id, error: protocolError(error) });
    });
  }

  /** Detaches: a main thread that it holds goes on, its breakpoints are gone. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#session.disconnect();
  }
}

/** Node puts the protocol's code into the text (lib/inspector.js, `ERR_INSPECTOR_COMMAND`). */
function protocolError({ message }: Error): { readonly code: number; readonly message: string } {
  const [, code = "-32000", text = message] =
    /^Inspector error (-?\d+): (.*)$/s.exec(message) ?? [];
  return { code: Number(code), message: text };
}
