/** A worker is killed: what becomes of idle connections, and of requests that were read whole. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  VerdictService,
  afterDeath,
  expectRefused,
  expectReplayed,
  requestBytes,
} from "./support/verdict.ts";
import type { Situation } from "./support/verdict.ts";
import { kill } from "./support/processes.ts";

/** Sends one request and waits until it is in flight. */
function inFlight(
  method: string,
  lines: readonly string[],
  body: string,
  outcome: Situation["outcome"],
): Situation {
  return {
    prepare: async (connection, world, id) => {
      const framing = body === "" ? [] : [`content-length: ${body.length}`];
      connection.send(requestBytes(method, "/hold", id, [...framing, ...lines]) + body);
      await world.executed(id);
      await world.taken(connection);
    },
    outcome,
  };
}

/** Executed again, by another worker, and answered once. */
function replayed(text: RegExp): Situation["outcome"] {
  return async (connection, world, id) => {
    await expectReplayed(connection, text);
    const pids = world.executions(id);
    assert.equal(new Set(pids).size, 2, pids.join(" "));
    assert.equal(pids.length, 2);
  };
}

function refused(status: number): Situation["outcome"] {
  return async (connection, world, id) => {
    await expectRefused(connection, status);
    assert.equal(world.executions(id).length, 1, "executed once");
  };
}

describe("the worker dies, and a connection", () => {
  afterDeath({
    "that is idle serves on": {
      prepare: async () => undefined,
      outcome: async (connection) => {
        for (let count = 0; count < 3; count += 1) {
          assert.equal((await connection.request("GET", "/")).status, 200);
        }
      },
    },
    "with a GET: replayed": inFlight("GET", [], "", replayed(/^GET 0 /)),
    "with a GET with a body: replayed": inFlight("GET", [], "abc", replayed(/^GET 3 /)),
    "with a DELETE: replayed": inFlight("DELETE", [], "", replayed(/^DELETE 0 /)),
    "with a PUT and its body: replayed": inFlight("PUT", [], "abc", replayed(/^PUT 3 /)),
    "with a POST: 503, executed once": inFlight("POST", [], "abc", refused(503)),
    "with a PATCH: 503, executed once": inFlight("PATCH", [], "abc", refused(503)),
    "with a POST without a body: 503": inFlight("POST", ["content-length: 0"], "", refused(503)),
    "with a POST that has an Idempotency-Key: replayed": inFlight(
      "POST",
      ["idempotency-key: k1"],
      "abc",
      replayed(/^POST 3 /),
    ),
    "with a HEAD: replayed": {
      prepare: async (connection, world, id) => {
        connection.sendRequest("HEAD", "/hold", { headers: { "x-id": id } });
        await world.executed(id);
      },
      outcome: async (connection, world, id) => {
        const response = await connection.readResponse();
        assert.equal(response.status, 200);
        assert.equal(response.body.length, 0);
        assert.equal((await connection.request("GET", "/")).status, 200);
        assert.equal(world.executions(id).length, 2);
      },
    },
    "with two pipelined GETs, none answered: both replayed": {
      prepare: async (connection, world, id) => {
        connection.send(requestBytes("GET", "/hold", `${id}1`).repeat(1));
        connection.send(requestBytes("GET", "/hold", `${id}2`));
        await world.executed(`${id}2`);
      },
      outcome: async (connection) => {
        assert.match((await connection.readResponse()).text, /^GET 0 /);
        await expectReplayed(connection, /^GET 0 /);
      },
    },
    "with two pipelined GETs, the first answered: the second is replayed": {
      prepare: async (connection, world, id) => {
        connection.send(requestBytes("GET", "/first", id) + requestBytes("GET", "/hold", id));
        assert.equal((await connection.readResponse()).text, "first");
        await world.executed(id);
      },
      outcome: async (connection, world, id) => {
        await expectReplayed(connection, /^GET 0 /);
        assert.equal(world.executions(id).length, 2);
      },
    },
    "with a POST pipelined behind an answered GET: 503": {
      prepare: async (connection, world, id) => {
        connection.send(requestBytes("GET", "/first", id));
        connection.send(`${requestBytes("POST", "/hold", id, ["content-length: 3"])}abc`);
        assert.equal((await connection.readResponse()).text, "first");
        await world.executed(id);
        await world.taken(connection);
      },
      outcome: refused(503),
    },
    "whose client has half closed: replayed, answered, ended": {
      prepare: async (connection, world, id) => {
        connection.send(requestBytes("GET", "/hold", id, ["connection: close"]));
        await world.executed(id);
      },
      outcome: async (connection, world, id) => {
        assert.match((await connection.readResponse()).text, /^GET 0 /);
        assert.equal(await connection.waitForEnd(), "fin");
        assert.equal(world.executions(id).length, 2);
      },
    },
  });
});

describe("the worker dies, and --replay safe", () => {
  afterDeath(
    {
      "replays a GET": inFlight("GET", [], "", replayed(/^GET 0 /)),
      "refuses a PUT": inFlight("PUT", [], "abc", refused(503)),
      "refuses a POST with an Idempotency-Key": inFlight(
        "POST",
        ["idempotency-key: k"],
        "abc",
        refused(503),
      ),
    },
    { flags: ["--replay", "safe"] },
  );
});

describe("the worker dies, and --replay off", () => {
  afterDeath(
    {
      "refuses a GET": inFlight("GET", [], "", refused(503)),
      "moves an idle connection": {
        prepare: async () => undefined,
        outcome: async (connection) => {
          assert.equal((await connection.request("GET", "/")).status, 200);
        },
      },
      "goes on with half of a head": {
        prepare: async (connection, world) => {
          connection.send("GET /fir");
          await world.taken(connection);
        },
        outcome: async (connection) => {
          connection.send("st HTTP/1.1\r\nhost: t\r\n\r\n");
          assert.equal((await connection.readResponse()).text, "first");
        },
      },
    },
    { flags: ["--replay", "off"] },
  );
});

it("the totals say what was done", async (t) => {
  const world = await VerdictService.start(t);
  const { pid, connections } = await world.openOnOne(4);
  const [idle, get, post, half] = connections;
  assert.ok(idle && get && post && half);
  get.send(requestBytes("GET", "/hold", "get"));
  post.send(`${requestBytes("POST", "/hold", "post", ["content-length: 3"])}abc`);
  half.send(requestBytes("GET", "/half", "half"));
  for (const id of ["get", "post", "half"]) await world.executed(id);
  await half.readHead();
  kill(pid, "SIGKILL");
  await expectReplayed(get, /^GET 0 /);
  await expectRefused(post, 503);
  assert.equal(await half.waitForEnd(), "rst");
  const status = await world.service.waitForStatus("the totals", ({ totals }) => {
    return (totals["moved"] ?? 0) + (totals["replayed"] ?? 0) >= 2;
  });
  const { moved, replayed: again, refused: not, aborted } = status.totals;
  assert.deepEqual({ moved, again, not, aborted }, { moved: 1, again: 1, not: 1, aborted: 1 });
  for (const connection of connections) connection.close();
});
