/** The table of verbs. */
import { CONFIG_FLAG, CONFIG_OPTIONS } from "../base/mod.ts";
import type { ConfigOption } from "../base/mod.ts";
import type { FlagSpec, Verb } from "./verb.ts";

const NAME: FlagSpec = text("name", "<name>", "which service, where several run");
const JSON_LINES: FlagSpec = flag("json", "print JSON");

export const VERBS: readonly Verb[] = [
  {
    name: "run",
    summary: "run a service in the foreground",
    usage: "<entry> [flags] [--] [arguments of the entry]",
    flags: [
      ...CONFIG_OPTIONS.flatMap((option) => runFlag(option)),
      text(CONFIG_FLAG, "<path>", "configuration (default: holdfast.config.{ts,js,json})"),
    ],
    positionalsMax: Number.POSITIVE_INFINITY,
    examples: [
      "holdfast run server.js",
      "holdfast run server.ts --workers 4 --env-file .env -- --port 8080",
    ],
    load: () => import("./run.ts"),
  },
  {
    name: "status",
    summary: "show workers, connections and requests in flight",
    usage: "[flags]",
    flags: [NAME, JSON_LINES, flag("watch", "show it again each second, until Ctrl-C", "w")],
    positionalsMax: 0,
    examples: ["holdfast status", "holdfast status --name shop --json"],
    load: () => import("./status.ts"),
  },
  {
    name: "reload",
    summary: "replace the running version by the one on disk, losing nothing",
    usage: "[flags]",
    flags: [NAME, JSON_LINES, flag("update-env", "give workers the environment of this shell")],
    positionalsMax: 0,
    examples: ["holdfast reload", "PORT_LABEL=blue holdfast reload --update-env"],
    load: () => import("./reload.ts"),
  },
  {
    name: "restart",
    summary: "replace all workers, or one, by new ones",
    usage: "[worker] [flags]",
    flags: [NAME, JSON_LINES],
    positionalsMax: 1,
    examples: ["holdfast restart", "holdfast restart 0"],
    load: () => import("./restart.ts"),
  },
  {
    name: "scale",
    summary: "change the number of workers",
    usage: "<n|max> [flags]",
    flags: [NAME, JSON_LINES],
    positionalsMax: 1,
    examples: ["holdfast scale 4", "holdfast scale max"],
    load: () => import("./scale.ts"),
  },
  {
    name: "stop",
    summary: "finish what is in flight and end the service",
    usage: "[flags]",
    flags: [NAME, JSON_LINES, flag("now", "do not wait for what is in flight")],
    positionalsMax: 0,
    examples: ["holdfast stop", "holdfast stop --name shop --now"],
    load: () => import("./stop.ts"),
  },
  {
    name: "logs",
    summary: "show what the service and its workers wrote",
    usage: "[flags]",
    flags: [
      NAME,
      JSON_LINES,
      flag("follow", "go on with what is written from now on", "f"),
      { ...text("lines", "<n>", "how many of the last lines (default 100)"), short: "n" },
    ],
    positionalsMax: 0,
    examples: ["holdfast logs --follow", "holdfast logs -n 20 --json"],
    load: () => import("./logs.ts"),
  },
  {
    name: "top",
    summary: "watch a running service: throughput, latencies, workers, routes, heat map",
    usage: "[flags]",
    flags: [
      NAME,
      JSON_LINES,
      flag("once", "one page, of one interval"),
      text("interval", "<time>", "between two pages (default 1s)"),
    ],
    positionalsMax: 0,
    examples: ["holdfast top", "holdfast top --once --interval 10s", "holdfast top --json"],
    load: () => import("./top.ts"),
  },
  {
    name: "latency",
    summary: "show how long requests took, by outcome, route or worker",
    usage: "[flags]",
    flags: [
      NAME,
      JSON_LINES,
      {
        ...flag("route", "by route; --route=<text>: those with this in their name"),
        kind: "maybe",
      },
      flag("worker", "by worker"),
      text("for", "<time>", "of the requests from now on (default: since the start)"),
      flag("hdr", "as a log of HdrHistogram"),
    ],
    positionalsMax: 0,
    examples: [
      "holdfast latency",
      "holdfast latency --route --for 10s",
      "holdfast latency --route=/orders --json",
      "holdfast latency --route --hdr > today.hlog",
    ],
    load: () => import("./latency.ts"),
  },
  {
    name: "work",
    summary: "list all work in flight, oldest first: requests, calls, pipes, what waits",
    usage: "[flags]",
    flags: [
      NAME,
      JSON_LINES,
      text("kind", "<kind>", "one kind only, e.g. http.in, http.out, pipe"),
      text("limit", "<n>", "rows that are shown (default 30; 0: all)"),
    ],
    positionalsMax: 0,
    examples: ["holdfast work", "holdfast work --kind http.out", "holdfast work --json"],
    load: () => import("./work.ts"),
  },
  {
    name: "stacks",
    summary: "show what the main thread of each worker is doing now, busy or idle",
    usage: "[worker|pid|--all] [flags]",
    flags: [
      NAME,
      JSON_LINES,
      flag("all", "of every worker, as without a number"),
      flag("variables", "with arguments and locals, secrets masked"),
      flag("internal", "every frame of Node and Holdfast, which are folded else"),
    ],
    positionalsMax: 1,
    examples: ["holdfast stacks", "holdfast stacks 0 --variables", "holdfast stacks 4711"],
    load: () => import("./stacks.ts"),
  },
  {
    name: "profile",
    summary: "profile a worker while it serves or spins: CPU, heap, allocations, heap snapshot",
    usage: "<cpu|heap|allocations|heapsnapshot> [worker] [flags]",
    flags: [
      NAME,
      JSON_LINES,
      text("for", "<time>", "how long (default 10s)"),
      {
        ...text("output", "<file>", "where to; .html, .svg and .pb.gz choose the format"),
        short: "o",
      },
      text("format", "<format>", "v8 (for DevTools, default), pprof, html or svg (flame graphs)"),
      flag("force", "take a heap snapshot although memory may run out"),
    ],
    positionalsMax: 2,
    examples: [
      "holdfast profile cpu 0 --for 5s -o flame.html",
      "holdfast profile heapsnapshot 0 -o before.heapsnapshot",
    ],
    load: () => import("./profile.ts"),
  },
  {
    name: "debug",
    summary: "let Chrome DevTools or VS Code attach to a worker, also to one that spins",
    usage: "[worker] [flags]",
    flags: [
      NAME,
      JSON_LINES,
      text("port", "<n>", "on the loopback (default: any that is free)"),
      flag("discover", "let every user of this machine find and use it, as node --inspect does"),
    ],
    positionalsMax: 1,
    examples: ["holdfast debug 0", "holdfast debug 1 --port 9229 --discover"],
    load: () => import("./debug.ts"),
  },
  {
    name: "attach",
    summary: "stacks, profile, trace, debug and patch for a Node process not started by Holdfast",
    usage: "<pid> [flags]",
    flags: [JSON_LINES],
    positionalsMax: 1,
    examples: ["holdfast attach 4711", "holdfast stacks --name pid-4711"],
    load: () => import("./attach.ts"),
  },
  {
    name: "patch",
    summary: "replace functions of the running program by those of the file on disk",
    usage: "<worker> <file> | --all <file> [flags]",
    flags: [
      NAME,
      JSON_LINES,
      flag("all", "in every worker"),
      flag("dry-run", "say what would be replaced, and change nothing"),
    ],
    positionalsMax: 2,
    examples: ["holdfast patch --all src/price.js --dry-run", "holdfast patch 0 src/price.js"],
    load: () => import("./patch.ts"),
  },
  {
    name: "crashes",
    summary: "show reports of workers that crashed: exit, error, requests in flight, history",
    usage: "[show [id]] [flags]",
    flags: [NAME, JSON_LINES],
    positionalsMax: 2,
    examples: ["holdfast crashes", "holdfast crashes show", "holdfast crashes show 20261121T0526"],
    load: () => import("./crashes.ts"),
  },
  {
    name: "trace",
    summary: "ask a running service what it does, by a small program",
    usage: "'<program>' | <ready program> [flags]",
    flags: [
      NAME,
      JSON_LINES,
      text("file", "<path>", "read the program from a file"),
      text("for", "<duration>", "end after this time (default: Ctrl-C, at most 1h)"),
      text("worker", "<index>", "one worker only (default: all)"),
      text("budget", "<percent>", "of a worker's time that one probe may take (default 5%)"),
      flag("destructive", "allow raise(), which changes what the application does"),
      flag("list", "show the ready programs"),
    ],
    positionalsMax: 1,
    examples: [
      "holdfast trace 'http:done { @[route, status] = quantize(duration) }'",
      "holdfast trace 'http:done /duration > 250ms/ { printf(\"%s %t\", url, duration) }' --for 1m",
      "holdfast trace 'fn:JSON.stringify:return /duration > 5ms/ { @[stack(5)] = count() }'",
      "holdfast trace slow-requests --for 10s",
    ],
    load: () => import("./trace.ts"),
  },
  {
    name: "probes",
    summary: "list what can be traced, the application's own probes too",
    usage: "[part of a name] [flags]",
    flags: [NAME, JSON_LINES, flag("channels", "the known diagnostics channels too")],
    positionalsMax: 1,
    examples: ["holdfast probes", "holdfast probes http", "holdfast probes undici --channels"],
    load: () => import("./probes.ts"),
  },
  {
    name: "autopsy",
    summary: "read a dead or frozen Node process: stacks, objects, who holds what",
    usage: "<core|pid> [verb | 'verb | verb'] [flags] | dump <pid> | help [verb]",
    flags: [
      JSON_LINES,
      text("node", "<path>", "the node binary that the process ran, where it is not found"),
      { ...text("output", "<file>", "dump (core.<pid>), report, snapshot: where to"), short: "o" },
      text("limit", "<n>", "rows that are shown (default 30; 0: all)"),
      text("depth", "<n>", "print: objects within objects (default 2)"),
      text("members", "<n>", "print: members of each object (default 100)"),
      text("chars", "<n>", "print: characters of each string (default 1000)"),
      text("sort", "<by>", "objects: bytes, count or name"),
      text("property", "<name>", "find: objects that have it"),
      text("value", "<text>", "find: objects with a property that prints so"),
      text("text", "<part>", "find: strings that contain it"),
      flag("live", "objects: without garbage"),
      flag("shapes", "objects: a row for each set of properties"),
      flag("all", "stacks: every thread; promises, requests: also those that are done"),
      flag("full", "stacks: V8's own frames too"),
      flag("internal", "asyncs, modules: Node's own too"),
      flag("secrets", "env, stacks: show values that look secret"),
      flag("force", "copy a live process although it stands still for long"),
    ],
    positionalsMax: Number.POSITIVE_INFINITY,
    examples: [
      "holdfast autopsy 4711 stacks",
      "holdfast autopsy core.4711 'find Session | print'",
      "holdfast autopsy dump 4711 -o spinning.core",
      "holdfast autopsy spinning.core report -o incident.html",
      "holdfast autopsy spinning.core",
      "holdfast autopsy help",
    ],
    note: "Without a verb: a shell. `holdfast autopsy help [verb]` tells what verbs there are.",
    load: () => import("./autopsy.ts"),
  },
];

function runFlag(option: ConfigOption): readonly FlagSpec[] {
  if (option.flag === null) return [];
  const kinds = { text: "text", number: "text", list: "list", switch: "switch", watch: "maybe" };
  const kind = option.kind === "none" ? "text" : kinds[option.kind];
  const placeholder = option.placeholder ?? "";
  // The table above has only these four.
  return [
    {
      name: option.flag,
      short: null,
      kind: kind as FlagSpec["kind"],
      placeholder,
      help: option.help,
    },
  ];
}

function flag(name: string, help: string, short: string | null = null): FlagSpec {
  return { name, short, kind: "switch", placeholder: "", help };
}

function text(name: string, placeholder: string, help: string): FlagSpec {
  return { name, short: null, kind: "text", placeholder, help };
}
