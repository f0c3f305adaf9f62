import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { connect } from "../../test/support/loopback.ts";
import { waitUntil } from "../../test/support/wait-until.ts";
import { closeDescriptor, duplicate, machineNowMs } from "../os/mod.ts";
import { CONNECTIONS_MAX, LISTENER, RecoveryWorld, STATE } from "./recovery-world.test.ts";
import { Retention } from "./retention.ts";

function rowOf(world: RecoveryWorld, slot: number): Uint32Array {
  return Uint32Array.of(slot, world.ledger.connections.generation(slot));
}

describe("retention", () => {
  it("a connection is handed to a worker, whose death alone does not end it", async (t) => {
    const world = new RecoveryWorld(t);
    const worker = world.worker();
    const { slot, client } = await world.open(worker);
    assert.equal(worker.link.owned, 1);
    assert.equal(world.retention.count, 1);
    assert.equal(world.ledger.total("accepted"), 1);
    worker.die();
    assert.notEqual(world.retention.descriptor(slot), null);
    assert.equal(client.ended, "no");
  });

  it("many connections travel in few packets, each with its own descriptor", async (t) => {
    const world = new RecoveryWorld(t);
    const worker = world.worker();
    const pairs = await Promise.all(Array.from({ length: CONNECTIONS_MAX }, () => connect(t)));
    for (const { fd } of pairs) world.retention.accept(fd, LISTENER, machineNowMs(), true);
    world.retention.flush();
    await waitUntil("all of them", () => worker.received.length === CONNECTIONS_MAX);
    const slots = new Set(worker.received.map(({ slot }) => slot));
    assert.equal(slots.size, CONNECTIONS_MAX);
    for (const { slot } of worker.received.slice()) {
      await worker.receive(slot);
      worker.write(slot, `${slot}`);
    }
    await waitUntil("all texts", () => pairs.every(({ client }) => client.text.length === 1));
    assert.equal(new Set(pairs.map(({ client }) => client.text)).size, CONNECTIONS_MAX);
  });

  it("is full when every slot is taken, and not when one is free again", async (t) => {
    const world = new RecoveryWorld(t);
    const worker = world.worker();
    const opened = [];
    for (let count = 0; count < CONNECTIONS_MAX; count += 1) opened.push(await world.open(worker));
    assert.ok(world.retention.isFull);
    const [first] = opened;
    assert.ok(first !== undefined);
    world.ledger.connections.enter(first.slot, STATE.closed);
    world.retention.closed(rowOf(world, first.slot));
    assert.ok(!world.retention.isFull);
    assert.equal(world.ledger.total("closed"), 1);
    const again = await world.open(worker);
    assert.equal(again.slot, first.slot);
    assert.equal(world.retention.count, CONNECTIONS_MAX);
  });

  it("rows of a former life, of no slot, and cut ones change nothing", async (t) => {
    const world = new RecoveryWorld(t);
    const worker = world.worker();
    const { slot, client } = await world.open(worker);
    const { generation } = world.ledger.connections.snapshot(slot);
    const before = world.ledger.connections.snapshot(slot);
    const hostile = [
      [slot, generation - 1],
      [slot, generation + 1],
      [CONNECTIONS_MAX, 0],
      [0xffff_ffff, 0],
      [slot],
      [slot, generation],
    ];
    for (const words of hostile) {
      const rows = Uint32Array.from(words);
      world.retention.closed(rows);
      assert.equal(world.retention.released(rows), 0);
      if (words[1] !== generation) world.retention.opaque(rows);
    }
    assert.deepEqual(world.ledger.connections.snapshot(slot), before);
    assert.notEqual(world.retention.descriptor(slot), null);
    assert.equal(client.ended, "no");
  });

  it("a slot that was closed or given back is dealt with for its own life only", async (t) => {
    const world = new RecoveryWorld(t);
    const worker = world.worker();
    const closed = await world.open(worker);
    const released = await world.open(worker);
    world.ledger.connections.enter(closed.slot, STATE.closed);
    world.ledger.connections.enter(released.slot, STATE.released);
    for (const { slot } of [closed, released]) {
      const late = Uint32Array.of(slot, world.ledger.connections.generation(slot) - 1);
      world.retention.closed(late);
      assert.equal(world.retention.released(late), 0);
    }
    assert.equal(world.stateOf(closed.slot), STATE.closed);
    assert.equal(world.stateOf(released.slot), STATE.released);
  });

  it("the duplicate of an opaque one is dropped: it goes with its worker", async (t) => {
    const world = new RecoveryWorld(t);
    const worker = world.worker();
    const { slot, client } = await world.open(worker);
    world.ledger.connections.enter(slot, STATE.opaque);
    world.retention.opaque(rowOf(world, slot));
    assert.equal(world.retention.descriptor(slot), null);
    assert.equal(client.ended, "no");
    worker.die();
    await client.endsWith("fin");
  });

  it("what a worker gives back goes to another, in a new generation", async (t) => {
    const world = new RecoveryWorld(t);
    const [first, second] = [world.worker(), world.worker()];
    second.link.isFed = false;
    const { slot } = await world.open(first);
    const rows = rowOf(world, slot);
    world.ledger.connections.enter(slot, STATE.released);
    first.link.isFed = false;
    second.link.isFed = true;
    assert.equal(world.retention.released(rows), 1);
    assert.equal(world.retention.released(rows), 0, "once");
    await second.receive(slot);
    assert.equal(first.link.owned, 0);
    assert.equal(second.link.owned, 1);
  });

  it("what a silent worker has not taken is taken back, and not claimable any more", async (t) => {
    const world = new RecoveryWorld(t);
    const [first, second] = [world.worker(), world.worker()];
    second.link.isFed = false;
    const taken = await world.open(first);
    const waiting = await world.accept();
    const stale = world.ledger.connections.generation(waiting.slot);
    first.link.isFed = false;
    second.link.isFed = true;
    assert.equal(world.retention.takeBack(first.link), 1, "the one that it has is left alone");
    await second.receive(waiting.slot);
    const { connections } = world.ledger;
    assert.equal(connections.exchange(waiting.slot, stale, "handed", "idle"), false);
    assert.equal(world.stateOf(taken.slot), STATE.idle);
    assert.equal(first.link.owned, 1);
  });

  it("one with bytes on their way is not taken back: they are nowhere else", async (t) => {
    const world = new RecoveryWorld(t);
    const worker = world.worker();
    const { slot } = await world.open(worker);
    const { connections } = world.ledger;
    connections.enter(slot, STATE.held);
    world.retention.handOn(slot, Buffer.from("GET"));
    assert.equal(world.retention.takeBack(worker.link), 0);
    assert.equal(world.retention.journalInTransit(slot)?.toString(), "GET");
    world.retention.sweep();
    assert.notEqual(world.retention.journalInTransit(slot), null);
    await waitUntil("both", () => worker.received.length === 2);
    await worker.receive(slot);
    world.retention.sweep();
    assert.equal(world.retention.journalInTransit(slot), null, "it has them");
  });

  it("what a worker could not take goes on with its bytes; what nobody has is freed", async (t) => {
    const world = new RecoveryWorld(t);
    const [first, second] = [world.worker(), world.worker()];
    second.link.isFed = false;
    const { slot } = await world.open(first);
    world.ledger.connections.enter(slot, STATE.held);
    world.retention.disown(slot);
    world.retention.handOn(slot, Buffer.from("GET"));
    const untaken = rowOf(world, slot);
    second.link.isFed = true;
    second.link.owned = 5;
    assert.equal(world.retention.released(untaken), 1);
    assert.equal((await second.receive(slot)).journal?.toString(), "GET");
    assert.equal(world.retention.released(untaken), 0, "it is another's now");
    assert.deepEqual([first.link.owned, second.link.owned], [0, 6]);
    const other = await world.accept();
    closeDescriptor(world.retention.takeDescriptor(other.slot) ?? -1);
    assert.equal(world.retention.released(rowOf(world, other.slot)), 1);
    assert.equal(world.stateOf(other.slot), STATE.free);
  });

  it("what waits is closed when the service ends", async (t) => {
    const world = new RecoveryWorld(t);
    const one = await world.accept();
    const other = await world.accept();
    assert.equal(world.retention.waitingCount, 2);
    assert.equal(world.retention.closeWaiting(), 2);
    await one.client.endsWith("fin");
    await other.client.endsWith("fin");
    assert.equal(world.retention.count, 0);
  });

  it("grants slots that a worker asks for, as far as there are any", async (t) => {
    const world = new RecoveryWorld(t);
    const worker = world.worker();
    await world.open(worker);
    let grants = 0;
    while (!world.retention.isFull) {
      worker.link.slotsWanted = 100;
      world.retention.grant(worker.link);
      assert.equal(worker.link.slotsWanted, 0);
      grants += 1;
    }
    assert.ok(grants >= 3, "others would have had slots meanwhile");
    const states: number[] = [];
    world.retention.forEachOwned(worker.link.id, (_, state) => states.push(state));
    assert.equal(states.filter((state) => state === STATE.granted).length, CONNECTIONS_MAX - 1);
    assert.equal(worker.link.owned, 1, "granted slots are no connections");
    world.bury(worker);
    assert.equal(world.retention.count, 1, "the connection waits, the slots are free");
  });
});

