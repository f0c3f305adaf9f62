/**
 * Which configuration a worker is started with: that of its generation.
 *
 * ```
 *   first ----------> generation 1, 2 (restart), ...
 *   reread: next ---> the first generation that is new after it
 * ```
 * A reload that fails leaves the old generation, and its workers must then be restarted as what
 * they were, although another configuration has been read.
 */
import type { Environment, ResolvedConfig } from "../base/mod.ts";

/** Generations remembered: each reload makes one, and a few may drain at the same time. */
const GENERATIONS_MAX = 32;

/** A configuration and the environment that it was read in. */
export interface Version {
  readonly config: ResolvedConfig;
  readonly environment: Environment;
}

export class Versions {
  readonly #byGeneration = new Map<number, Version>();
  #latest: Version;
  #next: Version | null = null;

  constructor(first: Version) {
    this.#latest = first;
  }

  /** The configuration was read again: it is for the next new generation. */
  reread(version: Version): void {
    this.#next = version;
  }

  /** The version of a generation. A new one gets what was read last. */
  of(generation: number): Version {
    const known = this.#byGeneration.get(generation);
    if (known !== undefined) return known;
    const version = this.#next ?? this.#latest;
    this.#next = null;
    this.#byGeneration.set(generation, version);
    for (const old of this.#byGeneration.keys()) {
      if (this.#byGeneration.size <= GENERATIONS_MAX) break;
      this.#byGeneration.delete(old);
    }
    return version;
  }

  /** This generation serves now: what is started without another reading is as it is. */
  serves(generation: number): Version {
    this.#latest = this.#byGeneration.get(generation) ?? this.#latest;
    return this.#latest;
  }
}
