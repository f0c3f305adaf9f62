import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { CONNECTION_STATES, ENTERED_FROM, STATE, assertTransition } from "./connection-state.ts";
import type { ConnectionState } from "./connection-state.ts";
import { ConnectionTable } from "./connection-table.ts";
import type { ConnectionSnapshot } from "./connection-table.ts";
import { CONNECTION, CONNECTION_SLOT_BYTES, connectionsOffset } from "./layout.ts";
import type { LedgerShape } from "./layout.ts";

const SHAPE: LedgerShape = { connectionsMax: 3, workersMax: 1 };
const BYTES = connectionsOffset(SHAPE) + SHAPE.connectionsMax * CONNECTION_SLOT_BYTES;
const SLOT = 1;

function table(memory: ArrayBuffer = new ArrayBuffer(BYTES)): ConnectionTable {
  return new ConnectionTable(memory, SHAPE);
}

/** A table whose slot is in `state`, reached over edges of the drawing only. */
function inState(state: ConnectionState): ConnectionTable {
  const connections = table();
  const paths: Record<ConnectionState, readonly ConnectionState[]> = {
    free: [],
    granted: ["granted"],
    held: ["held"],
    handed: ["held", "handed"],
    idle: ["held", "handed", "idle"],
    busy: ["held", "handed", "busy"],
    opaque: ["held", "handed", "opaque"],
    released: ["held", "handed", "idle", "released"],
    closed: ["held", "handed", "closed"],
    ending: ["held", "handed", "busy", "ending"],
  };
  for (const step of paths[state]) {
    if (step === "held" || step === "granted") connections.open(SLOT, 7, 1, step);
    else if (step === "handed") connections.handOver(SLOT, 5);
    else connections.enter(SLOT, STATE[step]);
  }
  assert.equal(connections.state(SLOT), STATE[state]);
  return connections;
}

/** The drawing in `connection-state.ts`, edge by edge; beside it, every state may become free. */
const DRAWN: readonly [ConnectionState, ConnectionState][] = [
  ["free", "held"],
  ["free", "granted"],
  ["held", "handed"],
  ["handed", "held"],
  ["handed", "idle"],
  ["handed", "busy"],
  ["handed", "opaque"],
  ["handed", "closed"],
  ["granted", "idle"],
  ["granted", "closed"],
  ["idle", "busy"],
  ["busy", "idle"],
  ["idle", "opaque"],
  ["busy", "opaque"],
  ["idle", "released"],
  ["idle", "closed"],
  ["busy", "closed"],
  ["opaque", "closed"],
  ["released", "held"],
  ["idle", "held"],
  ["busy", "held"],
  ["idle", "ending"],
  ["busy", "ending"],
];

describe("the life of a slot", () => {
  it("has the edges of the drawing, and no other", () => {
    const drawn = new Set(DRAWN.map(([from, to]) => `${from} ${to}`));
    let looked = 0;
    for (const from of CONNECTION_STATES) {
      for (const to of CONNECTION_STATES) {
        const isDrawn = drawn.has(`${from} ${to}`) || (to === "free" && from !== "free");
        const go = (): void => assertTransition(STATE[from], STATE[to]);
        if (isDrawn) assert.doesNotThrow(go, `${from} to ${to}`);
        else assert.throws(go, { code: "ERR_ASSERTION" }, `${from} to ${to}`);
        assert.equal(ENTERED_FROM[to].includes(from), isDrawn);
        looked += 1;
      }
    }
    assert.equal(looked, 100);
  });

  it("asserts the edge where a slot is moved, and leaves the slot as it was", () => {
    for (const from of CONNECTION_STATES) {
      for (const to of CONNECTION_STATES) {
        if (ENTERED_FROM[to].includes(from)) continue;
        const connections = inState(from);
        const before = connections.snapshot(SLOT);
        assert.throws(() => connections.enter(SLOT, STATE[to]), { code: "ERR_ASSERTION" });
        if (to === "handed") assert.throws(() => connections.handOver(SLOT, 9));
        if (to === "held") assert.throws(() => connections.open(SLOT, 0, 0, "held"));
        assert.deepEqual(connections.snapshot(SLOT), before);
      }
    }
  });

  it("a state that does not exist may not be left", () => {
    for (let from = CONNECTION_STATES.length; from < 16; from += 1) {
      for (const to of CONNECTION_STATES) assert.throws(() => assertTransition(from, STATE[to]));
    }
  });
});

