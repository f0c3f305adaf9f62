/** Providers that listen to diagnostics channels: nothing of the application is replaced. */
import { channel } from "node:diagnostics_channel";
import { KNOWN_CHANNELS } from "../channels.ts";
import type { Site } from "../site.ts";
import { USER_CHANNEL_PREFIX, userProbes } from "../user-probes.ts";
import { member, text } from "../values.ts";
import { globPattern } from "../vocabulary.ts";
import { now } from "./platform.ts";
import { detachAll, fireAll, sitesAt, timed } from "./provider.ts";
import type { Attach, Detach } from "./provider.ts";

function listen(name: string, listener: (message: unknown) => void): Detach {
  const found = channel(name);
  found.subscribe(listener);
  return () => {
    found.unsubscribe(listener);
  };
}

export const attachNet: Attach = (sites, { requests }) => {
  const steps: Detach[] = [];
  for (const [form, name] of [
    ["net:connection", "net.server.socket"],
    ["net:connect", "net.client.socket"],
  ] as const) {
    const chosen = sitesAt(sites, form);
    if (chosen.length === 0) continue;
    steps.push(listen(name, (message) => fireAll(chosen, requests, [member(message, "socket")])));
  }
  return detachAll(steps);
};

/** A request is known by its object from its start to its end. */
class Clock {
  readonly #starts: WeakMap<object, number> | null;

  constructor(isTimed: boolean) {
    this.#starts = isTimed ? new WeakMap() : null;
  }

  start(request: unknown): void {
    if (typeof request === "object" && request !== null) this.#starts?.set(request, now());
  }

  /** Undefined where nobody asks, and for one that began before the trace. */
  since(request: unknown): number | undefined {
    if (typeof request !== "object" || request === null) return undefined;
    const start = this.#starts?.get(request);
    return start === undefined ? undefined : now() - start;
  }
}

export const attachHttpClient: Attach = (sites, { requests }) => {
  const [began, done, failed] = ["request", "done", "error"].map((name) =>
    sitesAt(sites, `httpclient:${name}`),
  );
  const clock = new Clock(timed(sites));
  const argsOf = (request: unknown): unknown[] => [
    request,
    member(request, "host"),
    member(request, "path"),
  ];
  return detachAll([
    listen("http.client.request.start", (message) => {
      const request = member(message, "request");
      clock.start(request);
      if (began !== undefined) fireAll(began, requests, argsOf(request));
    }),
    listen("http.client.response.finish", (message) => {
      const [request, response] = [member(message, "request"), member(message, "response")];
      const args = [...argsOf(request), response, member(response, "statusCode")];
      if (done !== undefined) fireAll(done, requests, args, clock.since(request));
    }),
    listen("http.client.request.error", (message) => {
      const request = member(message, "request");
      const args = [...argsOf(request), member(message, "error")];
      if (failed !== undefined) fireAll(failed, requests, args, clock.since(request));
    }),
  ]);
};

/** `fetch` of Node's and undici of any version: they publish on the same channels. */
export const attachFetch: Attach = (sites, { requests }) => {
  const [began = [], done = [], failed = []] = ["request", "done", "error"].map((name) =>
    sitesAt(sites, `fetch:${name}`),
  );
  const clock = new Clock(timed(sites));
  /** What `done` tells, for as long as the request lasts. */
  const codes = new WeakMap<object, unknown>();
  const argsOf = (request: unknown): unknown[] => [
    request,
    text(member(request, "origin")),
    member(request, "path"),
    member(request, "method"),
  ];
  return detachAll([
    listen("undici:request:create", (message) => {
      const request = member(message, "request");
      clock.start(request);
      fireAll(began, requests, argsOf(request));
    }),
    listen("undici:request:headers", (message) => {
      const request = member(message, "request");
      if (typeof request !== "object" || request === null) return;
      codes.set(request, member(member(message, "response"), "statusCode"));
    }),
    listen("undici:request:trailers", (message) => {
      const request = member(message, "request");
      const code = typeof request === "object" && request !== null ? codes.get(request) : undefined;
      fireAll(done, requests, [...argsOf(request), code], clock.since(request));
    }),
    listen("undici:request:error", (message) => {
      const request = member(message, "request");
      const args = [...argsOf(request), member(message, "error")];
      fireAll(failed, requests, args, clock.since(request));
    }),
  ]);
};

export const attachChannels: Attach = (sites, { requests }) => {
  const steps = sites.flatMap((site) => {
    const { rest } = site.clause;
    const own = userProbes().map(({ name }) => USER_CHANNEL_PREFIX + name);
    const names = matching(rest, [...KNOWN_CHANNELS.map(({ name }) => name), ...own]);
    if (names.length === 0) site.off = `no known channel matches ${rest}`;
    return names.map((name) =>
      listen(name, (message) => fireAll([site], requests, [message, name])),
    );
  });
  return detachAll(steps);
};

/** Probes of the application that come into being later are listened to by their whole name. */
export const attachUser: Attach = (sites, { requests }) => {
  const steps = sites.flatMap((site) => {
    const { rest } = site.clause;
    const names = matching(
      rest,
      userProbes().map(({ name }) => name),
    );
    if (names.length === 0) site.off = `no probe of the application matches ${rest}`;
    return names.map((name) =>
      listen(USER_CHANNEL_PREFIX + name, (values) => fireUser(site, values, requests)),
    );
  });
  return detachAll(steps);
};

function fireUser(site: Site, values: unknown, requests: Parameters<typeof fireAll>[1]): void {
  fireAll([site], requests, Array.isArray(values) ? values : [values]);
}

function matching(glob: string, names: readonly string[]): readonly string[] {
  if (!glob.includes("*")) return [glob];
  const pattern = globPattern(glob);
  return [...new Set(names)].filter((name) => pattern.test(name));
}
