/** Who waits, in the order of their coming. Linked through the members and not a Set, whose leavings keep all alive who ever waited (roster.ts). */

export interface Waiting<T> {
  /** Its neighbours in a line. The line's alone. */
  ahead: T | null
  behind: T | null
}

export class Line<T extends Waiting<T>> {
  #first: T | null = null
  #last: T | null = null

  /** It is in no line. */
  add(member: T): void {
    member.ahead = this.#last
    if (this.#last === null) this.#first = member
    else this.#last.behind = member
    this.#last = member
  }

  /** Whoever is in no line may leave it. */
  delete(member: T): void {
    const { ahead, behind } = member
    if (ahead !== null) ahead.behind = behind
    else if (this.#first === member) this.#first = behind
    else return
    if (behind !== null) behind.ahead = ahead
    else this.#last = ahead
    member.ahead = null
    member.behind = null
  }

  /** Who has waited longest, and waits no more; null: nobody does. */
  next(): T | null {
    const first = this.#first
    if (first !== null) this.delete(first)
    return first
  }
}
