/**
 * Addresses for debuggers that were asked for by SIGUSR2: a process of its own, because the reactor
 * parses no bytes of strangers. Its only argument is the order; standard output gets a line of JSON
 * for each worker, and it ends with its standard input, or when every address is used up.
 *
 * ```
 *   listening --a debugger comes--> taken --it leaves--> closed
 *       +--nobody comes in time--------------------------> closed
 * ```
 */
import { connect } from "./control-client.ts";
import { DebugBridge } from "./debug-bridge.ts";

/** An address stands in a log, which others may read later. */
const UNUSED_MS = 600_000;

interface DebugOrder {
  readonly name: string;
  readonly socketPath: string;
  readonly workers: readonly number[];
}

async function open({ name, socketPath }: DebugOrder, worker: number): Promise<DebugBridge> {
  let isTaken = false;
  const bridge: DebugBridge = new DebugBridge({
    title: `${name}, worker ${worker}`,
    port: 0,
    isDiscoverable: false,
    attach: () => connect({ name, socketPath }, "/v1/debug", { worker }),
    onAttached: () => (isTaken = true),
    onDetached: () => bridge.close(),
  });
  await bridge.listen();
  setTimeout(() => {
    if (!isTaken) bridge.close();
  }, UNUSED_MS).unref();
  const { webSocketUrl, devToolsUrl } = bridge;
  process.stdout.write(`${JSON.stringify({ worker, webSocketUrl, devToolsUrl })}\n`);
  return bridge;
}

async function main(): Promise<void> {
  const order = JSON.parse(process.argv[2] ?? "{}") as DebugOrder; // the reactor's
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => undefined); // for the keeper; we end with the reactor
  }
  const bridges = await Promise.all(order.workers.map((worker) => open(order, worker)));
  const end = (): void => bridges.forEach((bridge) => bridge.close());
  process.stdin.on("end", end).on("error", end).resume();
  process.stdin.on("end", () => process.exit(0));
  // alone it keeps nobody: the last address that closes is the end
  const handle = (process.stdin as { unref?: () => void }).unref;
  handle?.call(process.stdin);
}

await main();
