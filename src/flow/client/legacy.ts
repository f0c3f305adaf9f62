/**
 * Handlers of undici 7 and 8 in the form that undici 6 wants, which Node 22 has in its `fetch`.
 */
import type { IncomingHttpHeaders } from "node:http";
import type { Duplex } from "node:stream";
import type { Controller, Handler, LegacyHandler } from "./handlers.ts";

/** Names and values in turn, as an object. */
function headersOf(raw: readonly Buffer[] | null): IncomingHttpHeaders {
  const headers: Record<string, string | string[]> = {};
  if (raw === null) return headers;
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = String(raw[at]).toLowerCase();
    const value = (raw[at + 1] ?? Buffer.alloc(0)).toString("latin1");
    const known = headers[name];
    if (known === undefined) headers[name] = value;
    else headers[name] = [...(Array.isArray(known) ? known : [known]), value];
  }
  return headers;
}

/** See the file's docstring. */
export class LegacyForm implements LegacyHandler {
  readonly #handler: Handler;
  #abort: ((reason?: Error) => void) | null = null;
  #resume: (() => void) | null = null;
  #isPaused = false;
  #reason: Error | null = null;
  readonly #controller: Controller;

  constructor(handler: Handler) {
    this.#handler = handler;
    const reason = (): Error | null => this.#reason;
    const isPaused = (): boolean => this.#isPaused;
    this.#controller = {
      get aborted() {
        return reason() !== null;
      },
      get paused() {
        return isPaused();
      },
      get reason() {
        return reason();
      },
      abort: (why) => {
        this.#reason = why;
        this.#abort?.(why);
      },
      pause: () => {
        this.#isPaused = true;
      },
      resume: () => {
        this.#isPaused = false;
        this.#resume?.();
      },
    };
  }

  onConnect(abort: (reason?: Error) => void): void {
    this.#abort = abort;
    this.#handler.onRequestStart(this.#controller, null);
  }

  onUpgrade(status: number, raw: readonly Buffer[] | null, socket: Duplex): void {
    this.#controller.rawHeaders = raw;
    this.#handler.onRequestUpgrade?.(this.#controller, status, headersOf(raw), socket);
  }

  onHeaders(
    status: number,
    raw: readonly Buffer[] | null,
    resume: () => void,
    statusMessage?: string,
  ): boolean {
    this.#resume = resume;
    this.#controller.rawHeaders = raw;
    this.#handler.onResponseStart(this.#controller, status, headersOf(raw), statusMessage);
    return !this.#isPaused;
  }

  onData(chunk: Buffer): boolean {
    this.#handler.onResponseData(this.#controller, chunk);
    return !this.#isPaused;
  }

  onComplete(raw: readonly Buffer[] | null): void {
    this.#controller.rawTrailers = raw;
    this.#handler.onResponseEnd(this.#controller, headersOf(raw));
  }

  onError(error: Error): void {
    this.#handler.onResponseError(this.#controller, error);
  }

  onResponseStarted(): void {
    this.#handler.onResponseStarted?.();
  }

  onBodySent(chunk: Buffer): void {
    this.#handler.onBodySent?.(chunk);
  }

  onRequestSent(): void {
    this.#handler.onRequestSent?.();
  }
}
