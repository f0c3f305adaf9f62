/**
 * Replaces the code of functions in the running program: V8's LiveEdit, where it is sound.
 *
 * ```
 *   as expected? --> would all functions change? --> held where no frame of the file is active
 *        |no              |no (a twin tells)              |never            |
 *        +----------------+-----------> refused <---------+                 +--> edit --> counted
 * ```
 * LiveEdit answers `Ok` also where it changes nothing: a function that uses a variable around it
 * which no function used before has another context, and its closures keep the old code, for good.
 * Of an ES module V8 refuses that (`BlockedByTopLevelEsModuleChange`), so of a CommonJS file its
 * twin is asked: the same text as a module, in a thread of its own with the same V8. What became of
 * the closures is then counted in the heap, by their text.
 *
 * Editing a function that runs can end the process (V8 checks what it cannot do there), therefore
 * the main thread is held first, again and again, until no frame of the file is on its stack; and
 * for as long as other debuggers of the process take to end such a pause, before anything is done.
 */
import { createHash } from "node:crypto";
import { setFlagsFromString } from "node:v8";
import type { Debugger, Runtime } from "node:inspector";
import type { AgentRequest, LoadedScript, PatchResult, PatchedText } from "../base/mod.ts";
import type { Held, MainSession, Script } from "./main-session.ts";
import { checkTwin } from "./patch-twin.ts";
import { rebind } from "./patch-rebind.ts";
import { OURS, pathOf } from "./source-maps.ts";

/** For a moment without a frame of the file. */
const MOMENT_LIMIT_MS = 5000;
const MOMENT_PAUSE_MS = 10;
/** An edit walks the heap: 2 to 4 s for each GB, measured. */
const EDIT_LIMIT_MS = 120_000;
const OTHERS_MAX = 500;

type PatchRequest = Extract<AgentRequest, { kind: "patch" }>;

/** `Debugger.setScriptSource`, as the Chrome DevTools Protocol has it since V8 11. */
interface EditAnswer {
  readonly status: string;
  readonly exceptionDetails?: Runtime.ExceptionDetails;
}

/** In the main thread, on all functions that are alive: how many end with each text. */
const COUNT = `function (texts) {
  const text = Function.prototype.toString;
  const counts = texts.map(() => ({ renewed: 0, kept: 0 }));
  for (let at = 0; at < this.length; at += 1) {
    if (typeof this[at] !== "function") continue;
    const code = text.call(this[at]);
    for (let index = 0; index < texts.length; index += 1) {
      if (code.endsWith(texts[index].after)) counts[index].renewed += 1;
      else if (code.endsWith(texts[index].before)) counts[index].kept += 1;
    }
  }
  return counts;
}`;

/** Why V8 does not edit, by its own word for it. */
const REASONS: Readonly<Partial<Record<string, string>>> = {
  BlockedByActiveGenerator:
    "an async function or a generator that changes waits in the middle of its work; " +
    "try again when fewer requests are in flight",
  BlockedByActiveFunction: "a function that changes is running",
  BlockedByTopLevelEsModuleChange: "the variables around a function would not be the same ones",
};

/** An edit of a function that runs may end the process, so it is not tried then. */
const LET_GO =
  "another debugger in the process, that of an APM tool for instance, ends every pause, " +
  "and V8 edits safely in one only";

/** V8 does not edit the file; the functions may be replaced where they are bound. */
class NotEdited extends Error {}

/** See the file's docstring. */
export class Patches {
  readonly #session: MainSession;
  /** Files whose functions were replaced where they are bound: what runs now, by path. */
  readonly #bound = new Map<string, string>();
  /** Scripts that are left of former edits: the program does not run them. */
  readonly #leftovers = new Set<string>();

  constructor(session: MainSession) {
    this.#session = session;
  }

