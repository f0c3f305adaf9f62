/**
 * V8's maps (hidden classes), each read once: what every object of a walk is asked for.
 */
import type { HeapView } from "../v8/heap-view.ts";
import { CLEARED } from "../v8/tagged.ts";
import type { Tagged } from "../v8/tagged.ts";

/** More maps than any program has; beyond, a damaged heap would fill our memory. */
const MAPS_MAX = 1_000_000;
/** Words that look like a map's address and are none: of these only so many are remembered. */
const OTHERS_MAX = 200_000;

export interface MapInfo {
  readonly address: Tagged;
  readonly instanceType: number;
  /** 0: the size is in the object. */
  readonly instanceBytes: number;
}

/** Maps by address; null for what is none. */
export class MapTable {
  readonly #view: HeapView;
  readonly #known = new Map<number, MapInfo>();
  readonly #others = new Set<number>();
  readonly #typeOffset: number;
  readonly #sizeOffset: number;

  constructor(view: HeapView) {
    this.#view = view;
    this.#typeOffset = view.layout.field("Map", "instance_type");
    this.#sizeOffset = view.layout.field("Map", "instance_size_in_words");
  }

  get(address: Tagged): MapInfo | null {
    const known = this.#known.get(address);
    if (known !== undefined) return known;
    if (this.#others.has(address)) return null;
    const info = this.#read(address);
    if (info === null && this.#others.size < OTHERS_MAX) this.#others.add(address);
    if (info !== null && this.#known.size < MAPS_MAX) this.#known.set(address, info);
    return info;
  }

  #read(address: Tagged): MapInfo | null {
    const view = this.#view;
    if (address <= 0 || !view.isMap(address)) return null;
    return {
      address,
      instanceType: view.unsigned(address, this.#typeOffset, 2),
      instanceBytes: 8 * view.unsigned(address, this.#sizeOffset, 1),
    };
  }

  /** The map of an object; null when it has none. */
  of(object: Tagged): MapInfo | null {
    const map = this.#view.mapOf(object);
    return map === CLEARED ? null : this.get(map);
  }
}
