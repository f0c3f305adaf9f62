/** `holdfast status`: what every worker does, and what became of connections. */
import { setTimeout as delay } from "node:timers/promises";
import { EXIT_CODES, HoldfastError, wantsColor } from "../base/mod.ts";
import type { Status } from "../supervision/mod.ts";
import { ask } from "./control-client.ts";
import type { Service } from "./control-client.ts";
import { chosenService } from "./operation.ts";
import { renderStatus } from "./status-view.ts";
import type { Parsed, World } from "./verb.ts";

const WATCH_INTERVAL_MS = 1000;
/** Cursor to the corner, clear what is below (ECMA-48 CUP and ED). */
const CLEAR = "\u001B[H\u001B[2J";

export async function execute(parsed: Parsed, world: World): Promise<number> {
  const service = await chosenService(parsed, world);
  const isJson = parsed.flags["json"] === true;
  const isColored = wantsColor(world.stdout, world.environment);
  const show = async (): Promise<string> => {
    const status = await readStatus(service);
    if (!isJson) return `${renderStatus(status, isColored).join("\n")}\n`;
    return `${JSON.stringify(status, null, parsed.flags["watch"] === true ? 0 : 2)}\n`;
  };
  if (parsed.flags["watch"] !== true) {
    world.stdout.write(await show());
    return EXIT_CODES.ok;
  }
  const clear = world.stdout.isTTY === true && !isJson ? CLEAR : "";
  for (;;) {
    world.stdout.write(clear + (await show()));
    await delay(WATCH_INTERVAL_MS);
  }
}

async function readStatus(service: Service): Promise<Status> {
  const answer = await ask(service, "GET", "/v1/status");
  const isStatus =
    typeof answer === "object" &&
    answer !== null &&
    "workers" in answer &&
    "totals" in answer &&
    Array.isArray(answer.workers);
  if (isStatus) return answer as Status; // From our own reactor, behind a socket of mode 0600.
  throw new HoldfastError(
    "ERR_HOLDFAST_CONTROL",
    `Cannot read the status of ${service.name}: the answer has another shape. Use the version of ` +
      `holdfast that runs the service.`,
  );
}