  /** The text of a file as the main thread has loaded it. */
  async script(path: string): Promise<LoadedScript> {
    return this.#session.enabled(async (scripts) => {
      const [found] = this.#named(scripts, path);
      if (found !== undefined) {
        const [scriptId, { isModule }] = found;
        return { source: this.#bound.get(path) ?? (await this.#sourceOf(scriptId)), isModule };
      }
      const others = [...scripts.values()]
        .map(({ url }) => pathOf(url))
        .filter((file) => file.startsWith("/") && !file.includes("/node_modules/"))
        .filter((file) => !file.startsWith(OURS));
      return { source: null, others: [...new Set(others)].slice(0, OTHERS_MAX) };
    });
  }

  /** Carries out, or says why not; nothing has changed then. */
  async apply(request: PatchRequest): Promise<PatchResult> {
    const { path } = request;
    const { source } = await this.script(path);
    const isExpected = source !== null && sha256(source) === request.beforeSha256;
    if (!isExpected) return { refused: "the file that it has loaded is another one" };
    if (this.#bound.has(path)) {
      return { refused: "functions of the file were replaced where they are bound before" };
    }
    const known = await this.#session.enabled(async (scripts) => new Set(scripts.keys()));
    try {
      return await this.#carryOut(request, source);
    } catch (error) {
      if (!(error instanceof NotEdited)) throw error;
      return await this.#rebind(request, error.message);
    } finally {
      await this.#session.enabled(async (scripts) => {
        for (const [id] of this.#named(scripts, path)) if (!known.has(id)) this.#leftovers.add(id);
      });
    }
  }

  async #carryOut(request: PatchRequest, before: string): Promise<PatchResult> {
    const { isModule, sources } = request;
    let allowed = sources;
    if (!isModule) {
      const verdicts = await checkTwin(before, sources);
      if (typeof verdicts === "string") throw new NotEdited(verdicts);
      allowed = sources.filter((_, index) => verdicts[index] === "Ok");
      if (allowed.length === 0) throw new NotEdited(reasonOf(verdicts.at(-1) ?? ""));
    }
    const until = performance.now() + MOMENT_LIMIT_MS;
    for (;;) {
      const result = await this.#session.held((held) => this.#at(held, request, allowed));
      if (result !== null && !("running" in result)) return result;
      if (performance.now() > until) {
        const native = "it is in code that is not JavaScript";
        const why = result === null ? native : `${result.running} is running`;
        throw new NotEdited(
          `there was no moment for it within ${MOMENT_LIMIT_MS / 1000} s: ${why}`,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, MOMENT_PAUSE_MS));
    }
  }

  /** `running`: not now, a function of the file is. */
  async #at(
    held: Held,
    request: PatchRequest,
    sources: readonly string[],
  ): Promise<PatchResult | { readonly running: string }> {
    const { paused, isOurs, scripts } = held;
    if (!isOurs) return { refused: "a debugger holds the main thread" };
    const scriptIds = this.#named(scripts, request.path);
    if (scriptIds.length > 1) {
      return { refused: `it has loaded the file ${scriptIds.length} times: which one is meant?` };
    }
    const [scriptId] = scriptIds[0] ?? [];
    if (scriptId === undefined) return { refused: "it has not loaded the file" };
    const active = paused.callFrames.find(({ location }) => location.scriptId === scriptId);
    if (active !== undefined) {
      const { functionName, location } = active;
      const name = functionName === "" ? "(anonymous)" : functionName;
      return { running: `${name} (line ${location.lineNumber + 1})` };
    }
    const from = performance.now();
    await held.settled();
    if (held.isLetGo()) throw new NotEdited(LET_GO);
    const refusal = await this.#edit(scriptId, sources, request.isDryRun);
    if (refusal !== null) throw new NotEdited(refusal);
    const counts = request.isDryRun ? [] : await this.#count(request.functions);
    return { refused: null, counts, heldMs: Math.round(performance.now() - from), bound: null };
  }

  /** The functions replaced where they are bound, as V8 does not edit the file. */
  async #rebind(request: PatchRequest, why: string): Promise<PatchResult> {
    const { path, functions, isDryRun, sources } = request;
    const result = await this.#session.held(async ({ isOurs }): Promise<PatchResult> => {
      if (!isOurs) return { refused: "a debugger holds the main thread" };
      const from = performance.now();
      const rebound = await rebind(this.#session, path, functions, isDryRun);
      if ("refused" in rebound) return { refused: `${why}; where it is bound: ${rebound.refused}` };
      const counts = isDryRun ? [] : await this.#count(functions);
      const heldMs = Math.round(performance.now() - from);
      return { refused: null, counts, heldMs, bound: { places: rebound.places, why } };
    });
    if (result?.refused === null && !isDryRun) this.#bound.set(path, sources[0] ?? "");
    return result ?? { refused: why };
  }

  /** Null: V8 has taken one of the sources. */
  async #edit(
    scriptId: string,
    sources: readonly string[],
    dryRun: boolean,
  ): Promise<string | null> {
    let refusal = "there is nothing to change";
    for (const scriptSource of sources) {
      const answer = await this.#setSource({ scriptId, scriptSource, dryRun });
      if (answer.status === "Ok") return null;
      const { exceptionDetails: details } = answer;
      const place = details === undefined ? "" : ` at line ${details.lineNumber + 1}`;
      refusal = details === undefined ? reasonOf(answer.status) : `${details.text}${place}`;
    }
    return refusal;
  }

  async #setSource(options: object): Promise<EditAnswer> {
    const edit = async (): Promise<EditAnswer> => {
      const method = "Debugger.setScriptSource";
      return (await this.#session.post(method, options, EDIT_LIMIT_MS)) as EditAnswer; // see there
    };
    try {
      return await edit();
    } catch (error) {
      // V8 14 has put it behind a flag, which it reads at each call; older ones know no such flag
      if (!String(error).includes("no longer available")) throw error;
      setFlagsFromString("--inspector-live-edit");
      return edit();
    }
  }

  async #count(functions: readonly PatchedText[]) {
    const post = (method: string, options: object): Promise<unknown> => {
      return this.#session.post(method, options, EDIT_LIMIT_MS);
    };
    const objectGroup = "holdfast-patch";
    // as the protocol describes the answers
    const { result } = (await post("Runtime.evaluate", {
      expression: "Function.prototype",
      objectGroup,
    })) as Runtime.EvaluateReturnType;
    const { objects } = (await post("Runtime.queryObjects", {
      prototypeObjectId: result.objectId,
      objectGroup,
    })) as Runtime.QueryObjectsReturnType;
    const { result: counted } = (await post("Runtime.callFunctionOn", {
      objectId: objects.objectId,
      functionDeclaration: COUNT,
      arguments: [{ value: functions }],
      returnByValue: true,
    })) as Runtime.CallFunctionOnReturnType;
    await post("Runtime.releaseObjectGroup", { objectGroup });
    // made by the function above
    return counted.value as { renewed: number; kept: number }[];
  }

  /** Scripts of a file that the program runs, the first loaded first. */
  #named(scripts: Held["scripts"], path: string): readonly (readonly [string, Script])[] {
    return [...scripts]
      .filter(([scriptId, { url }]) => pathOf(url) === path && !this.#leftovers.has(scriptId))
      .toSorted(([a], [b]) => Number(a) - Number(b));
  }

  async #sourceOf(scriptId: string): Promise<string> {
    // as the protocol describes the answer
    const answer = (await this.#session.post("Debugger.getScriptSource", {
      scriptId,
    })) as Debugger.GetScriptSourceReturnType;
    return answer.scriptSource;
  }
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function reasonOf(status: string): string {
  return REASONS[status] ?? `V8 says ${status}`;
}
