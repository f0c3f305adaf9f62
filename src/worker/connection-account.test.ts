import assert from "node:assert/strict";
import type http from "node:http";
import { describe, it } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import fc from "fast-check";
import { BLOCK_PAYLOAD_BYTES, FLAG_JOURNAL_SHORT, STATE } from "../ledger/mod.ts";
import { EAGAIN, closeDescriptor, discardBytes, duplicate, stableBuffer } from "../os/mod.ts";
import { AccountBench } from "./account-bench.test.ts";

/** More than the kernel takes at once. */
const BIG = 1_000_000;

/** What an application does; each ends its response. */
const ANSWERS: Record<string, (res: http.ServerResponse, req: http.IncomingMessage) => void> = {
  "/": (res) => res.end("fine"),
  "/empty": (res) => res.writeHead(204).end(),
  "/nothing": (res) => res.end(),
  "/length": (res) => {
    res.writeHead(200, { "content-length": 6 });
    res.write("abc");
    setImmediate(() => res.end("def"));
  },
  "/utf8": (res) => {
    res.end("grün, €");
  },
  "/chunks": (res) => {
    res.write("one");
    setImmediate(() => {
      res.write(Buffer.from("0\r\n\r\n"));
      setImmediate(() => res.end("0\r\n\r\n"));
    });
  },
  "/corked": (res) => {
    res.cork();
    for (let count = 0; count < 5; count += 1) res.write(`${count}`);
    res.uncork();
    res.end();
  },
  "/trailers": (res) => {
    res.writeHead(200, { trailer: "x-sum" });
    res.write("body");
    res.addTrailers({ "x-sum": "4" });
    res.end();
  },
  "/flushed": (res) => {
    res.flushHeaders();
    setImmediate(() => res.end("late"));
  },
  "/hints": (res) => {
    res.writeEarlyHints({ link: "</a>; rel=preload" });
    setImmediate(() => {
      res.writeProcessing();
      setImmediate(() => res.end("hinted"));
    });
  },
  "/slow": (res) => {
    setImmediate(() => setImmediate(() => res.end("slow")));
  },
  "/big": (res) => res.end(Buffer.alloc(BIG, "x")),
  "/bigchunks": (res) => {
    res.write("x".repeat(BIG / 2));
    res.end("y".repeat(BIG / 2));
  },
  "/body": (res, req) => {
    let text = "";
    req.setEncoding("latin1");
    req.on("data", (chunk: string) => (text += chunk));
    req.on("end", () => res.end(text));
  },
  "/early": (res) => res.end("before the body"),
};

function answer(req: http.IncomingMessage, res: http.ServerResponse): void {
  ANSWERS[req.url ?? ""]?.(res, req);
}

function request(method: string, path: string, ...lines: string[]): string {
  return [`${method} ${path} HTTP/1.1`, "host: t", ...lines, "", ""].join("\r\n");
}

function post(path: string, body: string, ...lines: string[]): string {
  return request("POST", path, `content-length: ${body.length}`, ...lines) + body;
}

