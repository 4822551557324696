/** The contract of a byte stream: what relays and codecs need of a socket, and nothing else. */

import type { Outbox } from './outbox.ts'

/** Who reads a wire. Exactly one at a time; it may be exchanged. */
export interface WireSink {
  /** `bytes[0..length)` arrived. They are the sink's only until it returns, unless the wire is `owned`. */
  onBytes(bytes: Buffer, length: number): void
  /** The peer will send no more; it may still read. */
  onEnd(): void
  /** Everything written is with the kernel. Comes after a write that answered false, and whenever the wire was `pending`. */
  onDrain(): void
  /** The connection broke (`code`: ECONNRESET, EPIPE, …; FAULT: we broke it). Nothing comes after it; the wire is already destroyed. */
  onClose(code: string): void
}

export interface Wire {
  sink: WireSink
  /**
   * The bytes given to `onBytes` stay untouched until the sink lets the wire read on: they may be written elsewhere by
   * `writeOwned`, with this wire paused while that write is pending.
   */
  readonly owned: boolean
  /** Something written is not with the kernel yet. */
  readonly pending: boolean
  /** Bytes of it. */
  readonly queued: number
  /** Something that `writeOwned` was given is still read. */
  readonly borrowing: boolean
  readonly remoteAddress: string
  readonly remotePort: number
  readonly localAddress: string
  readonly localPort: number
  /** The name that the client asked for in its TLS handshake, or ''. */
  readonly serverName: string
  /** Lines for the heads of its requests, of the client's certificate; '': it was not asked for one. */
  readonly clientFields: string
  /** The protocol that the TLS handshake agreed on (ALPN), or ''. */
  readonly protocol: string
  /** Does the certificate that the client was shown hold for this authority? Without TLS: yes. */
  covers(authority: string): boolean
  /** Writes latin-1 text. False: pending, wait for `onDrain` before writing much more. */
  writeText(text: string): boolean
  /** Writes what is in the outbox; same answer. */
  writeOut(out: Outbox): boolean
  /** Writes a copy of `bytes[start..end)`; same answer. */
  write(bytes: Buffer, start: number, end: number): boolean
  /** Writes without a copy: the bytes must not change while it is `borrowing`, so not before `onDrain` if the answer is false. */
  writeOwned(bytes: Buffer, start: number, end: number): boolean
  /** `destroy` takes nothing from what is written: nothing is pending, and the kernel delivers it, with the end behind it. */
  readonly settled: boolean
  /** Half-close, after what is pending. */
  end(): void
  pause(): void
  resume(): void
  /**
   * Reads into a large buffer of its own from the next read on, for bulk transfers; or no longer: then `reusable` says
   * that no write of what was read into it is pending.
   */
  bulk(on: boolean, reusable: boolean): void
  /** Closes both ways at once. No event comes any more. */
  destroy(): void
  /** The same by RST where the transport can, so that a cut answer never looks whole. */
  reset(): void
}

/** A sink that ignores everything: for wires that wait for an owner. */
export const idleSink: WireSink = { onBytes() {}, onEnd() {}, onDrain() {}, onClose() {} }

const BENIGN = new Set([
  'ECONNRESET',
  'EPIPE',
  'ECONNABORTED',
  'ECANCELED',
  'ENOTCONN',
  'ERR_STREAM_PREMATURE_CLOSE',
  '',
])

/** Is this how connections end every day? Decides the log level. */
export const isBenignClose = (code: string): boolean => BENIGN.has(code)
