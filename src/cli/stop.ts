/** `holdfast stop`: ends a service, and returns when it is gone. */
import { setTimeout as delay } from "node:timers/promises";
import { monotonicNowMs } from "../base/mod.ts";
import { isListening } from "./control-client.ts";
import { chosenService, conclude, operate } from "./operation.ts";
import type { Outcome } from "./operation.ts";
import type { Parsed, World } from "./verb.ts";

/** After the last worker has gone, the keeper needs milliseconds. */
const GONE_TIMEOUT_MS = 10_000;
const GONE_INTERVAL_MS = 20;

export async function execute(parsed: Parsed, world: World): Promise<number> {
  const service = await chosenService(parsed, world);
  const body = { now: parsed.flags["now"] === true };
  const said = await operate(service, "/v1/stop", body, parsed, world);
  const isGone = said?.ok === false ? false : await waitUntilGone(service.socketPath);
  return conclude("stop", service, outcome(said, isGone, service.name), parsed, world);
}

/** The reactor may end before it could say that it does. */
function outcome(said: Outcome | null, isGone: boolean, name: string): Outcome {
  if (isGone) return { ok: true, message: `${name} has stopped`, output: "" };
  if (said?.ok === false) return said;
  return { ok: false, message: `${name} still listens on its control socket`, output: "" };
}

async function waitUntilGone(socketPath: string): Promise<boolean> {
  const deadlineMs = monotonicNowMs() + GONE_TIMEOUT_MS;
  while (monotonicNowMs() < deadlineMs) {
    if (!(await isListening(socketPath))) return true;
    await delay(GONE_INTERVAL_MS);
  }
  return false;
}