describe("the account of a connection", () => {
  it("is idle before and after each answer, with the kernel's counts", async (t) => {
    const bench = await AccountBench.start(t, answer);
    assert.equal(bench.snapshot.state, STATE.idle);
    for (const path of Object.keys(ANSWERS)) {
      bench.send(request("GET", path));
      await bench.idle();
      const { quiescentRead, quiescentWritten, journalBytes, deaths } = bench.snapshot;
      assert.equal(quiescentRead, bench.counts.read, path);
      assert.equal(quiescentWritten, bench.counts.written, path);
      assert.deepEqual([journalBytes, deaths], [0, 0]);
      assert.deepEqual(bench.verdict(), { kind: "move" });
    }
    assert.equal(bench.context.ledger.workers.int(0, "inFlight"), 0);
    assert.equal(bench.context.ledger.workers.float(0, "requests"), Object.keys(ANSWERS).length);
    assert.ok(bench.context.arena.freeBlocks > 4000, "every block is free again");
    assert.deepEqual(bench.needlessAborts, []);
    assert.deepEqual([...bench.verdicts.keys()].toSorted(), ["abort", "move", "replay"]);
  });

  it("keeps the bytes of a request until it is answered", async (t) => {
    let finish = (): void => undefined;
    const bench = await AccountBench.start(t, (_, res) => {
      finish = () => res.end("done");
    });
    const text = request("GET", "/wait", `x-pad: ${"p".repeat(2 * BLOCK_PAYLOAD_BYTES)}`);
    bench.send(text.slice(0, 100));
    await bench.until("half of a head", () => bench.counts.read === 100);
    await bench.until("it is written down", () => bench.journal?.length === 100);
    assert.equal(bench.snapshot.state, STATE.busy);
    assert.equal(bench.context.ledger.workers.int(0, "inFlight"), 0, "no request yet");
    bench.send(text.slice(100));
    await bench.until("a request", () => bench.context.ledger.workers.int(0, "inFlight") === 1);
    await bench.until("it is written down", () => bench.journal?.length === text.length);
    assert.equal(bench.journal?.toString("latin1"), text);
    assert.ok(bench.snapshot.requestAtMs > 0);
    finish();
    await bench.idle();
    assert.equal(bench.snapshot.journalBytes, 0);
  });

  it("a body beyond the journal's limit: only its head is known, and it recovers", async (t) => {
    const bench = await AccountBench.start(t, answer, 5000);
    const { arena } = bench.context;
    const { freeBlocks } = arena;
    const body = "b".repeat(20_000);
    const text = post("/body", body, "idempotency-key: 1");
    bench.send(text.slice(0, 15_000));
    await bench.until("bytes", () => bench.counts.read === 15_000);
    await bench.until("given up", () => bench.snapshot.flags === FLAG_JOURNAL_SHORT);
    assert.equal(bench.verdict().kind, "refuse");
    const { journalBlock, journalBytes } = bench.snapshot;
    const kept = arena.read(journalBlock, journalBytes)?.toString("latin1");
    assert.equal(kept, text.slice(0, BLOCK_PAYLOAD_BYTES), "it can be named");
    assert.equal(arena.freeBlocks, freeBlocks - 1);
    bench.send(text.slice(15_000));
    await bench.idle();
    assert.equal(bench.snapshot.flags, 0);
    assert.equal(arena.freeBlocks, freeBlocks);
    bench.send(request("GET", "/slow"));
    await bench.until("a GET in flight", () => bench.verdict().kind === "replay");
    await bench.idle();
  });

  it("when the arena has no block left, that is counted, and the request is served", async (t) => {
    const bench = await AccountBench.start(t, answer);
    const { arena } = bench.context;
    const taken: number[] = [];
    while (arena.freeBlocks > 1) taken.push(arena.allocate(-1));
    const text = post("/body", "c".repeat(10_000));
    bench.send(text);
    await bench.idle();
    assert.ok(bench.context.ledger.workers.int(0, "journalFull") >= 1);
    await bench.until("the echo", () => bench.client.text.endsWith("c".repeat(10_000)));
    assert.equal(arena.freeBlocks, 1);
    taken.forEach((block) => arena.release(block));
  });

  it("a body that ends with an empty line arrives as it was sent", async (t) => {
    const seen: string[] = [];
    const bench = await AccountBench.start(t, (req, res) => {
      const chunks: Buffer[] = [];
      req.on("data", (chunk: Buffer) => chunks.push(chunk));
      req.on("end", () => {
        setImmediate(() => seen.push(Buffer.concat(chunks).toString()));
        res.end();
      });
    });
    for (const body of ["first\r\n\r\n", "second\r\n\r\n", "third\r\n\r\n"]) {
      bench.send(post("/", body));
      await bench.idle();
    }
    await bench.until("three bodies", () => seen.length === 3);
    assert.deepEqual(seen, ["first\r\n\r\n", "second\r\n\r\n", "third\r\n\r\n"]);
  });

  it("a head outside ASCII is longer than it says; the counts are true after it", async (t) => {
    const bench = await AccountBench.start(t, (_, res) => {
      res.setHeader("x-name", "gr\u00fcn");
      res.end("grün, €");
    });
    for (let count = 0; count < 3; count += 1) {
      bench.send(request("GET", "/"));
      await bench.idle();
      assert.equal(bench.snapshot.quiescentWritten, bench.counts.written);
    }
  });

  it("an answer before the whole body is no quiescent point", async (t) => {
    const bench = await AccountBench.start(t, answer);
    const text = post("/early", "0123456789");
    bench.send(text.slice(0, -5));
    await bench.client.receives(bench.client.text);
    await bench.until("the answer", () => bench.client.text.includes("before the body"));
    assert.equal(bench.snapshot.state, STATE.busy);
    assert.equal(bench.verdict().kind, "abort");
    bench.send(text.slice(-5));
    await bench.idle();
  });

  it("an answer not taken at once, and the next request before the heartbeat", async (t) => {
    const bench = await AccountBench.start(t, answer);
    bench.client.socket.pause();
    bench.send(request("GET", "/big"));
    await bench.until("a part has left", () => bench.counts.written > 0);
    assert.equal(bench.verdict().kind, "abort");
    bench.client.socket.resume();
    await bench.until("all has come", () => bench.client.bytes > BIG);
    bench.send(request("PUT", "/"));
    await bench.until("the second answer", () => bench.client.text.endsWith("fine"));
    const verdict = bench.verdict();
    assert.notEqual(verdict.kind, "replay", "both are answered");
    await bench.idle();
  });

  it("the application throws: the request stays in flight, nothing is acted on", async (t) => {
    const bench = await AccountBench.start(t, (req, res) => {
      setImmediate(() => answer(req, res));
    });
    bench.send(request("GET", "/slow"));
    await bench.until("in flight", () => bench.snapshot.state === STATE.busy);
    assert.equal(bench.context.ledger.workers.int(0, "executing"), 0);
    assert.equal(bench.context.ledger.workers.int(0, "inboxSlot"), 0);
    await bench.idle();
  });

  it("while the application acts on a request, the ledger says whose it is", async (t) => {
    const seen: number[] = [];
    const bench: AccountBench = await AccountBench.start(t, (_, res) => {
      seen.push(bench.context.ledger.workers.int(0, "executing"));
      assert.equal(bench.verdict().kind, "replay", "all of it is in the ledger already");
      res.end();
    });
    bench.send(request("GET", "/"));
    await bench.idle();
    assert.deepEqual(seen, [1]);
    assert.equal(bench.context.ledger.workers.int(0, "executing"), 0);
  });
});

