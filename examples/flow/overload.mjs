// An ordinary server at twice its capacity: with plain Node nothing is answered in time any more;
// with `holdfast run --gate auto` the same file, unmodified, goes on at its capacity.
//
//   npm run example -- overload
import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";
import { setTimeout as delay } from "node:timers/promises";

const root = new URL("../../", import.meta.url);
const file = (path) => fileURLToPath(new URL(path, root));
const app = file("bench/overload/apps/http.cjs"); // 5 ms of waiting, 4 ms of work for each request
const RATE = 500;
const SECONDS = 4;

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

async function measured(args) {
  const port = await freePort();
  const env = { ...process.env, PORT: String(port) };
  const service = spawn(process.execPath, args, { env, stdio: "ignore" });
  try {
    for (;;) {
      const there = await fetch(`http://127.0.0.1:${port}/`).then(
        (r) => r.text(),
        () => null,
      );
      if (there !== null) break;
      if (service.exitCode !== null) throw new Error(`${args.join(" ")} has ended`);
      await delay(50);
    }
    const order = { port, path: "/", rate: RATE, connections: 800, deadlineMs: 250 };
    const times = { warmUpMs: 2000, measuredMs: 1000 * SECONDS, seed: 1 };
    const load = spawn(process.execPath, [
      file("bench/overload/load.ts"),
      JSON.stringify({ ...order, ...times }),
    ]);
    let text = "";
    for await (const chunk of load.stdout) text += chunk;
    return JSON.parse(text);
  } finally {
    service.kill();
    await new Promise((resolve) => service.once("exit", resolve));
  }
}

function say(name, { good, refused, late, failed, p99Ms }) {
  const line = `${Math.round(good / SECONDS)} answers a second in time`;
  const rest = `${refused} refused, ${late + failed} too late or never`;
  const slowest = good > 0 ? `, p99 ${Math.round(p99Ms)} ms` : "";
  console.log(`${name.padEnd(28)} ${line}${slowest}; ${rest}`);
}

console.log(`${RATE} requests a second to a server that can do some 240, deadline 250 ms\n`);
say("node server.js", await measured([app]));
const flags = ["--workers", "1", "--name", `overload-${process.pid}`, "--gate", "auto"];
say("holdfast run --gate auto", await measured([file("dist/cli/main.js"), "run", ...flags, app]));
