/** The `ws` package: an upgraded connection belongs to its worker until the drain deadline. */
import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { get } from "./support/load.ts";
import { app } from "./support/paths.ts";
import { DRAIN_TIMEOUT_MS, reloadWithStayingClient } from "./support/reload.ts";
import { startService, suiteOwner } from "./support/service.ts";
import type { Service } from "./support/service.ts";
import { waitFor, within } from "./support/wait.ts";

describe("ws", () => {
  const owner = suiteOwner();
  let service: Service;
  let url: string;

  before(async () => {
    const flags = ["--drain-timeout", `${DRAIN_TIMEOUT_MS}ms`];
    service = await startService(owner, { entry: app("ws.cjs"), flags });
    const target = await service.target();
    assert.ok("port" in target);
    url = `ws://${target.host}:${target.port}`;
  });

  it("echoes text and binary", async () => {
    const socket = await Client.open(url);
    assert.equal(await socket.ask("hello"), "hello");
    assert.equal(await socket.ask("x".repeat(200_000)), "x".repeat(200_000));
    assert.equal(await socket.ask(new Uint8Array([1, 2, 3])), "bytes 1,2,3");
    await socket.close();
  });

  it("is served by both workers", async () => {
    const pids = new Set<string>();
    const all: Client[] = [];
    await waitFor("greetings of two workers", async () => {
      const socket = await Client.open(url);
      all.push(socket);
      pids.add(socket.pid);
      return pids.size === 2;
    });
    for (const socket of all) await socket.close();
  });

  it("a client stays through a reload until the drain deadline", async () => {
    const socket = await Client.open(url);
    const { after } = await reloadWithStayingClient(service, {
      exchange: async () => assert.equal(await socket.ask("still here"), "still here"),
      ended: socket.closed,
    });
    const fresh = await Client.open(url);
    assert.ok(after.includes(Number(fresh.pid)));
    await fresh.close();
  });

  it("leaves plain requests alone", async () => {
    assert.equal((await get(await service.target())).status, 200);
  });
});

/** A WebSocket whose first message was "pid <pid>". */
class Client {
  readonly closed: Promise<void>;
  readonly #socket: WebSocket;
  readonly #messages: string[] = [];

  private constructor(url: string) {
    this.#socket = new WebSocket(url);
    this.#socket.binaryType = "arraybuffer";
    this.#socket.addEventListener("message", ({ data }) => {
      const bytes = data instanceof ArrayBuffer ? [...new Uint8Array(data)].join(",") : undefined;
      this.#messages.push(bytes === undefined ? String(data) : `bytes ${bytes}`);
    });
    this.closed = new Promise((resolve) => {
      this.#socket.addEventListener("close", () => {
        resolve();
      });
      this.#socket.addEventListener("error", () => {
        resolve();
      });
    });
  }

  static async open(url: string): Promise<Client> {
    const client = new Client(url);
    await waitFor("greeting", () => client.#messages.length > 0);
    return client;
  }

  get pid(): string {
    return this.#messages[0]?.replace("pid ", "") ?? "";
  }

  /** Sends a message and waits for the next one. */
  async ask(message: string | Uint8Array<ArrayBuffer>): Promise<string> {
    const count = this.#messages.length;
    this.#socket.send(message);
    return waitFor("echo", () => this.#messages[count]);
  }

  async close(): Promise<void> {
    this.#socket.close();
    await within("close handshake", this.closed);
  }
}
