import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { waitUntil } from "../../test/support/wait-until.ts";
import { RecoveryWorld, STATE, figures } from "./recovery-world.test.ts";
import type { FakeWorker } from "./recovery-world.test.ts";

const GET = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
const OTHER = "GET /b HTTP/1.1\r\nHost: h\r\n\r\n";
const POST = "POST /c HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc";

function setExecuting(world: RecoveryWorld, worker: FakeWorker, slot: number): void {
  world.ledger.workers.setInt(worker.link.row, "executing", slot + 1);
}

describe("bytes that the worker had taken and not written down", () => {
  it("lie in the inbox, and are replayed", async (t) => {
    const world = new RecoveryWorld(t);
    const first = world.worker();
    const { slot, client } = await world.open(first);
    client.send(GET);
    await first.takeFromKernel(slot, GET);
    const second = world.worker();
    assert.deepEqual(figures(world.bury(first)), { replayed: 1 });
    assert.equal((await second.receive(slot)).journal?.toString(), GET);
  });

  it("are the rest of what is in the journal", async (t) => {
    const world = new RecoveryWorld(t);
    const first = world.worker();
    const { slot, client } = await world.open(first);
    await first.read(slot, client, GET.slice(0, 10));
    client.send(GET.slice(10));
    await first.takeFromKernel(slot, GET.slice(10));
    world.ledger.workers.setInt(first.link.row, "inboxSlot", slot + 1);
    const second = world.worker();
    assert.deepEqual(figures(world.bury(first)), { replayed: 1 });
    assert.equal((await second.receive(slot)).journal?.toString(), GET);
  });

  it("are in the journal already when the inbox still says whose they were", async (t) => {
    const world = new RecoveryWorld(t);
    const first = world.worker();
    const { slot, client } = await world.open(first);
    await first.read(slot, client, GET);
    first.arena.inbox.write(GET);
    world.ledger.workers.setInt(first.link.row, "inboxSlot", slot + 1);
    const second = world.worker();
    assert.deepEqual(figures(world.bury(first)), { replayed: 1 });
    assert.equal((await second.receive(slot)).journal?.toString(), GET);
  });

  it("of which nobody knows whose they are belong to nobody", async (t) => {
    const world = new RecoveryWorld(t);
    const first = world.worker();
    const one = await world.open(first);
    const other = await world.open(first);
    for (const { slot, client } of [one, other]) {
      client.send(GET);
      await first.takeFromKernel(slot, GET);
    }
    world.worker();
    assert.deepEqual(figures(world.bury(first)), { refused: 2 });
    for (const { client } of [one, other]) {
      await client.endsWith("fin");
      assert.match(client.text, /^HTTP\/1\.1 503 /);
    }
  });

  it("are nobody's when the inbox is empty", async (t) => {
    const world = new RecoveryWorld(t);
    const first = world.worker();
    const { slot, client } = await world.open(first);
    client.send(GET);
    await first.takeFromKernel(slot, GET);
    first.arena.inbox[0] = 0;
    world.worker();
    assert.deepEqual(figures(world.bury(first)), { refused: 1 });
  });

  it("are not known when the journal was given up", async (t) => {
    const world = new RecoveryWorld(t);
    const first = world.worker();
    const { slot, client } = await world.open(first);
    await first.read(slot, client, GET.slice(0, 10));
    first.giveUpJournal(slot);
    client.send(GET.slice(10));
    await first.takeFromKernel(slot, GET.slice(10));
    world.ledger.workers.setInt(first.link.row, "inboxSlot", slot + 1);
    world.worker();
    assert.deepEqual(figures(world.bury(first)), { refused: 1 });
    await client.endsWith("fin");
    assert.match(client.text, /^HTTP\/1\.1 503 /);
  });

  it("a hostile journal is no journal: nothing is replayed from it", async (t) => {
    const words: [number, number, number][] = [
      [0, GET.length, -5],
      [0, GET.length, 1 << 20],
      [0, 0x7fff_ffff, 0],
      [1000, GET.length, 0],
      [Number.NaN, GET.length, 0],
      [0, GET.length + 1, 0],
    ];
    const world = new RecoveryWorld(t);
    for (const [from, bytes, block] of words) {
      const first = world.worker();
      const { slot, client } = await world.open(first);
      await first.read(slot, client, GET);
      world.ledger.connections.setJournal(slot, from, bytes, block);
      assert.deepEqual(figures(world.bury(first)), { refused: 1 }, `${from} ${bytes} ${block}`);
      await client.endsWith("fin");
      client.socket.end();
      await waitUntil("a free slot", () => world.stateOf(slot) === STATE.free);
      world.ledger.workers.clear(first.link.row);
    }
  });
});

