/**
 * The agent's inspector session with the main thread: connected when somebody first asks, and kept
 * for life (a session that is disconnected just before its thread ends can abort the process). Not
 * before: with a session open, Node says at process.exit() that it waits for a debugger. With no
 * domain enabled it costs nothing.
 *
 * ```
 *   idle --held: Debugger.enable, pause--> asked --paused event--> held --resume, disable--> idle
 *                                            |
 *                                            +--nothing within the limit: disable--> idle
 * ```
 * V8 carries out what a session posts when the main thread next looks for interrupts, on function
 * entry and on loop back-edges, so it works while JavaScript spins. The Debugger domain makes every
 * await some eight times slower, therefore it is on for moments only.
 *
 * A pause that somebody else has caused (a debugger that is attached, an error tracker that looks
 * at exceptions) is looked at and left alone. A pause of ours lasts for HELD_MS_MIN at least, may
 * be ended by others meanwhile (pauses.ts), and is then not ended again: that could be another's.
 */
import { Session } from "node:inspector";
import type { Debugger, InspectorNotification } from "node:inspector";
import { connectToMain } from "./connect.ts";
import { HELD_MS_MIN, pauses } from "./pauses.ts";

/** Of one message to the main thread; it answers within a millisecond where it answers at all. */
export const POST_LIMIT_MS = 2000;
/**
 * The main thread leaves a pause after it has answered what ends it: for whoever asks in between V8
 * says that it is paused already. On a busy machine that takes a while.
 */
const LEAVING_MS = 1000;
const LEAVING_LOOK_MS = 20;
/** For a pause to begin, also on a busy machine. */
const PAUSE_LIMIT_MS = 1000;

/** The part of a Session that takes any message; @types/node has an overload for each. */
type Post = (
  method: string,
  parameters: object,
  callback: (error: Error | null, result: unknown) => void,
) => void;

/** A script of the main thread's. */
export interface Script {
  readonly url: string;
  readonly sourceMapUrl: string;
  readonly isModule: boolean;
}

/** The main thread while it is held. */
export interface Held {
  readonly paused: Debugger.PausedEventDataType;
  readonly isOurs: boolean;
  readonly scripts: ReadonlyMap<string, Script>;
  /** Another debugger has ended the pause. */
  isLetGo(): boolean;
  /** Resolves when it has, or has had the time to. */
  settled(): Promise<void>;
}

/** See the file's docstring. */
export class MainSession {
  #session: Session | null = null;
  #scripts = new Map<string, Script>();
  #onPaused: ((paused: Debugger.PausedEventDataType) => void) | null = null;
  #queue: Promise<unknown> = Promise.resolve();
  /**
   * The Debugger domain is off again, which takes a while where nothing is answered. Before that, a
   * pause that was asked for too late would be taken for somebody else's by whoever asks next.
   */
  #released: Promise<void> = Promise.resolve();
  /** When a pause was last asked for. */
  #askedAtMs = -LEAVING_MS;
  /** It has begun a pause of ours, and not said that it has left it. */
  #isLeaving = false;
  /** It is in a pause that was waited for, nobody has ended it. */
  #isHeld = false;
  #heldAtMs = 0;
  #onResumed: () => void = () => undefined;
  readonly #listeners = new Set<(notification: InspectorNotification<object>) => void>();

  /**
   * Sends a message of the Chrome DevTools Protocol to the main thread.
   * It is under way when this returns, in the order of the calls.
   * @param onAnswer called before any event that follows the answer
   * @throws Error when it says no, or does not answer in time.
   */
  async post(
    method: string,
    parameters: object = {},
    limitMs: number = POST_LIMIT_MS,
    onAnswer: () => void = () => undefined,
  ): Promise<unknown> {
    const session = this.#connect();
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const late = new Error(`the main thread did not answer ${method} within ${limitMs} ms`);
    const timer = setTimeout(() => reject(late), limitMs);
    // the method is one that is called on its session, and takes what the protocol says
    (session.post as Post).call(session, method, parameters, (error, result) => {
      onAnswer();
      if (error === null) resolve(result);
      else reject(new Error(`${method}: ${error.message}`, { cause: error }));
    });
    return promise.finally(() => clearTimeout(timer));
  }

