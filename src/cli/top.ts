/**
 * `holdfast top`: a service as it runs, again each second, until `q` or Ctrl-C.
 *
 * ```
 *   terminal   alternate screen, drawn anew each interval and when the window changes its size
 *   pipe       a page each interval, one below the other
 *   --json     a line each interval          --once   one page or document, then the end
 * ```
 * The screen of before, the cursor and the keyboard are given back whichever way it ends.
 */
import { EXIT_CODES, HoldfastError, parseDuration, wantsColor } from "../base/mod.ts";
import type { TextOutput } from "../base/mod.ts";
import { allLatencies } from "../supervision/mod.ts";
import type { LatencyGroup, Status } from "../supervision/mod.ts";
import { ask } from "./control-client.ts";
import type { Service } from "./control-client.ts";
import { readLatency } from "./latency-view.ts";
import { chosenService } from "./operation.ts";
import { usage } from "./parse.ts";
import { renderTop, topJson } from "./top-view.ts";
import type { Look, TopSize } from "./top-view.ts";
import type { Parsed, World } from "./verb.ts";

const INTERVAL_MS_DEFAULT = 1000;
const INTERVAL_MS_MIN = 100;
const INTERVAL_MS_MAX = 60_000;
/** Columns of the heat map that are kept: as many as a wide terminal shows. */
const HEAT_INTERVALS_MAX = 400;
/** Where the size is not known. */
const SIZE: TopSize = { columns: 120, rows: 1000 };

/** q, Ctrl-C, Ctrl-D, and Escape, which is more than itself at the beginning of other keys. */
const LEAVING: ReadonlySet<string> = new Set(["q", "Q", "\u0003", "\u0004", "\u001B"]);

const ENTER = "\u001B[?1049h\u001B[?25l"; // xterm: alternate screen; DECTCEM: cursor off
const LEAVE = "\u001B[?25h\u001B[?1049l";
const HOME = "\u001B[H";
const CLEAR_LINE = "\u001B[K";
const CLEAR_BELOW = "\u001B[J";

/** What a terminal has beyond a stream of text. */
interface Terminal extends TextOutput {
  readonly columns?: number;
  readonly rows?: number;
  on?(event: "resize", listener: () => void): unknown;
  off?(event: "resize", listener: () => void): unknown;
}

/** Where keys come from: the standard input, if it is a terminal. */
export interface Keyboard {
  readonly isTTY?: boolean;
  setRawMode?(on: boolean): unknown;
  on(event: "data", listener: (bytes: Buffer) => void): unknown;
  off(event: "data", listener: (bytes: Buffer) => void): unknown;
  resume(): unknown;
  pause(): unknown;
}

export async function execute(
  parsed: Parsed,
  world: World,
  keyboard: Keyboard = process.stdin,
): Promise<number> {
  const intervalMs = intervalOf(parsed);
  const service = await chosenService(parsed, world);
  const isLive = world.stdout.isTTY === true && parsed.flags["json"] !== true;
  const top = new Top(parsed, world, service);
  if (parsed.flags["once"] === true) {
    await top.once(intervalMs);
    return EXIT_CODES.ok;
  }
  const stop = new AbortController();
  const screen = isLive ? new Screen(world, keyboard, stop, () => top.draw(true)) : null;
  const onSignal = (): void => stop.abort();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, onSignal);
  screen?.enter();
  try {
    await top.run(intervalMs, stop.signal, isLive);
  } finally {
    screen?.leave();
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.off(signal, onSignal);
  }
  return EXIT_CODES.ok;
}

function intervalOf(parsed: Parsed): number {
  const text = parsed.flags["interval"];
  if (typeof text !== "string") return INTERVAL_MS_DEFAULT;
  try {
    const ms = parseDuration(text);
    if (ms >= INTERVAL_MS_MIN && ms <= INTERVAL_MS_MAX) return ms;
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
  }
  throw usage({ name: "top" }, `--interval is ${JSON.stringify(text)}, must be 100ms to 1m`);
}

