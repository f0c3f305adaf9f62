/** Providers that listen to diagnostics channels: nothing of the application is replaced. */
import { channel } from "node:diagnostics_channel";
import { KNOWN_CHANNELS } from "../channels.ts";
import type { Site } from "../site.ts";
import { USER_CHANNEL_PREFIX, userProbes } from "../user-probes.ts";
import { member } from "../values.ts";
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
export const attachHttpClient: Attach = (sites, { requests }) => {
  const [began, done, failed] = ["request", "done", "error"].map((name) =>
    sitesAt(sites, `httpclient:${name}`),
  );
  const starts = timed(sites) ? new WeakMap<object, number>() : null;
  const argsOf = (request: unknown): unknown[] => [
    request,
    member(request, "host"),
    member(request, "path"),
  ];
  const since = (request: unknown): number | undefined => {
    const start = typeof request === "object" && request !== null ? starts?.get(request) : null;
    return typeof start === "number" ? now() - start : undefined;
  };
  return detachAll([
    listen("http.client.request.start", (message) => {
      const request = member(message, "request");
      if (typeof request === "object" && request !== null) starts?.set(request, now());
      if (began !== undefined) fireAll(began, requests, argsOf(request));
    }),
    listen("http.client.response.finish", (message) => {
      const [request, response] = [member(message, "request"), member(message, "response")];
      const args = [...argsOf(request), response, member(response, "statusCode")];
      if (done !== undefined) fireAll(done, requests, args, since(request));
    }),
    listen("http.client.request.error", (message) => {
      const request = member(message, "request");
      const args = [...argsOf(request), member(message, "error")];
      if (failed !== undefined) fireAll(failed, requests, args, since(request));
    }),
  ]);
};

export const attachChannels: Attach = (sites, { requests }) => {
  const steps = sites.flatMap((site) => {
    const { rest } = site.clause;
    const own = userProbes().map(({ name }) => USER_CHANNEL_PREFIX + name);
    const names = matching(rest, [...KNOWN_CHANNELS, ...own]);
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
