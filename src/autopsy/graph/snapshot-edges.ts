/**
 * Edges of a heap snapshot: properties, elements and variables by their names, everything else of
 * an object's words by where it is.
 */
import type { MapInfo } from "../heap/maps.ts";
import { isSmi } from "../v8/tagged.ts";
import type { Accessor, ObjectReader } from "../v8/objects.ts";
import { EPHEMERONS_AT } from "./live.ts";
import type { LiveObjects } from "./live.ts";
import { InternalNames } from "./snapshot-internals.ts";
import type { NodeNames } from "./snapshot-nodes.ts";
import { WeakMapEdges } from "./snapshot-weak-maps.ts";
import type { NodeText } from "./snapshot-weak-maps.ts";

/** Where there are none, these refer to the empty one, which is everybody's. */
const NONE_IF_SHARED: ReadonlySet<string> = new Set(["bindings", "dependent_code", "descriptors"]);
/** Bound arguments that are named. */
const ARGUMENTS_MAX = 1_000;

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

/** `has_prototype_slot` of `bit_field`, the same in all versions (src/objects/map.tq). */
const HAS_PROTOTYPE_SLOT = 1 << 7;

/** Enumerates the edges of the live objects of one process. */
export class SnapshotEdges {
  readonly #objects: ObjectReader;
  readonly #live: LiveObjects;
  readonly #names: NodeNames;
  readonly #internals: InternalNames;
  readonly #weakMaps: WeakMapEdges;
  readonly #firstReceiver: number;
  readonly #functionPrototypeAt: number;
  readonly #bitFieldAt: number;

  constructor(
    objects: ObjectReader,
    live: LiveObjects,
    names: NodeNames,
    textOf: (address: number) => NodeText,
  ) {
    const { layout } = objects.heap;
    this.#objects = objects;
    this.#live = live;
    this.#names = names;
    this.#internals = new InternalNames(objects.heap);
    this.#weakMaps = new WeakMapEdges(live, textOf);
    this.#firstReceiver = layout.type("JS_PROXY_TYPE");
    this.#functionPrototypeAt = layout.field("JSFunction", "prototype_or_initial_map");
    this.#bitFieldAt = layout.field("Map", "bit_field");
  }

  /** Each to a live object. */
  of(address: number, map: MapInfo, bytes: number, visit: EdgeVisitor): void {
    const named = new Set<number>();
    let count = 0;
    const add: EdgeVisitor = (type, label, to) => {
      count += 1;
      visit(type, label, to);
    };
    const name: EdgeVisitor = (type, label, to) => {
      if (isSmi(to) || to <= 0 || !this.#live.isLive(to)) return;
      named.add(to);
      add(type, label, to);
    };
    const isReceiver = map.instanceType >= this.#firstReceiver;
    if (isReceiver) this.#ofReceiver(address, map, name);
    else if (this.#objects.heap.isContext(address)) this.#ofContext(address, name);
    const isTable = this.#live.isWeakTable(map);
    let rest = 0;
    this.#live.references(address, map, bytes, (to, offset, isWeak) => {
      if (!this.#live.isLive(to) || (isReceiver && this.#isEmptyStore(offset, to))) return;
      const word = this.#internals.of(map, offset, to);
      const mayBeNone = word !== null && NONE_IF_SHARED.has(word);
      const label = mayBeNone && this.#live.index.isReadOnly(to) ? null : word;
      if (isWeak || (isTable && offset >= EPHEMERONS_AT)) {
        add("weak", label ?? String(offset / 8), to);
      } else if (label !== null) add("internal", label, to);
      else if (!named.has(to)) add("hidden", (rest += 1), to);
    });
    for (const { value, label } of this.#weakMaps.of(address)) {
      add("internal", `${count + 1} / ${label}`, value);
    }
  }

  #ofReceiver(address: number, map: MapInfo, name: EdgeVisitor): void {
    for (const property of this.#objects.properties(address)) {
      const { accessor } = property;
      const isNamed = !property.isSymbol || property.isPrivate;
      const label = isNamed ? property.name : `<symbol ${property.name}>`.replace(" >", ">");
      if (accessor === null) name("property", label, property.value);
      else this.#ofAccessor(label, property.isSymbol, accessor, name);
    }
    for (const { index, value } of this.#objects.elements(address)) name("element", index, value);
    name("property", "__proto__", this.#objects.prototypeOf(address));
    const { heap } = this.#objects;
    if (heap.isOfType(address, "JS_BOUND_FUNCTION_TYPE")) {
      const args = heap.tagged(address, heap.layout.stated.boundArgs);
      const length = Math.min(heap.arrayLength(args), ARGUMENTS_MAX);
      for (let index = 0; index < length; index += 1) {
        name("shortcut", `bound_argument_${index}`, heap.arrayItem(args, index));
      }
    }
    const hasPrototype =
      (heap.unsigned(map.address, this.#bitFieldAt, 1) & HAS_PROTOTYPE_SLOT) !== 0;
    if (!hasPrototype || !heap.isFunction(address)) return;
    const found = heap.tagged(address, this.#functionPrototypeAt);
    if (isSmi(found) || this.#objects.isHole(found)) return; // nobody has asked for it yet
    const isMap = heap.isMap(found);
    if (isMap) name("internal", "initial_map", found);
    const prototype = heap.layout.field("Map", "prototype");
    name("property", "prototype", isMap ? heap.tagged(found, prototype) : found);
  }

  /** As V8 has it: what has both, then each of the two that is there. */
  #ofAccessor(label: string, isSymbol: boolean, accessor: Accessor, name: EdgeVisitor): void {
    name("property", label, accessor.pair);
    const { getter, setter } = accessor;
    const isAbsent = (to: number): boolean => isSmi(to) || this.#objects.oddball(to) !== null;
    if (!isAbsent(getter)) name("property", isSymbol ? label : `get ${label}`, getter);
    if (!isAbsent(setter)) name("property", isSymbol ? label : `set ${label}`, setter);
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
