/**
 * The routes of `holdfast stacks`, `holdfast profile` and `holdfast debug`: what the agents of the
 * workers are asked.
 *
 * | route | body or query | answer |
 * | --- | --- | --- |
 * | GET /v1/stacks | `worker=0&variables=1` | `{stacks}`: one for each worker |
 * | POST /v1/profile | `{worker, what, durationMs, interval}` | lines of ProfileLine |
 * | POST /v1/profile/stop | `{profile}` | `{stopped}`; what it has comes as lines of the profile |
 * | POST /v1/snapshot | `{worker, path, force}` | lines of ProfileLine |
 * | POST /v1/scripts | `{worker, path}` | `{scripts}`: the file as each worker has loaded it |
 * | POST /v1/patch | `{worker, path, ...}`, see PatchOrder | `{patches}`: one for each worker |
 * | POST /v1/debug | `{worker}` | 101, then lines of the Chrome DevTools Protocol both ways |
 */
import type { Socket } from "node:net";
import { isAbsolute } from "node:path";
import { JsonLines } from "../base/mod.ts";
import type { AgentRequest, LoadedScript, MainStack, PatchResult } from "../base/mod.ts";
import { ControlRequestError } from "./control-http.ts";
import type { ControlAnswer, ControlRequest, ControlRoutes } from "./control.ts";

/** The stack of a worker's main thread, or why it cannot be had. */
export interface WorkerStack {
  readonly worker: number;
  readonly pid: number;
  /** For how long it has shown no progress. */
  readonly silentMs: number;
  readonly stack: MainStack | null;
  readonly error: string | null;
}

/** What the CLI gets of a profile, a line each. */
export type ProfileLine =
  /** First; `profile` is its number, by which it can be stopped. A heap snapshot has none: 0. */
  | {
      readonly type: "started";
      readonly worker: number;
      readonly pid: number;
      readonly profile: number;
    }
  /** Of a heap snapshot, before it is taken. */
  | {
      readonly type: "cost";
      readonly heapBytes: number;
      /** Memory beyond what the worker has now. */
      readonly neededBytes: number;
      readonly availableBytes: number;
      readonly pauseMs: number;
    }
  | { readonly type: "part"; readonly text: string }
  /** Last. `characters` of all parts together. */
  | { readonly type: "done"; readonly characters: number }
  | { readonly type: "failed"; readonly message: string };

export type ProfileOrder = Omit<Extract<AgentRequest, { kind: "profile" }>, "kind">;

type RebindText = Exclude<PatchOrder["functions"][number]["rebind"], string>;

export type PatchOrder = Omit<Extract<AgentRequest, { kind: "patch" }>, "kind">;

/** A file as a worker has loaded it, or why that is not known. */
export interface WorkerScript {
  readonly worker: number;
  readonly pid: number;
  readonly script: LoadedScript | null;
  readonly error: string | null;
}

export interface WorkerPatch {
  readonly worker: number;
  readonly pid: number;
  readonly result: PatchResult;
}

/** A debugger that is attached to a worker. */
export interface AttachedDebugger {
  receive(message: unknown): void;
  close(): void;
}

/** What can be seen of running workers. */
export interface ControlledLive {
  /** Indices of the workers that run. */
  readonly workers: readonly number[];
  stacks(worker: number | null, variables: boolean): Promise<readonly WorkerStack[]>;
  profile(worker: number, order: ProfileOrder, signal: AbortSignal): AsyncIterable<ProfileLine>;
  /** Ends it before its time; it hands over what it has. False: there is none of that number. */
  stopProfile(profile: number): boolean;
  snapshot(worker: number, path: string, isForced: boolean): AsyncIterable<ProfileLine>;
  scripts(worker: number | null, path: string): Promise<readonly WorkerScript[]>;
  patch(worker: number | null, order: PatchOrder): Promise<readonly WorkerPatch[]>;
  /** `onEnd` is called once, when the worker or its agent has ended. */
  debug(worker: number, onMessage: (message: unknown) => void, onEnd: () => void): AttachedDebugger;
}

/** An hour of samples is a few hundred MB, more than an agent may hold. */
const PROFILE_MS_MAX = 600_000;
/** A debugger evaluates what a person has written. */
const DEBUG_LINE_CHARACTERS_MAX: number = 16 * 1024 * 1024;
/** Unread messages of a debugger; one that reads nothing has gone, or is stopped itself. */
const DEBUG_BACKLOG_BYTES_MAX: number = 64 * 1024 * 1024;