describe("generations", () => {
  it("each life and each hand-over has its own", () => {
    const connections = table();
    const seen = new Set<number>();
    for (let life = 0; life < 3; life += 1) {
      connections.open(SLOT, 1, life, "held");
      seen.add(connections.generation(SLOT));
      for (let hand = 0; hand < 3; hand += 1) {
        const generation = connections.handOver(SLOT, 2);
        assert.equal(connections.generation(SLOT), generation);
        seen.add(generation);
        assert.ok(connections.exchange(SLOT, generation, "handed", "idle"));
        connections.enter(SLOT, STATE.released);
        connections.enter(SLOT, STATE.held);
      }
      connections.enter(SLOT, STATE.free);
    }
    assert.equal(seen.size, 12);
  });

  it("a worker that wakes late claims nothing that was given to somebody else", () => {
    const connections = table();
    connections.open(SLOT, 1, 0, "held");
    const late = connections.handOver(SLOT, 2);
    assert.ok(connections.exchange(SLOT, late, "handed", "held"), "the reactor takes it back");
    assert.equal(connections.exchange(SLOT, late, "handed", "idle"), false);
    const fresh = connections.handOver(SLOT, 3);
    assert.equal(
      connections.exchange(SLOT, late, "handed", "idle"),
      false,
      "handed, but not to it",
    );
    assert.ok(connections.exchange(SLOT, fresh, "handed", "idle"));
    assert.equal(connections.exchange(SLOT, fresh, "handed", "idle"), false, "once only");
    assert.equal(connections.owner(SLOT), 3);
  });

  it("after the same slot was closed and opened again, the old claim is not good (ABA)", () => {
    const connections = table();
    connections.open(SLOT, 1, 0, "held");
    const first = connections.handOver(SLOT, 2);
    connections.enter(SLOT, STATE.free);
    connections.open(SLOT, 1, 0, "held");
    connections.handOver(SLOT, 2);
    assert.equal(connections.state(SLOT), STATE.handed);
    assert.equal(connections.exchange(SLOT, first, "handed", "idle"), false);
  });

  it("of any order of claims, exactly the newest one succeeds", () => {
    const operation = fc.constantFrom("hand", "take back", "claim old", "claim new");
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 40 }), (operations) => {
        const connections = table();
        connections.open(SLOT, 0, 0, "held");
        const given: number[] = [];
        for (const name of operations) {
          const newest = given.at(-1) ?? -1;
          const isHanded = connections.state(SLOT) === STATE.handed;
          if (name === "hand" && connections.state(SLOT) === STATE.held) {
            given.push(connections.handOver(SLOT, 1));
          } else if (name === "take back") {
            assert.equal(connections.exchange(SLOT, newest, "handed", "held"), isHanded);
          } else if (name === "claim old") {
            for (const old of given.slice(0, -1)) {
              assert.equal(connections.exchange(SLOT, old, "handed", "idle"), false);
            }
          } else if (name === "claim new" && isHanded) {
            assert.ok(connections.exchange(SLOT, newest, "handed", "idle"));
            connections.enter(SLOT, STATE.held);
          }
        }
      }),
    );
  });

  it("goes on behind the largest generation, whose word is a negative number", () => {
    const memory = new ArrayBuffer(BYTES);
    const connections = table(memory);
    const word = new Int32Array(memory, connectionsOffset(SHAPE) + SLOT * CONNECTION_SLOT_BYTES);
    word[0] = (0xfff_ffff << 4) | STATE.held;
    assert.equal(connections.generation(SLOT), 0xfff_ffff);
    assert.ok(connections.exchange(SLOT, 0xfff_ffff, "held", "handed"));
    assert.ok(connections.exchange(SLOT, 0xfff_ffff, "handed", "held"));
    assert.equal(connections.handOver(SLOT, 1), 0);
    connections.enter(SLOT, STATE.free);
    word[0] = (0xfff_ffff << 4) | STATE.free;
    connections.open(SLOT, 0, 0, "held");
    assert.equal(connections.generation(SLOT), 0);
    assert.equal(connections.state(SLOT), STATE.held);
  });
});

