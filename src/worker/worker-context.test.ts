import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { TestContext } from "node:test";
import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";
import { connect } from "../../test/support/loopback.ts";
import { waitUntil } from "../../test/support/wait-until.ts";
import { PACKET_CLOSED, PACKET_RELEASED } from "../base/mod.ts";
import { Ledger } from "../ledger/mod.ts";
import { PacketChannel, closeDescriptor, machineNowMs, socketPair } from "../os/mod.ts";
import type { ConnectionAccount } from "./connection-account.ts";
import { WorkerContext } from "./worker-context.ts";

const CONNECTIONS_MAX = 256;
const LISTENER = 1;
/** What the machine does beside may take longer than what is awaited. */
const TRIES = 20;

/** A worker's context, and the packets of rows that its reactor gets. */
class Bench {
  readonly context: WorkerContext;
  readonly packets: { readonly kind: number; readonly rows: Uint32Array }[] = [];

  constructor(t: TestContext) {
    const ledgerFd = Ledger.create({ connectionsMax: CONNECTIONS_MAX, workersMax: 1 });
    const ledger = Ledger.attach(ledgerFd);
    closeDescriptor(ledgerFd);
    ledger.workers.claim(1, 0, 1);
    const [end, other] = socketPair();
    const channel = new PacketChannel(end);
    const reactor = new PacketChannel(other);
    reactor.onPacket((kind, payload) => {
      const rows = new Uint32Array(new Uint8Array(payload).buffer);
      this.packets.push({ kind, rows });
    });
    this.context = new WorkerContext(ledger, 0, channel, 1024);
    t.after(() => {
      channel.close();
      reactor.close();
    });
  }

  /** Slots of the packets, in their order. */
  slots(kind: number): number[] {
    return this.packets
      .filter((packet) => packet.kind === kind)
      .flatMap(({ rows }) => [...rows].filter((_, index) => index % 2 === 0));
  }

  close(slot: number, isReleased = false): void {
    const account = { slot, generation: 1, isReleased, place: -1 } as ConnectionAccount; // of it
    this.context.opened(account);
    this.context.closed(account);
  }
}

describe("rows for the reactor", () => {
  it("of closed connections come together, when nothing else happens", async (t) => {
    const bench = new Bench(t);
    const slots = [3, 1, 2];
    let together = 0;
    for (let tries = 1; tries <= TRIES; tries += 1) {
      for (const slot of slots) {
        bench.close(slot);
        await nextTurn();
      }
      await waitUntil("all of them", () => bench.slots(PACKET_CLOSED).length === slots.length);
      assert.deepEqual(bench.slots(PACKET_CLOSED), slots);
      if (bench.packets.splice(0).length === 1) together += 1; // or a turn has taken too long
    }
    assert.ok(together > 0);
  });

  it("of closed connections do not wait where slots are few", async (t) => {
    const bench = new Bench(t);
    const slots = Array.from({ length: CONNECTIONS_MAX / 16 }, (_, slot) => slot);
    for (let tries = 1; tries <= TRIES; tries += 1) {
      for (const slot of slots) bench.close(slot);
      for (let turns = 0; turns < 3; turns += 1) await nextTurn(); // sooner than any timer
      assert.deepEqual(bench.slots(PACKET_CLOSED), slots);
      bench.packets.length = 0;
    }
  });

  it("come in the order of what happened", async (t) => {
    const bench = new Bench(t);
    bench.close(1);
    bench.close(2, true);
    bench.close(3);
    await waitUntil("all of them", () => bench.packets.length === 3);
    assert.deepEqual(
      bench.packets.map(({ kind, rows }) => [kind, rows[0]]),
      [
        [PACKET_CLOSED, 1],
        [PACKET_RELEASED, 2],
        [PACKET_CLOSED, 3],
      ],
    );
  });
});

describe("how long the first bytes of a connection have waited", () => {
  const WAITED_MS = 100;

  async function waitedMs(
    t: TestContext,
    acceptedMs: (nowMs: number) => number,
    isPrompt: boolean,
    isFirst = true,
  ): Promise<number> {
    const { context } = new Bench(t);
    const { fd, client } = await connect(t);
    t.after(() => closeDescriptor(fd));
    client.send("GET / HTTP/1.1\r\n");
    await sleep(WAITED_MS);
    const nowMs = context.nowMs();
    context.connections.open(0, LISTENER, acceptedMs(nowMs), "held", isPrompt);
    const account = { slot: 0, handle: { fd } } as ConnectionAccount; // of it
    context.waitedMs(nowMs, account, false); // no pause lies before the one that counts
    await nextTurn(); // or it would be the same turn of the event loop
    await nextTurn();
    return context.waitedMs(nowMs + 1, account, isFirst);
  }

  it("is asked when nobody knows how long it waited to be accepted", async (t) => {
    assert.ok((await waitedMs(t, () => machineNowMs(), false)) >= WAITED_MS / 2);
  });

  it("is asked when it was accepted a while ago", async (t) => {
    assert.ok((await waitedMs(t, (nowMs) => nowMs - WAITED_MS, true)) >= WAITED_MS / 2);
  });

  it("is not asked when it was accepted promptly, just now", async (t) => {
    assert.equal(await waitedMs(t, (nowMs) => nowMs, true), 0);
  });

  it("is not asked of later bytes", async (t) => {
    assert.equal(await waitedMs(t, () => machineNowMs(), false, false), 0);
  });
});
