/** A worker is killed while a request is read only in part, or with another framing. */
import assert from "node:assert/strict";
import { describe } from "node:test";
import { afterDeath, expectRefused, expectReplayed, requestBytes } from "./support/verdict.ts";
import type { Situation } from "./support/verdict.ts";

const CHUNKED = "transfer-encoding: chunked";
const CONTINUE = "HTTP/1.1 100 Continue\r\n\r\n";

/** Sends these bytes; the request has begun when they are read. */
function sent(bytes: (id: string) => string, outcome: Situation["outcome"]): Situation {
  return {
    prepare: async (connection, world, id) => {
      connection.send(bytes(id));
      await world.executed(id);
      await world.taken(connection);
    },
    outcome,
  };
}

/** Half of a head: nothing has begun. */
function begun(bytes: (id: string) => string, outcome: Situation["outcome"]): Situation {
  return {
    prepare: async (connection, world, id) => {
      connection.send(bytes(id));
      await world.taken(connection);
    },
    outcome,
  };
}

function put(id: string, bytes: number, ...lines: string[]): string {
  return requestBytes("PUT", "/hold", id, [`content-length: ${bytes}`, ...lines]);
}

const refusedInPart: Situation["outcome"] = async (connection, world, id) => {
  await expectRefused(connection, 502);
  assert.equal(world.executions(id).length, 1);
};

function replayed(text: RegExp): Situation["outcome"] {
  return async (connection, world, id) => {
    await expectReplayed(connection, text);
    assert.equal(world.executions(id).length, 2);
  };
}

describe("the worker dies with", () => {
  afterDeath({
    "one byte of a head: the rest is sent later, and answered": begun(
      () => "G",
      async (connection) => {
        connection.send("ET /first HTTP/1.1\r\nhost: t\r\n\r\n");
        assert.equal((await connection.readResponse()).text, "first");
      },
    ),
    "half of a head: the rest is sent later, and answered": begun(
      () => "GET /first HTTP/1.1\r\nhost: ",
      async (connection) => {
        connection.send("t\r\n\r\n");
        assert.equal((await connection.readResponse()).text, "first");
      },
    ),
    "half of a POST's head: executed once": begun(
      (id) => requestBytes("POST", "/hold", id, ["content-length: 3"]).slice(0, -2),
      async (connection, world, id) => {
        connection.send("\r\nabc");
        await world.executed(id);
        assert.equal(world.executions(id).length, 1);
        assert.equal(connection.ended, "open");
      },
    ),
    "half of a PUT's body: 502, and what is still sent is read": sent(
      (id) => put(id, 2_000_000) + "x".repeat(1000),
      async (connection, world, id) => {
        connection.send("x".repeat(1_999_000));
        await refusedInPart(connection, world, id);
      },
    ),
    "half of a POST's body: 502": sent(
      (id) => `${requestBytes("POST", "/hold", id, ["content-length: 6"])}abc`,
      refusedInPart,
    ),
    "a head of which the body has not come: 502": sent((id) => put(id, 3), refusedInPart),
    "a chunked PUT, whole: replayed": sent(
      (id) => `${requestBytes("PUT", "/hold", id, [CHUNKED])}3;a=b\r\nabc\r\n0\r\nx-t: 1\r\n\r\n`,
      replayed(/^PUT 3 /),
    ),
    "a chunked PUT without its last chunk: 502": sent(
      (id) => `${requestBytes("PUT", "/hold", id, [CHUNKED])}3\r\nabc\r\n`,
      refusedInPart,
    ),
    "a chunked PUT in the middle of a chunk: 502": sent(
      (id) => `${requestBytes("PUT", "/hold", id, [CHUNKED])}5\r\nab`,
      refusedInPart,
    ),
    "a chunked POST, whole: 503": sent(
      (id) => `${requestBytes("POST", "/hold", id, [CHUNKED])}3\r\nabc\r\n0\r\n\r\n`,
      async (connection) => expectRefused(connection, 503),
    ),
    "a body of many reads: replayed, every byte": sent(
      (id) => put(id, 60_000) + "x".repeat(60_000),
      replayed(/^PUT 60000 /),
    ),
    "a body beyond the journal's limit: 503": sent(
      (id) => put(id, 200_000) + "x".repeat(200_000),
      async (connection) => expectRefused(connection, 503),
    ),
    "Expect: 100-continue, the body not sent yet: 502": {
      prepare: async (connection, world, id) => {
        connection.send(put(id, 3, "expect: 100-continue"));
        assert.equal((await connection.readBytes(CONTINUE.length)).toString(), CONTINUE);
        await world.executed(id);
      },
      outcome: refusedInPart,
    },
    "Expect: 100-continue, the body there: replayed, the 100 comes again": {
      prepare: async (connection, world, id) => {
        connection.send(put(id, 3, "expect: 100-continue"));
        assert.equal((await connection.readBytes(CONTINUE.length)).toString(), CONTINUE);
        connection.send("abc");
        await world.executed(id);
        await world.taken(connection);
      },
      outcome: async (connection, world, id) => {
        const response = await expectReplayed(connection, /^PUT 3 /);
        assert.deepEqual(response.informational, [100]);
        assert.equal(world.executions(id).length, 2);
      },
    },
    "Expect: 100-continue and a POST: 503": {
      prepare: async (connection, world, id) => {
        const lines = ["content-length: 3", "expect: 100-continue"];
        connection.send(`${requestBytes("POST", "/hold", id, lines)}abc`);
        assert.equal((await connection.readBytes(CONTINUE.length)).toString(), CONTINUE);
        await world.executed(id);
        await world.taken(connection);
      },
      outcome: async (connection) => expectRefused(connection, 503),
    },
  });
});

describe("the worker dies, and with --journal-limit 1MiB", () => {
  afterDeath(
    {
      "a body of 900 KB is replayed, every byte": sent(
        (id) => put(id, 900_000) + "x".repeat(900_000),
        replayed(/^PUT 900000 /),
      ),
      "a body of 1.2 MB is refused": sent(
        (id) => put(id, 1_200_000) + "x".repeat(1_200_000),
        async (connection) => expectRefused(connection, 503),
      ),
    },
    { flags: ["--journal-limit", "1MiB"] },
  );
});
