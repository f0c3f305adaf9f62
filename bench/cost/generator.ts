/**
 * A load generator, as a process of its own, for machines without wrk: closed loops on a number of
 * connections for a time, either on kept connections or with a connection for each request.
 *
 *   node generator.ts <port> <connections> <milliseconds> keep-alive|close
 *
 * Prints `{"requests": n, "failed": n}`. Each response is checked for its status; those on a kept
 * connection are cut by the length of the first one, so every response must have the same.
 */
import net from "node:net";

const REQUEST_HEAD = "GET / HTTP/1.1\r\nhost: bench\r\n";
const GOOD = Buffer.from("HTTP/1.1 200");

interface Tally {
  requests: number;
  failed: number;
  isOver: boolean;
}

function main(): void {
  const [port = 0, connections = 1, milliseconds = 1000] = process.argv.slice(2, 5).map(Number);
  const begin = process.argv[5] === "close" ? beginClosing : beginKept;
  const tally: Tally = { requests: 0, failed: 0, isOver: false };
  for (let i = 0; i < connections; i += 1) begin(port, tally);
  setTimeout(() => {
    tally.isOver = true;
    const { requests, failed } = tally;
    process.stdout.write(`${JSON.stringify({ requests, failed })}\n`, () => process.exit());
  }, milliseconds);
}

/** Bytes of one complete response with a Content-Length at the start of `bytes`; 0: not yet. */
function responseBytes(bytes: Buffer): number {
  const end = bytes.indexOf("\r\n\r\n");
  if (end < 0) return 0;
  const match = /\r\ncontent-length: (\d+)/i.exec(bytes.toString("latin1", 0, end));
  const length = end + 4 + Number(match?.[1] ?? 0);
  return bytes.length >= length ? length : 0;
}

function beginKept(port: number, tally: Tally): void {
  const request = Buffer.from(`${REQUEST_HEAD}\r\n`);
  const socket = net.connect({ port, host: "127.0.0.1", noDelay: true });
  let got: Buffer = Buffer.alloc(0);
  let length = 0;
  socket.on("connect", () => socket.write(request));
  socket.on("data", (chunk) => {
    got = got.length === 0 ? chunk : Buffer.concat([got, chunk]);
    if (length === 0) length = responseBytes(got);
    if (length === 0 || got.length < length) return;
    if (got.length === length && got.compare(GOOD, 0, GOOD.length, 0, GOOD.length) === 0) {
      tally.requests += 1;
    } else {
      tally.failed += 1;
    }
    got = Buffer.alloc(0);
    socket.write(request);
  });
  socket.on("error", () => (tally.failed += 1));
  socket.on("close", () => {
    if (!tally.isOver) setTimeout(() => beginKept(port, tally), 10);
  });
}

function beginClosing(port: number, tally: Tally): void {
  const socket = net.connect({ port, host: "127.0.0.1", noDelay: true });
  let isGood = false;
  socket.write(`${REQUEST_HEAD}connection: close\r\n\r\n`);
  socket.once("data", (chunk) => {
    isGood = chunk.compare(GOOD, 0, GOOD.length, 0, GOOD.length) === 0;
  });
  socket.on("error", () => (isGood = false));
  socket.on("close", () => {
    if (tally.isOver) return;
    if (isGood) tally.requests += 1;
    else tally.failed += 1;
    beginClosing(port, tally);
  });
}

main();
