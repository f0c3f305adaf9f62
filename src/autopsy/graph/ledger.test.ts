import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { oneRegion } from "../../../test/support/one-region.ts";
import { FLAG_JOURNAL_SHORT, Ledger, STATE } from "../../ledger/mod.ts";
import { closeDescriptor } from "../../os/mod.ts";
import type { Target } from "../target/target.ts";
import { readLedger } from "./ledger.ts";

const PID = 4711;
const BASE = 0x7f00_0000_0000;
const SHAPE = { connectionsMax: 8, workersMax: 1 };
const HEAD = "POST /upload HTTP/1.1\r\nContent-Length: 100\r\n\r\n";
const OTHER = "GET /body HTTP/1.1\r\nHost: h\r\n\r\n";

/** A worker with one connection, on which a request is in flight. */
class Sketch {
  readonly #fd = Ledger.create(SHAPE);
  readonly #ledger = Ledger.attach(this.#fd);
  readonly #row = this.#ledger.workers.claim(1, 0, 1);
  readonly #arena = this.#ledger.arena(this.#row);
  readonly #slot = 2;

  constructor() {
    const { connections, workers } = this.#ledger;
    workers.setInt(this.#row, "pid", PID);
    this.#ledger.connectionsTop = this.#slot + 1;
    connections.open(this.#slot, 3, 1, "held");
    const generation = connections.handOver(this.#slot, 1);
    assert.ok(connections.exchange(this.#slot, generation, "handed", "idle"));
    connections.settle(this.#slot, 1_000, 1_000); // there was another request before
    connections.enter(this.#slot, STATE.busy);
  }

  /** What was read of it already. */
  journal(text: string, isShort = false): this {
    const { connections } = this.#ledger;
    const block = this.#arena.allocate(-1);
    this.#arena.write(Buffer.from(text), block, 0);
    connections.setJournal(this.#slot, 1_000, text.length, block);
    connections.setFlags(this.#slot, isShort ? FLAG_JOURNAL_SHORT : 0);
    return this;
  }

  /** What is being parsed. */
  inbox(text: string): this {
    this.#arena.inbox.write(text);
    this.#ledger.workers.setInt(this.#row, "inboxSlot", this.#slot + 1);
    return this;
  }

  request(): string {
    const bytes = Buffer.from(this.#arena.inbox.buffer); // the whole file
    const region = oneRegion(BASE, bytes, "/memfd:holdfast-ledger (deleted)");
    const target: Pick<Target, "pid" | "memory" | "mappings"> = { pid: PID, ...region };
    const account = readLedger(target as Target); // the members that it asks for
    closeDescriptor(this.#fd);
    assert.equal(account?.requests.length, 1);
    return account.requests.map(({ method, target: url }) => `${method} ${url}`).join();
  }
}

describe("the request of a connection, by the ledger", () => {
  it("is in the inbox when it has just been read", () => {
    assert.equal(new Sketch().inbox(OTHER).request(), "GET /body");
  });

  it("is in the journal when something else is in the inbox, or nothing", () => {
    assert.equal(new Sketch().journal(HEAD).request(), "POST /upload");
  });

  it("is not what a part of its body looks like", () => {
    assert.equal(new Sketch().journal(HEAD).inbox(OTHER).request(), "POST /upload");
    assert.equal(new Sketch().journal(HEAD).inbox("x=1\r\n\r\n").request(), "POST /upload");
  });

  it("is put together when its head came in parts", () => {
    const [first, rest] = [HEAD.slice(0, 9), HEAD.slice(9)];
    assert.equal(new Sketch().journal(first).inbox(rest).request(), "POST /upload");
  });

  it("is not known where the journal misses something", () => {
    assert.equal(new Sketch().journal("", true).inbox(OTHER).request(), "? ?");
  });
});
