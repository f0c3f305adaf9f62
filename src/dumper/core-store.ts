/**
 * Where cores lie: a folder of the user's, in which we touch nothing but cores of this service.
 *
 * ```
 *   <service>-<time>-w<index>-<pid>.core       being written, or waiting to be compressed
 *   <service>-<time>-w<index>-<pid>.core.zst   kept: the newest CORES_MAX of `bytesMax` together
 * ```
 */
import { createReadStream, createWriteStream, mkdirSync, readdirSync, rmSync } from "node:fs";
import { readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createZstdCompress } from "node:zlib";
import { HoldfastError } from "../base/mod.ts";

/** Each can be gigabytes, and what the fifth one shows the first four did. */
const CORES_MAX = 5;

/** See the file's docstring. */
export class CoreStore {
  readonly #folder: string;
  readonly #own: RegExp;
  readonly #service: string;
  readonly #bytesMax: number;
  readonly #compress: (path: string, partial: string) => Promise<void>;
  /** One after the other: compressing takes a CPU. */
  #work: Promise<unknown> = Promise.resolve();

  /** Removes what a former dumper left half done. */
  constructor(
    folder: string,
    service: string,
    bytesMax: number,
    compress: (path: string, partial: string) => Promise<void> = compressed,
  ) {
    this.#compress = compress;
    this.#folder = folder;
    this.#service = service;
    this.#bytesMax = bytesMax;
    const name = service.replaceAll(".", "\\."); // letters, digits, '.', '_', '-'
    this.#own = new RegExp(`^${name}-\\d{8}T\\d{6}Z-w\\d+-\\d+\\.core`);
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    for (const file of readdirSync(folder)) {
      if (this.#own.test(file) && !file.endsWith(".zst")) rmSync(join(folder, file));
    }
  }

  /** Where the core of a worker goes. */
  next(index: number, pid: number): string {
    const time = new Date().toISOString().replace(/[-:]|\.\d+/g, "");
    return join(this.#folder, `${this.#service}-${time}-w${index}-${pid}.core`);
  }

  /**
   * Compresses a core and removes older ones that are too much, or whose place it needs.
   * @throws HoldfastError ERR_HOLDFAST_CORE when it is larger than all that may be kept, or an
   *   error of the file system; nothing is left of it then
   */
  keep(path: string): Promise<{ readonly path: string; readonly bytes: number }> {
    const kept = this.#work.then(() => this.#keep(path));
    this.#work = kept.catch(() => undefined); // it is for who asked
    return kept;
  }

  /** Resolves when nothing is being compressed any more. */
  async settled(): Promise<void> {
    await this.#work;
  }

  async #keep(path: string): Promise<{ readonly path: string; readonly bytes: number }> {
    const whole = `${path}.zst`;
    const partial = `${path}.partial`;
    try {
      await this.#compressInto(path, partial);
      const { size } = await stat(partial);
      if (size > this.#bytesMax) {
        throw new HoldfastError(
          "ERR_HOLDFAST_CORE",
          `Cannot keep ${whole}: it has ${size} bytes, and --core-limit is ${this.#bytesMax}. ` +
            `Raise it, or keep none.`,
        );
      }
      await rename(partial, whole);
      await this.#prune();
      return { path: whole, bytes: size };
    } finally {
      await rm(partial, { force: true });
      await rm(path, { force: true });
    }
  }

  /** On a full disk the oldest make room, one after the other. */
  async #compressInto(path: string, partial: string): Promise<void> {
    for (;;) {
      try {
        await this.#compress(path, partial);
        return;
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        const oldest = (await this.#newestFirst()).at(-1);
        if ((code !== "ENOSPC" && code !== "EDQUOT") || oldest === undefined) throw error;
        await rm(partial, { force: true });
        await rm(join(this.#folder, oldest), { force: true });
      }
    }
  }

  async #newestFirst(): Promise<readonly string[]> {
    const names = (await readdir(this.#folder)).filter((name) => {
      return this.#own.test(name) && name.endsWith(".zst");
    });
    return names.toSorted().toReversed();
  }

  async #prune(): Promise<void> {
    let bytes = 0;
    for (const [index, name] of (await this.#newestFirst()).entries()) {
      const file = join(this.#folder, name);
      bytes += (await stat(file)).size;
      if (index >= CORES_MAX || bytes > this.#bytesMax) await rm(file, { force: true });
    }
  }
}

async function compressed(path: string, partial: string): Promise<void> {
  const file = createWriteStream(partial, { mode: 0o600, flags: "wx" });
  await pipeline(createReadStream(path), createZstdCompress(), file);
}