describe("the next worker dies before it has written anything down", () => {
  it("what the former one wrote is not taken for its own: nothing is replayed", async (t) => {
    const world = new RecoveryWorld(t);
    const [first, second] = [world.worker(), world.worker()];
    second.link.isFed = false;
    const { slot, client } = await world.open(first);
    await first.read(slot, client, GET);
    // in the second worker's arena the same block holds another client's request, of equal length
    second.arena.write(Buffer.from(OTHER), second.arena.allocate(-1), 0);
    second.link.isFed = true;
    assert.deepEqual(figures(world.bury(first)), { replayed: 1 });
    await second.receive(slot);
    assert.equal(world.stateOf(slot), STATE.idle);
    const third = world.worker();
    assert.deepEqual(figures(world.bury(second)), { refused: 1 });
    await client.endsWith("fin");
    assert.match(client.text, /^HTTP\/1\.1 503 /);
    assert.equal(third.received.length, 0);
  });

  it("a response that the former one had foretold is not taken for its own", async (t) => {
    const world = new RecoveryWorld(t);
    const first = world.worker();
    const { slot, client } = await world.open(first);
    await first.read(slot, client, GET);
    world.ledger.connections.setResponseEnd(slot, 40, 1);
    const second = world.worker();
    assert.deepEqual(figures(world.bury(first)), { replayed: 1 });
    await second.receive(slot);
    second.writeDown(slot, GET);
    second.write(slot, "x".repeat(40)); // a part of another response, as long as that one
    world.worker();
    assert.deepEqual(figures(world.bury(second)), { aborted: 1 });
    await client.endsWith("rst");
  });
});

describe("a worker that was frozen, recovered, and then dies", () => {
  it("is recovered again, and what was dealt with stays as it is", async (t) => {
    const world = new RecoveryWorld(t);
    const first = world.worker();
    const idle = await world.open(first);
    const busy = await world.open(first);
    const refused = await world.open(first);
    await first.read(busy.slot, busy.client, GET);
    await first.read(refused.slot, refused.client, POST);
    const counts = figures(world.freeze(first, false));
    assert.deepEqual(counts, { moved: 1, replayed: 1, refused: 1 });
    assert.equal(world.retention.waitingCount, 2, "no other worker is there");
    assert.equal(first.link.owned, 0);
    assert.deepEqual(figures(world.bury(first)), {});
    const second = world.worker();
    world.retention.placeWaiting();
    assert.equal((await second.receive(busy.slot)).journal?.toString(), GET);
    await second.receive(idle.slot);
    await refused.client.endsWith("fin");
    refused.client.socket.end();
    await waitUntil("a free slot", () => world.stateOf(refused.slot) === STATE.free);
    assert.equal(world.retention.count, 2);
  });

  it("is recovered after its connections were taken back", async (t) => {
    const world = new RecoveryWorld(t);
    const first = world.worker();
    const { slot, client } = await world.accept();
    first.link.isFed = false;
    assert.equal(world.retention.takeBack(first.link), 1);
    assert.equal(world.stateOf(slot), STATE.held);
    assert.deepEqual(figures(world.bury(first)), {});
    const second = world.worker();
    world.retention.placeWaiting();
    await second.receive(slot);
    second.write(slot, "hello");
    await client.receives("hello");
  });
});

