/** The verb about what is open outside of JavaScript. */
import { HandleReader } from "../graph/handles.ts";
import type { OpenHandle } from "../graph/handles.ts";
import type { Result } from "./result.ts";
import { LIMIT, limitOf } from "./verb.ts";
import type { AutopsyVerb } from "./verb.ts";

const HANDLES_MAX = 1_000_000;

const handles: AutopsyVerb = {
  name: "handles",
  summary: "sockets, servers, timers, files and children that are open",
  usage: "[server|socket|udp|timer|child|watcher|file] [--limit n]",
  flags: [LIMIT],
  example: "handles timer",
  async run(session, args): Promise<Result> {
    const reader = new HandleReader(session.objects, session.describer, session.target);
    const [kind = ""] = args.words;
    const found: OpenHandle[] = [];
    const counts = new Map<string, number>();
    await session.walk((address, map) => {
      const handle = reader.read(address, map.address);
      if (handle === null) return;
      counts.set(handle.kind, (counts.get(handle.kind) ?? 0) + 1);
      if (handle.kind.includes(kind) && found.length < HANDLES_MAX) found.push(handle);
    }, args.signal);
    const rows = found.toSorted((a, b) => (a.kind < b.kind ? -1 : a.kind > b.kind ? 1 : 0));
    const limit = limitOf(handles, args);
    const summary = [...counts].map(([name, count]) => `${count} ${name}`);
    return {
      kind: "table",
      columns: [
        { name: "handle", kind: "address" },
        { name: "kind", kind: "text" },
        { name: "what", kind: "text" },
        { name: "for", kind: "text" },
        { name: "descriptor", kind: "count" },
      ],
      rows: rows
        .slice(0, limit)
        .map((each) => [each.address, each.kind, each.detail, each.owner, each.descriptor]),
      more: Math.max(0, rows.length - limit),
      remarks: [summary.length === 0 ? "nothing is open" : summary.join(", ")],
    };
  },
};

export const HANDLE_VERBS: readonly AutopsyVerb[] = [handles];
