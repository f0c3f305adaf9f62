/** The diagnostics channels of libraries, as `holdfast probes --channels` says they are. */
import assert from "node:assert/strict";
import net from "node:net";
import type { AddressInfo } from "node:net";
import { it } from "node:test";
import mysql from "mysql2";
import { KNOWN_CHANNELS } from "../../src/trace/mod.ts";
import { LiveTrace } from "./support/live.ts";
import { get } from "./support/load.ts";
import { app } from "./support/paths.ts";
import type { Owner } from "./support/service.ts";
import { startService } from "./support/service.ts";
import { waitFor } from "./support/wait.ts";

/** Answers every command alike: what a client of Redis needs to be content. */
async function startRedis(owner: Owner): Promise<string> {
  const server = net.createServer((socket) => {
    socket.on("error", () => undefined);
    socket.on("data", (chunk) => {
      // an array of texts for each command: *2\r\n$3\r\nGET\r\n...
      for (const _command of String(chunk).matchAll(/^\*\d+\r$/gm)) socket.write("+OK\r\n");
    });
    owner.after(async () => void socket.destroy());
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  owner.after(async () => void server.close());
  return String((server.address() as AddressInfo).port); // it listens at a port
}

/** mysql2's own server: lets everybody in, and answers every query with one row. */
async function startMysql(owner: Owner): Promise<string> {
  const server = mysql.createServer((connection) => {
    connection.serverHandshake({
      protocolVersion: 10,
      serverVersion: "8.0.0",
      connectionId: 1,
      statusFlags: 2,
      characterSet: 8,
      capabilityFlags: 0xff_f7_ff,
    });
    connection.on("query", () => connection.writeOk());
    connection.on("error", () => undefined); // the client ends as it likes
    owner.after(async () => connection.destroy());
  });
  const inner = Reflect.get(server, "_server") as net.Server; // its types do not tell of it
  await new Promise<void>((resolve) => void inner.listen(0, "127.0.0.1", resolve));
  owner.after(async () => void inner.close());
  return String((inner.address() as AddressInfo).port); // it listens at a port
}

const FIRED = [
  "undici:request:create",
  "undici:request:headers",
  "undici:request:trailers",
  "undici:request:error",
  "undici:client:connected",
  "undici:client:connectError",
  "tracing:fastify.request.handler:start",
  "tracing:ioredis:command:start",
  "tracing:ioredis:command:asyncEnd",
  "tracing:ioredis:batch:start",
  "tracing:ioredis:connect:start",
  "tracing:mysql2:connect:start",
  "tracing:mysql2:query:start",
  "tracing:mysql2:query:asyncEnd",
];

it("undici, fastify, ioredis and mysql2 tell what the list says they tell", async (t) => {
  const env = { REDIS_PORT: await startRedis(t), MYSQL_PORT: await startMysql(t) };
  const entry = app("live/libraries.mjs");
  const service = await startService(t, { entry, workers: 1, env });
  const known = KNOWN_CHANNELS.filter(({ name }) => FIRED.includes(name));
  assert.equal(known.length, FIRED.length);
  const wanted = known
    .flatMap(({ name, members }) => members.map((each) => `${name} ${each}`))
    .filter((each) => !/:asyncEnd error$|:start database$/.test(each)); // there is none
  const program = known.map(({ name, members }) => {
    const statements = members.map((member) => {
      return `@n["${name} ${member}"] = sum(msg.${member} == undefined ? 0 : 1)`;
    });
    return `dc:${name} { ${statements.join("; ")} }`;
  });
  const ready = "fetch:done { @asked[target, verb, code] = count() }";
  const trace = await LiveTrace.start(t, service, [...program, ready].join("\n"));
  const target = await service.target();
  const missing = (): readonly string[] => {
    const line = trace.lines.findLast(({ event }) => event === "aggregations");
    return line === undefined
      ? wanted
      : wanted.filter((key) => !((trace.row(line, "n", key) ?? 0) > 0));
  };
  assert.equal((await get(target, "/all")).text, "all");
  await waitFor(
    "every member",
    () => missing().length === 0,
    20_000,
    () => `missing: ${missing().join(", ")}\n${trace.describe().slice(-2000)}`,
  );
  await trace.waitForRow("asked", "/small,GET,200", 1);
  assert.equal(await trace.interrupt(), 0, trace.describe());
});