describe("a new life of a slot", () => {
  it("knows nothing of the former one", () => {
    const connections = inState("busy");
    connections.settle(SLOT, 11, 12);
    connections.setJournal(SLOT, 11, 13, 14);
    connections.setResponseEnd(SLOT, 15, 2);
    connections.setInterimBytes(SLOT, 25);
    connections.setDeaths(SLOT, 1);
    connections.setFlags(SLOT, 1);
    connections.setRequestAtMs(SLOT, 99);
    connections.enter(SLOT, STATE.free);
    connections.open(SLOT, 3, 44, "held");
    const { generation, ...rest } = connections.snapshot(SLOT);
    assert.equal(generation, 3);
    assert.deepEqual(rest, { ...EMPTY, state: STATE.held, listener: 3, openedAtMs: 44 });
  });

  it("says since when its bytes can have waited, if that is known", () => {
    const connections = table();
    connections.open(SLOT, 3, 44, "held", true);
    assert.equal(connections.promptAtMs(SLOT), 44);
    connections.clearInFlight(SLOT); // it goes to another worker
    assert.equal(connections.promptAtMs(SLOT), -Infinity);
    connections.enter(SLOT, STATE.free);
    connections.open(SLOT, 0, 50, "granted");
    assert.equal(connections.promptAtMs(SLOT), -Infinity);
    connections.setAccepted(SLOT, 4, 60, true);
    assert.equal(connections.promptAtMs(SLOT), 60);
    assert.equal(connections.snapshot(SLOT).listener, 4);
    connections.setAccepted(SLOT, 4, 61, false);
    assert.equal(connections.promptAtMs(SLOT), -Infinity);
  });

  it("does not touch the slots beside it", () => {
    const connections = table();
    for (const slot of [0, 2]) connections.open(slot, 8, slot, "held");
    const before = [connections.snapshot(0), connections.snapshot(2)];
    connections.open(SLOT, 1, 1, "held");
    connections.settle(SLOT, 1e15, 1e15);
    connections.setJournal(SLOT, 1e15, 0x7fff_ffff, 0x7fff_ffff);
    connections.setResponseEnd(SLOT, 1e15, 0x7fff_ffff);
    connections.setFlags(SLOT, -1);
    assert.deepEqual([connections.snapshot(0), connections.snapshot(2)], before);
  });

  it("a former owner's journal and response are forgotten when the slot is cleared", () => {
    const connections = inState("busy");
    connections.settle(SLOT, 11, 12);
    connections.setJournal(SLOT, 11, 13, 14);
    connections.setResponseEnd(SLOT, 15, 1);
    connections.setFlags(SLOT, 1);
    connections.clearInFlight(SLOT);
    const { journalBytes, responseEnd, flags, quiescentRead } = connections.snapshot(SLOT);
    assert.deepEqual([journalBytes, responseEnd, flags, quiescentRead], [0, 0, 0, 11]);
  });
});

const EMPTY: Omit<ConnectionSnapshot, "generation"> = {
  slot: SLOT,
  state: STATE.free,
  owner: 0,
  listener: 0,
  quiescentRead: 0,
  quiescentWritten: 0,
  interimBytes: 0,
  journalFrom: 0,
  journalBytes: 0,
  journalBlock: 0,
  responseEnd: 0,
  requestAtMs: 0,
  openedAtMs: 0,
  responseOrdinal: 0,
  deaths: 0,
  flags: 0,
};

