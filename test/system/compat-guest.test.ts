/**
 * Holdfast is a guest in the application's process: what the application can see of itself is
 * compared with plain node, and every difference must be in one of the tables below.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Allowed } from "./support/differences.ts";
import { differences, unexpected } from "./support/differences.ts";
import { runOnce, runPlain } from "./support/once.ts";
import { jsonLines } from "./support/output.ts";
import { app } from "./support/paths.ts";
import { startPlain } from "./support/plain.ts";
import { MARK_VARIABLE } from "./support/processes.ts";
import { RawConnection } from "./support/raw-client.ts";
import { startService } from "./support/service.ts";
import type { Target } from "./support/service.ts";

/** What a process may see at its start; `src/worker/README.md` tells users the same. */
const processAllowed: Allowed = [
  [/^cluster\.is(Primary|Worker): /, "a worker is a worker, as under node:cluster"],
  [/^clusterKeys\[\]: /, "node:cluster offers a worker other names than a primary"],
  [/^send: "undefined" -> "function"$/, "process.send('ready') is how a worker says so"],
  [/^connected: missing -> true$/, "as above: there is a channel"],
  [/^processKeys\[\]: missing -> "(_?channel|connected|disconnect)"$/, "as above"],
  [/^processKeys\[\]: missing -> "(send|_send|_disconnect|_handleQueue)"$/, "as above"],
  [/^processKeys\[\]: missing -> "(_pendingMessage|Symbol\(kChannelHandle\))"$/, "as above"],
  [/^listeners\.internalMessage: missing -> 1$/, "Node's own, for the channel"],
  [/^listeners\.(newListener|removeListener): [12] -> [234]$/, "Node's own, for the channel"],
  [/^listeners\.exit: missing -> 1$/, "closes our channel before the environment ends"],
  [/^listeners\.uncaughtExceptionMonitor: missing -> 1$/, "who set the callback that failed"],
  [/^modules\.cache\[\]: missing -> ".*\/worker\/(preload\.cjs|main\.js)"$/, "our modules"],
  [/^modules\.cache\[\]: missing -> ".*\/koffi[^"]*"$/, "the ledger is mapped memory"],
  [/^stack\[\]: missing -> "at process\.processTicksAndRejections /, "a frame of Node's own"],
  [/^extraDescriptors\[\]: missing -> "(socket|\/memfd:holdfast[^"]*)"$/, "channels, ledger"],
  [/^extraDescriptors\[\]: .*"[^"]*\.(crt|pem)"/, "Node 22 reads certificates in a thread"],
  [/^extraDescriptors\[\]: missing -> ".*(\/dist\/.*\.js|\/bin\/node)"$/, "the agent starts"],
];

/** What a request handler may see. */
const handlerAllowed: Allowed = [
  [/resources\[\]: "TCPServerWrap" -> missing$/, "the reactor holds the listening descriptor"],
  [/resources\[\]: missing -> "Timeout"$/, "a listening server keeps its process by a timer"],
  [/resources\[\]: missing -> "PipeWrap"$/, "the channel, while it is used"],
  [/listeners\.internalMessage: missing -> 1$/, "Node's own, for the channel"],
  [/listeners\.(newListener|removeListener): 2 -> [34]$/, "Node's own, for the channel"],
  [/listeners\.exit: missing -> 1$/, "closes our channel before the environment ends"],
  [/listeners\.uncaughtExceptionMonitor: missing -> 1$/, "who set the callback that failed"],
];

/** Variables that differ between any two starts. */
const env = { GIVEN_BY_USER: "yes", NODE_ENV: "production", HOLDFAST_RUNTIME_DIR: "set below" };

describe("an application sees what it sees under plain node", () => {
  for (const node of [22, 24, 26] as const) {
    it(`of its process, Node ${node}`, async () => {
      const [plain, ours] = await factsOf("guest.cjs", { node });
      const { builtins: plainFunctions, ...plainFacts } = plain;
      const { builtins: ourFunctions, ...ourFacts } = ours;
      const lines = differences(plainFacts, ourFacts);
      assert.ok(
        lines.some((line) => line.startsWith("cluster.isWorker")),
        "it compares something",
      );
      assert.deepEqual(unexpected(lines, processAllowed), []);
      const names = Object.keys(plainFunctions as object);
      assert.ok(names.length > 2_000, "functions of the built-in modules were looked at");
      assert.deepEqual(unexpected(differences(plainFunctions, ourFunctions), functionsAllowed), []);
    });
  }

  it("of its process, in a module", async () => {
    const [plain, ours] = await factsOf("guest.mjs", {});
    const lines = differences(plain, ours);
    assert.ok(lines.length > 0, "it compares something");
    assert.deepEqual(unexpected(lines, processAllowed), []);
  });

  it("of its connections and its server", async (t) => {
    const entry = app("guest-server.cjs");
    const service = await startService(t, { entry, workers: 1 });
    const target = await service.target();
    const plain = await handlerFacts(await startPlain(t, entry));
    const ours = await handlerFacts(target);
    assert.equal(plain.third["context"], "/facts");
    assert.deepEqual(unexpected(differences(plain, ours), handlerAllowed), []);
  });
});

/** Functions of Node that are replaced in a worker, and why. */
const functionsAllowed: Allowed = [
  [/^cluster\./, "a worker gets node:cluster's names for workers, and our _getServer"],
];

type Facts = Record<string, unknown>;

async function factsOf(
  script: string,
  { node = 24 }: { node?: 22 | 24 | 26 },
): Promise<[plain: Facts, ours: Facts]> {
  const options = { node, env, args: ["an", "argument"] };
  const results = await Promise.all([
    runPlain(app(script), options),
    runOnce(app(script), options),
  ]);
  const facts = results.map(({ stdout, stderr, code }) => {
    assert.equal(code, 0, stderr.toString());
    const [line] = jsonLines<Facts & { env: Record<string, string> }>(stdout.toString());
    assert.ok(line !== undefined, stdout.toString());
    delete line.env[MARK_VARIABLE];
    delete line.env["HOLDFAST_RUNTIME_DIR"];
    return line;
  });
  const [plain, ours] = facts;
  assert.ok(plain !== undefined && ours !== undefined);
  return [plain, ours];
}

/** Facts of the first request of a connection, and of the third one of another. */
async function handlerFacts(target: Target): Promise<{ first: Facts; third: Facts }> {
  const options = { headers: { "x-a": "1", "X-B": "2" } };
  const one = await RawConnection.open(target);
  const first = await one.request("GET", "/facts", options);
  one.close();
  const other = await RawConnection.open(target);
  for (let i = 0; i < 2; i += 1) await other.request("POST", "/", { ...options, body: "body" });
  const third = await other.request("GET", "/facts", options);
  other.close();
  return { first: JSON.parse(first.text) as Facts, third: JSON.parse(third.text) as Facts };
}
