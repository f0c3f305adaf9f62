/**
 * Recovery: every connection of a dead (or frozen) worker gets a verdict, and the verdict is
 * carried out: moved, replayed, refused or aborted.
 *
 * A worker dies between two instructions. The one place where bytes may have left the kernel and
 * not be attributed yet is its inbox: a read lands there before any JavaScript runs. If the inbox
 * is not attributed, is not empty, and exactly one connection misses bytes, they are its bytes.
 */
import { FLAG_JOURNAL_SHORT, INBOX_BYTES, STATE } from "../ledger/mod.ts";
import type { ConnectionSnapshot, JournalArena, Ledger } from "../ledger/mod.ts";
import {
  TCP_CLOSE_WAIT,
  TCP_ESTABLISHED,
  TcpCountReader,
  closeDescriptor,
  resetConnection,
} from "../os/mod.ts";
import type { TcpCounts } from "../os/mod.ts";
import { Refusals, refusalBytes } from "./refusal.ts";
import type { Retention } from "./retention.ts";
import { Quarantine } from "./quarantine.ts";
import { DEATHS_MAX, judge } from "./verdict.ts";
import type { Evidence, ReplayPolicy, Verdict } from "./verdict.ts";
import type { WorkerLink } from "./worker-link.ts";

/** What was done with the connections of one worker. */
export interface RecoverySummary {
  moved: number;
  replayed: number;
  refused: number;
  aborted: number;
  /** Lived in JavaScript only, and went with it. */
  opaque: number;
  requestsOfDeath: { readonly method: string; readonly target: string }[];
  milliseconds: number;
}

/** A connection with its evidence, before the inbox is assigned. */
interface Suspect {
  readonly slot: number;
  readonly snapshot: ConnectionSnapshot;
  readonly counts: TcpCounts;
  readonly journal: Buffer | null;
  /** Bytes that the kernel gave away and the journal does not hold. */
  readonly missing: number;
}

/**
 * Whom a death is laid on. The slot that was being acted on when the worker stopped, if any: a
 * stall is its doing (`isProven`), a crash may be. Otherwise everything in flight is suspect.
 */
interface Blame {
  readonly slot: number;
  readonly isProven: boolean;
}

function hasDiedBefore({ snapshot }: Suspect): boolean {
  return snapshot.state === STATE.busy && snapshot.deaths + 1 >= DEATHS_MAX;
}

function roleOf({ slot }: Suspect, blame: Blame | null): Evidence["role"] {
  if (blame === null) return "suspect";
  if (blame.slot !== slot) return "bystander";
  return blame.isProven ? "culprit" : "suspect";
}

/** Text of a refusal: what happened, and whether to try again. */
function refusalText(verdict: Extract<Verdict, { kind: "refuse" }>): string {
  switch (verdict.status) {
    case 500:
      return `The service gave this request up: ${verdict.reason}.`;
    case 502:
      return "The worker that was reading this request died; it was not carried out again.";
    case 503:
      return (
        "The worker that served this request died, " +
        "and the request may not be repeated by itself."
      );
  }
}

/** What becomes of a request, for a crash report. */
function outcomeText(verdict: Exclude<Verdict, { kind: "move" }>): string {
  switch (verdict.kind) {
    case "replay":
      return "replayed in another worker";
    case "refuse":
      return `refused with ${verdict.status}: ${verdict.reason}`;
    case "abort":
      return `aborted: ${verdict.reason}`;
  }
}

/** See the file's docstring. */
export class Recovery {
  readonly #ledger: Ledger;
  readonly #retention: Retention;
  readonly #policy: () => ReplayPolicy;
  readonly #counts: TcpCountReader = new TcpCountReader();
  readonly #refusals: Refusals = new Refusals();
  readonly #quarantine: Quarantine;
  #outcomes: Map<number, string> | null = null;

  constructor(ledger: Ledger, retention: Retention, policy: () => ReplayPolicy) {
    this.#ledger = ledger;
    this.#retention = retention;
    this.#policy = policy;
    this.#quarantine = new Quarantine(ledger.connections, retention);
  }

  /** Lets the next request out of quarantine when the one before is done. Called now and then. */
  tick(): void {
    this.#quarantine.tick();
  }

