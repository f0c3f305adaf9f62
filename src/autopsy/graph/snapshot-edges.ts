/**
 * Edges of a heap snapshot: properties, elements and variables by their names, everything else of
 * an object's words by where it is.
 */
import type { MapInfo } from "../heap/maps.ts";
import { isSmi } from "../v8/tagged.ts";
import type { ObjectReader } from "../v8/objects.ts";
import type { LiveObjects } from "./live.ts";
import type { NodeNames } from "./snapshot-nodes.ts";

/** In the order of V8's `HeapGraphEdge::Type`. */
export const EDGE_TYPES = [
  "context",
  "element",
  "property",
  "internal",
  "hidden",
  "shortcut",
  "weak",
] as const;

export type EdgeType = (typeof EDGE_TYPES)[number];

/** `name` is a number for elements and hidden edges. */
export type EdgeVisitor = (type: EdgeType, name: string | number, to: number) => void;

/** Enumerates the edges of the live objects of one process. */
export class SnapshotEdges {
  readonly #objects: ObjectReader;
  readonly #live: LiveObjects;
  readonly #names: NodeNames;
  readonly #firstReceiver: number;
  readonly #prototypeAt: number;
  readonly #functionAt: ReadonlyMap<number, string>;

  constructor(objects: ObjectReader, live: LiveObjects, names: NodeNames) {
    const { layout } = objects.heap;
    this.#objects = objects;
    this.#live = live;
    this.#names = names;
    this.#firstReceiver = layout.type("JS_PROXY_TYPE");
    this.#prototypeAt = layout.field("JSFunction", "prototype_or_initial_map");
    this.#functionAt = new Map([
      [layout.field("JSFunction", "shared"), "shared"],
      [layout.field("JSFunction", "context"), "context"],
    ]);
  }

  /** Each to a live object. */
  of(address: number, map: MapInfo, bytes: number, visit: EdgeVisitor): void {
    const named = new Set<number>();
    const name = (type: EdgeType, label: string | number, to: number): void => {
      if (isSmi(to) || to <= 0 || !this.#live.isLive(to)) return;
      named.add(to);
      visit(type, label, to);
    };
    const { heap } = this.#objects;
    const isReceiver = map.instanceType >= this.#firstReceiver;
    if (isReceiver) this.#ofReceiver(address, name);
    else if (heap.isContext(address)) this.#ofContext(address, name);
    const isFunction = isReceiver && heap.isFunction(address);
    const { objectProperties, objectElements } = heap.layout.stated;
    const isTable = this.#live.isWeakTable(map);
    let rest = 0;
    this.#live.references(address, map, bytes, (to, offset, isWeak) => {
      if (!this.#live.isLive(to) || (isReceiver && this.#isEmptyStore(offset, to))) return;
      const label =
        offset === 0
          ? "map"
          : !isReceiver
            ? null
            : offset === objectProperties
              ? "properties"
              : offset === objectElements
                ? "elements"
                : isFunction
                  ? (this.#functionAt.get(offset) ?? null)
                  : null;
      if (label !== null) visit("internal", label, to);
      else if (isTable && offset % 16 === 0) visit("internal", "value of a weak key", to);
      else if (isWeak) visit("weak", String(offset / 8), to);
      else if (!named.has(to)) visit("hidden", (rest += 1), to);
    });
  }

  #ofReceiver(address: number, name: EdgeVisitor): void {
    for (const property of this.#objects.properties(address)) {
      const { accessor } = property;
      const isNamed = !property.isSymbol || property.isPrivate;
      const label = isNamed ? property.name : `<symbol ${property.name}>`.replace(" >", ">");
      if (accessor === null) name("property", label, property.value);
      else {
        name("property", `get ${label}`, accessor.getter);
        name("property", `set ${label}`, accessor.setter);
      }
    }
    for (const { index, value } of this.#objects.elements(address)) name("element", index, value);
    name("property", "__proto__", this.#objects.prototypeOf(address));
    const { heap } = this.#objects;
    if (!heap.isFunction(address)) return;
    const found = heap.tagged(address, this.#prototypeAt);
    const isMap = heap.isMap(found);
    if (isMap) name("internal", "initial_map", found);
    const prototype = heap.layout.field("Map", "prototype");
    name("property", "prototype", isMap ? heap.tagged(found, prototype) : found);
  }

  /** The empty array, where an object has no properties or elements beside its own. */
  #isEmptyStore(offset: number, to: number): boolean {
    const { objectProperties, objectElements } = this.#objects.heap.layout.stated;
    const isStore = offset === objectProperties || offset === objectElements;
    return isStore && this.#live.index.isReadOnly(to);
  }

  #ofContext(address: number, name: EdgeVisitor): void {
    const { heap } = this.#objects;
    const { contextPrevious, contextScopeInfo, contextLocals } = heap.layout.stated;
    for (const [index, variable] of this.#names.variablesOf(address).entries()) {
      name("context", variable, heap.tagged(address, contextLocals + 8 * index));
    }
    name("internal", "scope_info", heap.tagged(address, contextScopeInfo));
    name("internal", "previous", heap.tagged(address, contextPrevious));
  }
}
