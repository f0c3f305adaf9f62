/** Load in one of two shapes, by wrk where it is installed, else by `generator.ts`. */
import { existsSync } from "node:fs";
import path from "node:path";
import { run } from "../support/mod.ts";

/** 64 kept connections; or as many loops, each of which connects anew for each request. */
export const SHAPES = ["keep-alive", "connection each"] as const;
export type Shape = (typeof SHAPES)[number];

export const CONNECTIONS = 64;

/** What was asked, and what failed of it. */
export interface Load {
  readonly requests: number;
  readonly failed: number;
}

const WRK = ["/usr/bin/wrk", "/usr/local/bin/wrk"].find((file) => existsSync(file));

/** The name of the load generator in use. */
export const generatorName: string = WRK === undefined ? "own generator" : "wrk";

/** Runs the load for about `milliseconds`. @throws when the generator fails. */
export async function runLoad(shape: Shape, port: number, milliseconds: number): Promise<Load> {
  return WRK === undefined
    ? runOwn(shape, port, milliseconds)
    : runWrk(WRK, shape, port, milliseconds);
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

async function runOwn(shape: Shape, port: number, ms: number): Promise<Load> {
  const program = path.join(import.meta.dirname, "generator.ts");
  const args = [program, String(port), String(CONNECTIONS), String(ms)];
  const kind = shape === "keep-alive" ? "keep-alive" : "close";
  const { code, output } = await run(process.execPath, [...args, kind]);
  if (code !== 0) throw new Error(`the load generator failed: ${output}`);
  return JSON.parse(output.slice(output.lastIndexOf("{"))) as Load; // our own program's word
}