  /**
   * Carries out the verdict over each connection of `link`, which runs no more. `hasStalled`: it
   * made no progress although nobody had stopped it. `outcomes` is told what became of each
   * connection that was not just moved, in words.
   */
  recover(
    link: WorkerLink,
    hasStalled: boolean,
    outcomes: Map<number, string> | null = null,
  ): RecoverySummary {
    const startedAt = performance.now();
    this.#outcomes = outcomes;
    const summary: RecoverySummary = {
      moved: 0,
      replayed: 0,
      refused: 0,
      aborted: 0,
      opaque: 0,
      requestsOfDeath: [],
      milliseconds: 0,
    };
    const arena = this.#ledger.arena(link.row);
    const suspects: Suspect[] = [];
    this.#retention.forEachOwned(link.id, (slot, state) => {
      this.#sortOut(slot, state, arena, suspects, summary);
    });
    const claimant = this.#inboxClaimant(link, arena, suspects);
    const executing = this.#ledger.workers.int(link.row, "executing");
    const blame = executing === 0 ? null : { slot: executing - 1, isProven: hasStalled };
    const isCrowd = blame === null && suspects.filter(hasDiedBefore).length > 1;
    for (const suspect of suspects) {
      const inbox = suspect.slot === claimant ? arena.inbox : null;
      this.#carryOut(suspect, this.#judge(suspect, inbox, blame, isCrowd), isCrowd, summary);
    }
    this.#retention.flush();
    this.#ledger.count("moved", summary.moved);
    this.#ledger.count("replayed", summary.replayed);
    this.#ledger.count("refused", summary.refused);
    this.#ledger.count("aborted", summary.aborted + summary.opaque);
    this.#ledger.count("requestsOfDeath", summary.requestsOfDeath.length);
    summary.milliseconds = performance.now() - startedAt;
    return summary;
  }

  /** Ends refusals that still linger. */
  destroy(): void {
    this.#refusals.destroy();
  }

  /** What needs no verdict is dealt with here; the rest becomes a suspect. */
  #sortOut(
    slot: number,
    state: number,
    arena: JournalArena,
    suspects: Suspect[],
    summary: RecoverySummary,
  ): void {
    switch (state) {
      case STATE.closed:
      case STATE.granted:
        this.#retention.free(slot);
        return;
      case STATE.opaque:
        summary.opaque += 1;
        this.#retention.free(slot);
        return;
      case STATE.handed: {
        const journal = this.#retention.journalInTransit(slot);
        this.#hold(slot);
        this.#retention.handOn(slot, journal);
        return;
      }
      case STATE.released:
        this.#hold(slot);
        this.#retention.handOn(slot, null);
        summary.moved += 1;
        return;
      default: {
        const fd = this.#retention.descriptor(slot);
        const counts = fd === null ? null : this.#counts.read(fd);
        if (counts === null) {
          // accepted by the worker and not yet retained, or the kernel gives no counts
          this.#outcomes?.set(slot, "aborted: the reactor could not save it");
          summary.aborted += 1;
          this.#abort(slot);
        } else if (counts.state === TCP_ESTABLISHED || counts.state === TCP_CLOSE_WAIT) {
          suspects.push(this.#suspect(slot, counts, arena));
        } else {
          // ended by the worker itself, or reset by the peer: what was written still arrives
          this.#retention.free(slot);
        }
      }
    }
  }

  #suspect(slot: number, counts: TcpCounts, arena: JournalArena): Suspect {
    const snapshot = this.#ledger.connections.snapshot(slot);
    const journal = this.#journalOf(snapshot, arena);
    const held = journal?.length ?? 0;
    return {
      slot,
      snapshot,
      counts,
      journal,
      missing: counts.read - snapshot.quiescentRead - held,
    };
  }

  /** The journal's bytes behind the quiescent point; null when there is none, or it is short. */
  #journalOf(snapshot: ConnectionSnapshot, arena: JournalArena): Buffer | null {
    const { journalFrom, journalBytes, journalBlock, quiescentRead } = snapshot;
    if ((snapshot.flags & FLAG_JOURNAL_SHORT) !== 0 || journalBytes <= 0) return null;
    const skip = quiescentRead - journalFrom;
    if (!Number.isInteger(skip) || skip < 0 || skip >= journalBytes) return null;
    return arena.read(journalBlock, journalBytes)?.subarray(skip) ?? null;
  }

  /** The slot whose bytes lie in the inbox, or -1. */
  #inboxClaimant(link: WorkerLink, arena: JournalArena, suspects: readonly Suspect[]): number {
    const attributed = this.#ledger.workers.int(link.row, "inboxSlot");
    if (attributed !== 0) return attributed - 1;
    if (arena.inbox[0] === 0) return -1;
    const missing = suspects.filter((suspect) => suspect.missing > 0);
    return missing.length === 1 ? (missing[0]?.slot ?? -1) : -1;
  }

  /** `isCrowd`: several requests have died before; none is refused for it, each is tried alone. */
  #judge(suspect: Suspect, inbox: Buffer | null, blame: Blame | null, isCrowd: boolean): Verdict {
    const { snapshot, counts, journal, missing } = suspect;
    let bytes: Buffer | null = missing === 0 ? (journal ?? Buffer.alloc(0)) : null;
    if (missing > 0 && missing <= INBOX_BYTES && inbox !== null) {
      const isShort = (snapshot.flags & FLAG_JOURNAL_SHORT) !== 0;
      if (!isShort) bytes = Buffer.concat([journal ?? Buffer.alloc(0), inbox.subarray(0, missing)]);
    }
    return judge(
      {
        kernelRead: counts.read,
        kernelWritten: counts.written,
        quiescentRead: snapshot.quiescentRead,
        quiescentWritten: snapshot.quiescentWritten,
        interimBytes: snapshot.interimBytes,
        responseEnd: snapshot.responseEnd,
        responseOrdinal: snapshot.responseOrdinal,
        deaths: isCrowd ? 0 : snapshot.deaths,
        role: roleOf(suspect, blame),
        bytes,
      },
      this.#policy(),
    );
  }

  #carryOut(suspect: Suspect, verdict: Verdict, isCrowd: boolean, summary: RecoverySummary): void {
    const { connections } = this.#ledger;
    const { slot, counts, snapshot } = suspect;
    if (verdict.kind !== "move") this.#outcomes?.set(slot, outcomeText(verdict));
    switch (verdict.kind) {
      case "move":
        connections.settle(slot, counts.read, counts.written);
        connections.setDeaths(slot, 0);
        this.#hold(slot);
        this.#retention.handOn(slot, null);
        summary.moved += 1;
        break;
      case "replay":
        connections.settle(slot, counts.read - verdict.bytes.length, counts.written);
        connections.setDeaths(slot, snapshot.deaths + (verdict.isCounted ? 1 : 0));
        this.#hold(slot);
        if (isCrowd && hasDiedBefore(suspect)) this.#quarantine.add(slot, verdict.bytes);
        else this.#retention.handOn(slot, verdict.bytes);
        summary.replayed += 1;
        break;
      case "refuse":
        if (verdict.status === 500) {
          const { method = "", target = "" } = verdict.request ?? {};
          summary.requestsOfDeath.push({ method, target });
        }
        this.#refuse(slot, verdict);
        summary.refused += 1;
        break;
      case "abort":
        this.#abort(slot);
        summary.aborted += 1;
        break;
    }
  }

  /** The dead worker has no part in it any more: a second recovery of that worker passes it by. */
  #hold(slot: number): void {
    this.#ledger.connections.clearInFlight(slot);
    this.#ledger.connections.enter(slot, STATE.held);
    this.#retention.disown(slot);
  }

  #refuse(slot: number, verdict: Extract<Verdict, { kind: "refuse" }>): void {
    const fd = this.#retention.takeDescriptor(slot);
    this.#ledger.connections.enter(slot, STATE.ending);
    this.#retention.disown(slot);
    if (fd === null) {
      this.#retention.free(slot);
      return;
    }
    const isHead = verdict.request?.method === "HEAD";
    const date = new Date().toUTCString();
    const response = refusalBytes(verdict.status, refusalText(verdict), isHead, date);
    this.#refusals.end(fd, response, () => this.#retention.free(slot));
  }

  /**
   * Reset rather than FIN: a response that ends early must not look whole (HTTP/1.0 bodies end with
   * FIN).
   */
  #abort(slot: number): void {
    const fd = this.#retention.takeDescriptor(slot);
    if (fd !== null) {
      resetConnection(fd);
      closeDescriptor(fd);
    }
    this.#retention.free(slot);
  }
}
