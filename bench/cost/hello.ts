/** Starting contenders with the hello application, and ending them whatever happens. */
import { mkdtempSync, rmSync } from "node:fs";
import http from "node:http";
import os from "node:os";
import path from "node:path";
import type { Contender, Service } from "../contenders/mod.ts";
import { benchFolder, freePort, nodeBinary, waitFor } from "../support/mod.ts";

/** More than any machine takes: an emulated one, busy besides, takes a minute. */
const START_DEADLINE_MS = 240_000;

export interface HelloOptions {
  readonly workers: number;
  readonly holdfastFlags?: readonly string[];
}

/** Starts a contender, waits until it answers, and returns how to end it. */
export async function startHello(
  contender: Contender,
  options: HelloOptions,
): Promise<{ readonly service: Service; readonly stop: () => Promise<void> }> {
  const folder = mkdtempSync(path.join(os.tmpdir(), "hf-bench-"));
  const port = await freePort();
  const service = await contender.launch({
    folder,
    entry: path.join(benchFolder, "apps/hello.cjs"),
    env: {},
    node: nodeBinary("24"),
    port,
    workers: options.workers,
    heapMegabytes: 0,
    holdfastFlags: options.holdfastFlags ?? [],
  });
  const stop = async (): Promise<void> => {
    await service.stop();
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const isThere = async (): Promise<boolean> => service.hasEnded || (await answers(port));
    await waitFor(`${contender.name} answers`, START_DEADLINE_MS, isThere);
    if (service.hasEnded) throw new Error("it has ended");
  } catch (error) {
    await stop();
    throw new Error(`it did not start: ${service.output()}`, { cause: error });
  }
  return { service, stop };
}

/** True when `GET /` is answered with 200. */
export function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const options = { host: "127.0.0.1", port, agent: false, timeout: 2000 };
    const request = http.get(options, (response) => {
      response.resume();
      response.on("end", () => resolve(response.statusCode === 200));
    });
    request.on("timeout", () => request.destroy());
    request.on("error", () => resolve(false));
  });
}
