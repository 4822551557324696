/**
 * Who is there, in no order. A Set would do but for what is left of it: each time its table is made anew V8 has the old one point
 * to the new one, for iterators. Once one table has outlived two young collections, all later ones do because of it, and with them
 * everybody who sat in one: connections that came and went within a millisecond filled the old heap (docs/performance.md).
 */

export interface Member {
  /** Where it sits in its roster; -1: in none. The roster's alone. */
  seat: number
}

export class Roster<T extends Member> {
  readonly #members: T[] = []

  get size(): number {
    return this.#members.length
  }

  /** It is in no roster. */
  add(member: T): void {
    member.seat = this.#members.length
    this.#members.push(member)
  }

  /** Whoever has left may leave again. */
  delete(member: T): void {
    const { seat } = member
    if (seat < 0) return
    member.seat = -1
    const last = this.#members.pop() as T
    if (last === member) return
    this.#members[seat] = last
    last.seat = seat
  }

  /** Those who are there now, but for who leaves meanwhile. */
  *[Symbol.iterator](): Generator<T, void> {
    for (const member of [...this.#members]) if (member.seat >= 0) yield member
  }
}
