/**
 * Connections in all kinds of situations on one worker, which is then killed: what happens to each
 * of them is the test.
 *
 * openOnOne -> situation prepared, seen to be there -> kill -9 of the victim -> outcome
 */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { before, it } from "node:test";
import { app } from "./paths.ts";
import { kill } from "./processes.ts";
import { RawConnection } from "./raw-client.ts";
import type { Response } from "./raw-client.ts";
import { startService, suiteOwner } from "./service.ts";
import type { Owner, Service, ServiceOptions, Target } from "./service.ts";
import { waitFor } from "./wait.ts";

/** A service of `test/apps/verdict.cjs`, and what its workers have executed. */
export class VerdictService {
  readonly service: Service;
  readonly target: Target;
  readonly #file: string;

  private constructor(service: Service, target: Target, file: string) {
    this.service = service;
    this.target = target;
    this.#file = file;
  }

  /** Restarts are not bounded: these tests kill more workers than a service should lose. */
  static async start(
    owner: Owner,
    options: Partial<ServiceOptions> = {},
    settings: object = {},
  ): Promise<VerdictService> {
    const folder = mkdtempSync(path.join(os.tmpdir(), "hf-verdict-"));
    owner.after(async () => rmSync(folder, { recursive: true }));
    const file = path.join(folder, "executed");
    writeFileSync(file, "");
    const config = path.join(folder, "holdfast.config.json");
    const restartIntensity = { restarts: 1000, period: "60s" };
    writeFileSync(config, JSON.stringify({ restartIntensity, ...settings }));
    const service = await startService(owner, {
      entry: app("verdict.cjs"),
      ...options,
      flags: ["--config", config, ...(options.flags ?? [])],
      env: { EXECUTED_FILE: file, ...options.env },
    });
    return new VerdictService(service, await service.target(), file);
  }

  /** Pids of the workers that have begun to execute the requests with this id. */
  executions(id: string): number[] {
    return readFileSync(this.#file, "utf8")
      .split("\n")
      .filter((line) => line.startsWith(`${id} `))
      .map((line) => Number(line.split(" ")[1]));
  }

  async executed(id: string, count = 1): Promise<void> {
    await waitFor(
      `${count} executions of ${id}`,
      () => this.executions(id).length >= count,
      undefined,
      () => this.service.describe(),
    );
  }

  /** A kept connection that was used once, and the worker that it belongs to. */
  async open(): Promise<{ connection: RawConnection; pid: number }> {
    const connection = await RawConnection.open(this.target);
    const { text } = await connection.request("GET", "/");
    return { connection, pid: Number(text) };
  }

  /**
   * As many idle connections of one worker. A busy worker gets no new ones, so all are opened
   * before any of them is used; those that went elsewhere are closed.
   */
  async openOnOne(count: number): Promise<{ pid: number; connections: RawConnection[] }> {
    const byPid = new Map<number, RawConnection[]>();
    const full = await waitFor(`${count} connections of one worker`, async () => {
      const { connection, pid } = await this.open();
      const here = byPid.get(pid) ?? [];
      byPid.set(pid, here);
      return here.push(connection) >= count && { pid, connections: here };
    });
    for (const [pid, others] of byPid) {
      if (pid !== full.pid) for (const other of others) other.close();
    }
    return full;
  }

  /** Waits until the worker has taken everything that was sent from its socket's queue. */
  async taken(connection: RawConnection): Promise<void> {
    await connection.drained();
    const { localPort = 0, remotePort = 0 } = connection.socket;
    await waitFor("the worker takes what was sent", () => queues(localPort, remotePort) === 0);
  }
}

/** Bytes that wait on their way from a client's port to a server's (proc_net_tcp). */
function queues(clientPort: number, serverPort: number): number {
  const port = (text = ""): number => Number.parseInt(text.split(":")[1] ?? "", 16);
  let bytes = 0;
  for (const line of readFileSync("/proc/net/tcp", "utf8").split("\n").slice(1)) {
    const [, local, remote, , queue = ""] = line.trim().split(/\s+/);
    const [unsent = "0", unread = "0"] = queue.split(":");
    if (port(local) === clientPort && port(remote) === serverPort) {
      bytes += Number.parseInt(unsent, 16);
    }
    if (port(local) === serverPort && port(remote) === clientPort) {
      bytes += Number.parseInt(unread, 16);
    }
  }
  return bytes;
}

/** What a connection is in when its worker dies, and what has to become of it. */
export interface Situation {
  /** Brings the connection there; it was used once before. `id` names its requests. */
  readonly prepare: (connection: RawConnection, world: VerdictService, id: string) => Promise<void>;
  /** Looks at the client's end after the death. */
  readonly outcome: (connection: RawConnection, world: VerdictService, id: string) => Promise<void>;
}

/** Declares a test for each situation; all of them are there when the one worker is killed. */
export function afterDeath(
  situations: Readonly<Record<string, Situation>>,
  options: Partial<ServiceOptions> = {},
): void {
  const owner = suiteOwner();
  const connections = new Map<string, RawConnection>();
  let world: VerdictService;
  before(async () => {
    world = await VerdictService.start(owner, options);
    const entries = Object.entries(situations);
    const { pid, connections: fresh } = await world.openOnOne(entries.length);
    for (const [name, { prepare }] of entries) {
      const connection = fresh.pop();
      assert.ok(connection !== undefined);
      connections.set(name, connection);
      await prepare(connection, world, idOf(name));
    }
    kill(pid, "SIGKILL");
  });
  for (const [name, { outcome }] of Object.entries(situations)) {
    it(name, async () => {
      const connection = connections.get(name);
      assert.ok(connection !== undefined);
      await outcome(connection, world, idOf(name));
      connection.close();
    });
  }
}

function idOf(name: string): string {
  return name.replaceAll(/\W/g, "-");
}

/** A whole request as bytes; the body may be cut, the head says how long it is. */
export function requestBytes(
  method: string,
  target: string,
  id: string,
  lines: readonly string[] = [],
): string {
  return [`${method} ${target} HTTP/1.1`, "host: t", `x-id: ${id}`, ...lines, "", ""].join("\r\n");
}

/** One whole response, nothing behind it, and the connection can be used on. */
export async function expectReplayed(connection: RawConnection, text: RegExp): Promise<Response> {
  const response = await connection.readResponse();
  assert.equal(response.status, 200, response.text);
  assert.match(response.text, text);
  const next = await connection.request("GET", "/");
  assert.match(next.text, /^\d+$/, "exactly one response has come");
  assert.equal(connection.unread.length, 0);
  return response;
}

/** A refusal in full, then FIN. */
export async function expectRefused(connection: RawConnection, status: number): Promise<void> {
  const response = await connection.readResponse();
  assert.equal(response.status, status, response.text);
  assert.equal(response.headers["connection"], "close");
  assert.equal(response.headers["retry-after"], status === 500 ? undefined : "1");
  assert.ok(response.body.length > 0 && response.text.endsWith("\n"));
  assert.equal(await connection.waitForEnd(), "fin");
  assert.equal(connection.unread.length, 0);
}
