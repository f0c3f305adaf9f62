/**
 * `holdfast stacks`: what the main thread of each worker is doing now, busy or idle, as its agent
 * sees it; of a process that has none, as its memory shows it.
 */
import { EXIT_CODES, formatDuration, wantsColor } from "../base/mod.ts";
import type { StackFrame } from "../base/mod.ts";
import type { WorkerStack } from "../supervision/mod.ts";
import { ask } from "./control-client.ts";
import { chosenService } from "./operation.ts";
import { paint, printable } from "./table.ts";
import type { Parsed, World } from "./verb.ts";
import { workerOf } from "./worker-argument.ts";

const BOLD = 1;
const DIM = 2;
/** A worker that waits beats ten times a second. */
const SILENT_MS = 300;

/** Workers have numbers of three digits at most: a longer one is a process, of anybody's. */
const PROCESS_ID = /^\d{4,}$/;

export async function execute(parsed: Parsed, world: World): Promise<number> {
  const [what] = parsed.positionals;
  if (what !== undefined && PROCESS_ID.test(what)) {
    const autopsy = await import("./autopsy.ts");
    const flags = parsed.flags["json"] === true ? { json: true as const } : {};
    return autopsy.execute({ positionals: [what, "stacks"], hasTerminator: false, flags }, world);
  }
  const worker = workerOf("stacks", parsed);
  const service = await chosenService(parsed, world);
  const query = new URLSearchParams({
    ...(worker === null ? {} : { worker: String(worker) }),
    variables: parsed.flags["variables"] === true ? "1" : "0",
  });
  // our own service, of this version
  const { stacks } = (await ask(service, "GET", `/v1/stacks?${query.toString()}`)) as {
    stacks: readonly WorkerStack[];
  };
  if (parsed.flags["json"] === true) {
    world.stdout.write(`${JSON.stringify(stacks, null, 2)}\n`);
    return EXIT_CODES.ok;
  }
  const isColored = wantsColor(world.stdout, world.environment);
  for (const each of stacks.toSorted((a, b) => a.worker - b.worker)) {
    world.stdout.write(`${stackText(each, isColored).join("\n")}\n`);
  }
  return EXIT_CODES.ok;
}

/** A worker's stack as lines for people. */
export function stackText(
  { worker, pid, silentMs, stack, error }: WorkerStack,
  isColored: boolean,
): readonly string[] {
  const silent = silentMs > SILENT_MS ? `, no progress for ${formatDuration(silentMs)}` : "";
  const head = (what: string): string => {
    return paint(
      { text: `worker ${worker} (pid ${pid}): ${what}${silent}`, color: BOLD },
      isColored,
    );
  };
  if (stack === null) return [head(`no stack: ${printable(error ?? "")}`)];
  if (stack.state === "idle") return [head("idle, waits for events")];
  const what = { running: "running", native: "in code that is not JavaScript" };
  const more = stack.framesMore > 0 ? [`  (${stack.framesMore} more frames)`] : [];
  return [
    head(stack.state === "paused" ? "held by a debugger" : what[stack.state]),
    ...(stack.requestSeen === null ? [] : [`  request ${printable(stack.requestSeen)}`]),
    ...(stack.route === null ? [] : [`  route ${printable(stack.route)}`]),
    ...stack.frames.flatMap((frame) => frameText(frame, isColored)),
    ...more,
    ...stack.awaitedBy.map((line) => `  awaited by ${printable(line)}`),
  ];
}

function frameText(frame: StackFrame, isColored: boolean): readonly string[] {
  const { name, file, line, column, variables = [] } = frame;
  const text = printable(`  ${name === "" ? "(anonymous)" : name} (${file}:${line}:${column})`);
  const isTheirs = !file.startsWith("node:");
  return [
    paint({ text, color: isTheirs ? null : DIM }, isColored),
    ...variables.map(([key, value]) => printable(`      ${key} = ${value}`)),
  ];
}
