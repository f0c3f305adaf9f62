/** A port for a contender that must be told one before it starts. */
import net from "node:net";

/** Below Linux's ephemeral range (32768 and up), so that no client's own port takes it. */
const PORTS = { first: 20_000, count: 12_000 };
const TRIES = 50;

/** A TCP port of 127.0.0.1 on which nobody listens. */
export async function freePort(): Promise<number> {
  for (let i = 0; i < TRIES; i += 1) {
    const port = PORTS.first + Math.floor(Math.random() * PORTS.count);
    if (await canListen(port)) return port;
  }
  throw new Error(`no free port found in ${TRIES} tries`);
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = net.createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
