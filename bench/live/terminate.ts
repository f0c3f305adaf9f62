/**
 * What `Runtime.terminateExecution` does to a worker that spins, by who entered the JavaScript and
 * whether AsyncLocalStorage is in use: a rung that the ladder of a stall does not have.
 * `node bench/live/terminate.ts [22 24 26]`; a minute for each version.
 */
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import http from "node:http";
import os from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { WebSocket } from "ws";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const APP = fileURLToPath(new URL("terminate-app.cjs", import.meta.url));
const CLI = process.env["HOLDFAST_TEST_CLI"] ?? path.join(ROOT, "dist/cli/main.js");
const BINARIES: Readonly<Record<string, string>> = {
  22: "node_modules/node22/bin/node",
  24: "node_modules/.bin/node",
  26: "node_modules/node26/bin/node",
};
const WAYS = ["/sync", "/sync-als", "/timer", "/promise"];
const OTHERS = 10;

function get(port: number, target: string): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const options = { host: "127.0.0.1", port, path: target, agent: false, timeout: 6000 };
  const request = http.get(options, (response) => {
    let text = "";
    response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
    response.on("close", () => resolve(`${response.statusCode} ${text}`));
  });
  request.on("timeout", () => request.destroy(new Error("no answer")));
  request.on("error", (error) => resolve(error.message));
  return promise;
}

async function lineOf(node: string, args: readonly string[], env: NodeJS.ProcessEnv) {
  const child = spawn(node, [CLI, ...args], { env, stdio: ["ignore", "pipe", "pipe"] });
  const lines = createInterface({ input: child.stdout });
  const { promise, resolve } = Promise.withResolvers<string>();
  lines.once("line", resolve);
  return { child, line: await promise };
}

/** Sends the one message, and nothing else. */
function terminate(url: string): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const socket = new WebSocket(url);
  const message = JSON.stringify({ id: 1, method: "Runtime.terminateExecution" });
  socket.on("open", () => socket.send(message));
  socket.on("message", () => socket.close());
  socket.on("close", () => resolve());
  socket.on("error", () => resolve());
  return promise;
}

async function measure(version: string, node: string): Promise<void> {
  const folder = mkdtempSync(path.join(os.tmpdir(), "hf-terminate-"));
  const env = { ...process.env, HOLDFAST_RUNTIME_DIR: folder };
  for (const way of WAYS) {
    const flags = ["--workers", "1", "--stall-limit", "0", "--name", "t", "--drain-timeout", "1s"];
    const service = await lineOf(node, ["run", APP, ...flags], env);
    const port = Number(/\d+/.exec(service.line)?.[0]);
    const others = Array.from({ length: OTHERS }, () => get(port, "/others"));
    await sleep(300);
    const guilty = get(port, way);
    await sleep(500);
    const bridge = await lineOf(node, ["debug", "--name", "t", "--json"], env);
    const { webSocketUrl } = JSON.parse(bridge.line) as { webSocketUrl: string };
    await terminate(webSocketUrl);
    const answered = (await Promise.all(others)).filter((text) => text.startsWith("200")).length;
    const said = (await guilty).slice(0, 60);
    await sleep(500);
    const status = [CLI, "status", "--name", "t", "--json"];
    const text = execFileSync(node, status, { env, encoding: "utf8" });
    const [, inFlight] = /"inFlight":\s*(\d+)/.exec(text) ?? [];
    const [, restarts] = /"restarts":\s*(\d+)/.exec(text) ?? [];
    const next = await get(port, "/");
    console.log(
      `Node ${version} ${way.padEnd(10)} others ${answered}/${OTHERS}  guilty: ${said}  ` +
        `in flight then ${inFlight}  restarts ${restarts}  next: ${next.slice(0, 10)}`,
    );
    for (const { child } of [bridge, service]) child.kill("SIGINT");
    await new Promise((resolve) => service.child.once("close", resolve));
  }
  rmSync(folder, { recursive: true, force: true });
}

const versions = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(BINARIES);
for (const version of versions) {
  await measure(version, path.join(ROOT, BINARIES[version] ?? version));
}
