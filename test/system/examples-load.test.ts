/** The load that the examples of overload put on: what they print depends on its counts. */
import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { it } from "node:test";
import { fileURLToPath } from "node:url";
import { run } from "../../bench/support/mod.ts";

const script = fileURLToPath(new URL("../../bench/overload/load.ts", import.meta.url));

it("the open loop alone counts what was answered, by path and by status", async (t) => {
  const paths = new Set<string>();
  let requests = 0;
  const server = http.createServer((request, response) => {
    paths.add(request.url ?? "");
    requests += 1;
    response.statusCode = requests % 4 === 0 ? 503 : 200;
    response.end("done");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo; // of a port
  const times = { warmUpMs: 0, measuredMs: 500, deadlineMs: 5_000 };
  const order = { port, path: "/slow", rate: 200, connections: 20, seed: 1, ...times };
  const { code, output } = await run(process.execPath, [script, JSON.stringify(order)], {
    deadlineMs: 60_000,
  });
  assert.equal(code, 0, output);
  const { sent, good, refused } = JSON.parse(output.slice(output.indexOf("{"))) as {
    readonly [name: string]: number;
  };
  assert.deepEqual([...paths], ["/slow"]);
  assert.ok((sent ?? 0) > 20, output);
  assert.equal(requests, sent);
  assert.equal(refused, Math.floor(requests / 4));
  assert.equal(good, requests - Math.floor(requests / 4));
});
