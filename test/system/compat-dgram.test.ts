/** UDP: one socket shared by the workers, its address kept through a reload. */
import assert from "node:assert/strict";
import dgram from "node:dgram";
import { describe, it } from "node:test";
import { jsonLines } from "./support/output.ts";
import { app } from "./support/paths.ts";
import { startService } from "./support/service.ts";
import type { Service, Owner } from "./support/service.ts";
import { waitFor } from "./support/wait.ts";

interface Line {
  readonly pid: number;
  readonly address: { readonly port: number; readonly address: string; readonly family: string };
}

const entry = app("dgram.cjs");

describe("a UDP server", () => {
  it("shares one socket between the workers, also with the workers of a reload", async (t) => {
    const service = await startService(t, { entry });
    const [first, second] = await boundLines(service, 2);
    assert.ok(first !== undefined && second !== undefined);
    assert.deepEqual(first.address, second.address);
    const { listeners } = await service.status();
    const address = `127.0.0.1:${first.address.port}`;
    assert.deepEqual(listeners, [{ address, kind: "udp" }]);
    const client = await UdpClient.open(t, first.address.port);
    const before = await service.workerPids();
    await client.untilAnswered(before);
    const result = await service.control("reload");
    assert.equal(result.code, 0, result.stderr.toString());
    const after = await service.workerPids();
    assert.ok(after.every((pid) => !before.includes(pid)));
    await client.untilAnswered(after);
    const ports = new Set((await boundLines(service, 4)).map((line) => line.address.port));
    assert.equal(ports.size, 1);
  });

  it("with exclusive has a socket of its own in each worker", async (t) => {
    const service = await startService(t, { entry, env: { EXCLUSIVE: "1" } });
    const lines = await boundLines(service, 2);
    assert.notEqual(lines[0]?.address.port, lines[1]?.address.port);
    for (const { pid, address } of lines) {
      const client = await UdpClient.open(t, address.port);
      await client.untilAnswered([pid]);
      assert.deepEqual([...client.pids], [pid]);
    }
  });
});

async function boundLines(service: Service, count: number): Promise<Line[]> {
  return waitFor(`${count} bound sockets`, () => {
    const lines = jsonLines<Line>(service.stdout);
    return lines.length >= count ? lines : undefined;
  });
}

class UdpClient {
  /** Who has answered. */
  readonly pids = new Set<number>();
  readonly #socket: dgram.Socket;
  readonly #port: number;

  private constructor(socket: dgram.Socket, port: number) {
    this.#socket = socket;
    this.#port = port;
    socket.on("message", (message) => this.pids.add(Number(message.toString().split(" ")[0])));
  }

  static async open(owner: Owner, port: number): Promise<UdpClient> {
    const socket = dgram.createSocket("udp4");
    owner.after(() => new Promise((resolve) => socket.close(() => resolve())));
    await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
    return new UdpClient(socket, port);
  }

  /** Sends bursts until each of these workers has answered. */
  async untilAnswered(pids: readonly number[]): Promise<void> {
    await waitFor(`answers of ${pids.join(", ")}`, () => {
      for (let i = 0; i < 50; i += 1) this.#socket.send(`ping ${i}`, this.#port, "127.0.0.1");
      return pids.every((pid) => this.pids.has(pid));
    });
  }
}
