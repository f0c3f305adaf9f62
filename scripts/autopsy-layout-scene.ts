/**
 * What a search for constants of V8 has to go by, and small searches on it: a process that stands
 * still, and objects in it whose content is known.
 */
import type { Target } from "../src/autopsy/target/target.ts";
import type { HeapView } from "../src/autopsy/v8/heap-view.ts";
import type { Constant, Stated } from "../src/autopsy/v8/layout-table.ts";
import { isSmi } from "../src/autopsy/v8/tagged.ts";

/** No object that is searched is larger; behind it may lie another of its kind. */
const OBJECT_BYTES = 72;

export type Found = { readonly [Name in keyof Stated]: Constant<Stated[Name]> };

/** What a search has to go by. */
export interface Scene {
  readonly target: Target;
  readonly heap: HeapView;
  readonly isolate: number;
  /** Stack pointer of the thread that stands still. */
  readonly sp: number;
  readonly subjects: ReadonlyMap<string, { readonly address: number; readonly text: string }>;
}

/** Small searches on one scene. */
export class Search {
  readonly scene: Scene;
  readonly heap: HeapView;

  constructor(scene: Scene) {
    this.scene = scene;
    this.heap = scene.heap;
  }

  at(name: string): number {
    return this.#subject(name).address;
  }

  /** What it has said of itself, and `%DebugPrint` of it. */
  textOf(name: string): string {
    return this.#subject(name).text;
  }

  #subject(name: string): { readonly address: number; readonly text: string } {
    const subject = this.scene.subjects.get(name);
    if (subject === undefined) throw new Error(`no subject ${name}`);
    return subject;
  }

  /** The one offset from `first` on for which this holds. */
  one(
    what: string,
    holds: (offset: number) => boolean,
    first = 8,
    step = 8,
    end = OBJECT_BYTES,
  ): number {
    const found: number[] = [];
    for (let offset = first; offset < end; offset += step) {
      if (holds(offset)) found.push(offset);
    }
    const [only] = found;
    if (only === undefined || found.length > 1) {
      throw new Error(`${what}: ${found.length} places (${found.join(", ")})`);
    }
    return only;
  }

  /** Where `object` refers to the other subject. */
  pointer(object: string, to: string, first = 16): number {
    const address = this.at(to);
    return this.one(
      `${object} -> ${to}`,
      (offset) => this.heap.tagged(this.at(object), offset) === address,
      first,
      8,
      this.bytesOf(this.at(object)),
    );
  }

  /** Bytes of an object, by its map; of one whose size varies, more than a search needs. */
  bytesOf(object: number): number {
    const { heap } = this;
    const field = heap.layout.field("Map", "instance_size_in_words");
    return 8 * heap.unsigned(heap.mapOf(object), field, 1) || OBJECT_BYTES;
  }

  /** Items of an array, as far as it is one. */
  items(array: number): readonly number[] {
    const length = Math.min(this.heap.arrayLength(array), 10_000);
    return Array.from({ length }, (_, index) => this.heap.arrayItem(array, index));
  }

  typeAt(object: number, offset: number): string {
    const { heap } = this;
    const value = heap.tagged(object, offset);
    return isSmi(value) ? "" : (heap.layout.typeName(heap.instanceTypeOf(value)) ?? "");
  }

  shared(name: string): number {
    return this.heap.tagged(this.at(name), this.heap.layout.field("JSFunction", "shared"));
  }

  elementsKind(name: string): number {
    const { heap } = this;
    const { layout } = heap;
    const map = heap.mapOf(this.at(name));
    const bits = heap.unsigned(map, layout.field("Map", "bit_field2"), 1);
    const mask = layout.get("bit_field2_elements_kind_mask");
    return (bits & mask) >>> layout.get("bit_field2_elements_kind_shift");
  }

  /** Symbols that are keys of an object's properties: `#fields`, and V8's own. */
  symbolKeys(name: string): readonly number[] {
    const { heap } = this;
    const { layout } = heap;
    const map = heap.mapOf(this.at(name));
    const descriptors = heap.tagged(map, layout.get("class_Map__instance_descriptors_offset"));
    const header = layout.field("DescriptorArray", "header_size");
    // the first 16 bits behind the map count all of them
    const count = heap.unsigned(descriptors, 8, 2);
    const keys = Array.from({ length: count }, (_, index) =>
      heap.tagged(descriptors, header + 24 * index + 8 * layout.get("prop_desc_key")),
    ).filter((key) => heap.isOfType(key, "SYMBOL_TYPE"));
    if (keys.length === 0) throw new Error(`${name} has no symbol among its keys`);
    return keys;
  }
}