describe("who is to blame", () => {
  it("whose bytes were being acted on: the others are bystanders", async (t) => {
    const world = new RecoveryWorld(t);
    const first = world.worker();
    const culprit = await world.open(first);
    const other = await world.open(first);
    await first.read(culprit.slot, culprit.client, GET);
    await first.read(other.slot, other.client, OTHER);
    setExecuting(world, first, culprit.slot);
    world.worker();
    assert.deepEqual(figures(world.bury(first)), { replayed: 2 });
    assert.equal(world.ledger.connections.deaths(culprit.slot), 1);
    assert.equal(world.ledger.connections.deaths(other.slot), 0);
  });

  it("the second death is a request of death: 500, and named", async (t) => {
    const world = new RecoveryWorld(t);
    const first = world.worker();
    const { slot, client } = await world.open(first);
    await first.read(slot, client, GET);
    const second = world.worker();
    assert.deepEqual(figures(world.bury(first)), { replayed: 1 });
    await second.receive(slot);
    second.writeDown(slot, GET);
    world.worker();
    assert.deepEqual(figures(world.bury(second)), { refused: 1, deaths: ["GET /a"] });
    await client.endsWith("fin");
    assert.match(client.text, /^HTTP\/1\.1 500 /);
    assert.doesNotMatch(client.text, /Retry-After/);
    assert.equal(world.ledger.total("requestsOfDeath"), 1);
  });

  it("a request that was answered by the second worker starts anew", async (t) => {
    const world = new RecoveryWorld(t);
    const first = world.worker();
    const { slot, client } = await world.open(first);
    await first.read(slot, client, GET);
    const second = world.worker();
    world.bury(first);
    await second.receive(slot);
    second.writeDown(slot, GET);
    second.answer(slot, GET, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    const third = world.worker();
    assert.deepEqual(figures(world.bury(second)), { moved: 1 });
    assert.equal(world.ledger.connections.deaths(slot), 0);
    await third.receive(slot);
  });

  it("who held the worker up is not tried again, and nobody else pays for it", async (t) => {
    const world = new RecoveryWorld(t);
    const first = world.worker();
    const culprit = await world.open(first);
    const other = await world.open(first);
    await first.read(culprit.slot, culprit.client, GET);
    await first.read(other.slot, other.client, OTHER);
    setExecuting(world, first, culprit.slot);
    const second = world.worker();
    const counts = figures(world.freeze(first, true));
    assert.deepEqual(counts, { refused: 1, replayed: 1, deaths: ["GET /a"] });
    await culprit.client.endsWith("fin");
    assert.match(culprit.client.text, /^HTTP\/1\.1 500 /);
    assert.equal((await second.receive(other.slot)).journal?.toString(), OTHER);
  });

  it("stopped from outside: nobody is to blame for what it was executing", async (t) => {
    const world = new RecoveryWorld(t);
    const first = world.worker();
    const { slot, client } = await world.open(first);
    await first.read(slot, client, GET);
    setExecuting(world, first, slot);
    world.worker();
    assert.deepEqual(figures(world.freeze(first, false)), { replayed: 1 });
  });
});

describe("several requests die a second time", () => {
  /** Two workers have died with all three in flight; nobody knows which of them it was. */
  async function crowd(world: RecoveryWorld): Promise<{ slots: number[]; tester: FakeWorker }> {
    const first = world.worker();
    const slots: number[] = [];
    for (let count = 0; count < 3; count += 1) {
      const { slot, client } = await world.open(first);
      await first.read(slot, client, GET);
      slots.push(slot);
    }
    const second = world.worker();
    assert.deepEqual(figures(world.bury(first)), { replayed: 3 });
    for (const slot of slots) {
      await second.receive(slot);
      second.writeDown(slot, GET);
    }
    const tester = world.worker();
    assert.deepEqual(figures(world.bury(second)), { replayed: 3 }, "nobody is refused");
    return { slots, tester };
  }

  it("each is tried alone, one when the other is done", async (t) => {
    const world = new RecoveryWorld(t);
    const { slots, tester } = await crowd(world);
    const states = (): number[] => slots.map((slot) => world.stateOf(slot));
    assert.deepEqual(states(), [STATE.held, STATE.held, STATE.held]);
    for (const slot of slots) {
      world.recovery.tick();
      world.recovery.tick();
      assert.equal(states().filter((state) => state === STATE.handed).length, 1);
      await tester.receive(slot);
      world.recovery.tick();
      assert.equal(states().includes(STATE.handed), false, "received, and not begun yet");
      tester.writeDown(slot, GET);
      world.recovery.tick();
      assert.equal(states().filter((state) => state === STATE.busy).length, 1);
      tester.answer(slot, GET, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    }
    world.recovery.tick();
    assert.deepEqual(states(), [STATE.idle, STATE.idle, STATE.idle]);
  });

  it("the one that kills again is refused, and the next has its turn", async (t) => {
    const world = new RecoveryWorld(t);
    const { slots, tester } = await crowd(world);
    const [culprit = -1, next = -1] = slots;
    world.recovery.tick();
    await tester.receive(culprit);
    tester.writeDown(culprit, GET);
    const last = world.worker();
    assert.deepEqual(figures(world.bury(tester)), { refused: 1, deaths: ["GET /a"] });
    world.recovery.tick();
    await last.receive(next);
    assert.equal(world.retention.waitingCount, 0);
  });

  it("one that dies with another in flight has its turn again, and holds up nobody", async (t) => {
    const world = new RecoveryWorld(t);
    const { slots, tester } = await crowd(world);
    const [tried = -1, next = -1] = slots;
    world.recovery.tick();
    await tester.receive(tried);
    tester.writeDown(tried, GET);
    const third = world.worker();
    const { slot: other, client } = await world.open(third);
    await third.read(other, client, GET);
    assert.deepEqual(figures(world.bury(third)), { replayed: 1 });
    await tester.receive(other);
    tester.writeDown(other, GET);
    const last = world.worker();
    assert.deepEqual(figures(world.bury(tester)), { replayed: 2 }, "either may be the cause");
    for (const slot of [next, ...slots.slice(2), tried, other]) {
      world.recovery.tick();
      await last.receive(slot);
      last.writeDown(slot, GET);
      last.answer(slot, GET, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    }
  });

  it("one whose client has gone does not hold up the others", async (t) => {
    const world = new RecoveryWorld(t);
    const { slots, tester } = await crowd(world);
    const [gone = -1, next = -1] = slots;
    world.recovery.tick();
    await tester.receive(gone);
    world.ledger.connections.enter(gone, STATE.closed);
    world.retention.closed(Uint32Array.of(gone, world.ledger.connections.generation(gone)));
    world.recovery.tick();
    await tester.receive(next);
  });
});
