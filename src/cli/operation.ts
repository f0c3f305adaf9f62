/** What reload, restart, scale and stop share: lines of progress, then how it ended. */
import { EXIT_CODES, wantsColor } from "../base/mod.ts";
import { findService, stream } from "./control-client.ts";
import type { Service } from "./control-client.ts";
import { printable } from "./table.ts";
import type { Parsed, World } from "./verb.ts";

/** The last line of an operation. */
export interface Outcome {
  readonly ok: boolean;
  readonly message: string;
  readonly output: string;
}

/** Asks for an operation, shows its progress, and tells how it ended; null when it does not say. */
export async function operate(
  service: Service,
  target: string,
  body: unknown,
  parsed: Parsed,
  world: World,
): Promise<Outcome | null> {
  let outcome: Outcome | null = null;
  const isJson = parsed.flags["json"] === true;
  for await (const line of stream(service, "POST", target, body)) {
    if (isJson) world.stdout.write(`${JSON.stringify(line)}\n`);
    const fields = members(line);
    if (fields["done"] === true) {
      const { ok, message, output } = fields;
      outcome = { ok: ok === true, message: text(message), output: text(output) };
    } else if (!isJson && fields["event"] !== "failed")
      world.stdout.write(`  ${printable(text(fields["message"]))}\n`);
  }
  return outcome;
}

/** Shows how an operation ended; the exit code says it to scripts. */
export function conclude(
  verb: string,
  service: Service,
  outcome: Outcome | null,
  parsed: Parsed,
  world: World,
): number {
  const ended = outcome ?? {
    ok: false,
    message: `${service.name} did not say how it ended. See \`holdfast status\`.`,
    output: "",
  };
  const code = ended.ok ? EXIT_CODES.ok : EXIT_CODES.failed;
  if (parsed.flags["json"] === true) return code;
  const output = ended.ok ? world.stdout : world.stderr;
  const [color, reset] = wantsColor(output, world.environment)
    ? [ended.ok ? "\u001B[32m" : "\u001B[31m", "\u001B[0m"]
    : ["", ""];
  const mark = ended.ok || ended.message.startsWith(`${verb} failed`) ? "" : `${verb} failed: `;
  output.write(`${color}holdfast: ${mark}${printable(ended.message)}${reset}\n`);
  if (!ended.ok && ended.output !== "") {
    output.write("what the new worker wrote last:\n");
    for (const line of ended.output.trimEnd().split("\n")) output.write(`  ${printable(line)}\n`);
  }
  return code;
}

/** The whole of a verb that is nothing but an operation. */
export async function executeOperation(
  verb: string,
  body: unknown,
  parsed: Parsed,
  world: World,
): Promise<number> {
  const service = await chosenService(parsed, world);
  const outcome = await operate(service, `/v1/${verb}`, body, parsed, world);
  return conclude(verb, service, outcome, parsed, world);
}

/** The service that `--name` or being the only one chooses. */
export function chosenService(parsed: Parsed, world: World): Promise<Service> {
  const name = parsed.flags["name"];
  return findService(typeof name === "string" ? name : null, world.environment);
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function members(line: unknown): Readonly<Record<string, unknown>> {
  return typeof line === "object" && line !== null ? { ...line } : {};
}
