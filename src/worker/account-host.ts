/** What the account of a connection needs of the worker that it lives in, and of a request. */
import type { ConnectionTable, JournalArena } from "../ledger/mod.ts";
import type { ParkedBytes, ParkedRequest } from "../flow/mod.ts";
import type { ConnectionAccount } from "./connection-account.ts";
import type { Latency } from "./latency.ts";
import type { HttpSocket, RoutedRequest, StreamWords } from "./node-internals.ts";

/** What an account needs of its worker. */
export interface AccountHost {
  readonly connections: ConnectionTable;
  readonly arena: JournalArena;
  readonly journalLimitBytes: number;
  nowMs(): number;
  readonly latency: Latency;
  /**
   * Milliseconds that bytes which were read now may have lain in the kernel, at least. Told of each
   * read; asks the kernel only where a wait is likely.
   */
  waitedMs(nowMs: number, account: ConnectionAccount, isFirst: boolean): number;
  /** Whether bytes have arrived that were not read. */
  hasUnread(fd: number): boolean;
  /** What Node leaves behind a read or write; null where it does not show it. */
  readonly streamWords: StreamWords | null;
  /** To be looked at (`checkFlushed`) until the response that is being written has left. */
  awaitFlush(account: ConnectionAccount): void;
  /** Slot + 1 whose bytes lie in the inbox, or 0. */
  setInboxSlot(value: number): void;
  /**
   * Slot + 1 whose bytes are being acted on, or 0: if this process never comes back, it was that.
   */
  setExecuting(value: number): void;
  /** Slot + 1 as set last. */
  readonly executing: number;
  /**
   * Whether a request whose bytes came `waitedMs` ago is to wait for its gate before it is parsed;
   * null: no gate is full.
   */
  readonly park: ParkRequest | null;
  countJournalFull(): void;
  requestBegan(): void;
  requestsEnded(count: number): void;
  /** A busy connection became idle: a draining worker gives it back. */
  settled(account: ConnectionAccount): void;
  /** State lives in JavaScript only from now on. */
  becameOpaque(account: ConnectionAccount): void;
  closed(account: ConnectionAccount): void;
}

/** The request side that the account looks at. */
export interface Request extends RoutedRequest {
  readonly complete: boolean;
}

/** See AccountHost. */
export type ParkRequest = (
  socket: HttpSocket,
  head: Buffer,
  waitedMs: number,
  bytes: ParkedBytes,
) => ParkedRequest | null;
