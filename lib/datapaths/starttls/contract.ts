/** What is said in the clear before TLS where clients ask for it: the contract of each protocol that has words for that. */

/** What comes of the next command of a client. */
export interface Step {
  /** Bytes that it took. */
  readonly used: number
  readonly reply: Buffer
  /** `close`: the client takes its leave. `refuse`: this leads nowhere. */
  readonly next: 'go on' | 'tls' | 'close' | 'refuse'
}

/** One exchange with a backend. */
export interface Ask {
  /** Empty: the backend speaks first. */
  readonly say: Buffer
  /** Reads what answers it: the bytes that it took, a sentence that says what is wrong with it; null: more are needed. */
  hear(input: Buffer): number | string | null
}

/** One protocol, without state: it is the same for all connections of a service. */
export interface Preamble {
  /** What a client hears first; empty: it speaks first. */
  readonly greeting: Buffer
  /** Reads the next command; null: more bytes are needed. */
  step(input: Buffer): Step | null
  /** Told before a connection is given up on. */
  readonly farewell: Buffer
  /** What a backend says before it is asked; null: nothing. */
  readonly hello: Ask | null
  /** How a backend is asked for TLS, from its first word to the one before the handshake. */
  readonly asks: readonly Ask[]
}

/** @param name how we call ourselves */
export type PreambleFactory = (name: string) => Preamble