/** @param live null in portable mode */
export function liveRoutes(live: ControlledLive | null): ControlRoutes {
  return {
    "GET /v1/stacks": async ({ query }) => {
      const text = query.get("worker");
      const worker = text === null ? null : workerOf(present(live), text === "" ? NaN : +text);
      const stacks = await present(live).stacks(worker, query.get("variables") === "1");
      return { status: 200, json: { stacks } };
    },
    "POST /v1/profile": ({ body, signal }) => {
      const { worker, what, durationMs, interval } = membersOf(body);
      if (what !== "cpu" && what !== "heap" && what !== "allocations") {
        throw refused("what must be cpu, heap or allocations");
      }
      if (!isWhole(durationMs) || durationMs < 1 || durationMs > PROFILE_MS_MAX) {
        throw refused(`durationMs must be a whole number from 1 to ${PROFILE_MS_MAX}`);
      }
      if (!isWhole(interval) || interval < 1) throw refused("interval must be a whole number");
      const order: ProfileOrder = { what, durationMs, interval };
      const index = workerOf(present(live), worker);
      return { lines: present(live).profile(index, order, signal), isEndless: true };
    },
    "POST /v1/profile/stop": ({ body }) => {
      const { profile } = membersOf(body);
      if (!isWhole(profile)) throw refused("profile must be the number of a profile");
      return { status: 200, json: { stopped: present(live).stopProfile(profile) } };
    },
    "POST /v1/snapshot": ({ body }) => {
      const { worker, path, force = false } = membersOf(body);
      if (typeof force !== "boolean") throw refused("force must be true or false");
      const index = workerOf(present(live), worker);
      return { lines: present(live).snapshot(index, pathOf(path), force), isEndless: false };
    },
    "POST /v1/scripts": async ({ body }) => {
      const { worker = null, path } = membersOf(body);
      const index = worker === null ? null : workerOf(present(live), worker);
      return { status: 200, json: { scripts: await present(live).scripts(index, pathOf(path)) } };
    },
    "POST /v1/patch": async ({ body }) => {
      const { worker = null, ...order } = membersOf(body);
      const index = worker === null ? null : workerOf(present(live), worker);
      return { status: 200, json: { patches: await present(live).patch(index, patchOf(order)) } };
    },
    "POST /v1/debug": (request) => debug(present(live), request),
  };
}

function debug(live: ControlledLive, { body }: ControlRequest): ControlAnswer {
  const worker = workerOf(live, membersOf(body)["worker"]);
  const take = (socket: Socket): void => {
    const lines = new JsonLines(DEBUG_LINE_CHARACTERS_MAX);
    const attached = live.debug(
      worker,
      (message) => {
        if (socket.writableLength > DEBUG_BACKLOG_BYTES_MAX) socket.destroy();
        else if (socket.writable) socket.write(`${JSON.stringify(message)}\n`);
      },
      () => socket.end(),
    );
    socket.on("data", (chunk: Buffer) => {
      for (const message of lines.push(chunk)) attached.receive(message);
    });
    socket.on("end", () => socket.end());
    socket.on("close", () => attached.close());
  };
  return { take };
}

function present(live: ControlledLive | null): ControlledLive {
  if (live !== null) return live;
  throw new ControlRequestError(501, "this service has no agents");
}

function workerOf(live: ControlledLive, worker: unknown): number {
  if (isWhole(worker) && live.workers.includes(worker)) return worker;
  const known = live.workers.join(", ");
  throw refused(`there is no worker ${JSON.stringify(worker)}; there is ${known}`);
}

function patchOf(order: Readonly<Record<string, unknown>>): PatchOrder {
  const { path, isModule, beforeSha256, sources, functions, isDryRun } = order;
  if (typeof isModule !== "boolean") throw refused("isModule must be true or false");
  if (typeof isDryRun !== "boolean") throw refused("isDryRun must be true or false");
  if (typeof beforeSha256 !== "string") throw refused("beforeSha256 must be a text");
  const isText = (value: unknown): value is string => typeof value === "string";
  if (!Array.isArray(sources) || !sources.every(isText) || sources.length === 0) {
    throw refused("sources must be texts");
  }
  if (!Array.isArray(functions)) throw refused("functions must be a list");
  const texts = functions.map((each) => {
    const { before: from, after: to, rebind } = membersOf(each);
    if (!isText(from) || !isText(to)) throw refused("a function must have before and after");
    return { before: from, after: to, rebind: isText(rebind) ? rebind : rebindOf(rebind) };
  });
  return { path: pathOf(path), isModule, beforeSha256, sources, functions: texts, isDryRun };
}

function rebindOf(rebind: unknown): RebindText {
  const { member, isStatic, code, line } = membersOf(rebind);
  if (member !== null && typeof member !== "string") throw refused("member must be a text or null");
  if (typeof isStatic !== "boolean") throw refused("isStatic must be true or false");
  if (typeof code !== "string") throw refused("code must be a text");
  if (!isWhole(line)) throw refused("line must be a whole number");
  return { member, isStatic, code, line };
}

function pathOf(path: unknown): string {
  if (typeof path === "string" && isAbsolute(path) && !path.includes("\0")) return path;
  throw refused("path must be an absolute path");
}

function membersOf(body: unknown): Readonly<Record<string, unknown>> {
  if (typeof body === "object" && body !== null && !Array.isArray(body)) return { ...body };
  throw refused("the body must be a JSON object");
}

function isWhole(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function refused(message: string): ControlRequestError {
  return new ControlRequestError(400, message);
}
