// ioredis against a Redis that has stopped: without a bound every command waits in memory; with
// guard() the caller is told. Needs redis-server (Debian: apt-get install redis-server).
//
//   npm run example -- redis-guard
import { spawn } from "node:child_process";
import { setTimeout as delay } from "node:timers/promises";
import { Redis } from "ioredis";
import { guard, inFlight } from "holdfast/flow";

const port = 6399;
const server = spawn("redis-server", ["--port", String(port), "--save", ""], { stdio: "ignore" });
server.once("error", () => {
  console.error("redis-server is not installed: apt-get install redis-server");
  process.exit(1);
});
await delay(1000);

async function ask(redis, name) {
  await redis.set("key", "value");
  server.kill("SIGSTOP");
  const commands = Array.from({ length: 10_000 }, () => redis.get("key"));
  const outcome = Promise.allSettled(commands);
  await delay(500);
  const waiting = inFlight().filter(({ kind }) => kind === "op").length;
  server.kill("SIGCONT");
  const results = await outcome;
  const refused = results.filter(({ reason }) => reason?.code === "ERR_HOLDFAST_OVERLOADED").length;
  console.log(`${name}: 10000 commands while Redis stands still: ${refused} refused at once or`);
  console.log(
    `  after a second, ${10_000 - refused} answered; ${waiting} in the accounts meanwhile`,
  );
}

const plain = new Redis({ port });
await ask(plain, "ioredis");
await ask(guard(plain, { limit: 100, queue: { max: 500 } }), "guard(ioredis)");
plain.disconnect();
server.kill();
