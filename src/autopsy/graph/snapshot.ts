/**
 * A heap snapshot for DevTools, written as it is made: neither the graph nor its text is ever in
 * memory as a whole.
 *
 * ```
 *   live objects, by address --> nodes --> file          counts at the front: filled in at the end
 *                          `---> edges --> file
 *   strings of nodes and edges --> second file ---------> appended
 * ```
 * Format: `HeapSnapshotJSONSerializer` of V8's src/profiler/heap-snapshot-generator.cc.
 */
import { closeSync, openSync, readSync, renameSync, rmSync, writeSync } from "node:fs";
import { refuseSpecial } from "../target/output-file.ts";
import type { Heap } from "../heap/walk.ts";
import type { ObjectReader } from "../v8/objects.ts";
import type { ValueReader } from "../v8/values.ts";
import { NATIVE_CONTEXT } from "./live.ts";
import type { LiveObjects } from "./live.ts";
import { EDGE_TYPES, SnapshotEdges } from "./snapshot-edges.ts";
import type { EdgeType } from "./snapshot-edges.ts";
import { NODE_TYPES, NodeNames } from "./snapshot-nodes.ts";
import type { NodeType } from "./snapshot-nodes.ts";
import type { NodeText } from "./snapshot-weak-maps.ts";

const NODE_FIELDS = ["type", "name", "id", "self_size", "edge_count", "detachedness"];
const BUFFER_CHARS = 1024 * 1024;
/** Names that are kept to be found again; more are written more than once. */
const NAMES_MAX = 1_000_000;
const COUNT_DIGITS = 12;
const SHARED_FREE_SINCE = 13;
/** Below the root, V8 12 and 13 have the global objects, V8 14 the native contexts. */
const CONTEXTS_SINCE = 14;
/** The root, and `(GC roots)` below it. */
const SYNTHETIC = 2;

export interface SnapshotCounts {
  readonly nodes: number;
  readonly edges: number;
  readonly bytes: number;
  readonly selfBytes: number;
}

export interface SnapshotSource {
  readonly heap: Heap;
  readonly objects: ObjectReader;
  readonly values: ValueReader;
  readonly live: LiveObjects;
}

/** A file that is written in large pieces. */
class TextFile {
  readonly descriptor: number;
  bytes = 0;
  #text = "";

  constructor(path: string) {
    this.descriptor = openSync(path, "wx+", 0o600); // whatever the program had in memory
  }

