/**
 * Where the load comes from: `driver.ts`, or wrk. wrk cannot take turns shorter than a second and
 * connects anew in each; so its figures need more time to become as sure.
 */
import { existsSync } from "node:fs";
import path from "node:path";
import { Started, run } from "../support/mod.ts";
import { CONNECTIONS } from "./shape.ts";
import type { Load, Shape } from "./shape.ts";

export const GENERATORS = ["driver", "wrk"] as const;
export type GeneratorName = (typeof GENERATORS)[number];

export interface Generator {
  /** Runs a load for about `ms`. @throws when the generator fails. */
  run(shape: Shape, port: number, ms: number): Promise<Load>;
  /** Ends it. */
  destroy(): void;
}

const WRK = ["/usr/bin/wrk", "/usr/local/bin/wrk"].find((file) => existsSync(file));

/** Starts a generator. @throws when it is not installed. */
export function startGenerator(name: GeneratorName): Generator {
  if (name === "driver") return new Driver();
  if (WRK === undefined) throw new Error("wrk is not here; install it with: apt-get install wrk");
  const program = WRK;
  return { run: (shape, port, ms) => runWrk(program, shape, port, ms), destroy: () => {} };
}

/** One load by our own generator. */
export async function runLoad(shape: Shape, port: number, ms: number): Promise<Load> {
  const driver = startGenerator("driver");
  try {
    return await driver.run(shape, port, ms);
  } finally {
    driver.destroy();
  }
}

/** Our own, a process that lives as long as the measurement. */
class Driver implements Generator {
  readonly #process = new Started(process.execPath, [path.join(import.meta.dirname, "driver.ts")], {
    ipc: true,
  });

  run(shape: Shape, port: number, ms: number): Promise<Load> {
    const { child, finished } = this.#process;
    return new Promise((resolve, reject) => {
      child.once("message", (load) => resolve(load as Load)); // our own program's word
      void finished.then(({ output }) => reject(new Error(`the driver has ended: ${output}`)));
      child.send({ type: "run", shape, port, ms });
    });
  }

  destroy(): void {
    this.#process.child.kill("SIGKILL");
  }
}

async function runWrk(wrk: string, shape: Shape, port: number, ms: number): Promise<Load> {
  // wrk counts whole seconds only
  const seconds = Math.max(1, Math.round(ms / 1000));
  const close = shape === "keep-alive" ? [] : ["-H", "Connection: close"];
  const args = ["-t1", `-c${CONNECTIONS}`, `-d${seconds}s`, ...close, `http://127.0.0.1:${port}/`];
  const { code, output } = await run(wrk, args);
  const requests = /(\d+) requests in/.exec(output)?.[1];
  if (code !== 0 || requests === undefined) throw new Error(`wrk failed: ${output}`);
  const errors = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(
    output,
  );
  const refused = /Non-2xx or 3xx responses: (\d+)/.exec(output)?.[1] ?? "0";
  const failed = (errors?.slice(1) ?? []).reduce((sum, count) => sum + Number(count), 0);
  return { requests: Number(requests), failed: failed + Number(refused) };
}
