/** Socket.IO: echo, both transports, and a client that reconnects after a reload by itself. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { TestContext } from "node:test";
import { io } from "socket.io-client";
import type { Socket } from "socket.io-client";
import { app } from "./support/paths.ts";
import { DRAIN_TIMEOUT_MS, reloadWithStayingClient } from "./support/reload.ts";
import { startService } from "./support/service.ts";
import type { Service } from "./support/service.ts";
import { waitFor, within } from "./support/wait.ts";

describe("Socket.IO", () => {
  it("echoes over WebSocket, from both workers, and reconnects after a reload", async (t) => {
    const service = await start(t, 2);
    const client = await connect(t, service, ["websocket"]);
    assert.deepEqual(await client.echo({ text: "hello", n: 1 }), { text: "hello", n: 1 });
    await waitFor("clients on two workers", async () => {
      const other = await connect(t, service, ["websocket"]);
      return other.pids[0] !== client.pids[0];
    });
    const { after } = await reloadWithStayingClient(service, {
      exchange: async () => assert.equal(await client.echo("still here"), "still here"),
      ended: new Promise((resolve) => client.socket.once("disconnect", resolve)),
    });
    await waitFor("the client has reconnected", () => client.pids.length === 2);
    assert.ok(after.includes(Number(client.pids[1])));
    assert.equal(await client.echo("back"), "back");
  });

  it("echoes over long polling and upgrades, with one worker", async (t) => {
    const service = await start(t, 1);
    const polling = await connect(t, service, ["polling"]);
    assert.equal(await polling.echo("polled"), "polled");
    const upgrading = await connect(t, service, ["polling", "websocket"]);
    const { engine } = upgrading.socket.io;
    await waitFor("upgrade", () => engine.transport.name === "websocket");
    assert.equal(await upgrading.echo("upgraded"), "upgraded");
  });
});

interface Client {
  readonly socket: Socket;
  /** The worker's pid at each time that it connected. */
  readonly pids: string[];
  echo(value: unknown): Promise<unknown>;
}

function start(t: TestContext, workers: number): Promise<Service> {
  const flags = ["--drain-timeout", `${DRAIN_TIMEOUT_MS}ms`];
  return startService(t, { entry: app("socket-io.cjs"), flags, workers });
}

async function connect(t: TestContext, service: Service, transports: string[]): Promise<Client> {
  const target = await service.target();
  assert.ok("port" in target);
  const options = { transports, forceNew: true, reconnectionDelay: 50 };
  const socket = io(`http://${target.host}:${target.port}`, options);
  t.after(() => {
    socket.disconnect();
  });
  const pids: string[] = [];
  socket.on("pid", (pid: string) => pids.push(pid));
  await waitFor("connected", () => pids.length === 1);
  const echo = async (value: unknown): Promise<unknown> => {
    return within("echo", socket.emitWithAck("echo", value));
  };
  return { socket, pids, echo };
}
