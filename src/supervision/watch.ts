/**
 * `--watch`: says when a file below one of some paths has changed.
 *
 * ```
 *   directory --inotify--> event --DEBOUNCE_MS without another--> onChange(first file)
 *       +-- a new directory is watched too
 * ```
 * Left out are `node_modules`, names that begin with a dot and editors' backups. Not recursive by
 * `fs.watch` itself: that would watch `node_modules`.
 */
import { readdirSync, statSync, watch } from "node:fs";
import type { Dirent, FSWatcher } from "node:fs";
import { basename, dirname, join } from "node:path";

/** An editor writes a file in several steps, and `git checkout` many files. */
export const DEBOUNCE_MS = 200;
/**
 * Each costs one inotify watch; Linux allows a user 8,192 and more (fs.inotify.max_user_watches).
 */
export const DIRECTORIES_MAX = 4096;

interface Watched {
  readonly watcher: FSWatcher;
  /** The files in it that matter; null: all. */
  names: Set<string> | null;
}

export class Watcher {
  readonly #watchers = new Map<string, Watched>();
  readonly #onChange: (file: string) => void;
  readonly #onTrouble: (message: string) => void;
  #timer: NodeJS.Timeout | null = null;
  #changed: string | null = null;
  #isFull = false;

  constructor(onChange: (file: string) => void, onTrouble: (message: string) => void) {
    this.#onChange = onChange;
    this.#onTrouble = onTrouble;
  }

  /** Watches a file, or a directory and all below it. */
  add(path: string): void {
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat === undefined) this.#onTrouble(`cannot watch ${path}: there is no such file`);
    else if (stat.isDirectory()) this.#addDirectory(path);
    else this.#watch(dirname(path), basename(path));
  }

  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    for (const { watcher } of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }

  #addDirectory(directory: string): void {
    this.#watch(directory, null);
    for (const entry of readDirectory(directory)) {
      if (entry.isDirectory() && !isIgnored(entry.name)) {
        this.#addDirectory(join(directory, entry.name));
      }
    }
  }

  /** Watches a directory, all of it or one name in it. */
  #watch(directory: string, name: string | null): void {
    const known = this.#watchers.get(directory);
    if (known !== undefined) {
      if (name === null) known.names = null;
      else known.names?.add(name);
      return;
    }
    if (this.#isFull) return;
    if (this.#watchers.size >= DIRECTORIES_MAX) {
      this.#isFull = true;
      this.#onTrouble(`watching the first ${DIRECTORIES_MAX} directories only; name fewer`);
      return;
    }
    try {
      const watcher = watch(directory, (_event, changed) => this.#saw(directory, changed));
      watcher.on("error", () => this.#forget(directory)); // removed: its parent says so
      this.#watchers.set(directory, { watcher, names: name === null ? null : new Set([name]) });
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#onTrouble(`cannot watch ${directory}: ${why}`);
    }
  }

  #saw(directory: string, name: string | null): void {
    const names = this.#watchers.get(directory)?.names;
    if (names === undefined || name === null) return;
    if (names === null ? isIgnored(name) : !names.has(name)) return;
    this.#happened(join(directory, name));
  }

  #forget(directory: string): void {
    this.#watchers.get(directory)?.watcher.close();
    this.#watchers.delete(directory);
  }

  #happened(file: string): void {
    const stat = statSync(file, { throwIfNoEntry: false });
    if (stat?.isDirectory() === true) this.#addDirectory(file);
    else if (stat === undefined) this.#forget(file);
    this.#changed ??= file;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      const changed = this.#changed;
      this.#changed = null;
      this.#timer = null;
      if (changed !== null) this.#onChange(changed);
    }, DEBOUNCE_MS);
  }
}

function isIgnored(name: string): boolean {
  return name === "node_modules" || name.startsWith(".") || /(?:~|\.sw[a-z]|\.tmp)$/.test(name);
}

/** Empty for one that was removed meanwhile, or is not ours to read. */
function readDirectory(directory: string): Dirent[] {
  try {
    return readdirSync(directory, { withFileTypes: true });
  } catch {
    return []; // nothing in it can change what runs
  }
}
