/**
 * Every form of `server.listen` that node:cluster supports: two workers share one address, the
 * address is what plain node gives, and both answer there.
 */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { after, describe, it } from "node:test";
import type { TestContext } from "node:test";
import { distinctAnswers, get } from "./support/load.ts";
import { app, nodeBinary } from "./support/paths.ts";
import { MARK_VARIABLE, kill } from "./support/processes.ts";
import { cleanEnvironment } from "./support/run.ts";
import { parseAddress, startService } from "./support/service.ts";
import type { Service, Target } from "./support/service.ts";
import { jsonLines } from "./support/output.ts";
import { waitFor } from "./support/wait.ts";
import { spawn } from "node:child_process";

const folder = mkdtempSync(path.join(os.tmpdir(), "hf-listen-"));
after(() => {
  rmSync(folder, { recursive: true, force: true });
});

type Address = string | { address: string; family: string; port: number };
interface Line {
  pid: number;
  index: number;
  address?: Address;
  error?: { code: string };
  early?: Address | null;
  returnsItself?: boolean;
  listening?: boolean;
}

/** Arguments of `server.listen`, by what is special about them. */
const forms: Record<string, unknown[]> = {
  "nothing: any port": [],
  "null: any port": [null],
  "port 0": [0],
  "port as a string": ["0"],
  "port and host": [0, "127.0.0.1"],
  "port and host name": [0, "localhost"],
  "port and backlog": [0, 10],
  "port, host and backlog": [0, "127.0.0.1", 10],
  "IPv6 host": [0, "::1"],
  "every IPv4 address": [0, "0.0.0.0"],
  "every address": [0, "::"],
  "options: port": [{ port: 0 }],
  "options: port, host, backlog": [{ port: 0, host: "127.0.0.1", backlog: 10 }],
  "options: ipv6Only": [{ port: 0, host: "::", ipv6Only: true }],
  "unix path": [path.join(folder, "a.sock")],
  "options: unix path": [{ path: path.join(folder, "b.sock") }],
};

describe("server.listen", () => {
  for (const [name, args] of Object.entries(forms)) {
    it(`with ${name}`, (t) => sharedByWorkers(t, args));
  }

  it("with a fixed port", async (t) => {
    await sharedByWorkers(t, [await freePort(), "127.0.0.1"]);
  });

  it("with a relative unix path, and modes for everybody", async (t) => {
    const spec = { path: "relative.sock", readableAll: true, writableAll: true };
    const service = await startListening(t, [[spec]]);
    const file = path.join(folder, "relative.sock");
    await distinctAnswers({ path: file }, 2);
    assert.equal(statSync(file).mode & 0o666, 0o666);
    assert.deepEqual(await service.stop(), { code: 0, signal: null });
    assert.equal(existsSync(file), false, "the path is removed at the end");
  });

  it("with exclusive: a port of its own for each worker", async (t) => {
    const spec = { port: 0, host: "127.0.0.1", exclusive: true };
    await ownPortForEachWorker(t, spec);
  });

  it("with reusePort: a socket of its own for each worker", async (t) => {
    await ownPortForEachWorker(t, { port: 0, host: "127.0.0.1", reusePort: true });
  });

  it("with reusePort on a fixed port: both workers answer there", async (t) => {
    const port = await freePort();
    await startListening(t, [[{ port, host: "127.0.0.1", reusePort: true }]]);
    await distinctAnswers({ host: "127.0.0.1", port }, 2);
  });

  it("of several servers, two of them on port 0", async (t) => {
    const file = path.join(folder, "several.sock");
    const service = await startListening(t, [
      [0, "127.0.0.1"],
      [0, "127.0.0.1"],
      [file],
      [0, "::1"],
    ]);
    const lines = await listeningLines(service, 8);
    const addresses = [0, 1, 2, 3].map((index) => {
      const own = lines.filter((line) => line.index === index).map((line) => line.address);
      assert.deepEqual(own[0], own[1], `server ${index} has one address in both workers`);
      return own[0];
    });
    assert.equal(new Set(addresses.map((each) => JSON.stringify(each))).size, 4);
    for (const [index, address] of addresses.entries()) {
      assert.ok(address !== undefined);
      const answers = await distinctAnswers(targetOf(address), 2);
      for (const answer of answers) assert.equal(answer.split(" ")[0], String(index));
    }
    const { listeners } = await service.status();
    assert.equal(listeners.length, 4);
  });
});

