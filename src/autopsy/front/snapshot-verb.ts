/** The verb `snapshot`: a heap snapshot for DevTools of what is alive. */
import { HoldfastError, formatSize } from "../../base/mod.ts";
import { LiveObjects } from "../graph/live.ts";
import { writeSnapshot } from "../graph/snapshot.ts";
import type { SnapshotCounts } from "../graph/snapshot.ts";
import type { Result } from "./result.ts";
import { misuse } from "./verb.ts";
import type { AutopsyVerb } from "./verb.ts";

const NOTHING: SnapshotCounts = { nodes: 0, edges: 0, bytes: 0, selfBytes: 0 };

const snapshot: AutopsyVerb = {
  name: "snapshot",
  summary: "a heap snapshot for DevTools, of everything that is alive",
  usage: "-o <file.heapsnapshot>",
  flags: [{ name: "output", placeholder: "<file>", help: "where to" }],
  example: "snapshot -o service.heapsnapshot",
  async run(session, { words, flags, signal }): Promise<Result> {
    const [first, second, ...more] = words;
    const isShort = first === "-o" && more.length === 0;
    const file = first === undefined ? flags["output"] : isShort ? second : undefined;
    if (typeof file !== "string" || file === "") {
      throw misuse(snapshot, "say where to, as in: snapshot -o service.heapsnapshot");
    }
    const { target, heap, objects, values, v8 } = session;
    const live = new LiveObjects(target, heap, v8.layout, v8.isolates, true);
    await session.run("mark", live.mark(), signal);
    const source = { heap, objects, values, live };
    const steps = writeSnapshot(source, file);
    const counts = await session.run("write", steps, signal).catch((error: unknown) => {
      steps.return(NOTHING); // of an interruption it has not heard
      throw told(file, error);
    });
    const text =
      `${file}: ${formatSize(counts.bytes)}; ${counts.nodes} nodes, ${counts.edges} edges, ` +
      `${formatSize(counts.selfBytes)} alive\nopen it in DevTools: Memory, Load profile`;
    const notes = live.remarks.map((remark) => `\nnote: ${remark}`).join("");
    const json = { path: file, ...counts, remarks: live.remarks };
    return { kind: "text", text: text + notes, json, addresses: [] };
  },
};

function told(file: string, error: unknown): unknown {
  const { code, syscall } = error as NodeJS.ErrnoException; // of node:fs, or it has no syscall
  if (syscall === undefined) return error;
  const why = code === "ENOSPC" ? "the disk is full" : `${syscall} gives ${code}`;
  return new HoldfastError(
    "ERR_HOLDFAST_AUTOPSY_WRITE",
    `Cannot write ${file}: ${why}; nothing was left there. Name another place with -o.`,
    { cause: error },
  );
}

export const SNAPSHOT_VERBS: readonly AutopsyVerb[] = [snapshot];
