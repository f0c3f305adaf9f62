/** A worker is killed when part of a response has left, or ends connections and dies with it. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { RawConnection } from "./support/raw-client.ts";
import { VerdictService, afterDeath, requestBytes } from "./support/verdict.ts";

async function isReset(connection: RawConnection): Promise<void> {
  await assert.rejects(connection.readResponse(), { name: "IncompleteError" });
  assert.equal(connection.ended, "rst", "it must not look whole");
}

function partOf(path: string, ...lines: string[]): Parameters<typeof afterDeath>[0][string] {
  return {
    prepare: async (connection, world, id) => {
      connection.send(requestBytes("GET", path, id, lines));
      await world.executed(id);
      const endsAt = "half".length;
      await connection.readHead();
      assert.ok(((await connection.readBody())?.length ?? 0) === endsAt);
    },
    outcome: async (connection, world, id) => {
      await assert.rejects(connection.readBody(), { name: "IncompleteError" });
      assert.equal(connection.ended, "rst", "it must not look whole");
      assert.equal(world.executions(id).length, 1, "and it is not executed again");
      const { totals } = await world.service.status();
      assert.ok((totals["aborted"] ?? 0) >= 2, "it is counted");
    },
  };
}

describe("the worker dies when half of a response has left", () => {
  afterDeath({ "with chunks": partOf("/half"), "with a length": partOf("/length") });
});

describe("a connection that the application ends reaches its client at once", () => {
  const ends: [string, string, "fin" | "rst"][] = [
    ["destroy", "/destroy", "fin"],
    ["destroy, and the worker dies in the same turn", "/destroy?kill", "fin"],
    ["resetAndDestroy", "/reset", "rst"],
    ["resetAndDestroy, and the worker dies in the same turn", "/reset?kill", "rst"],
  ];
  for (const [name, target, ended] of ends) {
    it(name, async (t) => {
      const world = await VerdictService.start(t);
      const { connection } = await world.open();
      connection.send(requestBytes("GET", target, "end"));
      assert.equal(await connection.waitForEnd(), ended);
      if (ended === "rst") await isReset(connection);
      assert.equal(connection.unread.length, 0);
      connection.close();
    });
  }
});
