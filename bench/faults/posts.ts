/**
 * The POSTs in flight. Each has an id, which the application writes into a file when it executes
 * it; so what a client was told can be compared with what happened.
 *
 * | client got        | executed     | is |
 * | ----------------- | ------------ | --- |
 * | 2xx               | once         | well |
 * | 503 or 502        | at most once | a clean refusal, if the connection then ends in order |
 * | anything          | twice        | the worst |
 * | nothing, RST, ... | whatever     | a failure that leaves the client in the dark |
 */
import { DeadlineError, waitFor } from "../support/mod.ts";
import { Connection } from "./connection.ts";
import type { Outcome } from "./connection.ts";
import { Counts } from "./counts.ts";

export interface PostResult {
  readonly asked: number;
  /** Everything that was not a 2xx. */
  readonly failed: Counts;
  /** Of those, refused with one complete 503 or 502 and an orderly end. */
  readonly cleanlyRefused: number;
  readonly executedTwice: number;
  /** Executed by the victim alone, so that only a refusal could be the answer. */
  readonly executedByVictim: number;
  /**
   * Answered 2xx without an execution, or refused although another worker than the victim ran it.
   */
  readonly wronglyAnswered: number;
}

interface Post {
  readonly id: string;
  readonly connection: Connection;
  readonly outcome: Promise<Outcome>;
}

const ORDERLY_END_MS = 1000;

export class PostLedger {
  readonly #port: number;
  readonly #path: string;
  readonly #timeoutMs: number;
  readonly #posts: Post[] = [];

  constructor(port: number, path: string, timeoutMs: number) {
    this.#port = port;
    this.#path = path;
    this.#timeoutMs = timeoutMs;
  }

  /** Sends `count`: one on each of these kept connections, the others on new ones. */
  send(count: number, kept: readonly Connection[]): void {
    for (let i = 0; i < count; i += 1) {
      const id = `post-${this.#posts.length}`;
      const connection = kept[i] ?? new Connection(this.#port);
      const headers = { "x-id": id, "content-type": "application/json" };
      const options = { timeoutMs: this.#timeoutMs, headers, body: JSON.stringify({ id }) };
      const outcome = connection.request("POST", this.#path, options);
      this.#posts.push({ id, connection, outcome });
    }
  }

  async over(): Promise<void> {
    await Promise.all(this.#posts.map((post) => post.outcome));
  }

  /** Compares with the lines `<id> <worker>` that the application has written. */
  async result(executed: string, victim: string): Promise<PostResult> {
    const failed = new Counts();
    const totals = { cleanlyRefused: 0, executedTwice: 0, executedByVictim: 0, wronglyAnswered: 0 };
    const lines = executed.split("\n").map((line) => line.split(" "));
    for (const { id, connection, outcome: promise } of this.#posts) {
      const outcome = await promise;
      const runs = lines.filter(([executedId]) => executedId === id).map(([, worker]) => worker);
      const isRefused = await isCleanRefusal(outcome, connection);
      connection.close();
      failed.addOutcome(outcome);
      if (isRefused) totals.cleanlyRefused += 1;
      if (runs.length > 1) totals.executedTwice += 1;
      if (runs.length === 1 && runs[0] === victim) totals.executedByVictim += 1;
      const isMissing = outcome.kind === "ok" && runs.length === 0;
      const isUntrue = isRefused && runs.some((worker) => worker !== victim);
      if (isMissing || isUntrue) totals.wronglyAnswered += 1;
    }
    return { asked: this.#posts.length, failed, ...totals };
  }
}

async function isCleanRefusal(outcome: Outcome, connection: Connection): Promise<boolean> {
  if (outcome.kind !== "status") return false;
  const { status, headers } = outcome.response;
  if (status !== 503 && status !== 502) return false;
  if (headers.get("connection")?.toLowerCase() === "close") {
    try {
      await waitFor("the end", ORDERLY_END_MS, () => connection.ended !== "open");
    } catch (error) {
      if (!(error instanceof DeadlineError)) throw error;
      return false; // It said close and did not.
    }
  }
  return connection.strayBytes === 0 && connection.ended !== "rst";
}
