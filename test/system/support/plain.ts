/** The same application under plain node, to compare with. It prints `{"port": n}` first. */
import { spawn } from "node:child_process";
import { nodeBinary } from "./paths.ts";
import { MARK_VARIABLE, kill } from "./processes.ts";
import { cleanEnvironment } from "./run.ts";
import { jsonLines } from "./output.ts";
import type { Owner } from "./service.ts";
import { waitFor } from "./wait.ts";

/** Starts plain node; it is killed when its owner ends. */
export async function startPlain(
  owner: Owner,
  entry: string,
): Promise<{ host: string; port: number }> {
  const child = spawn(nodeBinary(), [entry], {
    env: cleanEnvironment({ [MARK_VARIABLE]: `${process.pid}.plain` }),
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = new Promise((resolve) => child.on("close", resolve));
  owner.after(async () => {
    if (child.pid !== undefined) kill(child.pid, "SIGKILL");
    await ended;
  });
  const output: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => output.push(chunk));
  return waitFor("plain node listens", () => {
    const [line] = jsonLines<{ port: number }>(Buffer.concat(output).toString());
    return line && { host: "127.0.0.1", port: line.port };
  });
}
