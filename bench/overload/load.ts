/**
 * Overload beside capacity, in turns of some seconds: what is measured in a turn is compared with
 * what the machine could do in the turn before it, since that changes from minute to minute.
 *
 * ```
 *   plain Node     closed loop: what it can do     2 s          2 s          2 s
 *   contender      open loop: a multiple of that        2 s          2 s          2 s
 * ```
 * The open loop goes over connections that are there already, as a load balancer's pool is:
 * requests come when they come (a Poisson process), and a client that has waited `deadlineMs`
 * closes its connection and makes another one.
 *
 * It never sleeps while it measures: on one machine who answers pays for waking the client, and a
 * server that refuses much the most; a client elsewhere costs it nothing of the kind.
 *
 * Started as a process of its own: `node load.ts <JSON of LoadOrder>`; prints `LoadResult`. The
 * examples give an `OpenLoadOrder`: there is no capacity beside it then.
 */
import net from "node:net";
import { setTimeout as delay } from "node:timers/promises";

export interface LoadOrder {
  readonly capacityPort: number;
  /** So many at a time keep the application busy, and are all answered in time. */
  readonly capacityConnections: number;
  readonly port: number;
  readonly connections: number;
  /** Of the capacity. */
  readonly multiple: number;
  readonly deadlineMs: number;
  /** Of each side, before anything is counted. */
  readonly warmUpMs: number;
  /** At the begin of each turn, not counted. */
  readonly settleMs: number;
  readonly turnMs: number;
  readonly turns: number;
  readonly seed: number;
}

export interface LoadResult {
  /** Requests a second that were good, in each turn. */
  readonly turns: readonly { readonly capacity: number; readonly good: number }[];
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

/** An open loop alone, for the examples: it sleeps between two requests. */
export interface OpenLoadOrder {
  readonly port: number;
  readonly path?: string;
  /** Requests a second. */
  readonly rate: number;
  readonly connections: number;
  readonly deadlineMs: number;
  /** Not counted. */
  readonly warmUpMs: number;
  readonly measuredMs: number;
  readonly seed: number;
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

/** Connections to one server, and what came back on them. */
class Client {
  readonly #port: number;
  readonly #connections: number;
  readonly #deadlineMs: number;
  readonly #request: string;
  readonly #idle: net.Socket[] = [];
  readonly good: number[] = [];
  readonly refusedMs: number[] = [];
  counts = { sent: 0, late: 0, failed: 0, skipped: 0 };
  isCounting = false;
  /** The next request follows an answer. */
  isClosedLoop = false;
  #isOver = false;

  constructor(port: number, connections: number, deadlineMs: number, path = "/") {
    this.#request = `GET ${path} HTTP/1.1\r\nHost: bench\r\n\r\n`;
    this.#port = port;
    this.#connections = connections;
    this.#deadlineMs = deadlineMs;
  }

  async open(): Promise<void> {
    for (let count = 0; count < this.#connections; count += 1) {
      this.#connect();
      if (count % 50 === 49) await delay(20);
    }
    await delay(500);
  }

  #connect(): void {
    const socket = net.connect(this.#port, "127.0.0.1");
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
      if (this.isClosedLoop) this.send();
      if (!isCounted) return;
      const ms = performance.now() - startMs;
      if (status === 503) this.refusedMs.push(ms);
      else if (status === 200 && ms <= this.#deadlineMs) this.good.push(ms);
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
    }, this.#deadlineMs);
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

/** Runs `due` again and again for so long, without sleeping. */
async function spin(
  forMs: number,
  due: (nowMs: number) => void,
  pause: () => Promise<void> = turn,
): Promise<void> {
  const startMs = performance.now();
  for (let nowMs = 0; nowMs < forMs; nowMs = performance.now() - startMs) {
    due(nowMs);
    await pause();
  }
}

/** What was good, by second of `turnMs`. `put` gives the load; what is out is awaited. */
async function measured(
  client: Client,
  { settleMs, turnMs, deadlineMs }: LoadOrder,
  put: (nowMs: number) => void,
): Promise<number> {
  const before = client.good.length;
  await spin(settleMs + turnMs, (nowMs) => {
    client.isCounting = nowMs >= settleMs;
    put(nowMs);
  });
  client.isCounting = false;
  client.isClosedLoop = false;
  await spin(deadlineMs + 50, () => undefined);
  return ((client.good.length - before) * 1000) / turnMs;
}

/** As fast as answers come. */
function closedLoop(client: Client, connections: number): () => void {
  return () => {
    if (client.isClosedLoop) return;
    client.isClosedLoop = true;
    for (let count = 0; count < connections; count += 1) client.send();
  };
}

/** `rate` requests a second, whatever comes back. */
function openLoop(client: Client, rate: number, next: () => number): (nowMs: number) => void {
  let dueMs = 0;
  return (nowMs) => {
    while (dueMs <= nowMs) {
      client.send();
      dueMs += (-Math.log(1 - next()) * 1000) / rate;
    }
  };
}

/** Puts the loads on in turns, and says what came back. */
async function run(order: LoadOrder): Promise<LoadResult> {
  const { capacityConnections, deadlineMs, multiple, warmUpMs } = order;
  const plain = new Client(order.capacityPort, capacityConnections, deadlineMs);
  const client = new Client(order.port, order.connections, deadlineMs);
  await plain.open();
  await client.open();
  const next = random(order.seed);
  const warmUp = { ...order, settleMs: warmUpMs / 2, turnMs: warmUpMs / 2 };
  const first = await measured(plain, warmUp, closedLoop(plain, capacityConnections));
  await measured(
    client,
    { ...order, settleMs: warmUpMs, turnMs: 1 },
    openLoop(client, multiple * first, next),
  );
  const turns: { capacity: number; good: number }[] = [];
  for (let count = 0; count < order.turns; count += 1) {
    const capacity = await measured(plain, order, closedLoop(plain, capacityConnections));
    const good = await measured(client, order, openLoop(client, multiple * capacity, next));
    turns.push({ capacity, good });
  }
  plain.close();
  client.close();
  return { ...client.counts, turns, ...timesOf(client) };
}

/** The open loop alone. */
async function runOpen(order: OpenLoadOrder): Promise<Omit<LoadResult, "turns">> {
  const { warmUpMs, measuredMs, deadlineMs } = order;
  const client = new Client(order.port, order.connections, deadlineMs, order.path);
  await client.open();
  const put = openLoop(client, order.rate, random(order.seed));
  const sleep = (): Promise<void> => delay(1);
  const due = (nowMs: number): void => {
    client.isCounting = nowMs >= warmUpMs;
    put(nowMs);
  };
  await spin(warmUpMs + measuredMs, due, sleep);
  await delay(deadlineMs + 50);
  client.close();
  return { ...client.counts, ...timesOf(client) };
}

function timesOf({ good, refusedMs }: Client): Omit<LoadResult, "turns" | keyof Client["counts"]> {
  return {
    good: good.length,
    refused: refusedMs.length,
    p50Ms: quantile(good, 0.5),
    p99Ms: quantile(good, 0.99),
    refusedP50Ms: quantile(refusedMs, 0.5),
  };
}

const [text] = process.argv.slice(2);
if (text === undefined) throw new Error("usage: load.ts <order as JSON>");
// written by main.ts, or an example
const order = JSON.parse(text) as LoadOrder | OpenLoadOrder;
const result = "rate" in order ? await runOpen(order) : await run(order);
process.stdout.write(`${JSON.stringify(result)}\n`);
process.exit(0);