  write(text: string): void {
    this.#text += text;
    if (this.#text.length >= BUFFER_CHARS) this.flush();
  }

  flush(): void {
    const bytes = Buffer.from(this.#text);
    this.#text = "";
    this.append(bytes);
  }

  append(bytes: Buffer): void {
    for (let done = 0; done < bytes.length;) done += writeSync(this.descriptor, bytes, done);
    this.bytes += bytes.length;
  }
}

/** Strings of a snapshot: each new one goes to a file at once. */
class StringTable {
  readonly #file: TextFile;
  readonly #known = new Map<string, number>();
  #count = 0;

  constructor(file: TextFile) {
    this.#file = file;
  }

  /** The place of a name that comes again. */
  place(text: string): number {
    const known = this.#known.get(text);
    if (known !== undefined) return known;
    const place = this.add(text);
    if (this.#known.size < NAMES_MAX) this.#known.set(text, place);
    return place;
  }

  /** The place of a text that is not looked for again. */
  add(text: string): number {
    this.#file.write(`${this.#count === 0 ? "" : ",\n"}${JSON.stringify(text)}`);
    this.#count += 1;
    return this.#count - 1;
  }
}

/**
 * Writes the snapshot of `path`, beside its name first: no half of one is ever there.
 * @throws the error of the file system; nothing is left then.
 */
export function* writeSnapshot(
  source: SnapshotSource,
  path: string,
): Generator<unknown, SnapshotCounts> {
  refuseSpecial(path);
  const partial = `${path}.${process.pid}.partial`;
  const texts = `${partial}.strings`;
  const files: TextFile[] = [];
  try {
    const file = new TextFile(partial);
    files.push(file);
    const strings = new TextFile(texts);
    files.push(strings);
    const counts = yield* new Writer(source, file, strings).run();
    for (const { descriptor } of files.splice(0)) closeSync(descriptor);
    renameSync(partial, path);
    return counts;
  } finally {
    for (const { descriptor } of files) closeSync(descriptor);
    for (const each of [partial, texts]) rmSync(each, { force: true });
  }
}

class Writer {
  readonly #source: SnapshotSource;
  readonly #file: TextFile;
  readonly #texts: TextFile;
  readonly #strings: StringTable;
  readonly #names: NodeNames;
  readonly #edges: SnapshotEdges;
  /** Memory of buffers, in the order of the objects that have it: address, bytes. */
  readonly #backing: (readonly [number, number])[] = [];
  readonly #backingPlaces = new Map<number, number>();
  /** What all processes of this binary share counts nothing, as V8 has it since 13. */
  readonly #isSharedFree: boolean;
  #edgeCount = 0;
  #selfBytes = 0;
  #nodeCount = 0;

  constructor(source: SnapshotSource, file: TextFile, texts: TextFile) {
    this.#source = source;
    this.#file = file;
    this.#texts = texts;
    this.#strings = new StringTable(texts);
    this.#names = new NodeNames(source.objects, source.values);
    const { live, objects } = source;
    this.#isSharedFree = Number.parseInt(objects.heap.layout.version, 10) >= SHARED_FREE_SINCE;
    this.#edges = new SnapshotEdges(objects, live, this.#names, (to) => this.#textOf(to));
  }

  *run(): Generator<unknown, SnapshotCounts> {
    this.#file.write(header(0, 0));
    this.#file.write('"nodes":[');
    yield* this.#writeNodes();
    this.#file.write('],\n"edges":[');
    yield* this.#writeEdges();
    this.#file.write(
      '],\n"trace_function_infos":[],\n"trace_tree":[],\n"samples":[],\n"locations":[],\n' +
        '"strings":[',
    );
    this.#file.flush();
    this.#texts.flush();
    yield* this.#appendTexts();
    this.#file.write("]}\n");
    this.#file.flush();
    writeSync(this.#file.descriptor, header(this.#nodeCount, this.#edgeCount), 0);
    return {
      nodes: this.#nodeCount,
      edges: this.#edgeCount,
      bytes: this.#file.bytes,
      selfBytes: this.#selfBytes,
    };
  }

  *#writeNodes(): Generator {
    const { heap, live } = this.#source;
    const globals = this.#globals();
    this.#node("synthetic", this.#strings.place(""), 0, 1 + globals.length);
    this.#node("synthetic", this.#strings.place("(GC roots)"), 0, live.roots.length);
    yield* heap.walk((address, map, bytes) => {
      if (!live.isLive(address)) return;
      const { type, name } = this.#names.of(address, map);
      let edges = 0;
      this.#edges.of(address, map, bytes, () => (edges += 1));
      const backing = this.#names.backingOf(address);
      if (backing !== null) {
        edges += 1;
        if (!this.#backingPlaces.has(backing.address)) {
          this.#backingPlaces.set(backing.address, this.#backing.length);
          this.#backing.push([backing.address, backing.bytes]);
        }
      }
      const place =
        type === "string"
          ? this.#strings.add(name)
          : this.#strings.place(this.#label(address, type, name));
      const isShared = this.#isSharedFree && live.index.isReadOnly(address);
      this.#node(type, place, isShared ? 0 : bytes + this.#names.outsideOf(address, map), edges);
    });
    const name = this.#strings.place("system / JSArrayBufferData");
    for (const [, bytes] of this.#backing) this.#node("native", name, bytes, 0);
  }

  #textOf(address: number): NodeText {
    const { live, heap } = this.#source;
    const id = idOf(SYNTHETIC + live.numberOf(address));
    const map = heap.maps.of(address);
    if (map === null) return { name: "", id };
    const { type, name } = this.#names.of(address, map);
    return { name: this.#label(address, type, name), id };
  }

  #label(address: number, type: NodeType, name: string): string {
    if (type !== "array") return name;
    const { live } = this.#source;
    const bit = live.index.bitOf(address);
    if (live.elements.has(bit)) return "(object elements)";
    return live.properties.has(bit) ? "(object properties)" : "";
  }

  #node(type: NodeType, name: number, bytes: number, edges: number): void {
    const comma = this.#nodeCount === 0 ? "" : "\n,";
    const id = idOf(this.#nodeCount);
    this.#file.write(`${comma}${NODE_TYPES.indexOf(type)},${name},${id},${bytes},${edges},0`);
    this.#nodeCount += 1;
    this.#selfBytes += bytes;
  }

  *#writeEdges(): Generator {
    const { heap, live } = this.#source;
    this.#edge("element", 1, 1);
    for (const [index, global] of this.#globals().entries()) {
      this.#edge("shortcut", String(index + 1), SYNTHETIC + live.numberOf(global));
    }
    for (const [index, root] of live.roots.entries()) {
      this.#edge("element", index + 1, SYNTHETIC + live.numberOf(root));
    }
    const firstBacking = SYNTHETIC + live.marked.size;
    yield* heap.walk((address, map, bytes) => {
      if (!live.isLive(address)) return;
      this.#edges.of(address, map, bytes, (type, name, to) => {
        this.#edge(type, name, SYNTHETIC + live.numberOf(to));
      });
      const backing = this.#names.backingOf(address);
      if (backing === null) return;
      const place = this.#backingPlaces.get(backing.address) ?? 0; // seen as nodes were written
      this.#edge("internal", "backing_store", firstBacking + place);
    });
  }

  #edge(type: EdgeType, name: string | number, to: number): void {
    const comma = this.#edgeCount === 0 ? "" : "\n,";
    const label = typeof name === "number" ? name : this.#strings.place(name);
    const at = to * NODE_FIELDS.length;
    this.#file.write(`${comma}${EDGE_TYPES.indexOf(type)},${label},${at}`);
    this.#edgeCount += 1;
  }

  /** From these on, DevTools counts distances, and takes what they hold for the program's. */
  #globals(): readonly number[] {
    const { live, objects } = this.#source;
    const { layout } = objects.heap;
    const isOfContext = Number.parseInt(layout.version, 10) >= CONTEXTS_SINCE;
    const type = isOfContext
      ? layout.get("FirstContextType") + NATIVE_CONTEXT
      : layout.type("JS_GLOBAL_OBJECT_TYPE");
    const isGlobal = (at: number): boolean => objects.heap.instanceTypeOf(at) === type;
    return live.globals.filter((address) => live.isLive(address) && isGlobal(address));
  }

  *#appendTexts(): Generator {
    const piece = Buffer.alloc(BUFFER_CHARS);
    for (let at = 0; at < this.#texts.bytes;) {
      const count = readSync(this.#texts.descriptor, piece, 0, piece.length, at);
      if (count === 0) return;
      this.#file.append(piece.subarray(0, count));
      at += count;
      yield at;
    }
  }
}

/** V8 numbers its objects by odd numbers (heap-profiler.cc: `kObjectIdStep`). */
function idOf(node: number): number {
  return 2 * node + 1;
}

/** Of the same length whatever the counts are. */
function header(nodes: number, edges: number): string {
  const meta = {
    node_fields: NODE_FIELDS,
    node_types: [NODE_TYPES, "string", "number", "number", "number", "number"],
    edge_fields: ["type", "name_or_index", "to_node"],
    edge_types: [EDGE_TYPES, "string_or_number", "node"],
    trace_function_info_fields: [
      "function_id",
      "name",
      "script_name",
      "script_id",
      "line",
      "column",
    ],
    trace_node_fields: ["id", "function_info_index", "count", "size", "children"],
    sample_fields: ["timestamp_us", "last_assigned_id"],
    location_fields: ["object_index", "script_id", "line", "column"],
  };
  const counts =
    `"node_count":${String(nodes).padStart(COUNT_DIGITS)},` +
    `"edge_count":${String(edges).padStart(COUNT_DIGITS)},"trace_function_count":0`;
  return `{"snapshot":{"meta":${JSON.stringify(meta)},\n${counts}},\n`;
}
