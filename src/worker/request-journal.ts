/**
 * The journal of one connection: copies of what was read and is not answered, in blocks of the
 * worker's arena. The connection's row in the ledger says where they are. Of what is too long its
 * first block is kept, with FLAG_JOURNAL_SHORT: it says which request this is, and no more.
 */
import { BLOCK_PAYLOAD_BYTES, FLAG_JOURNAL_SHORT } from "../ledger/mod.ts";
import type { AccountHost } from "./account-host.ts";

/** See the file's docstring. */
export class RequestJournal {
  readonly #host: AccountHost;
  readonly #slot: number;
  #first = -1;
  #last = -1;
  #bytes = 0;
  /** It had no room: nothing is added until the next quiescent point. */
  #isShort = false;

  constructor(host: AccountHost, slot: number) {
    this.#host = host;
    this.#slot = slot;
  }

  get isEmpty(): boolean {
    return this.#first < 0;
  }

  /** Whether it has everything that was read. */
  get isWhole(): boolean {
    return !this.#isShort;
  }

  /** The first `bytes` of `source` follow; `from`: the kernel's count of read bytes before them. */
  append(source: Buffer, bytes: number, from: number): void {
    const { arena, connections, journalLimitBytes } = this.#host;
    if (this.#isShort) return;
    if (this.#bytes + bytes > journalLimitBytes) {
      this.#giveUp(source.subarray(0, bytes), from);
      return;
    }
    if (this.#first < 0 && !this.#begin(from)) {
      this.#host.countJournalFull();
      this.#giveUp(null, from);
      return;
    }
    for (let done = 0; done < bytes;) {
      const at = (this.#bytes + done) % BLOCK_PAYLOAD_BYTES;
      if (at === 0 && this.#bytes + done > 0) {
        this.#last = arena.allocate(this.#last);
        if (this.#last < 0) {
          this.#host.countJournalFull();
          this.#bytes += done;
          this.#giveUp(null, from);
          return;
        }
      }
      const part = Math.min(bytes - done, BLOCK_PAYLOAD_BYTES - at);
      const piece = part === bytes ? source : source.subarray(done, done + part);
      arena.write(piece, this.#last, at);
      done += part;
    }
    this.#bytes += bytes;
    connections.setJournalBytes(this.#slot, this.#bytes);
  }

  /** A copy of what is in it; null: not all that was read is there. */
  read(): Buffer | null {
    return this.#isShort ? null : this.#host.arena.read(this.#first, this.#bytes);
  }

  /** All that was read is answered. */
  restart(): void {
    this.release();
    if (!this.#isShort) return;
    this.#isShort = false;
    const { connections } = this.#host;
    connections.setFlags(this.#slot, connections.flags(this.#slot) & ~FLAG_JOURNAL_SHORT);
  }

  release(): void {
    if (this.#first < 0) return;
    this.#host.connections.setJournalBytes(this.#slot, 0);
    this.#host.arena.release(this.#first);
    this.#first = this.#last = -1;
    this.#bytes = 0;
  }

  #begin(from: number): boolean {
    this.#first = this.#last = this.#host.arena.allocate(-1);
    if (this.#first < 0) return false;
    this.#host.connections.setJournal(this.#slot, from, 0, this.#first);
    return true;
  }

  /** `rest` does not fit any more; it is told by its head alone, if it has one. */
  #giveUp(rest: Buffer | null, from: number): void {
    const { arena, connections } = this.#host;
    connections.setFlags(this.#slot, connections.flags(this.#slot) | FLAG_JOURNAL_SHORT);
    this.#isShort = true;
    if (this.#first < 0 && (rest === null || !this.#begin(from))) return;
    if (this.#bytes === 0 && rest !== null) {
      const head = rest.subarray(0, BLOCK_PAYLOAD_BYTES);
      arena.write(head, this.#first, 0);
      this.#bytes = head.length;
    }
    this.#bytes = Math.min(this.#bytes, BLOCK_PAYLOAD_BYTES);
    this.#last = this.#first;
    connections.setJournalBytes(this.#slot, this.#bytes);
    arena.releaseBehind(this.#first);
  }
}
