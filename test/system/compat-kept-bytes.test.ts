/**
 * An application may keep what node:http gives it: no later read may change it, and it shows
 * nothing of other connections.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { app } from "./support/paths.ts";
import { RawConnection } from "./support/raw-client.ts";
import { startService } from "./support/service.ts";

const GARBAGE = "GET / HTTP/1.1\r\nhost: t\r\nbad header\x01: x\r\n\r\n";
const UPGRADE = "GET / HTTP/1.1\r\nhost: t\r\nconnection: upgrade\r\nupgrade: raw\r\n\r\n";
const CONNECT = "CONNECT there:1 HTTP/1.1\r\nhost: there:1\r\n\r\n";

interface Kept {
  readonly body: readonly string[];
  readonly head: readonly string[];
  readonly packet: readonly string[];
  readonly code: readonly string[];
}

describe("what the application keeps stays as it was", () => {
  for (const node of [22, 24, 26] as const) {
    it(`on Node ${node}`, async (t) => {
      const service = await startService(t, { entry: app("kept.cjs"), node, workers: 1 });
      const target = await service.target();
      const exchange = async (bytes: string): Promise<number> => {
        const connection = await RawConnection.open(target);
        connection.send(bytes);
        const { status } = await connection.readHead();
        connection.close();
        return status;
      };
      assert.equal(await exchange(`${UPGRADE}first words`), 101);
      assert.equal(await exchange(`${CONNECT}second words`), 200);
      assert.equal(await exchange(GARBAGE), 400);

      const connection = await RawConnection.open(target);
      const bodies = Array.from({ length: 20 }, (_, index) => `body ${index} `.repeat(1 + index));
      for (const body of bodies) {
        connection.sendRequest("POST", "/", { body });
        assert.equal((await connection.readResponse()).status, 200);
      }
      connection.sendRequest("GET", "/");
      const kept = JSON.parse((await connection.readResponse()).text) as Kept; // of kept.cjs
      connection.close();
      assert.equal(kept.body.join(""), bodies.join(""));
      assert.deepEqual(kept.head, ["first words", "second words"]);
      assert.deepEqual(kept.packet, [GARBAGE]);
      assert.deepEqual(kept.code, ["HPE_INVALID_HEADER_TOKEN"]);
    });
  }
});