describe("the end of a connection", () => {
  it("destroy: the ledger says closed, the client has its FIN despite a duplicate", async (t) => {
    const bench = await AccountBench.start(t, (req) => req.socket.destroy());
    bench.send(request("GET", "/"));
    await bench.client.endsWith("fin");
    assert.equal(bench.snapshot.state, STATE.closed);
    assert.equal(bench.context.accounts.size, 0);
    assert.equal(bench.context.ledger.workers.int(0, "inFlight"), 0);
    assert.ok(bench.context.arena.freeBlocks >= 4096);
  });

  it("resetAndDestroy: the client has its RST although a duplicate is held", async (t) => {
    const bench = await AccountBench.start(t, (req) => req.socket.resetAndDestroy());
    bench.send(request("GET", "/"));
    await bench.client.endsWith("rst");
    assert.equal(bench.snapshot.state, STATE.closed);
  });

  it("Connection: close", async (t) => {
    const bench = await AccountBench.start(t, answer);
    bench.send(request("GET", "/", "connection: close"));
    await bench.client.endsWith("fin");
    assert.ok(bench.client.text.endsWith("fine"));
    await bench.until("closed", () => bench.snapshot.state === STATE.closed);
  });

  it("Connection: close: what the client sends after its FIN is not refused at once", async (t) => {
    const bench = await AccountBench.start(t, answer);
    const held = duplicate(bench.account.handle.fd); // as the reactor has it
    t.after(() => closeDescriptor(held));
    bench.client.socket.pause(); // it does not see its FIN, so it does not answer with one
    bench.send(request("GET", "/", "connection: close"));
    await bench.until("closed", () => bench.snapshot.state === STATE.closed);
    assert.equal(discardBytes(held, stableBuffer(16)), -EAGAIN, "not shut down for reading");
    bench.client.socket.resume();
    await bench.client.endsWith("fin");
  });

  it("an upgrade makes it opaque: nothing in the journal, nothing in the inbox", async (t) => {
    const bench = await AccountBench.start(t, answer);
    const { server } = bench.socket as unknown as { server: http.Server }; // the bench put it there
    server.on("upgrade", (_, socket) => {
      socket.write("HTTP/1.1 101 Switching Protocols\r\n\r\n");
      socket.pipe(socket);
    });
    bench.send(request("GET", "/", "connection: upgrade", "upgrade: echo"));
    await bench.until("101", () => bench.client.text.includes("101"));
    await bench.until("opaque", () => bench.snapshot.state === STATE.opaque);
    bench.send("after");
    await bench.until("the echo", () => bench.client.text.endsWith("after"));
    assert.equal(bench.snapshot.journalBytes, 0);
    assert.equal(bench.context.arena.inbox[0], 0, "what is left there is nobody's");
    assert.equal(bench.context.ledger.workers.int(0, "inFlight"), 0);
    bench.client.socket.end();
    await bench.until("closed", () => bench.snapshot.state === STATE.closed);
  });

  it("release: closed here without a word, when idle and only then", async (t) => {
    const bench = await AccountBench.start(t, answer);
    bench.send(request("GET", "/length"));
    await bench.until("busy", () => bench.snapshot.state === STATE.busy);
    assert.equal(bench.account.release(), false);
    await bench.idle();
    assert.equal(bench.account.release(), true);
    await bench.until("given back", () => bench.socket.destroyed);
    await nextTurn();
    assert.equal(bench.snapshot.state, STATE.released);
    assert.equal(bench.client.ended, "no");
    assert.equal(bench.counts.read, bench.snapshot.quiescentRead);
  });
});