describe("a new reactor", () => {
  it("takes over what workers have, loses what the former one had, frees the rest", async (t) => {
    const world = new RecoveryWorld(t);
    const worker = world.worker();
    const idle = await world.open(worker);
    const handed = await world.accept();
    worker.link.isFed = false;
    const waiting = await world.accept();
    worker.link.owned = 0;
    const next = new Retention(world.ledger, world.links);
    assert.equal(next.adoptTable(), 1);
    assert.equal(next.count, 2);
    assert.equal(worker.link.owned, 2);
    assert.equal(world.stateOf(waiting.slot), STATE.free);
    assert.equal(world.stateOf(handed.slot), STATE.handed);
    // the worker sends its descriptors again
    const fd = duplicate(world.retention.descriptor(idle.slot) ?? -1);
    const stranger = duplicate(fd);
    const rows = Uint32Array.of(...rowOf(world, idle.slot), waiting.slot, 1);
    assert.equal(next.retained(worker.link, rows, [fd, stranger]), 1);
    assert.equal(next.descriptor(idle.slot), fd);
    assert.throws(() => duplicate(stranger), "what is not theirs is closed");
    const twice = duplicate(fd);
    assert.equal(next.retained(worker.link, rowOf(world, idle.slot), [twice]), 0);
    assert.throws(() => duplicate(twice));
    closeDescriptor(fd);
  });

  it("takes nothing from a worker that does not own it", async (t) => {
    const world = new RecoveryWorld(t);
    const [first, second] = [world.worker(), world.worker()];
    second.link.isFed = false;
    const { slot } = await world.open(first);
    const next = new Retention(world.ledger, world.links);
    next.adoptTable();
    const fd = duplicate(world.retention.descriptor(slot) ?? -1);
    assert.equal(next.retained(second.link, rowOf(world, slot), [fd]), 0);
    assert.equal(next.descriptor(slot), null);
  });
});
