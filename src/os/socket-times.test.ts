import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { machineNowMs } from "./processes.ts";
import { readSocketTimes } from "./socket-times.ts";

/** Ticks of the kernel. */
const TICK_MS = 20;
const NO_PROCESS = 0x7fff_fff0;

function descriptorOf(socket: Socket): number {
  return (socket as Socket & { readonly _handle: { readonly fd: number } })._handle.fd; // of Node
}

/** The moments before something was sent, and after it came. */
async function exchanged(
  sender: Socket,
  receiver: Socket,
): Promise<{ readonly from: number; readonly until: number }> {
  const from = machineNowMs();
  sender.write("data");
  await once(receiver, "data");
  return { from, until: machineNowMs() };
}

describe("times of a process's connections", () => {
  it("are when data last came and went, null before any did", async (t) => {
    const server = createServer().listen(0, "127.0.0.1");
    t.after(() => server.close());
    await once(server, "listening");
    const accepted = once(server, "connection");
    const client = connect((server.address() as AddressInfo).port, "127.0.0.1"); // of listen above
    t.after(() => client.destroy());
    const [served] = (await accepted) as [Socket]; // of "connection"
    t.after(() => served.destroy());
    if (client.connecting) await once(client, "connect");
    const ends = [descriptorOf(client), descriptorOf(served)] as const;
    const never = { receivedAtMs: null, sentAtMs: null };
    const before = readSocketTimes(process.pid, [...ends, 1_000_000]);
    const expected = ends.map((descriptor) => [descriptor, never]);
    assert.deepEqual([...before], expected);
    const there = await exchanged(client, served);
    // longer than the kernel's ticks: then each time is told from the other
    await sleep(4 * TICK_MS);
    const back = await exchanged(served, client);
    const after = readSocketTimes(process.pid, ends);
    const [ofClient, ofServed] = ends.map((descriptor) => after.get(descriptor));
    for (const [at, { from, until }] of [
      [ofClient?.sentAtMs, there],
      [ofServed?.receivedAtMs, there],
      [ofServed?.sentAtMs, back],
      [ofClient?.receivedAtMs, back],
    ] as const) {
      assert.ok(typeof at === "number" && at >= from - TICK_MS && at <= until + TICK_MS, `${at}`);
    }
  });

  it("of a process that is not there, or of what is no connection, are none", () => {
    assert.equal(readSocketTimes(NO_PROCESS, [0, 1, 2]).size, 0);
    assert.equal(readSocketTimes(process.pid, [1_000_000]).size, 0);
  });
});
