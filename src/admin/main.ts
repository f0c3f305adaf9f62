/**
 * The process of the admin listener (`--admin`), and of what is sent to a collector (`--otlp`).
 * Started by the keeper, with its order as the only
 * argument; ends when its standard input does, which the keeper holds.
 */
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { AdminAddress } from "../base/mod.ts";
import type { AdminOrder } from "../supervision/mod.ts";
import { controlSource } from "./control.ts";
import { adminServer } from "./server.ts";
import { newPushCounts } from "./push-counts.ts";
import { tokenIn } from "./token.ts";

/** Whoever has the port may give it back. */
const RETRY_MS = 5000;

/** Log records go to the keeper as JSON lines on stderr; it renders them. */
function log(level: "info" | "error", message: string): void {
  const record = { time: new Date().toISOString(), level, source: "admin", message };
  process.stderr.write(`${JSON.stringify(record)}\n`);
}

function main(): void {
  const order = JSON.parse(process.argv[2] ?? "") as AdminOrder; // the keeper is our parent
  const { address, otlp, name, socketPath, tokenPath } = order;
  process.stdin.on("end", () => process.exit(0)).resume();
  process.stderr.on("error", () => process.exit(0)); // the keeper has gone
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => undefined); // for the keeper, who ends us when the service has ended
  }
  const source = controlSource(socketPath);
  const counts = otlp === null ? null : newPushCounts();
  if (address !== null) listen(address, adminServer(source, counts, tokenIn(tokenPath)), tokenPath);
  if (otlp !== null && counts !== null) {
    // loaded only here: it is 30 times the rest of this process
    void import("./otlp.ts").then(({ startPush }) =>
      startPush({ otlp, name, source, counts, log }),
    );
  }
}

function listen(address: AdminAddress, server: Server, tokenPath: string): void {
  const shown = address.host.includes(":") ? `[${address.host}]` : address.host;
  let hasFailed = false;
  const tryIt = (): void => void server.listen(address.port, address.host);
  server.on("error", (error: NodeJS.ErrnoException) => {
    if (server.listening) return; // a connection that could not be accepted
    if (!hasFailed) {
      const what = `cannot serve metrics on ${shown}:${address.port}: ${error.code}`;
      log("error", `${what}; tried again every ${RETRY_MS / 1000}s, or choose another --admin`);
    }
    hasFailed = true;
    setTimeout(tryIt, RETRY_MS);
  });
  server.on("listening", () => {
    const { port } = server.address() as AddressInfo; // it listens on TCP
    log("info", `metrics and health on http://${shown}:${port}, token in ${tokenPath}`);
  });
  tryIt();
}

main();
