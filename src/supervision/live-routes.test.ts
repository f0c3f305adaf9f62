import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import type { Socket } from "node:net";
import { test } from "node:test";
import { liveRoutes } from "./live-routes.ts";
import type { ControlledLive, ProfileLine } from "./live-routes.ts";

interface Called {
  readonly live: ControlledLive;
  readonly calls: unknown[][];
  readonly debugger: { send?: (message: unknown) => void; end?: () => void };
}

async function* lines(): AsyncGenerator<ProfileLine> {
  yield await Promise.resolve({ type: "done", characters: 0 } as const);
}

function called(): Called {
  const calls: unknown[][] = [];
  const attached: Called["debugger"] = {};
  const live: ControlledLive = {
    workers: [0, 1],
    stacks: (worker, variables) => {
      calls.push(["stacks", worker, variables]);
      return Promise.resolve([]);
    },
    profile: (worker, order) => {
      calls.push(["profile", worker, order]);
      return lines();
    },
    stopProfile: (profile) => {
      calls.push(["stopProfile", profile]);
      return profile === 1;
    },
    snapshot: (worker, path, isForced) => {
      calls.push(["snapshot", worker, path, isForced]);
      return lines();
    },
    scripts: (worker, path) => {
      calls.push(["scripts", worker, path]);
      return Promise.resolve([]);
    },
    patch: (worker, order) => {
      calls.push(["patch", worker, order]);
      return Promise.resolve([]);
    },
    debug: (worker, onMessage, onEnd) => {
      calls.push(["debug", worker]);
      attached.send = onMessage;
      attached.end = onEnd;
      return {
        receive: (message) => calls.push(["receive", message]),
        close: () => calls.push(["close"]),
      };
    },
  };
  return { live, calls, debugger: attached };
}

function request(body: unknown, query = "") {
  return { body, query: new URLSearchParams(query), signal: new AbortController().signal };
}

const PROFILE = { worker: 0, what: "cpu", durationMs: 10, interval: 100 };

const TEXTS = { before: "a", after: "b" };
const PATCH = {
  path: "/a.js",
  isModule: false,
  beforeSha256: "00",
  sources: ["1"],
  functions: [{ ...TEXTS, rebind: "it has no name" }],
  isDryRun: false,
};

test("what is asked for reaches the workers", async () => {
  const { live, calls } = called();
  const routes = liveRoutes(live);
  await routes["GET /v1/stacks"]?.(request(undefined, "worker=1&variables=1"));
  await routes["GET /v1/stacks"]?.(request(undefined));
  await routes["POST /v1/profile"]?.(request(PROFILE));
  const stopped = await routes["POST /v1/profile/stop"]?.(request({ profile: 1 }));
  assert.deepEqual(stopped, { status: 200, json: { stopped: true } });
  await routes["POST /v1/snapshot"]?.(request({ worker: 1, path: "/a/b", force: true }));
  await routes["POST /v1/scripts"]?.(request({ path: "/a.js" }));
  await routes["POST /v1/patch"]?.(request({ worker: 0, ...PATCH }));
  assert.deepEqual(calls, [
    ["stacks", 1, true],
    ["stacks", null, false],
    ["profile", 0, { what: "cpu", durationMs: 10, interval: 100 }],
    ["stopProfile", 1],
    ["snapshot", 1, "/a/b", true],
    ["scripts", null, "/a.js"],
    ["patch", 0, PATCH],
  ]);
});

test("what makes no sense is refused before anybody is asked", async () => {
  const { live, calls } = called();
  const routes = liveRoutes(live);
  const wrong: [string, unknown, string, RegExp][] = [
    ["GET /v1/stacks", undefined, "worker=7", /there is no worker 7; there is 0, 1/],
    ["GET /v1/stacks", undefined, "worker=", /there is no worker/],
    ["GET /v1/stacks", undefined, "worker=a", /there is no worker/],
    ["POST /v1/profile", undefined, "", /must be a JSON object/],
    ["POST /v1/profile", { ...PROFILE, what: "gpu" }, "", /what must be/],
    ["POST /v1/profile", { ...PROFILE, durationMs: 1e9 }, "", /durationMs must be/],
    ["POST /v1/profile", { ...PROFILE, interval: 0 }, "", /interval must be/],
    ["POST /v1/profile", { ...PROFILE, worker: "0" }, "", /there is no worker "0"/],
    ["POST /v1/profile/stop", { profile: "1" }, "", /the number of a profile/],
    ["POST /v1/snapshot", { worker: 0, path: "relative" }, "", /absolute/],
    ["POST /v1/snapshot", { worker: 0, path: "/a\0" }, "", /absolute/],
    ["POST /v1/snapshot", { worker: 0, path: "/a", force: "yes" }, "", /force must be/],
    ["POST /v1/scripts", { worker: 0, path: "a.js" }, "", /absolute/],
    ["POST /v1/patch", { ...PATCH, worker: 3 }, "", /there is no worker 3/],
    ["POST /v1/patch", { ...PATCH, path: 1 }, "", /absolute/],
    ["POST /v1/patch", { ...PATCH, sources: [] }, "", /sources must be/],
    ["POST /v1/patch", { ...PATCH, functions: [{ before: "" }] }, "", /before and after/],
    ["POST /v1/patch", { ...PATCH, functions: [{ ...TEXTS, rebind: 1 }] }, "", /JSON object/],
    ["POST /v1/patch", { ...PATCH, functions: [{ ...TEXTS, rebind: {} }] }, "", /member must be/],
    ["POST /v1/patch", { ...PATCH, isDryRun: 1 }, "", /isDryRun must be/],
    ["POST /v1/debug", { worker: 2 }, "", /there is no worker 2/],
  ];
  for (const [route, body, query, expected] of wrong) {
    const ask = async (): Promise<unknown> => routes[route]?.(request(body, query));
    await assert.rejects(ask, expected, route);
  }
  assert.deepEqual(calls, []);
  const portable = async (): Promise<unknown> =>
    liveRoutes(null)["GET /v1/stacks"]?.(request(undefined));
  await assert.rejects(portable, /this service has no agents/);
});

test("a debugger's lines go both ways until one of them ends", async () => {
  const { live, calls, debugger: attached } = called();
  const answer = await liveRoutes(live)["POST /v1/debug"]?.(request({ worker: 1 }));
  assert.ok(answer !== undefined && "take" in answer);
  const toUs = new PassThrough();
  const written: string[] = [];
  let ended = 0;
  // what a socket is used for
  const socket = Object.assign(toUs, {
    write: (text: string) => written.push(text),
    end: () => (ended += 1),
  }) as unknown as Socket;
  answer.take(socket);
  toUs.emit("data", Buffer.from('{"id":1}\n{"id"'));
  toUs.emit("data", Buffer.from(":2}\n"));
  attached.send?.({ method: "paused" });
  assert.deepEqual(calls, [
    ["debug", 1],
    ["receive", { id: 1 }],
    ["receive", { id: 2 }],
  ]);
  assert.deepEqual(written, ['{"method":"paused"}\n']);
  attached.end?.();
  assert.equal(ended, 1);
  toUs.emit("close");
  assert.deepEqual(calls.at(-1), ["close"]);
});
