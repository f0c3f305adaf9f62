/**
 * `holdfast debug`: a debugger's way to a worker, open as long as this verb runs. No port is open
 * before, and none stays.
 */
import { EXIT_CODES } from "../base/mod.ts";
import { ask, connect } from "./control-client.ts";
import { DebugBridge } from "./debug-bridge.ts";
import { chosenService } from "./operation.ts";
import { usage } from "./parse.ts";
import type { Parsed, World } from "./verb.ts";
import { workerOf } from "./worker-argument.ts";

export async function execute(parsed: Parsed, world: World): Promise<number> {
  const worker = workerOf("debug", parsed) ?? 0;
  const port = portOf(parsed);
  const service = await chosenService(parsed, world);
  await ask(service, "GET", `/v1/stacks?worker=${worker}`); // it is there, and has an agent
  const isJson = parsed.flags["json"] === true;
  const say = (text: string): void => void (isJson ? 0 : world.stdout.write(`${text}\n`));
  const offer = (): void => {
    const { webSocketUrl: url, devToolsUrl } = bridge;
    const addresses = { worker, webSocketUrl: url, devToolsUrl };
    if (isJson) world.stdout.write(`${JSON.stringify(addresses)}\n`);
    say(`  Chrome    ${devToolsUrl}`);
    say(`  VS Code   { "type": "node", "request": "attach", "websocketAddress": "${url}" }`);
  };
  const bridge: DebugBridge = new DebugBridge({
    title: `${service.name}, worker ${worker}`,
    port,
    isDiscoverable: parsed.flags["discover"] === true,
    attach: () => connect(service, "/v1/debug", { worker }),
    onAttached: () => say("a debugger is attached, and the address is used up"),
    onDetached: () => {
      say("the debugger has left; the next address:");
      offer();
    },
  });
  await bridge.listen();
  say(`worker ${worker} of ${service.name} can be debugged until Ctrl-C:`);
  offer();
  say("Each address is good for one debugger, once: when it has left, there is a new one.");
  say("While a debugger holds it, the worker serves nobody, and is not replaced for that.");
  await interrupted();
  bridge.close();
  return EXIT_CODES.ok;
}

/** Resolves when the user, or whoever has started this, has enough. */
function interrupted(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.once(signal, () => resolve());
  }
  return promise;
}

function portOf(parsed: Parsed): number {
  const text = parsed.flags["port"];
  if (text === undefined) return 0;
  if (typeof text === "string" && /^\d{1,5}$/.test(text) && Number(text) <= 65_535) {
    return Number(text);
  }
  throw usage({ name: "debug" }, `--port is ${JSON.stringify(text)}, must be from 0 to 65535`);
}
