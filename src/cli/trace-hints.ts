/** Probes that a program names and that nobody knows so far: most likely they are mistyped. */
import { nearestName } from "../base/mod.ts";
import { KNOWN_CHANNELS } from "../trace/mod.ts";
import type { UserProbe } from "../trace/mod.ts";

const USER = "user:";
const CHANNEL = "dc:";

/** Whether the service must be asked for the probes that the application has made. */
export function namesUserProbes(probes: readonly string[]): boolean {
  return probes.some((each) => each.startsWith(USER) && !each.includes("*"));
}

/**
 * A sentence for each probe of the application's that it has not made, and for each channel that is
 * nearly one that is known. They may come yet, so the trace listens all the same.
 */
export function unknownProbes(
  probes: readonly string[],
  made: readonly Pick<UserProbe, "name">[],
): readonly string[] {
  const names = made.map(({ name }) => name);
  const channels = KNOWN_CHANNELS.map(({ name }) => name);
  return probes
    .filter((each) => !each.includes("*"))
    .flatMap((probe) => {
      if (probe.startsWith(USER)) {
        const name = probe.slice(USER.length);
        if (names.includes(name)) return [];
        const nearest = nearestName(name, names);
        const all = names.length === 0 ? "it has made none" : `it has made ${names.join(", ")}`;
        const hint = nearest === null ? all : `did you mean ${USER}${nearest}?`;
        return [`the application has made no probe ${probe} so far; ${hint}`];
      }
      if (!probe.startsWith(CHANNEL)) return [];
      const name = probe.slice(CHANNEL.length);
      const nearest = channels.includes(name) ? null : nearestName(name, channels);
      if (nearest === null) return []; // any library may have channels of its own
      return [`no channel is known as ${probe}; did you mean ${CHANNEL}${nearest}?`];
    });
}
