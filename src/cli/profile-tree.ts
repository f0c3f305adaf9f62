/**
 * A profile of V8's as a tree of functions with what each took itself: time of a `.cpuprofile`,
 * bytes of a `.heapprofile`. From it flame graph and pprof are made.
 */
import { HoldfastError } from "../base/mod.ts";

/** A function at one place of the stack. */
export interface ProfileNode {
  readonly name: string;
  /** Path or URL; empty for what is V8's own. */
  readonly file: string;
  /** From 1; 0: not known. */
  readonly line: number;
  /** Without those it calls; microseconds or bytes. */
  self: number;
  /** Samples that hit it, or objects. */
  count: number;
  readonly children: ProfileNode[];
}

export interface ProfileTree {
  readonly unit: "microseconds" | "bytes";
  readonly root: ProfileNode;
  readonly total: number;
}

/** As V8 writes it (Chrome DevTools Protocol, Runtime.CallFrame); lines from 0. */
interface CallFrame {
  readonly functionName: string;
  readonly url: string;
  readonly lineNumber: number;
}

/** Profiler.Profile */
interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: CallFrame;
    readonly children?: readonly number[];
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/** HeapProfiler.SamplingHeapProfileNode */
interface HeapNode {
  readonly callFrame: CallFrame;
  readonly selfSize: number;
  readonly children: readonly HeapNode[];
}

/**
 * The tree of a profile.
 * @throws HoldfastError ERR_HOLDFAST_PROFILE when the text is no profile of V8's.
 */
export function profileTree(text: string): ProfileTree {
  const profile = parsed(text);
  const tree = "nodes" in profile ? cpuTree(profile) : heapTree(profile.head);
  return { ...tree, total: totalOf(tree.root) };
}

/** What a function and all that it called took. */
export function totalOf(node: ProfileNode): number {
  return node.children.reduce((sum, child) => sum + totalOf(child), node.self);
}

function parsed(text: string): CpuProfile | { readonly head: HeapNode } {
  const value = JSON.parse(text) as Partial<CpuProfile & { head: HeapNode }>; // checked below
  const { nodes, samples, timeDeltas, head } = value;
  if (Array.isArray(nodes) && Array.isArray(samples) && Array.isArray(timeDeltas)) {
    return { nodes, samples, timeDeltas };
  }
  if (typeof head === "object" && Array.isArray(head.children)) return { head };
  const message = "Cannot read the profile: it is none of V8's. Take it with this version's CLI.";
  throw new HoldfastError("ERR_HOLDFAST_PROFILE", message);
}

function cpuTree({ nodes, samples, timeDeltas }: CpuProfile): Omit<ProfileTree, "total"> {
  const byId = new Map(nodes.map(({ id, callFrame }) => [id, nodeOf(callFrame)]));
  for (const { id, children = [] } of nodes) {
    const found = children.flatMap((child) => byId.get(child) ?? []);
    byId.get(id)?.children.push(...found);
  }
  samples.forEach((id, index) => {
    const node = byId.get(id);
    if (node === undefined) return;
    node.self += Math.max(0, timeDeltas[index] ?? 0); // a clock that was set back
    node.count += 1;
  });
  const [first] = nodes;
  const root = first === undefined ? undefined : byId.get(first.id);
  return { unit: "microseconds", root: root ?? nodeOf(ROOT) };
}

const ROOT: CallFrame = { functionName: "(root)", url: "", lineNumber: -1 };

function heapTree(head: HeapNode): Omit<ProfileTree, "total"> {
  const convert = ({ callFrame, selfSize, children }: HeapNode): ProfileNode => {
    const node = nodeOf(callFrame);
    node.self = selfSize;
    node.count = selfSize > 0 ? 1 : 0;
    node.children.push(...children.map(convert));
    return node;
  };
  return { unit: "bytes", root: convert(head) };
}

function nodeOf({ functionName, url, lineNumber }: CallFrame): ProfileNode {
  const file = url.startsWith("file://") ? decodeURI(url.slice("file://".length)) : url;
  const name = functionName === "" ? "(anonymous)" : functionName;
  return { name, file, line: lineNumber + 1, self: 0, count: 0, children: [] };
}