  /** Told of every event of the session until the returned function is called. */
  listen(listener: (notification: InspectorNotification<object>) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Holds the main thread, calls `look`, and lets go. One at a time. Resolves with null when the
   * main thread did not come to a place where it can be held.
   */
  held<T>(look: (held: Held) => Promise<T>, limitMs: number = PAUSE_LIMIT_MS): Promise<T | null> {
    const turn = this.#queue.then(() => this.#hold(look, limitMs));
    this.#queue = turn.catch(() => null); // who asked hears of it
    return turn;
  }

  /** Calls `look` with the scripts of the main thread, which goes on meanwhile. One at a time. */
  enabled<T>(look: (scripts: Held["scripts"]) => Promise<T>): Promise<T> {
    const turn = this.#queue.then(async () => {
      this.#connect();
      if (!(await this.#isReleased(POST_LIMIT_MS))) throw new Error("the main thread is busy");
      this.#scripts = new Map();
      try {
        await this.post("Debugger.enable");
        return await look(this.#scripts);
      } finally {
        this.#release();
      }
    });
    this.#queue = turn.catch(() => null); // who asked hears of it
    return turn;
  }

  /** Waits for the next pause; for a step that was asked for. Null: it did not come in time. */
  nextPause(
    limitMs: number,
    onPause: () => void = () => undefined,
  ): Promise<Debugger.PausedEventDataType | null> {
    const { promise, resolve } = Promise.withResolvers<Debugger.PausedEventDataType | null>();
    const timer = setTimeout(() => resolve(null), limitMs);
    this.#onPaused = (paused) => {
      onPause();
      resolve(paused);
    };
    return promise.finally(() => {
      clearTimeout(timer);
      this.#onPaused = null;
    });
  }

  async #hold<T>(look: (held: Held) => Promise<T>, limitMs: number): Promise<T | null> {
    this.#connect(); // where that is not allowed nothing else needs to be waited for
    const until = performance.now() + LEAVING_MS;
    const mayBeLeft = this.#isLeaving && performance.now() - this.#askedAtMs < LEAVING_MS;
    this.#isLeaving = false;
    for (;;) {
      if (!(await this.#isReleased(limitMs))) return null;
      const isPatient = mayBeLeft && performance.now() < until;
      const held = await this.#tryToHold(look, limitMs, isPatient);
      if (held !== "leaving") return held === null ? null : held.value;
      await new Promise((resolve) => setTimeout(resolve, LEAVING_LOOK_MS));
    }
  }

  /** @param isPatient a pause that is there already may be our own last one, which ends now */
  async #tryToHold<T>(
    look: (held: Held) => Promise<T>,
    limitMs: number,
    isPatient: boolean,
  ): Promise<{ readonly value: T } | "leaving" | null> {
    this.#scripts = new Map();
    // V8 tells of a pause that is there already before it has answered `enable`, and of ours after
    let isEnabled = false;
    let wasPaused = false;
    const next = this.nextPause(limitMs, () => (wasPaused = !isEnabled));
    pauses.asked += 1;
    this.#askedAtMs = performance.now();
    try {
      // not awaited one by one: where nothing is answered, each would wait for its limit
      const enabled = this.post("Debugger.enable", {}, limitMs, () => (isEnabled = true));
      const asked = this.post("Debugger.pause", {}, limitMs);
      const [paused] = await Promise.all([next, settled(enabled), settled(asked)]);
      if (paused === null) return null;
      const isPlain = paused.reason === "other" && (paused.hitBreakpoints ?? []).length === 0;
      const isOurs = isPlain && !wasPaused;
      if (isPlain && wasPaused && isPatient) return "leaving";
      const held: Held = {
        paused,
        isOurs,
        scripts: this.#scripts,
        isLetGo: () => !this.#isHeld,
        settled: () => this.#settled(),
      };
      try {
        return { value: await look(held) };
      } finally {
        if (isOurs) await this.#resume();
      }
    } finally {
      // also takes back a pause that has not begun; carried out in the order of the messages
      this.#release();
      void this.#released.then(() => (pauses.asked -= 1));
    }
  }

  /** Until the main thread has left the pause, which it says after the answer. */
  async #resume(): Promise<void> {
    await this.#settled();
    if (!this.#isHeld) {
      pauses.areShared = true;
      // what a pause has made for us is let go with it, if it is we who end it
      const options = { objectGroup: "backtrace" };
      await settled(this.post("Runtime.releaseObjectGroup", options));
      return;
    }
    this.#isLeaving = true;
    const left = this.#resumedWithin(LEAVING_MS);
    await settled(this.post("Debugger.resume"));
    await left;
  }

  /** Resolves when others have ended the pause, or have had the time for it. */
  async #settled(): Promise<void> {
    const restMs = this.#heldAtMs + HELD_MS_MIN - performance.now();
    if (this.#isHeld && restMs > 0) await this.#resumedWithin(restMs);
  }

  /** Resolves when the main thread leaves the pause, or when that has not come in time. */
  #resumedWithin(limitMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onResumed = resolve;
    const timer = setTimeout(resolve, limitMs);
    return promise.finally(() => clearTimeout(timer));
  }

  #release(): void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#released = promise;
    void settled(this.post("Debugger.disable", {}, POST_LIMIT_MS, resolve));
  }

  async #isReleased(limitMs: number): Promise<boolean> {
    const late = Promise.withResolvers<boolean>();
    const timer = setTimeout(() => late.resolve(false), limitMs);
    const released = this.#released.then(() => true);
    return Promise.race([released, late.promise]).finally(() => clearTimeout(timer));
  }

  /** @throws Error where the permission model allows no inspector. */
  #connect(): Session {
    if (this.#session !== null) return this.#session;
    const session = new Session();
    connectToMain(session);
    session.on("inspectorNotification", (notification) => this.#notified(notification));
    this.#session = session;
    return session;
  }

  #notified(notification: InspectorNotification<object>): void {
    const { method, params } = notification;
    if (method === "Debugger.scriptParsed") {
      // the event of that name carries these (Chrome DevTools Protocol)
      const parsed = params as Debugger.ScriptParsedEventDataType;
      const { scriptId, url, sourceMapURL = "", isModule = false } = parsed;
      this.#scripts.set(scriptId, { url, sourceMapUrl: sourceMapURL, isModule });
    } else if (method === "Debugger.paused") {
      if (this.#onPaused === null) this.#isLeaving = true; // ours, too late: nobody waits for it
      else [this.#isHeld, this.#heldAtMs] = [true, performance.now()];
      this.#onPaused?.(params as Debugger.PausedEventDataType); // as above
    } else if (method === "Debugger.resumed") {
      this.#isLeaving = false;
      this.#isHeld = false;
      this.#onResumed();
    }
    for (const listener of this.#listeners) listener(notification);
  }
}

/** Resolves in any case. */
async function settled(promise: Promise<unknown>): Promise<void> {
  await promise.catch(() => undefined); // whoever needs the answer has it from elsewhere
}
