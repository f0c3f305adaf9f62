/**
 * Asks V8 what an edit of a CommonJS file would do, without the program: see patch.ts. The twin is
 * in a thread of its own, which ends: a module that was once loaded stays as long as its thread.
 */
import { Worker } from "node:worker_threads";
import { entryUrl } from "../base/mod.ts";

/** Parsing of a large file twice. */
const TWIN_LIMIT_MS = 20_000;

/** What the thread is given. */
export interface TwinOrder {
  readonly before: string;
  readonly sources: readonly string[];
}

/** What V8 says to each of the sources, or why it cannot be asked. */
export async function checkTwin(
  before: string,
  sources: readonly string[],
): Promise<readonly string[] | string> {
  const order: TwinOrder = { before, sources };
  const thread = new Worker(entryUrl(import.meta.url, "./patch-twin-main.ts"), {
    name: "holdfast patch",
    workerData: order,
    execArgv: [],
    env: {},
    stdout: true,
    stderr: true,
  });
  const { promise, resolve } = Promise.withResolvers<readonly string[] | string>();
  const timer = setTimeout(() => resolve("it took too long to find out"), TWIN_LIMIT_MS);
  // our own thread's
  thread.on("message", (answer: readonly string[] | string) => resolve(answer));
  thread.on("error", (error) => resolve(`it could not be found out: ${String(error)}`));
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    await thread.terminate();
  }
}