describe("a worker may die between any two stores", () => {
  it("a quiescent point is the old one or the new one, never half of each", () => {
    fc.assert(
      fc.property(fc.nat(2 ** 40), fc.nat(2 ** 40), fc.nat(2 ** 20), (read, written, interim) => {
        const before = (connections: ConnectionTable): void => {
          connections.settle(SLOT, read, written);
          connections.setInterimBytes(SLOT, interim);
        };
        const states = deaths(before, (connections) =>
          connections.settle(SLOT, read + 5, written + interim + 7),
        );
        assert.ok(states.length >= 4, `${states.length} states`);
        for (const { quiescentRead, quiescentWritten, interimBytes } of states) {
          const isOld = quiescentRead === read && quiescentWritten === written;
          const isNew = quiescentRead === read + 5 && quiescentWritten === written + interim + 7;
          assert.ok(isOld || isNew, `${quiescentRead} ${quiescentWritten}`);
          if (isOld) assert.equal(interimBytes, interim);
        }
      }),
      { numRuns: 20 },
    );
  });

  it("a journal is never said to have bytes of a former one", () => {
    const states = deaths(
      (connections) => {
        connections.setJournal(SLOT, 100, 0, 7);
        connections.setJournalBytes(SLOT, 50);
      },
      (connections) => connections.setJournal(SLOT, 150, 0, 9),
    );
    for (const { journalFrom, journalBytes, journalBlock } of states) {
      const isOld = journalFrom === 100 && journalBytes === 50 && journalBlock === 7;
      assert.ok(isOld || journalBytes === 0, `${journalFrom} ${journalBytes} ${journalBlock}`);
    }
  });

  it("the end of a response is never read with another response's number", () => {
    const states = deaths(
      (connections) => connections.setResponseEnd(SLOT, 500, 1),
      (connections) => connections.setResponseEnd(SLOT, 900, 2),
    );
    for (const { responseEnd, responseOrdinal } of states) {
      const isWhole = responseEnd === 0 || responseEnd === (responseOrdinal === 1 ? 500 : 900);
      assert.ok(isWhole, `${responseEnd} of ${responseOrdinal}`);
    }
  });

  it("a slot that is being opened is free until all of it is there", () => {
    const memory = new ArrayBuffer(BYTES);
    const connections = table(memory);
    connections.open(SLOT, 1, 1, "held");
    connections.enter(SLOT, STATE.free);
    const word = connectionsOffset(SHAPE) + SLOT * CONNECTION_SLOT_BYTES + CONNECTION.word;
    const original = Atomics.store.bind(Atomics);
    let seen: ConnectionSnapshot | null = null;
    Reflect.set(Atomics, "store", (array: Int32Array, index: number, value: number): number => {
      if (index * 4 === word) seen = connections.snapshot(SLOT);
      return original(array, index, value);
    });
    try {
      connections.open(SLOT, 4, 5, "held");
    } finally {
      Reflect.set(Atomics, "store", original);
    }
    assert.ok(seen !== null);
    const { state, listener, openedAtMs } = seen as ConnectionSnapshot;
    assert.deepEqual([state, listener, openedAtMs], [STATE.free, 4, 5]);
  });
});

/** What a slot says after 0, 1, 2 ... of the stores that `act` makes on top of `before`. */
function deaths(
  before: (connections: ConnectionTable) => void,
  act: (connections: ConnectionTable) => void,
): ConnectionSnapshot[] {
  const memory = new ArrayBuffer(BYTES);
  const log: (() => void)[] = [];
  const recorded = withRecordedStores(log, () => table(memory));
  before(table(memory));
  const start = memory.slice(0);
  act(recorded);
  const replay = Buffer.from(memory);
  Buffer.from(start).copy(replay);
  const reader = table(memory);
  const states = [reader.snapshot(SLOT)];
  for (const store of log) {
    store();
    states.push(reader.snapshot(SLOT));
  }
  return states;
}

/**
 * Makes a table whose plain stores are written down, in order, each as something to be repeated.
 */
function withRecordedStores(log: (() => void)[], make: () => ConnectionTable): ConnectionTable {
  const names = ["Int32Array", "Float64Array"] as const;
  const originals = names.map((name) => globalThis[name]);
  names.forEach((name, index) => {
    const Original = originals[index] as Int32ArrayConstructor; // both are made alike
    const recording = function (memory: ArrayBuffer): Int32Array {
      return new Proxy(new Original(memory), {
        get: (array, key) => Reflect.get(array, key) as unknown,
        set: (array, key, value: number) => {
          log.push(() => Reflect.set(array, key, value));
          return Reflect.set(array, key, value);
        },
      });
    };
    Reflect.set(globalThis, name, recording);
  });
  try {
    return make();
  } finally {
    names.forEach((name, index) => Reflect.set(globalThis, name, originals[index]));
  }
}
