/**
 * What `holdfast trace` writes. On a terminal the aggregations are drawn again in place each second
 * and printed lines scroll above them; elsewhere lines are written as they come and aggregations
 * once, at the end. With `--json` each thing is a line of JSON.
 */
import { wantsColor } from "../base/mod.ts";
import type { TraceLine } from "../supervision/mod.ts";
import { bucketsOf, renderTrace, scalarOf } from "../trace/mod.ts";
import type { MergedTrace, TraceSnapshot } from "../trace/mod.ts";
import { printable } from "./table.ts";
import type { World } from "./verb.ts";

/** Where the terminal does not say. */
const COLUMNS_DEFAULT = 100;
const ROWS_DEFAULT = 24;
/** Rows of one aggregation in the live view, and at the end. */
const LIVE_ROWS_MAX = 10;
const FINAL_ROWS_MAX = 100;

export class TraceView {
  /** Ctrl-C was pressed: what comes now is the end. */
  isLeaving = false;
  readonly #world: World;
  readonly #isJson: boolean;
  readonly #isLive: boolean;
  readonly #isColored: boolean;
  /** The last drawing, which the next one takes away. */
  #drawn: readonly string[] = [];

  constructor(world: World, isJson: boolean) {
    this.#world = world;
    this.#isJson = isJson;
    this.#isLive = world.stdout.isTTY === true && !isJson;
    this.#isColored = wantsColor(world.stderr, world.environment);
  }

  /** What the service says of the trace itself. */
  line(line: TraceLine): void {
    switch (line.type) {
      case "started": {
        const count = line.workers.length;
        const where = count === 0 ? "no worker is ready yet" : `tracing ${workersText(count)}`;
        this.#say({ event: "started", workers: line.workers }, `${where}; Ctrl-C ends it`);
        break;
      }
      case "refused": {
        const { worker, message } = line;
        this.#say({ event: "refused", worker, message }, `worker ${worker} refused: ${message}`);
        break;
      }
      case "gone": {
        const { worker } = line;
        const kept = "what it had told a second ago still counts";
        this.#say({ event: "gone", worker }, `worker ${worker} has ended; ${kept}`);
        break;
      }
      case "snapshot":
      case "round":
      case "ended":
        break; // drawn
    }
  }

  /** What is most likely a mistake of the program's. */
  hint(text: string): void {
    this.#say({ event: "hint", text }, text);
  }

  /** Lines that the program printed in a worker. */
  snapshot(worker: number, { lines }: TraceSnapshot): void {
    if (lines.length === 0) return;
    if (this.#isJson) {
      for (const text of lines) this.#json({ event: "line", worker, text });
      return;
    }
    const drawn = this.#drawn;
    this.#erase();
    const texts = lines.flatMap((text) => text.split("\n")).map(printable);
    this.#world.stdout.write(`${texts.join("\n")}\n`);
    this.#show(drawn);
  }

  /** @param silent workers that have not answered the last question */
  draw(trace: MergedTrace, silent: readonly number[]): void {
    if (this.#isJson) {
      this.#json({ event: "aggregations", ...plain(trace), silent });
      return;
    }
    if (!this.#isLive) return;
    const { columns, rows } = terminalSize();
    const options = { columns: columns - 1, rowsMax: LIVE_ROWS_MAX };
    const busy =
      silent.length > 0 ? [`no answer from worker ${silent.join(", ")}: it is busy`] : [];
    const lines = [...renderTrace(trace, options), ...busy];
    const room = Math.max(3, rows - 2);
    const shown = lines.slice(0, room).map((line) => line.slice(0, columns - 1));
    if (lines.length > room) shown.push(`... ${lines.length - room} more lines`);
    this.#erase();
    this.#show(shown);
  }

  #show(lines: readonly string[]): void {
    if (lines.length > 0) this.#world.stdout.write(`${lines.join("\n")}\n`);
    this.#drawn = lines;
  }

  /** Everything, for good. */
  end(trace: MergedTrace, reason: string): void {
    if (this.#isJson) {
      this.#json({ event: "aggregations", ...plain(trace), silent: [] });
      this.#json({ event: "ended", reason });
      return;
    }
    this.#erase();
    const { columns } = terminalSize();
    const options = { columns: Math.max(columns, 40), rowsMax: FINAL_ROWS_MAX };
    const lines = renderTrace(trace, options);
    if (lines.length > 0) this.#world.stdout.write(`${lines.join("\n")}\n`);
    const fired = trace.probes.reduce((sum, { firings }) => sum + firings, 0);
    const share = `${(100 * trace.share).toFixed(2)}%`;
    const counts = `${fired} firings in ${workersText(trace.workers)}, ${share} of their time`;
    this.#note(`${printable(reason)}; ${counts}`);
  }

  #say(json: Readonly<Record<string, unknown>>, text: string): void {
    if (this.#isJson) this.#json(json);
    else this.#note(printable(text));
  }

  /** Beside the results, so that a pipe gets nothing else. */
  #note(text: string): void {
    this.#erase();
    const [color, reset] = this.#isColored ? ["\u001B[2m", "\u001B[0m"] : ["", ""];
    this.#world.stderr.write(`${color}holdfast: ${text}${reset}\n`);
  }

  #json(value: Readonly<Record<string, unknown>>): void {
    this.#world.stdout.write(`${JSON.stringify(value)}\n`);
  }

  /** ECMA-48 CPL and ED: up, and clear what is below. */
  #erase(): void {
    const { length } = this.#drawn;
    if (length > 0) this.#world.stdout.write(`\u001B[${length}F\u001B[J`);
    this.#drawn = [];
  }
}

function workersText(count: number): string {
  return count === 1 ? "1 worker" : `${count} workers`;
}

function terminalSize(): { readonly columns: number; readonly rows: number } {
  // the types say that it is always a terminal; one that does not know its size says 0
  const size: { readonly columns?: number; readonly rows?: number } = process.stdout;
  const known = (value: number | undefined, otherwise: number): number =>
    value === undefined || value <= 0 ? otherwise : value;
  return {
    columns: known(size.columns, COLUMNS_DEFAULT),
    rows: known(size.rows, ROWS_DEFAULT),
  };
}

/** Figures ready to be used: a scalar's value, a distribution's buckets. */
function plain(trace: MergedTrace): Readonly<Record<string, unknown>> {
  const aggregations = trace.aggregations.map((each) => {
    const isDistribution = each.kind.endsWith("quantize");
    const rows = each.rows.map(([keys, data]) =>
      isDistribution
        ? { keys, buckets: bucketsOf(each, data) }
        : { keys, value: scalarOf(each.kind, data) },
    );
    const { name, kind, params, unit, drops, skipped } = each;
    return { name, kind, params, unit, rows, drops, skipped };
  });
  return { ...trace, aggregations };
}
