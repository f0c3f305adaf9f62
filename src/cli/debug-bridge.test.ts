import assert from "node:assert/strict";
import http from "node:http";
import net from "node:net";
import { PassThrough } from "node:stream";
import type { Duplex } from "node:stream";
import { describe, it } from "node:test";
import { WebSocket } from "ws";
import { DebugBridge } from "./debug-bridge.ts";

interface Scene {
  readonly bridge: DebugBridge;
  readonly agents: PassThrough[];
  readonly told: string[];
}

interface Owner {
  readonly after: (end: () => void) => void;
}

async function open(t: Owner, attach?: (agent: Duplex) => Promise<Duplex>): Promise<Scene> {
  const agents: PassThrough[] = [];
  const told: string[] = [];
  const bridge = new DebugBridge({
    title: "shop, worker 0",
    port: 0,
    isDiscoverable: true,
    attach: async () => {
      const agent = new PassThrough(); // an agent that says what it is told
      agents.push(agent);
      return attach === undefined ? agent : attach(agent);
    },
    onAttached: () => told.push("attached"),
    onDetached: () => told.push("detached"),
  });
  await bridge.listen();
  t.after(() => bridge.close());
  return { bridge, agents, told };
}

/** Resolves with an open WebSocket, or rejects. */
function connected(url: string): Promise<WebSocket> {
  const { promise, resolve, reject } = Promise.withResolvers<WebSocket>();
  const socket = new WebSocket(url);
  socket.on("open", () => resolve(socket)).on("error", reject);
  return promise;
}

/** The bridge sees it after the debugger does. */
async function left({ told }: Scene, socket: WebSocket): Promise<void> {
  const before = told.length;
  await closed(socket);
  while (told.length === before) await new Promise((resolve) => void setImmediate(resolve));
}

function closed(socket: WebSocket): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  socket.on("close", () => resolve()).close();
  return promise;
}

async function listOf({ bridge }: Scene): Promise<Record<string, string>> {
  const response = await fetch(`http://${new URL(bridge.webSocketUrl).host}/json/list`);
  const [target = {}] = (await response.json()) as Record<string, string>[]; // ours
  return target;
}

/** The status of an answer to an upgrade that need not be a handshake. */
function statusOf(url: string, headers: http.OutgoingHttpHeaders): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const request = http.get(url.replace(/^ws/, "http"), { headers, agent: false });
  request.on("response", (response) => {
    response.resume();
    resolve(response.statusCode ?? 0);
  });
  request.on("error", reject);
  return promise;
}

describe("a bridge for debuggers", () => {
  it("lets in one debugger for each token, and then offers another token", async (t) => {
    const scene = await open(t);
    const { bridge } = scene;
    const first = bridge.webSocketUrl;
    const { id } = await listOf(scene);
    assert.equal((await listOf(scene))["webSocketDebuggerUrl"], first);
    const socket = await connected(first);
    await assert.rejects(connected(first), /409/);
    const held = await listOf(scene);
    assert.deepEqual([held["id"], held["webSocketDebuggerUrl"]], [id, undefined]);
    await left(scene, socket);
    const second = bridge.webSocketUrl;
    assert.notEqual(second, first);
    assert.equal((await listOf(scene))["webSocketDebuggerUrl"], second);
    await assert.rejects(connected(first), /404/);
    await left(scene, await connected(second));
    assert.deepEqual(scene.told, ["attached", "detached", "attached", "detached"]);
    assert.ok(scene.agents.every((agent) => agent.destroyed));
  });

  it("keeps its token when the agent cannot be had", async (t) => {
    let isThere = false;
    const scene = await open(t, async (agent) => {
      if (isThere) return agent;
      throw new Error("there is no worker 0");
    });
    const url = scene.bridge.webSocketUrl;
    await assert.rejects(connected(url), /503/);
    isThere = true;
    await closed(await connected(url));
  });

  it("keeps its token when what comes is no handshake, and lets go of the agent", async (t) => {
    const scene = await open(t);
    const url = scene.bridge.webSocketUrl;
    const headers = { connection: "upgrade", upgrade: "websocket", "sec-websocket-version": "13" };
    assert.equal(await statusOf(url, { ...headers, "sec-websocket-key": "short" }), 400);
    assert.ok(scene.agents[0]?.destroyed);
    await closed(await connected(url));
  });

  it("keeps its token when the debugger has gone before the agent was there", async (t) => {
    const asked = Promise.withResolvers<void>();
    const gone = Promise.withResolvers<void>();
    const scene = await open(t, async (agent) => {
      asked.resolve();
      await gone.promise;
      return agent;
    });
    const { webSocketUrl: url } = scene.bridge;
    const { port, pathname } = new URL(url);
    const hasty = net.connect(Number(port), "127.0.0.1");
    hasty.write(`GET ${pathname} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\n`);
    hasty.write("Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
    hasty.write(`Sec-WebSocket-Key: ${Buffer.alloc(16).toString("base64")}\r\n\r\n`);
    await asked.promise;
    await assert.rejects(connected(url), /409/, "one at a time");
    hasty.resetAndDestroy();
    await assert.rejects(connected(url), /409/); // by then the bridge has seen the reset
    gone.resolve();
    await new Promise((resolve) => void setImmediate(resolve));
    assert.ok(scene.agents[0]?.destroyed);
    assert.deepEqual(scene.told, []);
    await closed(await connected(url));
  });

  it("offers nothing more once it is closed", async (t) => {
    const scene = await open(t);
    const socket = await connected(scene.bridge.webSocketUrl);
    const gone = new Promise((resolve) => void socket.on("close", resolve));
    scene.bridge.close();
    await gone;
    await new Promise((resolve) => void setImmediate(resolve));
    assert.deepEqual(scene.told, ["attached"]);
  });
});