describe("bytes written by hand are never taken for an interim response", () => {
  const head = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n";
  for (const [name, write] of Object.entries<(socket: AccountBench["socket"]) => void>({
    "as text": (socket) => void socket.write(head),
    "as bytes": (socket) => void socket.write(Buffer.from(head)),
    "as bytes, in two parts": (socket) => {
      socket.write(Buffer.from(head.slice(0, 10)));
      setImmediate(() => socket.write(Buffer.from(head.slice(10))));
    },
    "and a real one behind it": (socket) => void socket.write(head),
  })) {
    it(name, async (t) => {
      const bench = await AccountBench.start(t, (req, res) => {
        write(req.socket);
        if (name.startsWith("and")) setImmediate(() => res.writeProcessing());
      });
      bench.send(request("GET", "/"));
      await bench.until("the head", () => bench.client.text.startsWith(head));
      for (let turn = 0; turn < 5; turn += 1) {
        await nextTurn();
        assert.equal(bench.verdict().kind, "abort");
      }
    });
  }
});

describe("a worker may die at any moment of any exchange", () => {
  const small = Object.keys(ANSWERS).filter((path) => !path.startsWith("/big"));
  const plain = fc.constantFrom(...small).map((path) => request("GET", path));
  const head = fc.constantFrom("/", "/chunks", "/empty").map((path) => request("HEAD", path));
  const withBody = fc
    .tuple(
      fc.constantFrom("/body", "/early", "/"),
      fc.constantFrom("", "abc", "x\r\n\r\n", "y".repeat(3000)),
      fc.boolean(),
    )
    .map(([path, body, isChunked]) =>
      isChunked && body !== ""
        ? request("PUT", path, "transfer-encoding: chunked") +
          `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`
        : post(path, body),
    );
  const pipeline = fc.array(fc.oneof(plain, head, withBody), { minLength: 1, maxLength: 6 });
  /** Where the bytes are cut, and how many turns of the event loop pass there. */
  const cuts = fc.array(fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.nat(3)), {
    maxLength: 5,
  });

  it("and the verdict is true: nothing answered is repeated, nothing else dropped", async (t) => {
    let sittings = 0;
    await fc.assert(
      fc.asyncProperty(pipeline, cuts, async (requests, places) => {
        const bench = await AccountBench.start(t, answer);
        const text = requests.join("");
        const at = places
          .map(([fraction, turns]) => ({ end: Math.floor(fraction * text.length), turns }))
          .toSorted((a, b) => a.end - b.end);
        let from = 0;
        for (const { end, turns } of [...at, { end: text.length, turns: 0 }]) {
          if (end > from) bench.send(text.slice(from, end));
          from = end;
          for (let turn = 0; turn < turns; turn += 1) {
            await nextTurn();
            bench.sit();
          }
        }
        await bench.idle();
        assert.deepEqual(bench.needlessAborts, []);
        for (const count of bench.verdicts.values()) sittings += count;
        bench.socket.destroy();
      }),
      { numRuns: 30, endOnFailure: true },
    );
    assert.ok(sittings > 100, `${sittings} sittings`);
  });
});
