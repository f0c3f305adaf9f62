/** Opens what the user named: a core file, or the number of a process. */
import { existsSync } from "node:fs";
import { HoldfastError } from "../../base/mod.ts";
import { openByteSource } from "./byte-source.ts";
import type { ByteSource } from "./byte-source.ts";
import { openCore } from "./core.ts";
import { openLive } from "./live.ts";
import type { Tracer } from "./hold.ts";
import type { Target } from "./target.ts";

export interface OpenOptions {
  /** The node binary, where it is not found by itself; null: search. */
  readonly node?: string | null;
  /** For live processes; null: stopped by signal. */
  readonly tracer?: Tracer | null;
  readonly environment?: NodeJS.ProcessEnv;
}

/**
 * Opens a target by process id, or by the path of a core file.
 * @throws HoldfastError ERR_HOLDFAST_AUTOPSY_*: see docs/errors.md.
 */
export function openTarget(what: number | string, options: OpenOptions = {}): Target {
  const { node = null, tracer = null, environment = process.env } = options;
  if (typeof what === "number") return openLive(what, { node, environment, tracer });
  if (!existsSync(what)) {
    throw new HoldfastError(
      "ERR_HOLDFAST_AUTOPSY_MISSING",
      `Cannot open ${what}: there is no such file. Give a core file, or a process id.`,
    );
  }
  return openCore(openFile(what), { node, environment, title: what });
}

function openFile(path: string): ByteSource {
  try {
    return openByteSource(path);
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException; // of node:fs, or of ours: others then
    if (code !== "EACCES" && code !== "EPERM") throw error;
    throw new HoldfastError(
      "ERR_HOLDFAST_AUTOPSY_DENIED",
      `Cannot open ${path}: the system refuses it (${code}). A core belongs to the user whose ` +
        `process it was: act as that user, or as root.`,
      { cause: error },
    );
  }
}
