/** Random numbers that a seed repeats (Chris Doty-Humphrey's sfc32). */

export class Random {
  #a: number
  #b: number
  #c: number
  #n = 1

  constructor(seed: number) {
    this.#a = seed | 0
    this.#b = 0x9e3779b9 | 0
    this.#c = 0x243f6a88 | 0
    for (let i = 0; i < 12; i++) this.next()
  }

  /** 32 random bits, as an integer from 0. */
  next(): number {
    const sum = (this.#a + this.#b + this.#n) | 0
    this.#n = (this.#n + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0
    return sum >>> 0
  }

  /** From 0 to `bound` - 1; 0 for a bound of 0. */
  below(bound: number): number {
    return bound < 2 ? 0 : this.next() % bound
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T
  }

  /** True once in `n`. */
  oneIn(n: number): boolean {
    return this.next() % n === 0
  }
}
