/**
 * Objects of each kind, taken from the heap for the self-test, and how many of them must look as
 * such objects do.
 */
import type { MapInfo } from "../heap/maps.ts";
import type { Heap, WalkCounts } from "../heap/walk.ts";
import { check } from "../v8/checks.ts";
import type { Check } from "../v8/checks.ts";
import type { Layout } from "../v8/layout.ts";
import type { ObjectReader } from "../v8/objects.ts";
import type { Tagged } from "../v8/tagged.ts";

/** Objects of one kind that are looked at. */
export const SAMPLES_MAX = 60;
/** Of what is rare among its kind: optimised code among builtins, private symbols. */
const SAMPLES_OF_MIXED_MAX = 5_000;
/** So many of those that were just made say more than any number of old ones. */
const YOUNG_MIN = 5;
/** Some are half made, or dead and partly overwritten. */
export const HOLDS_SHARE = 0.9;
/** Of so many and more, one may be half made whatever the share, if that is likely for them. */
const ONE_OF_MIN = 3;
/** Kinds with numbers among their words, which may look like references. */
const RAW: ReadonlySet<string> = new Set(["BYTECODE_ARRAY_TYPE", "CODE_TYPE", "optimised code"]);

/** Pages that are walked: of a fresh process all, of a large one enough. */
export const PAGES_MAX = 48;

export interface Sample {
  readonly address: Tagged;
  readonly bytes: number;
  readonly isYoung: boolean;
}

export type Look = (sample: Sample) => boolean | null;

/** See the file's docstring. */
export class HeapSamples {
  readonly #objects: ObjectReader;
  readonly #heap: Heap;
  /** By instance type. */
  readonly #old = new Map<number, Sample[]>();
  readonly #young = new Map<number, Sample[]>();
  /** Node's own, whatever their instance type is. */
  readonly #parsers: Sample[] = [];
  /** By map: whether objects of it are such. */
  readonly #areParsers = new Map<Tagged, boolean>();
  /** Of the pages that were walked; null: there is none. */
  readonly counts: WalkCounts | null = null;

  constructor(layout: Layout, objects: ObjectReader, heap: Heap) {
    this.#objects = objects;
    this.#heap = heap;
    const mixed = [layout.type("CODE_TYPE"), layout.type("SYMBOL_TYPE")];
    let pages = 0;
    const walk = heap.walk((address, map, bytes) => {
      const { instanceType } = map;
      const sample = { address, bytes, isYoung: heap.isYoung(address) };
      const ofKind = sample.isYoung ? this.#young : this.#old;
      const known = ofKind.get(instanceType) ?? [];
      if (known.length === 0) ofKind.set(instanceType, known);
      const max = mixed.includes(instanceType) ? SAMPLES_OF_MIXED_MAX : SAMPLES_MAX;
      if (known.length < max) known.push(sample);
      if (this.#parsers.length < SAMPLES_MAX && this.#isParser(address, map)) {
        this.#parsers.push(sample);
      }
    });
    for (const counts of walk) {
      this.counts = counts;
      pages += 1;
      if (pages >= PAGES_MAX) break;
    }
  }

  get types(): readonly number[] {
    return [...new Set([...this.#old.keys(), ...this.#young.keys()])];
  }

  get parsers(): readonly Sample[] {
    return this.#parsers;
  }

  #isParser(address: Tagged, map: MapInfo): boolean {
    const known = this.#areParsers.get(map.address);
    if (known !== undefined || !this.#objects.isReceiverType(map.instanceType))
      return known === true;
    const isOne = this.#objects.className(address) === "HTTPParser";
    this.#areParsers.set(map.address, isOne);
    return isOne;
  }

  ofType(instanceType: number): readonly Sample[] {
    return [...(this.#old.get(instanceType) ?? []), ...(this.#young.get(instanceType) ?? [])];
  }

  /**
   * Where the old ones do not hold, those just made decide: dead ones are no witnesses.
   * @param isHalfMade whether one is likely to be taken before all of it is there
   */
  judge(name: string, samples: readonly Sample[], look: Look, isHalfMade = false): Check {
    const all = this.#judged(name, samples, look, isHalfMade);
    const young = samples.filter(({ isYoung }) => isYoung);
    if (all.outcome !== "fails" || young.length < YOUNG_MIN) return all;
    const ofYoung = this.#judged(name, young, look, isHalfMade);
    return ofYoung.outcome === "absent" ? all : ofYoung;
  }

  #judged(name: string, samples: readonly Sample[], look: Look, isHalfMade: boolean): Check {
    return check(name, () => {
      const isRaw = RAW.has(name);
      const outcomes = samples
        .map((sample) => {
          const outcome = look(sample);
          const { address, bytes } = sample;
          // what is dead and not swept yet refers to what is no object any more
          return outcome === false && !isRaw && this.#heap.isDead(address, bytes) ? null : outcome;
        })
        .filter((outcome) => outcome !== null);
      const held = outcomes.filter(Boolean).length;
      const { length } = outcomes;
      const mayOneFail = isHalfMade && length >= ONE_OF_MIN;
      const least = Math.min(length * HOLDS_SHARE, mayOneFail ? length - 1 : length);
      return length === 0 ? null : held >= least;
    });
  }
}
