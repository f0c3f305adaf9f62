/** What lives in JavaScript only goes with its worker, at once, and nothing else does. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import tls from "node:tls";
import { kill } from "./support/processes.ts";
import { VerdictService, afterDeath, requestBytes } from "./support/verdict.ts";
import { waitFor, within } from "./support/wait.ts";

describe("the worker dies, and a connection", () => {
  afterDeath({
    "that was upgraded is closed": {
      prepare: async (connection, _, id) => {
        connection.send(requestBytes("GET", "/", id, ["connection: upgrade", "upgrade: echo"]));
        assert.equal((await connection.readHead()).status, 101);
        connection.send("echo");
        assert.equal((await connection.readBytes(4)).toString(), "echo");
      },
      outcome: async (connection) => {
        await connection.waitForEnd();
        assert.equal(connection.unread.length, 0);
      },
    },
    "beside it serves on": {
      prepare: async () => undefined,
      outcome: async (connection) => {
        assert.equal((await connection.request("GET", "/")).status, 200);
      },
    },
  });
});

it("https in the application: its clients are closed, and may come again", async (t) => {
  const world = await VerdictService.start(t, { env: { TLS: "1" } });
  const target = await world.service.target();
  assert.ok("port" in target);
  const first = await talk(target.port);
  kill(first.pid, "SIGKILL");
  await within("the end of the connection", first.ended);
  await waitFor("another worker answers", async () => {
    const next = await talk(target.port);
    next.socket.destroy();
    return next.pid !== first.pid;
  });
});

interface Talk {
  readonly socket: tls.TLSSocket;
  readonly pid: number;
  readonly ended: Promise<void>;
}

async function talk(port: number): Promise<Talk> {
  const socket = tls.connect({ port, host: "127.0.0.1", rejectUnauthorized: false });
  let text = "";
  socket.on("data", (chunk: Buffer) => (text += chunk.toString()));
  socket.on("error", () => undefined);
  const ended = new Promise<void>((resolve) => socket.on("close", () => resolve()));
  socket.write("GET / HTTP/1.1\r\nhost: t\r\n\r\n");
  const pid = await waitFor("an answer", () => /\r\n\r\n(\d+)$/.exec(text)?.[1]);
  return { socket, pid: Number(pid), ended };
}
