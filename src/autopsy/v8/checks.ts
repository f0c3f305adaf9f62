/** The outcome of one look at the process, by which a layout is believed or not. */
export interface Check {
  /** What was looked at: "global variables", "promises". */
  readonly name: string;
  /** "absent": what it needs is not in the process, or not in the core. */
  readonly outcome: "holds" | "fails" | "absent";
  /** What was found where it fails; else empty. */
  readonly detail: string;
}

/** Null: what was to be looked at is not there. */
export function check(name: string, look: () => boolean | null): Check {
  const holds = look();
  const outcome = holds === null ? "absent" : holds ? "holds" : "fails";
  return { name, outcome, detail: "" };
}

/** How much a layout is to be believed. */
export interface Confidence {
  readonly held: number;
  readonly failed: readonly string[];
  readonly absent: readonly string[];
}

export function confidenceOf(checks: readonly Check[]): Confidence {
  const named = (wanted: Check["outcome"]): readonly string[] =>
    checks.filter(({ outcome }) => outcome === wanted).map(({ name }) => name);
  return { held: named("holds").length, failed: named("fails"), absent: named("absent") };
}