/** Looks, and shows what came since the look before. */
class Top {
  readonly #world: World;
  readonly #service: Service;
  readonly #isJson: boolean;
  readonly #isColored: boolean;
  readonly #heat: LatencyGroup[] = [];
  #before: Look | null = null;
  #now: Look | null = null;

  constructor(parsed: Parsed, world: World, service: Service) {
    this.#world = world;
    this.#service = service;
    this.#isJson = parsed.flags["json"] === true;
    this.#isColored = wantsColor(world.stdout, world.environment);
  }

  /** One interval, on one page. */
  async once(intervalMs: number): Promise<void> {
    await this.#look();
    await pause(intervalMs, new AbortController().signal);
    await this.#look();
    this.draw(false);
  }

  async run(intervalMs: number, signal: AbortSignal, isLive: boolean): Promise<void> {
    await this.#look();
    if (isLive) this.draw(true); // everything since the start, until there is an interval
    while (!signal.aborted) {
      await pause(intervalMs, signal);
      if (signal.aborted) return;
      await this.#look();
      this.draw(isLive);
    }
  }

  draw(isLive: boolean): void {
    const now = this.#now;
    if (now === null) return;
    const interval = { now, before: this.#before };
    const { stdout } = this.#world;
    if (this.#isJson) {
      stdout.write(`${JSON.stringify(topJson(interval))}\n`);
      return;
    }
    const size = isLive ? sizeOf(stdout) : SIZE;
    const lines = renderTop(interval, this.#heat, size, this.#isColored);
    if (!isLive) stdout.write(`${lines.join("\n")}\n\n`);
    else {
      const drawn = lines.map((line) => `${line}${CLEAR_LINE}`);
      stdout.write(`${HOME}${drawn.join("\r\n")}${CLEAR_BELOW}`);
    }
  }

  async #look(): Promise<void> {
    const [status, report] = await Promise.all([
      ask(this.#service, "GET", "/v1/status"),
      readLatency(this.#service),
    ]);
    this.#before = this.#now;
    // from our own reactor, as the report, whose shape was looked at
    this.#now = { status: status as Status, report };
    if (this.#before === null) return;
    this.#heat.push(allLatencies(report, this.#before.report));
    if (this.#heat.length > HEAT_INTERVALS_MAX) this.#heat.shift();
  }
}

/** The terminal, for as long as the page is shown. */
class Screen {
  readonly #world: World;
  readonly #keyboard: Keyboard;
  readonly #stop: AbortController;
  readonly #onResize: () => void;

  constructor(world: World, keyboard: Keyboard, stop: AbortController, onResize: () => void) {
    this.#world = world;
    this.#keyboard = keyboard;
    this.#stop = stop;
    this.#onResize = onResize;
  }

  enter(): void {
    this.#world.stdout.write(ENTER);
    const terminal: Terminal = this.#world.stdout;
    terminal.on?.("resize", this.#onResize);
    if (this.#keyboard.isTTY !== true) return;
    this.#keyboard.setRawMode?.(true);
    this.#keyboard.on("data", this.#onKey);
    this.#keyboard.resume();
  }

  leave(): void {
    const terminal: Terminal = this.#world.stdout;
    terminal.off?.("resize", this.#onResize);
    if (this.#keyboard.isTTY === true) {
      this.#keyboard.off("data", this.#onKey);
      this.#keyboard.setRawMode?.(false);
      this.#keyboard.pause();
    }
    this.#world.stdout.write(LEAVE);
  }

  readonly #onKey = (bytes: Buffer): void => {
    const key = bytes.toString("latin1");
    if (LEAVING.has(key)) this.#stop.abort();
  };
}

function sizeOf(output: Terminal): TopSize {
  return { columns: output.columns ?? SIZE.columns, rows: output.rows ?? 50 };
}

/** Waits, or until the signal. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end);
  });
}
