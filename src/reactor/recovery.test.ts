import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { waitUntil } from "../../test/support/wait-until.ts";
import { PACKET_BYTES_MAX, TcpCountReader, shutdownWrite } from "../os/mod.ts";
import { RecoveryWorld, STATE, figures } from "./recovery-world.test.ts";

const GET = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
const HEAD = "HEAD /a HTTP/1.1\r\n\r\n";
const POST = "POST /b HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc";
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/** include/net/tcp_states.h */
const TCP_CLOSE = 7;
const counts = new TcpCountReader();

describe("the connections of a dead worker", () => {
  it("an idle one moves, with its counts, and is served on", async (t) => {
    const world = new RecoveryWorld(t);
    const first = world.worker();
    const { slot, client } = await world.open(first);
    await first.read(slot, client, GET);
    first.answer(slot, GET, OK);
    const second = world.worker();
    assert.deepEqual(figures(world.bury(first)), { moved: 1 });
    const { journal } = await second.receive(slot);
    assert.equal(journal, null);
    const { quiescentRead, quiescentWritten, owner } = world.ledger.connections.snapshot(slot);
    assert.deepEqual([quiescentRead, quiescentWritten, owner], [GET.length, OK.length, 2]);
    second.write(slot, OK);
    await client.receives(OK + OK);
    assert.equal(world.ledger.total("moved"), 1);
  });

  it("one with a GET is replayed: the bytes travel with the descriptor", async (t) => {
    const world = new RecoveryWorld(t);
    const first = world.worker();
    const { slot, client } = await world.open(first);
    await first.read(slot, client, GET);
    const second = world.worker();
    assert.deepEqual(figures(world.bury(first)), { replayed: 1 });
    const { journal } = await second.receive(slot);
    assert.equal(journal?.toString(), GET);
    const { quiescentRead, deaths } = world.ledger.connections.snapshot(slot);
    assert.deepEqual([quiescentRead, deaths], [0, 1]);
    second.writeDown(slot, GET);
    second.answer(slot, GET, OK);
    await client.receives(OK);
    assert.equal(world.ledger.total("replayed"), 1);
  });

  it("a large request travels in parts, the descriptor with the last", async (t) => {
    const world = new RecoveryWorld(t);
    const first = world.worker();
    const { slot, client } = await world.open(first);
    const body = "x".repeat(2.5 * PACKET_BYTES_MAX);
    const put = `PUT /big HTTP/1.1\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    await first.read(slot, client, put);
    const second = world.worker();
    assert.deepEqual(figures(world.bury(first)), { replayed: 1 });
    const { journal } = await second.receive(slot);
    assert.equal(journal?.toString(), put);
    assert.equal(second.parts.length, 3);
    assert.equal(second.parts.at(-1), 0);
  });

  it("one with a POST is refused: 503 in full, FIN, and the slot is free", async (t) => {
    const world = new RecoveryWorld(t);
    const first = world.worker();
    const { slot, client } = await world.open(first);
    await first.read(slot, client, POST);
    world.worker();
    assert.deepEqual(figures(world.bury(first)), { refused: 1 });
    await client.endsWith("fin");
    assert.match(
      client.text,
      /^HTTP\/1\.1 503 .*\r\nRetry-After: 1\r\nConnection: close\r\n\r\nT/s,
    );
    assert.equal(world.stateOf(slot), STATE.ending);
    client.socket.end();
    await waitUntil("a free slot", () => world.stateOf(slot) === STATE.free);
    assert.equal(world.retention.count, 0);
  });

  it("a HEAD that may not be repeated is refused without a body", async (t) => {
    const world = new RecoveryWorld(t);
    world.policy = "off";
    const first = world.worker();
    const { slot, client } = await world.open(first);
    await first.read(slot, client, HEAD);
    assert.deepEqual(figures(world.bury(first)), { refused: 1 });
    await client.endsWith("fin");
    assert.match(client.text, /^HTTP\/1\.1 503 .*Content-Length: [1-9].*\r\n\r\n$/s);
  });

  it("one with half of a body is refused with 502, and what still comes is read", async (t) => {
    const world = new RecoveryWorld(t);
    const first = world.worker();
    const { slot, client } = await world.open(first);
    await first.read(slot, client, "PUT /b HTTP/1.1\r\nContent-Length: 900000\r\n\r\nabc");
    world.worker();
    assert.deepEqual(figures(world.bury(first)), { refused: 1 });
    client.send(Buffer.alloc(900_000 - 3));
    await client.endsWith("fin");
    assert.match(client.text, /^HTTP\/1\.1 502 Bad Gateway\r\n/);
    client.socket.end();
    await waitUntil("a free slot", () => world.stateOf(slot) === STATE.free);
    assert.equal(client.ended, "fin", "no reset, or the response might be lost");
  });

  it("one of which half a response has left is reset, and counted", async (t) => {
    const world = new RecoveryWorld(t);
    const first = world.worker();
    const { slot, client } = await world.open(first);
    await first.read(slot, client, GET);
    first.write(slot, "HTTP/1.1 200 OK\r\n");
    await client.receives("HTTP/1.1 200 OK\r\n");
    world.worker();
    assert.deepEqual(figures(world.bury(first)), { aborted: 1 });
    await client.endsWith("rst");
    assert.equal(world.stateOf(slot), STATE.free);
    assert.equal(world.ledger.total("aborted"), 1);
  });

  it("one whose response has left whole, and that is not settled yet, moves", async (t) => {
    const world = new RecoveryWorld(t);
    const first = world.worker();
    const { slot, client } = await world.open(first);
    await first.read(slot, client, POST);
    world.ledger.connections.setResponseEnd(slot, OK.length, 1);
    first.write(slot, OK);
    const second = world.worker();
    assert.deepEqual(figures(world.bury(first)), { moved: 1 });
    await second.receive(slot);
    const { quiescentRead, quiescentWritten } = world.ledger.connections.snapshot(slot);
    assert.deepEqual([quiescentRead, quiescentWritten], [POST.length, OK.length]);
  });

  it("opaque ones are closed, closed ones freed, released ones moved", async (t) => {
    const world = new RecoveryWorld(t);
    const first = world.worker();
    const [opaque, closed, released] = [
      await world.open(first),
      await world.open(first),
      await world.open(first),
    ];
    const { connections } = world.ledger;
    connections.enter(opaque.slot, STATE.opaque);
    connections.enter(closed.slot, STATE.closed);
    connections.enter(released.slot, STATE.released);
    const second = world.worker();
    assert.deepEqual(figures(world.bury(first)), { moved: 1, opaque: 1 });
    await opaque.client.endsWith("fin");
    await closed.client.endsWith("fin");
    await second.receive(released.slot);
    assert.equal(world.retention.count, 1);
    assert.equal(world.ledger.total("aborted"), 1, "what lived in JavaScript is lost");
  });

  it("ones that it had not received yet go on, with the bytes to be replayed", async (t) => {
    const world = new RecoveryWorld(t);
    const [first, second] = [world.worker(), world.worker()];
    second.link.isFed = false;
    const { slot, client } = await world.open(first);
    await first.read(slot, client, GET);
    const fresh = await world.accept();
    second.link.isFed = true;
    world.bury(first);
    assert.equal(world.stateOf(slot), STATE.handed);
    const third = world.worker();
    assert.deepEqual(figures(world.bury(second)), {});
    assert.equal((await third.receive(slot)).journal?.toString(), GET);
    assert.equal((await third.receive(fresh.slot)).journal, null);
    assert.equal(client.ended, "no");
  });

  it("one that the worker has ended itself keeps its last bytes: no reset", async (t) => {
    const world = new RecoveryWorld(t);
    const first = world.worker();
    const { slot, client } = await world.open(first);
    client.socket.pause();
    await first.read(slot, client, GET);
    const long = `HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n${"x".repeat(50_000)}`;
    first.write(slot, long);
    shutdownWrite(first.received[0]?.fd ?? -1);
    assert.deepEqual(figures(world.bury(first)), {});
    client.socket.resume();
    await client.endsWith("fin");
    assert.equal(client.text, long);
  });

  it("one that its client has reset is freed", async (t) => {
    const world = new RecoveryWorld(t);
    const first = world.worker();
    const { slot, client } = await world.open(first);
    await first.read(slot, client, GET);
    client.socket.resetAndDestroy();
    const fd = world.retention.descriptor(slot) ?? -1;
    await waitUntil("the reset", () => counts.read(fd)?.state === TCP_CLOSE);
    assert.deepEqual(figures(world.bury(first)), {});
    assert.equal(world.stateOf(slot), STATE.free);
  });

  it("one that its client has half closed is replayed: the client waits", async (t) => {
    const world = new RecoveryWorld(t);
    const first = world.worker();
    const { slot, client } = await world.open(first);
    await first.read(slot, client, GET);
    client.socket.end();
    const second = world.worker();
    assert.deepEqual(figures(world.bury(first)), { replayed: 1 });
    await second.receive(slot);
    second.write(slot, OK);
    await client.receives(OK);
  });

  it("without a worker they wait, and the next one gets them", async (t) => {
    const world = new RecoveryWorld(t);
    const first = world.worker();
    const idle = await world.open(first);
    const busy = await world.open(first);
    await first.read(busy.slot, busy.client, GET);
    assert.deepEqual(figures(world.bury(first)), { moved: 1, replayed: 1 });
    assert.equal(world.retention.waitingCount, 2);
    const second = world.worker();
    world.retention.placeWaiting();
    assert.equal((await second.receive(busy.slot)).journal?.toString(), GET);
    assert.equal((await second.receive(idle.slot)).journal, null);
    assert.equal(second.link.owned, 2);
  });
});
