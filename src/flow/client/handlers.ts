/**
 * Handlers of undici's dispatchers, in the form of undici 7 and 8. What older ones give (Node 22
 * and 24 have them in their `fetch`) is turned into it.
 */
import type { IncomingHttpHeaders } from "node:http";
import type { Duplex } from "node:stream";

/** What a handler may do to its request. */
export interface Controller {
  readonly aborted: boolean;
  readonly paused: boolean;
  readonly reason: Error | null;
  rawHeaders?: unknown;
  rawTrailers?: unknown;
  abort(reason: Error): void;
  pause(): void;
  resume(): void;
}

/** What a dispatcher tells of a request. */
export interface Handler {
  onRequestStart(controller: Controller, context: unknown): void;
  onRequestUpgrade?(
    controller: Controller,
    status: number,
    headers: IncomingHttpHeaders,
    socket: Duplex,
  ): void;
  onResponseStart(
    controller: Controller,
    status: number,
    headers: IncomingHttpHeaders,
    statusMessage?: string,
  ): void;
  onResponseData(controller: Controller, chunk: Buffer): void;
  onResponseEnd(controller: Controller, trailers: IncomingHttpHeaders): void;
  onResponseError(controller: Controller, error: Error): void;
  onResponseStarted?(): void;
  onBodySent?(chunk: Buffer): void;
  onRequestSent?(): void;
}

/** The handler of undici 6 and before. */
export interface LegacyHandler {
  onConnect?(abort: (reason?: Error) => void, context?: unknown): void;
  onUpgrade?(status: number, rawHeaders: unknown, socket: Duplex): void;
  onHeaders?(
    status: number,
    rawHeaders: unknown,
    resume: () => void,
    statusMessage?: string,
  ): boolean | void;
  onData?(chunk: Buffer): boolean | void;
  onComplete?(rawTrailers: unknown): void;
  onError?(error: Error): void;
  onResponseStarted?(): void;
  onBodySent?(chunk: Buffer): void;
  onRequestSent?(): void;
}

export function isModern(handler: Handler | LegacyHandler): handler is Handler {
  return "onRequestStart" in handler && typeof handler.onRequestStart === "function";
}

/** Names and values in turn, as Buffers. */
function rawOf(raw: unknown, headers: IncomingHttpHeaders): unknown {
  if (Array.isArray(raw)) return raw;
  return Object.entries(headers).flatMap(([name, value]) => {
    const values = Array.isArray(value) ? value : [value ?? ""];
    return values.flatMap((each) => [Buffer.from(name), Buffer.from(each, "latin1")]);
  });
}

class Adapted implements Handler {
  readonly #handler: LegacyHandler;

  constructor(handler: LegacyHandler) {
    this.#handler = handler;
  }

  onRequestStart(controller: Controller, context: unknown): void {
    const abort = (reason?: Error): void => controller.abort(reason ?? new Error("aborted"));
    this.#handler.onConnect?.(abort, context);
  }

  onRequestUpgrade(
    controller: Controller,
    status: number,
    headers: IncomingHttpHeaders,
    socket: Duplex,
  ): void {
    this.#handler.onUpgrade?.(status, rawOf(controller.rawHeaders, headers), socket);
  }

  onResponseStart(
    controller: Controller,
    status: number,
    headers: IncomingHttpHeaders,
    statusMessage?: string,
  ): void {
    const raw = rawOf(controller.rawHeaders, headers);
    const resume = (): void => controller.resume();
    if (this.#handler.onHeaders?.(status, raw, resume, statusMessage) === false) controller.pause();
  }

  onResponseData(controller: Controller, chunk: Buffer): void {
    if (this.#handler.onData?.(chunk) === false) controller.pause();
  }

  onResponseEnd(controller: Controller, trailers: IncomingHttpHeaders): void {
    this.#handler.onComplete?.(rawOf(controller.rawTrailers, trailers));
  }

  onResponseError(_controller: Controller, error: Error): void {
    this.#handler.onError?.(error);
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

/** A handler of either form in the newer one. */
export function modern(handler: Handler | LegacyHandler): Handler {
  return isModern(handler) ? handler : new Adapted(handler);
}
