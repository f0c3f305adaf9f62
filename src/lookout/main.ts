/**
 * The lookout: a process that reads the stack of a worker's main thread from outside, where the
 * worker cannot help (a call into native code that does not return, a loop in which V8 forgets to
 * look for interrupts). The reactor starts it when a worker falls silent, and ends it when all is
 * calm again, or when a look takes too long: whatever it holds then is let go by the kernel. Orders
 * come as lines of JSON on standard input; it ends when that does.
 *
 * ```
 *   start: reads the worker's binary --ready    {id, pid} --> stop, read, let go --> {id, stack}
 * ```
 */
import { createInterface } from "node:readline";
import type { MainStack } from "../base/mod.ts";
import { Looker } from "./look.ts";

/** What the reactor asks. */
export interface LookOrder {
  readonly id: number;
  readonly pid: number;
}

/** What it is told. */
export type LookAnswer =
  | { readonly id: number; readonly stack: MainStack }
  | { readonly id: number; readonly error: string };

function answer(looker: Looker, { id, pid }: LookOrder): LookAnswer {
  try {
    return { id, stack: looker.look(pid) };
  } catch (error) {
    return { id, error: error instanceof Error ? error.message : String(error) };
  }
}

function main(): void {
  const looker = new Looker();
  const pid = Number(process.argv[2]);
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => undefined); // for the keeper; we end with the reactor
  }
  process.stdout.on("error", () => process.exit(0)); // the reactor has gone
  try {
    looker.prepare(pid);
  } catch {
    // the worker has just ended, or cannot be looked at: the first look says so
  }
  const orders = createInterface({ input: process.stdin });
  orders.on("line", (line) => {
    // the reactor's
    process.stdout.write(`${JSON.stringify(answer(looker, JSON.parse(line) as LookOrder))}\n`);
  });
  orders.on("close", () => process.exit(0));
}

main();
