/**
 * `holdfast stacks`: what the main thread of each worker is doing now, busy or idle, as its agent
 * sees it; of a process that has none, as its memory shows it.
 */
import { existsSync } from "node:fs";
import { EXIT_CODES, HoldfastError, foldFrames, formatDuration, wantsColor } from "../base/mod.ts";
import type { StackFrame } from "../base/mod.ts";
import type { WorkerStack } from "../supervision/mod.ts";
import { ask } from "./control-client.ts";
import { chosenService } from "./operation.ts";
import { usage } from "./parse.ts";
import { paint, printable } from "./table.ts";
import type { Parsed, World } from "./verb.ts";
import { workerOf } from "./worker-argument.ts";

const BOLD = 1;
const DIM = 2;
/** A worker that waits beats ten times a second. */
const SILENT_MS = 300;

/** Workers have numbers of three digits at most: a longer one is a process, of anybody's. */
const PROCESS_ID = /^\d{4,}$/;
/** Where no service runs, a short one is too: processes of a container have such. */
const SHORT_ID = /^\d+$/;

export async function execute(parsed: Parsed, world: World): Promise<number> {
  const [what] = parsed.positionals;
  if (what !== undefined && parsed.flags["all"] === true) {
    throw usage({ name: "stacks" }, "give a worker or --all, not both");
  }
  if (what !== undefined && PROCESS_ID.test(what)) return ofProcess(what, parsed, world);
  const worker = workerOf("stacks", parsed);
  let service: Awaited<ReturnType<typeof chosenService>>;
  try {
    service = await chosenService(parsed, world);
  } catch (error) {
    const isAlone = error instanceof HoldfastError && error.code === "ERR_HOLDFAST_NOT_RUNNING";
    const isProcess = what !== undefined && SHORT_ID.test(what) && existsSync(`/proc/${what}`);
    if (isAlone && isProcess) return ofProcess(what, parsed, world);
    throw error;
  }
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
  const look = { isColored, isWhole: parsed.flags["internal"] === true };
  for (const each of stacks.toSorted((a, b) => a.worker - b.worker)) {
    world.stdout.write(`${stackText(each, look).join("\n")}\n`);
  }
  return EXIT_CODES.ok;
}

/** Of a process that has no agent, or whose service is not asked. */
async function ofProcess(pid: string, parsed: Parsed, world: World): Promise<number> {
  const autopsy = await import("./autopsy.ts");
  const flags = parsed.flags["json"] === true ? { json: true as const } : {};
  return autopsy.execute({ positionals: [pid, "stacks"], hasTerminator: false, flags }, world);
}

/** A worker's stack as lines for people. `isWhole`: no frames are folded. */
export function stackText(
  { worker, pid, silentMs, stack, error }: WorkerStack,
  { isColored, isWhole }: { readonly isColored: boolean; readonly isWhole: boolean },
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
    ...framesText(stack.frames, isColored, isWhole),
    ...more,
    ...stack.awaitedBy.map((line) => `  awaited by ${printable(line)}`),
  ];
}

function framesText(
  frames: readonly StackFrame[],
  isColored: boolean,
  isWhole: boolean,
): readonly string[] {
  if (isWhole) return frames.flatMap((frame) => frameText(frame, isColored));
  return foldFrames(frames, ({ file }) => file).flatMap((each) => {
    if ("frame" in each) return frameText(each.frame, isColored);
    return [paint({ text: `  ${each.folded}`, color: DIM }, isColored)];
  });
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
