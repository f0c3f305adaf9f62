/**
 * An open loop over connections that are there already, as a load balancer's pool is: requests
 * come when they come (a Poisson process), and a client that has waited `deadlineMs` closes its
 * connection and makes another one.
 *
 * It never sleeps while it measures: on one machine who answers pays for waking the client, and a
 * server that refuses much the most; a client elsewhere costs it nothing of the kind.
 *
 * Started as a process of its own: `node load.ts <JSON of LoadOrder>`; prints `LoadResult`.
 */
import net from "node:net";
import { setTimeout as delay } from "node:timers/promises";

export interface LoadOrder {
  readonly port: number;
  readonly path: string;
  /** Requests a second; 0: a closed loop, each connection asks again when it has its answer. */
  readonly rate: number;
  readonly connections: number;
  readonly deadlineMs: number;
  /** Before anything is counted. */
  readonly warmUpMs: number;
  readonly measuredMs: number;
  readonly seed: number;
}

export interface LoadResult {
  readonly sent: number;
  /** Answered with 200 in time. */
  readonly good: number;
  readonly refused: number;
  readonly late: number;
  readonly failed: number;
  /** There was no idle connection. */
  readonly skipped: number;
  /** Of what was good. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly refusedP50Ms: number;
}

/** A generator with a seed (mulberry32). */
function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

class Client {
  readonly #order: LoadOrder;
  readonly #request: string;
  readonly #idle: net.Socket[] = [];
  readonly good: number[] = [];
  readonly refusedMs: number[] = [];
  counts = { sent: 0, late: 0, failed: 0, skipped: 0 };
  isCounting = false;
  #isOver = false;

  constructor(order: LoadOrder) {
    this.#order = order;
    this.#request = `GET ${order.path} HTTP/1.1\r\nHost: bench\r\n\r\n`;
  }

  async open(): Promise<void> {
    for (let count = 0; count < this.#order.connections; count += 1) {
      this.#connect();
      if (count % 50 === 49) await delay(20);
    }
    await delay(500);
  }

  #connect(): void {
    const socket = net.connect(this.#order.port, "127.0.0.1");
    socket.setNoDelay(true);
    socket.on("connect", () => this.#idle.push(socket));
    socket.on("error", () => undefined); // "close" follows, and that is looked at
    socket.on("close", () => {
      const at = this.#idle.indexOf(socket);
      if (at >= 0) this.#idle.splice(at, 1);
      if (!this.#isOver) setTimeout(() => this.#isOver || this.#connect(), 10);
    });
  }

  /** Sends one request, when there is a connection for it. */
  send(isCounted = this.isCounting): void {
    const socket = this.#idle.shift();
    if (isCounted) this.counts.sent += 1;
    if (socket === undefined) {
      if (isCounted) this.counts.skipped += 1;
      return;
    }
    const startMs = performance.now();
    let text = "";
    const finish = (): void => {
      clearTimeout(timer);
      socket.off("data", onData);
      socket.off("close", onClose);
    };
    const onData = (chunk: Buffer): void => {
      text += chunk.toString("latin1");
      const status = statusOfWhole(text);
      if (status === 0) return;
      finish();
      if (/^connection: close/im.test(text)) socket.end();
      else this.#idle.push(socket);
      if (this.#order.rate === 0 && !this.#isOver) this.send(this.isCounting);
      if (!isCounted) return;
      const ms = performance.now() - startMs;
      if (status === 503) this.refusedMs.push(ms);
      else if (status === 200 && ms <= this.#order.deadlineMs) this.good.push(ms);
      else if (status === 200) this.counts.late += 1;
      else this.counts.failed += 1;
    };
    const onClose = (): void => {
      finish();
      if (isCounted) this.counts.failed += 1;
    };
    const timer = setTimeout(() => {
      finish();
      socket.destroy();
      if (isCounted) this.counts.late += 1;
    }, this.#order.deadlineMs);
    socket.on("data", onData);
    socket.on("close", onClose);
    socket.write(this.#request);
  }

  close(): void {
    this.#isOver = true;
    for (const socket of this.#idle) socket.destroy();
  }
}

/** The status of a response that is all there; 0: it is not. */
function statusOfWhole(text: string): number {
  const head = text.indexOf("\r\n\r\n");
  if (head < 0) return 0;
  const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? Number.NaN);
  const isWhole = Number.isNaN(length)
    ? text.endsWith("0\r\n\r\n")
    : text.length >= head + 4 + length;
  return isWhole ? Number(text.slice(9, 12)) : 0;
}

function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? 0;
}

/** The event loop asks for what is ready, and does not wait for it. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Puts the load on, and says what came back. */
async function run(order: LoadOrder): Promise<LoadResult> {
  const client = new Client(order);
  await client.open();
  const next = random(order.seed);
  const startMs = performance.now();
  const endMs = order.warmUpMs + order.measuredMs;
  let dueMs = 0;
  for (let nowMs = 0; nowMs < endMs; nowMs = performance.now() - startMs) {
    client.isCounting = nowMs >= order.warmUpMs;
    if (order.rate === 0) {
      if (dueMs === 0) for (let count = 0; count < order.connections; count += 1) client.send();
      dueMs = Number.POSITIVE_INFINITY;
    }
    while (dueMs <= nowMs) {
      client.send();
      dueMs += (-Math.log(1 - next()) * 1000) / order.rate;
    }
    await turn();
  }
  client.isCounting = false;
  await delay(order.deadlineMs + 100);
  client.close();
  return {
    ...client.counts,
    good: client.good.length,
    refused: client.refusedMs.length,
    p50Ms: quantile(client.good, 0.5),
    p99Ms: quantile(client.good, 0.99),
    refusedP50Ms: quantile(client.refusedMs, 0.5),
  };
}

const [text] = process.argv.slice(2);
if (text === undefined) throw new Error("usage: load.ts <order as JSON>");
// written by main.ts
process.stdout.write(`${JSON.stringify(await run(JSON.parse(text) as LoadOrder))}\n`);
process.exit(0);
