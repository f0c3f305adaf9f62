/** Verbs about the process: why it died, stacks, threads, arguments, environment. */
import { formatSize } from "../../base/mod.ts";
import { heapLimitOf, renderStacks } from "../stack/mod.ts";
import type { Result } from "./result.ts";
import type { Session } from "./session.ts";
import { isSecretVariable } from "./secrets.ts";
import type { AutopsyVerb } from "./verb.ts";

const info: AutopsyVerb = {
  name: "info",
  summary: "what this is: process, versions, why it died, what is missing",
  usage: "",
  flags: [],
  example: "info",
  run(session): Result {
    const { target, v8, stacks, heap } = session;
    const bytes = heap.pages.reduce((sum, page) => sum + (page.areaEnd - page.areaStart), 0);
    const facts = {
      title: target.title,
      kind: target.kind,
      pid: target.pid,
      cause: stacks.cause.text,
      command: target.args?.join(" ") ?? null,
      binary: target.executable.path,
      buildId: target.executable.buildId,
      v8: v8.layout.version,
      layout: layoutFacts(session),
      machine: target.machine.name,
      threads: target.threads.length,
      isolates: v8.isolates.length,
      heapPages: heap.pages.length,
      heapBytes: bytes,
      heapLimit: mainHeapLimit(session),
      stoodStillMs: target.stoodStillMs?.() ?? null,
      remarks: session.remarks,
    };
    const rows: readonly (readonly [string, string])[] = [
      ["cause", facts.cause],
      ["process", `${facts.pid}${facts.command === null ? "" : `  ${facts.command}`}`],
      ["node", `${facts.binary} (V8 ${facts.v8}, ${facts.machine})`],
      ["layout", facts.layout.text],
      ["threads", `${facts.threads}, ${facts.isolates} of them with JavaScript`],
      ["heap", `${formatSize(bytes)} in ${facts.heapPages} pages${limitText(facts.heapLimit)}`],
      ...(facts.stoodStillMs === null ? [] : [pauseRow(facts.stoodStillMs)]),
      ...session.remarks.map((remark) => ["note", remark] as const),
    ];
    const text = rows.map(([name, value]) => `${name.padEnd(8)} ${value}`).join("\n");
    return { kind: "text", text, json: facts, addresses: [] };
  },
};

function pauseRow(ms: number): readonly [string, string] {
  return ["pause", `it stood still for ${ms.toFixed(1)}ms at most`];
}

/** Of the main thread: what `--max-old-space-size` sets. */
function mainHeapLimit({ v8: { isolates, layout, target } }: Session): number | null {
  const main = isolates.find(({ tid }) => tid === target.pid) ?? isolates[0];
  return main === undefined ? null : heapLimitOf(target.memory, layout, main.address);
}

function limitText(limit: number | null): string {
  return limit === null ? "" : `; the old generation may have ${formatSize(limit)}`;
}

/** By which table V8's objects are read, and how far this process bears it out. */
function layoutFacts({ v8: { layout }, confidence }: Session) {
  const { table, isExact } = layout.choice;
  const { held, failed, absent } = confidence;
  const of = isExact ? `table of V8 ${table.version}` : `table of V8 ${table.version}, the nearest`;
  const constants = Object.keys(table.metadata).length;
  const alike =
    layout.differences.length === 0
      ? `all ${constants} constants of the binary as in it`
      : `${layout.differences.length} of ${constants} constants of the binary otherwise`;
  const checks = `${held} of ${held + failed.length} checks hold`;
  const fails = failed.length === 0 ? "" : `; failed: ${failed.join(", ")}`;
  const open = absent.length === 0 ? "" : `; ${absent.length} found nothing to look at`;
  return {
    table: table.version,
    madeFrom: table.from.v8,
    isExact,
    differences: layout.differences,
    held,
    failed,
    absent,
    text: `${of}; ${alike}; ${checks}${fails}${open}`,
  };
}

const stacks: AutopsyVerb = {
  name: "stacks",
  summary: "why it died, and what each thread was doing, with arguments",
  usage: "[--all] [--full] [--secrets]",
  flags: [
    { name: "all", placeholder: "", help: "threads without JavaScript too" },
    { name: "full", placeholder: "", help: "V8's own frames, variables and registers too" },
    { name: "secrets", placeholder: "", help: "values whose names sound secret, unmasked" },
  ],
  example: "stacks --all",
  run(session, { flags }): Result {
    const read = flags["secrets"] === true ? session.readStacks(true) : session.stacks;
    const text = renderStacks(read, {
      isFull: flags["full"] === true,
      areAllThreads: flags["all"] === true,
    });
    const addresses = read.threads.flatMap(({ frames }) =>
      frames.flatMap(({ receiver, parameters }) =>
        [receiver, ...parameters].flatMap((value) => value?.address ?? []),
      ),
    );
    return { kind: "text", text, json: read, addresses };
  },
};

const threads: AutopsyVerb = {
  name: "threads",
  summary: "every thread: what it is for, and where it is",
  usage: "",
  flags: [],
  example: "threads",
  run(session): Result {
    return {
      kind: "table",
      columns: [
        { name: "tid", kind: "text" },
        { name: "name", kind: "text" },
        { name: "role", kind: "text" },
        { name: "top", kind: "text" },
        { name: "frames", kind: "count" },
      ],
      rows: session.stacks.threads.map(({ tid, name, role, frames }) => [
        String(tid),
        name,
        role,
        frames[0]?.name ?? null,
        frames.length,
      ]),
      more: 0,
      remarks: [],
    };
  },
};

const args: AutopsyVerb = {
  name: "args",
  summary: "the command line",
  usage: "",
  flags: [],
  example: "args",
  run({ target }): Result {
    const list = target.args ?? [];
    return { kind: "text", text: list.join("\n"), json: target.args, addresses: [] };
  },
};

const env: AutopsyVerb = {
  name: "env",
  summary: "the environment that it was started with; secrets masked by name",
  usage: "[part of a name] [--secrets]",
  flags: [{ name: "secrets", placeholder: "", help: "show them" }],
  example: "env NODE",
  run({ target }, { words, flags }): Result {
    const [part = ""] = words;
    const shown = [...(target.environment ?? [])].filter(([name]) => name.includes(part));
    const rows = shown.map(([name, value]): readonly [string, string] => {
      const isHidden = flags["secrets"] !== true && isSecretVariable(name, value);
      return [name, isHidden ? `<${value.length} characters>` : value];
    });
    const remarks = target.environment === null ? ["the environment is not in this core"] : [];
    return {
      kind: "table",
      columns: [
        { name: "name", kind: "text" },
        { name: "value", kind: "text" },
      ],
      rows: rows.toSorted(([a], [b]) => (a < b ? -1 : 1)),
      more: 0,
      remarks,
    };
  },
};

export const PROCESS_VERBS: readonly AutopsyVerb[] = [info, stacks, threads, args, env];