/** Two workers listen with `args`: same address as under plain node, shared, and both answer. */
async function sharedByWorkers(t: TestContext, args: unknown[]): Promise<void> {
  const plain = await underPlainNode(args);
  const service = await startListening(t, [args]);
  const lines = await listeningLines(service, 2);
  const addresses = lines.map((line) => line.address);
  assert.deepEqual(addresses[0], addresses[1], "both workers have the same address");
  const address = addresses[0];
  assert.ok(address !== undefined);
  assert.deepEqual(withoutPort(address), withoutPort(plain.address), "as plain node says");
  if (typeof address !== "string") assert.ok(address.port > 0);
  // Plain node binds to "every address" before listen() returns; a worker asks for the address
  // first, so it is known at "listening", as under node:cluster. A path is known at once.
  const early = typeof plain.early === "string" ? plain.early : null;
  for (const line of jsonLines<Line>(service.stdout)) {
    if (line.address !== undefined) assert.equal(line.listening, true);
    else assert.deepEqual([line.returnsItself, line.early], [true, early]);
  }
  const answers = await distinctAnswers(targetOf(address), 2);
  const pids = (await service.workerPids()).map((pid) => `0 ${pid}`);
  assert.deepEqual(answers, new Set(pids));
  const { listeners } = await service.status();
  assert.equal(listeners.length, 1, JSON.stringify(listeners));
  assert.deepEqual(await service.target(), targetOf(address), "status tells the address");
}

async function ownPortForEachWorker(t: TestContext, spec: object): Promise<void> {
  const service = await startListening(t, [[spec]]);
  const lines = await listeningLines(service, 2);
  const ports = new Set<number>();
  for (const { address, pid } of lines) {
    assert.ok(typeof address === "object");
    ports.add(address.port);
    const { text } = await get({ host: "127.0.0.1", port: address.port });
    assert.equal(text, `0 ${pid}`, "only that worker answers there");
  }
  assert.equal(ports.size, 2);
}

function startListening(t: TestContext, specs: unknown[][]): Promise<Service> {
  const args = specs.map((spec) => JSON.stringify(spec));
  return startService(t, { entry: app("listen.cjs"), args, cwd: folder });
}

/** The lines that tell an address, once there are `count`. */
async function listeningLines(service: Service, count: number): Promise<Line[]> {
  return waitFor(
    `${count} lines of listening servers`,
    () => {
      const all = jsonLines<Line>(service.stdout);
      const errors = all.filter((line) => line.error !== undefined);
      assert.deepEqual(errors, []);
      const lines = all.filter((line) => line.address !== undefined);
      return lines.length >= count ? lines : undefined;
    },
    undefined,
    () => service.describe(),
  );
}

/** The address that plain node gives, and what `address()` says right after the call. */
async function underPlainNode(args: unknown[]): Promise<{ address: Address; early: unknown }> {
  const child = spawn(nodeBinary(), [app("listen.cjs"), JSON.stringify(args)], {
    env: cleanEnvironment({ [MARK_VARIABLE]: "plain" }),
    cwd: folder,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = new Promise((resolve) => child.on("close", resolve));
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => {
    output += chunk.toString();
  });
  try {
    return await waitFor("plain node listens", () => {
      const lines = jsonLines<Line>(output);
      const address = lines.find((line) => line.address !== undefined)?.address;
      const first = lines.find((line) => line.early !== undefined);
      return address !== undefined && first !== undefined && { address, early: first.early };
    });
  } finally {
    if (child.pid !== undefined) kill(child.pid, "SIGKILL");
    await ended;
    for (const name of ["a.sock", "b.sock"]) rmSync(path.join(folder, name), { force: true });
  }
}

function targetOf(address: Address): Target {
  if (typeof address === "string") return { path: address };
  const host = address.family === "IPv6" ? `[${address.address}]` : address.address;
  return parseAddress(`${host}:${address.port}`);
}

function withoutPort(address: Address): unknown {
  return typeof address === "string" ? address : { ...address, port: 0 };
}

async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as net.AddressInfo; // Listening on TCP: always this shape.
  await new Promise((resolve) => server.close(resolve));
  return port;
}
