/**
 * Members that come and go by the thousands, in no order.
 *
 * A Set or Map would keep them all alive: V8 gives it a new table every so many changes, and the
 * old table, with all that stood in it, points to the new one (`OrderedHashTable::Rehash`). Once
 * one such table has died in the old generation, the scavenger takes every table after it, and all
 * that ever stood in them, for alive, until the next full collection.
 */

/** What may be in one crowd. */
export interface CrowdMember {
  /** Its place in the crowd, which sets it; -1: in none. */
  place: number;
}

/** See the file's docstring. */
export class Crowd<Member extends CrowdMember> implements Iterable<Member> {
  readonly #members: Member[] = [];

  get size(): number {
    return this.#members.length;
  }

  add(member: Member): void {
    if (member.place >= 0) return;
    member.place = this.#members.length;
    this.#members.push(member);
  }

  /** The last member takes its place. */
  delete(member: Member): void {
    const { place } = member;
    if (place < 0) return;
    const last = this.#members.pop() as Member; // `member` at least was there
    if (last !== member) {
      last.place = place;
      this.#members[place] = last;
    }
    member.place = -1;
  }

  /** Those that are here now: they may go while the caller walks through them. */
  [Symbol.iterator](): ArrayIterator<Member> {
    return this.#members.slice().values();
  }
}
