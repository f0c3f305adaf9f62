/** What a provider gets, and what it must give back: everything as it was. */
import type { Site } from "../site.ts";
import type { Lines } from "./lines.ts";
import type { Patches } from "./patches.ts";
import type { Requests } from "./requests.ts";

export interface Tools {
  readonly patches: Patches;
  readonly lines: Lines;
  /** Null where no clause asks for a request. */
  readonly requests: Requests | null;
}

/** Undoes everything that the provider did for these sites. */
export type Detach = () => void;

/** Attaches the sites of one provider; says in `site.off` which of them could not be attached. */
export type Attach = (sites: readonly Site[], tools: Tools) => Detach;

/** The sites of one point. */
export function sitesAt(sites: readonly Site[], form: string): readonly Site[] {
  return sites.filter((site) => site.clause.point.form === form);
}

/** Whether anybody reads the duration. */
export function timed(sites: readonly Site[]): boolean {
  return sites.some((site) => site.needs.duration);
}

/** Undoes in the opposite order. */
export function detachAll(steps: readonly Detach[]): Detach {
  return () => {
    for (const step of steps.toReversed()) step();
  };
}

/** Fires sites with the same arguments. */
export function fireAll(
  sites: readonly Site[],
  requests: Requests | null,
  args: readonly unknown[],
  duration?: number,
  thrown?: unknown,
  retval?: unknown,
): void {
  // no iterator: this is what a firing costs
  for (let index = 0; index < sites.length; index += 1) {
    const site = sites[index];
    if (site === undefined) continue;
    const { firing } = site;
    firing.args = args;
    firing.duration = duration;
    firing.thrown = thrown;
    firing.retval = retval;
    firing.request = site.needs.request && requests !== null ? requests.current() : null;
    site.fire();
  }
}
