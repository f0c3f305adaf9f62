/**
 * One node process, started again when it ends: what systemd's `Restart=always` does.
 *
 *   starting ──> running ──exit──> waiting (RESTART_DELAY_MS) ──> starting
 *                   └── replace(): SIGTERM, exit, start
 */
import type { Started } from "../support/mod.ts";
import { kill, waitFor } from "../support/mod.ts";

/** RestartSec= of systemd.service(5), its default. */
const RESTART_DELAY_MS = 100;
const STOP_DEADLINE_MS = 10_000;

export class KeptProcess {
  readonly #start: () => Started;
  #current: Started;
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;

  constructor(start: () => Started) {
    this.#start = start;
    this.#current = this.#begin();
  }

  get output(): string {
    return this.#current.output;
  }

  /** Ends the process in order; the restart brings the next one. Resolves with that one's pid. */
  async replace(): Promise<number> {
    const old = this.#current;
    if (!old.isOver) kill(old.pid, "SIGTERM");
    await waitFor("a new process", STOP_DEADLINE_MS, () => this.#current !== old);
    return this.#current.pid;
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    if (!this.#current.isOver) kill(this.#current.pid, "SIGTERM");
  }

  #begin(): Started {
    const started = this.#start();
    void started.finished.then(() => {
      if (this.#isStopped) return;
      this.#timer = setTimeout(() => {
        this.#current = this.#begin();
      }, RESTART_DELAY_MS);
    });
    return started;
  }
}
