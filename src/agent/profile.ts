/**
 * Profiles of the main thread: where its time goes, who allocates. Started and stopped through the
 * inspector, so that a thread that spins is profiled as well.
 *
 * V8 has no name for code that it compiled for a loop which runs already (on-stack replacement),
 * and counts its time for whoever called the function: the profile of a thread that spins would
 * accuse another one. So such a thread is held for a moment, and a breakpoint that never holds is
 * set in the functions on its stack and taken away, which makes V8 forget that code; what it
 * compiles then has a name.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Debugger, Runtime } from "node:inspector";
import { pathToFileURL } from "node:url";
import type { AgentRequest } from "../base/mod.ts";
import type { MainSession } from "./main-session.ts";
import type { SourceMaps } from "./source-maps.ts";
import { waitsForEvents } from "./stack.ts";

/** A part of the profile's text; far below what a line may have. */
const PART_CHARACTERS: number = 64 * 1024;
/** Looks at a main thread, and what is between two; one that turns waits for events in between. */
const BUSY_LOOKS = 5;
const BUSY_LOOK_MS = 5;
/** Innermost functions of a thread that spins: the loop is in one of them. */
const FORGOTTEN_FRAMES = 8;
/** To stop and hand over; the main thread makes the profile, in time in proportion to its size. */
const STOP_LIMIT_MS = 30_000;
/** Those who allocated what was collected meanwhile count as well. */
const COLLECTED = {
  includeObjectsCollectedByMajorGC: true,
  includeObjectsCollectedByMinorGC: true,
} as const;

export type ProfileRequest = Extract<AgentRequest, { kind: "profile" }>;

interface Steps {
  readonly start: (session: MainSession) => Promise<void>;
  /** Answers with `{profile}`. */
  readonly stop: string;
  readonly domain: "Profiler" | "HeapProfiler";
}

/** Whether it does not wait for events, each time that somebody looks. */
async function isBusy(): Promise<boolean> {
  for (let look = 0; look < BUSY_LOOKS; look += 1) {
    if (waitsForEvents()) return false;
    await sleep(BUSY_LOOK_MS);
  }
  return true;
}

function stepsOf({ what, interval }: ProfileRequest): Steps {
  if (what === "cpu") {
    const start = async (session: MainSession): Promise<void> => {
      await session.post("Profiler.enable");
      await session.post("Profiler.setSamplingInterval", { interval });
      await session.post("Profiler.start");
    };
    return { start, stop: "Profiler.stop", domain: "Profiler" };
  }
  const options = { samplingInterval: interval, ...(what === "allocations" ? COLLECTED : {}) };
  const start = async (session: MainSession): Promise<void> => {
    await session.post("HeapProfiler.enable");
    await session.post("HeapProfiler.startSampling", options);
  };
  return { start, stop: "HeapProfiler.stopSampling", domain: "HeapProfiler" };
}

/** Of a CPU profile a list of nodes, of a heap profile a tree: what of them names places. */
interface ProfileTree {
  readonly nodes?: readonly ProfileNode[];
  readonly head?: ProfileNode;
}

interface ProfileNode {
  readonly callFrame: Runtime.CallFrame;
  readonly children?: readonly (ProfileNode | number)[];
  readonly positionTicks?: { line: number }[];
}

/** See the file's docstring. */
export class Profiles {
  readonly #session: MainSession;
  readonly #maps: SourceMaps;
  #running: string | null = null;

  constructor(session: MainSession, maps: SourceMaps) {
    this.#session = session;
    this.#maps = maps;
  }

  /** Profiles until `ended` resolves; hands the profile over in parts. */
  async take(
    request: ProfileRequest,
    ended: Promise<void>,
    onPart: (part: { readonly text: string }) => void,
  ): Promise<{ readonly characters: number }> {
    if (this.#running !== null) throw new Error(`a ${this.#running} profile is being taken`);
    this.#running = request.what;
    const { start, stop, domain } = stepsOf(request);
    try {
      if (request.what === "cpu" && (await isBusy())) await this.#startBusy(start);
      else await start(this.#session);
      await ended;
      // as the protocol describes the answer of either
      const { profile } = (await this.#session.post(stop, {}, STOP_LIMIT_MS)) as {
        profile: unknown;
      };
      await this.#toSources(profile as ProfileTree);
      const text = JSON.stringify(profile);
      for (let at = 0; at < text.length; at += PART_CHARACTERS) {
        onPart({ text: text.slice(at, at + PART_CHARACTERS) });
      }
      return { characters: text.length };
    } finally {
      this.#running = null;
      await this.#session.post(`${domain}.disable`).catch(() => undefined); // it has ended anyway
    }
  }

  async #startBusy(start: Steps["start"]): Promise<void> {
    const started = await this.#session.held(async ({ paused }) => {
      for (const { location } of paused.callFrames.slice(0, FORGOTTEN_FRAMES)) {
        const options = { location, condition: "false" };
        const made = await this.#session.post("Debugger.setBreakpoint", options).catch(() => null);
        if (made === null) continue; // another one is there: it does the same
        // as the protocol describes the answer
        const { breakpointId } = made as Debugger.SetBreakpointReturnType;
        await this.#session.post("Debugger.removeBreakpoint", { breakpointId });
      }
      return start(this.#session).then(() => true);
    });
    if (started === null) await start(this.#session); // it is in native code
  }

  /** Places of code that has a source map become those of its source. */
  async #toSources({ nodes = [], head }: ProfileTree): Promise<void> {
    const scripts = await this.#session.enabled((found) => Promise.resolve(new Map(found)));
    const queue = [...nodes, ...(head === undefined ? [] : [head])];
    for (let node = queue.pop(); node !== undefined; node = queue.pop()) {
      const { callFrame, children = [], positionTicks = [] } = node;
      queue.push(...children.filter((child) => typeof child !== "number"));
      const script = scripts.get(callFrame.scriptId);
      if (script === undefined || script.sourceMapUrl === "") continue;
      const { lineNumber, columnNumber } = callFrame;
      const at = this.#maps.position(script, lineNumber, columnNumber);
      for (const tick of positionTicks) {
        const place = this.#maps.position(script, tick.line - 1, 0);
        if (place.file === at.file) tick.line = place.line;
      }
      const url = at.file.startsWith("/") ? pathToFileURL(at.file).href : at.file;
      Object.assign(callFrame, { url, lineNumber: at.line - 1, columnNumber: at.column - 1 });
    }
  }
}
