/**
 * Where the agent asks, in an interrupt or while it holds the main thread, which of the framework's
 * routes a request is for, and how far this worker is (ROUTE_CHANNEL). Nothing of the application's
 * is called.
 */
import { channel } from "node:diagnostics_channel";
import type { Channel } from "node:diagnostics_channel";
import { ROUTE_CHANNEL } from "../base/mod.ts";
import type { Latency } from "./latency.ts";
import type { RoutedRequest } from "./node-internals.ts";

/** What the agent publishes: `request` is one that it has met in the stack. */
interface Question {
  readonly request?: RoutedRequest;
  readonly asks?: "progress";
  answer?: string;
}

/** See the file's docstring. */
export class RouteDesk {
  readonly #latency: Latency;
  readonly #executing: () => RoutedRequest | undefined;
  readonly #progress: () => string;
  /** Kept, as a channel lives as long as somebody holds it. */
  readonly #channel: Channel = channel(ROUTE_CHANNEL);

  /**
   * @param executing the request whose bytes are being acted on
   * @param progress how far this worker is, by the ledger
   */
  constructor(
    latency: Latency,
    executing: () => RoutedRequest | undefined,
    progress: () => string,
  ) {
    this.#latency = latency;
    this.#executing = executing;
    this.#progress = progress;
  }

  open(): void {
    this.#channel.subscribe(this.#asked);
  }

  /** In the middle of the application's code: nothing may escape from here. */
  readonly #asked = (message: unknown): void => {
    const question = message as Question; // our own agent's
    if (question.asks === "progress") {
      question.answer = this.#progress();
      return;
    }
    try {
      const request = this.#executing() ?? question.request;
      if (request !== undefined) question.answer = this.#latency.routeOf(request);
    } catch {
      // the application has put a getter there, and it throws: then no route is known
    }
  };
}
