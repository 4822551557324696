/** Says on stderr what is being measured and how long the rest will take. */

/** Seconds as people say them: `45 s`, `3 min 20 s`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds))
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`
}

export class Progress {
  readonly #steps: number
  readonly #started = performance.now()
  readonly #print: (line: string) => void
  #done = 0

  /** `steps`: how many steps of about the same length there are. */
  constructor(steps: number, print: (line: string) => void) {
    this.#steps = steps
    this.#print = print
  }

  note(line: string): void {
    this.#print(line)
  }

  /** Tells the result of a step. */
  step(line: string): void {
    this.#done += 1
    const each = (performance.now() - this.#started) / 1000 / this.#done
    const left = this.#steps - this.#done
    this.#print(left > 0 ? `${line}  (${duration(each * left)} left)` : line)
  }
}
