/**
 * The text formats of Prometheus: its own (0.0.4) and OpenMetrics (1.0), which has exemplars. One
 * way to write down a metric, two ways to write it out.
 *
 * ```
 *   # HELP name what it is          OpenMetrics: # TYPE name counter; sample name_total
 *   # TYPE name_total counter       both: histogram with name_bucket{le=}, name_sum, name_count
 *   name_total{worker="0"} 12       OpenMetrics: ... # {trace_id="..."} 0.12 1700000000.123
 * ```
 */

export type Labels = Readonly<Record<string, string>>;

export interface Exemplar {
  readonly labels: Labels;
  readonly value: number;
  /** Seconds since 1970. */
  readonly time: number;
}

export interface HistogramSample {
  readonly labels: Labels;
  /** Cumulated, by upper bound in ascending order, without +Inf. */
  readonly buckets: readonly (readonly [bound: number, count: number])[];
  readonly count: number;
  readonly sum: number;
  readonly exemplar: Exemplar | null;
}

/** Writes metrics in one of the formats. */
export class Exposition {
  readonly #isOpen: boolean;
  readonly #lines: string[] = [];

  /** @param isOpen OpenMetrics */
  constructor(isOpen: boolean) {
    this.#isOpen = isOpen;
  }

  get contentType(): string {
    return this.#isOpen
      ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
      : "text/plain; version=0.0.4; charset=utf-8";
  }

  gauge(name: string, help: string, samples: readonly (readonly [Labels, number])[]): void {
    this.#head(name, help, "gauge");
    for (const [labels, value] of samples) this.#sample(name, labels, value);
  }

  /** `name` without `_total`. */
  counter(name: string, help: string, samples: readonly (readonly [Labels, number])[]): void {
    this.#head(this.#isOpen ? name : `${name}_total`, help, "counter");
    for (const [labels, value] of samples) this.#sample(`${name}_total`, labels, value);
  }

  histogram(name: string, help: string, samples: readonly HistogramSample[]): void {
    this.#head(name, help, "histogram");
    for (const sample of samples) this.#histogram(name, sample);
  }

  toString(): string {
    return `${[...this.#lines, ...(this.#isOpen ? ["# EOF"] : [])].join("\n")}\n`;
  }

  #histogram(name: string, { labels, buckets, count, sum, exemplar }: HistogramSample): void {
    let below = Number.NEGATIVE_INFINITY;
    for (const [bound, cumulated] of [...buckets, [Infinity, count] as const]) {
      const value = exemplar?.value ?? Number.NaN;
      const isHere = this.#isOpen && value > below && value <= bound;
      const mark = isHere && exemplar !== null ? exemplarText(exemplar) : "";
      const le = { ...labels, le: this.#bound(bound) };
      this.#lines.push(`${name}_bucket${labelsText(le)} ${cumulated}${mark}`);
      below = bound;
    }
    this.#sample(`${name}_sum`, labels, sum);
    this.#sample(`${name}_count`, labels, count);
  }

  #head(name: string, help: string, type: string): void {
    this.#lines.push(`# HELP ${name} ${escaped(help)}`, `# TYPE ${name} ${type}`);
  }

  #sample(name: string, labels: Labels, value: number): void {
    this.#lines.push(`${name}${labelsText(labels)} ${value}`);
  }

  /** OpenMetrics wants a bound to look like a float: `1.0`. */
  #bound(bound: number): string {
    if (bound === Infinity) return "+Inf";
    return this.#isOpen && Number.isInteger(bound) ? `${bound}.0` : String(bound);
  }
}

function exemplarText({ labels, value, time }: Exemplar): string {
  return ` # ${labelsText(labels)} ${value} ${time.toFixed(3)}`;
}

function labelsText(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${quoted(value)}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

function quoted(text: string): string {
  return escaped(text).replaceAll('"', '\\"');
}

function escaped(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}
