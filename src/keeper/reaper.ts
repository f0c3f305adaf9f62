/**
 * Orphans: processes that a worker started and left behind. They become the keeper's children
 * (it is pid 1 of a container, or a subreaper), and stay zombies until somebody waits for them.
 *
 * libuv waits for the children that it started itself, one by one, as soon as the loop turns. So a
 * child that is still a zombie when it is seen a second time, `INTERVAL_MS` later, is nobody's.
 */
import { readChildren, readProcessStat, reapProcess } from "../os/mod.ts";

export const INTERVAL_MS = 1000;

export class Reaper {
  #seen: ReadonlySet<number> = new Set();
  #timer: NodeJS.Timeout | null = null;

  start(): void {
    this.#timer ??= setInterval(() => this.reap(), INTERVAL_MS);
    this.#timer.unref();
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  /** Waits for those that were zombies the last time too. Returns how many there were. */
  reap(): number {
    const zombies = readChildren(process.pid).filter((pid) => readProcessStat(pid)?.state === "Z");
    const orphans = zombies.filter((pid) => this.#seen.has(pid));
    this.#seen = new Set(zombies);
    return orphans.filter((pid) => reapProcess(pid)).length;
  }
}
