// A service asks an upstream that can do 300 requests a second, gets twice as many, and the
// upstream takes 5 s instead of 100 ms for a while. With `fetch` everything piles up in the
// service; with `pool()` it is bounded, and other routes do not notice.
//
//   npm run example -- slow-upstream
import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";
import { setTimeout as delay } from "node:timers/promises";

const file = (path) => fileURLToPath(new URL(path, import.meta.url));
const RATE = 600;
const SECONDS = 12;

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

function start(script, env) {
  return spawn(process.execPath, ["--expose-gc", script], {
    env: { ...process.env, ...env },
    stdio: "inherit",
  });
}

async function load(port, path, rate, connections, deadlineMs) {
  const order = { port, path, rate, connections, deadlineMs, warmUpMs: 0, seed: 1 };
  const script = file("../../bench/overload/load.ts");
  const args = [script, JSON.stringify({ ...order, measuredMs: 1000 * SECONDS })];
  const child = spawn(process.execPath, args);
  let text = "";
  for await (const chunk of child.stdout) text += chunk;
  return JSON.parse(text);
}

/** Bytes that are in use after a garbage collection. */
async function memory(url) {
  return Number(await (await fetch(`${url}/memory`)).text());
}

async function measured(client, becomesSlow) {
  const [up, own] = [await freePort(), await freePort()];
  const url = `http://127.0.0.1:${own}`;
  const upstream = start(file("support/upstream.mjs"), { PORT: String(up) });
  const env = { PORT: String(own), UPSTREAM: `http://127.0.0.1:${up}`, CLIENT: client };
  const service = start(file("support/service.mjs"), env);
  try {
    let before = null;
    while (before === null) {
      await delay(50);
      before = await memory(url).catch(() => null);
    }
    const slow = load(own, "/slow", RATE, 2000, 1000);
    const fast = load(own, "/fast", 50, 50, 1000);
    await delay(4000);
    if (becomesSlow) upstream.kill("SIGUSR2");
    await delay(2800);
    const grown = (await memory(url)) - before;
    if (becomesSlow) upstream.kill("SIGUSR2");
    const results = { slow: await slow, fast: await fast };
    return { ...results, heapMB: grown / 1e6 };
  } finally {
    for (const child of [service, upstream]) {
      child.kill("SIGKILL");
      await new Promise((resolve) => child.once("exit", resolve));
    }
  }
}

function say(name, { slow, fast, heapMB }) {
  console.log(
    `${name.padEnd(22)} ${slow.good} of ${slow.sent} within 1 s, ${slow.refused} refused; ` +
      `heap grew by ${Math.round(heapMB)} MB; /fast: p99 ${fast.p99Ms.toFixed(1)} ms, ` +
      `${fast.good} of ${fast.sent}`,
  );
}

console.log(
  `${RATE} requests a second; the upstream can do 300, and 6 for three seconds of them\n`,
);
say("fetch", await measured("fetch", true));
say("pool()", await measured("pool", true));
say("pool(), never so slow", await measured("pool", false));
