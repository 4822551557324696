/** The lines of the access log, in each of its formats. */
import type { FlowRecord } from './access-log.ts'
import { type LineBuffer, Literal } from './line-buffer.ts'

/** Writes one line. */
export type LineFormat = (out: LineBuffer, r: FlowRecord) => void

/** Bytes of a line besides the text that comes from a client, at most; and how much of that there is. */
export const LINE_BYTES = 1024
export const textOf = (r: FlowRecord): number =>
  r.method.length + r.host.length + r.target.length + r.userAgent.length + r.referer.length + r.id.length

let second = 0
let isoSecond = new Literal('')
let clfSecond = ''
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

/** Renders the parts of a time that change once a second only then. */
function tick(at: number): void {
  const now = Math.floor(at / 1000)
  if (now === second) return
  second = now
  const iso = new Date(now * 1000).toISOString()
  isoSecond = new Literal(iso.slice(0, 20))
  clfSecond = `${iso.slice(8, 10)}/${MONTHS[Number(iso.slice(5, 7)) - 1]}/${iso.slice(0, 4)}:${iso.slice(11, 19)} +0000`
}

const TIME = new Literal('{"time":"')
const ID = new Literal('Z","id":"')
const PROTOCOL = new Literal('","protocol":"')
const SERVICE = new Literal('","service":"')
const BACKEND = new Literal('","backend":"')
const CLIENT = new Literal('","client":"')
const CLIENT_PORT = new Literal('","clientPort":')
const METHOD = new Literal(',"method":')
const HOST = new Literal(',"host":')
const TARGET = new Literal(',"target":')
const VERSION = new Literal(',"version":"')
const USER_AGENT = new Literal('","userAgent":')
const STATUS = new Literal(',"status":')
const GRPC_STATUS = new Literal(',"grpcStatus":')
const TRIES = new Literal(',"tries":')
const QUEUE = new Literal(',"queueMs":')
const CONNECT = new Literal(',"connectMs":')
const FIRST_BYTE = new Literal(',"firstByteMs":')
const TOTAL = new Literal(',"totalMs":')
const BYTES_IN = new Literal(',"bytesIn":')
const BYTES_OUT = new Literal(',"bytesOut":')
const WELL = new Literal(',"endedBy":"","reason":"","phase":"done"}\n')
const ENDED_BY = new Literal(',"endedBy":"')
const REASON = new Literal('","reason":"')
const PHASE = new Literal('","phase":"')
const END = new Literal('"}\n')
const NULL = new Literal('null')
const DOT = new Literal('.')
const ZERO = new Literal('0.000')

/** With three decimals; null for what never came. */
function ms(out: LineBuffer, value: number): void {
  if (value <= 0) return out.literal(value < 0 ? NULL : ZERO)
  const micros = Math.round(value * 1000)
  const whole = Math.floor(micros / 1000)
  out.integer(whole)
  out.literal(DOT)
  out.three(micros - whole * 1000)
}

export function jsonLine(out: LineBuffer, r: FlowRecord): void {
  tick(r.startedAt)
  out.literal(TIME)
  out.literal(isoSecond)
  out.three(r.startedAt - second * 1000)
  out.literal(ID)
  out.ascii(r.id)
  out.literal(PROTOCOL)
  out.ascii(r.protocol)
  out.literal(SERVICE)
  out.ascii(r.service)
  out.literal(BACKEND)
  out.ascii(r.backendName)
  out.literal(CLIENT)
  out.ascii(r.clientAddress)
  out.literal(CLIENT_PORT)
  out.integer(r.clientPort)
  if (r.method !== '') {
    out.literal(METHOD)
    out.quoted(r.method)
    out.literal(HOST)
    out.quoted(r.host)
    out.literal(TARGET)
    out.quoted(r.target)
    out.literal(VERSION)
    out.ascii(r.version)
    out.literal(USER_AGENT)
    out.quoted(r.userAgent)
    out.literal(STATUS)
    out.integer(r.status)
    if (r.grpcStatus >= 0) {
      out.literal(GRPC_STATUS)
      out.integer(r.grpcStatus)
    }
  } else if (r.host !== '') {
    out.literal(HOST)
    out.quoted(r.host)
  }
  out.literal(TRIES)
  out.integer(r.tries)
  out.literal(QUEUE)
  ms(out, r.queueMs)
  out.literal(CONNECT)
  ms(out, r.connectMs)
  out.literal(FIRST_BYTE)
  ms(out, r.firstByteMs)
  out.literal(TOTAL)
  ms(out, r.totalMs)
  out.literal(BYTES_IN)
  out.integer(r.bytesIn)
  out.literal(BYTES_OUT)
  out.integer(r.bytesOut)
  if (r.phase === 'done' && r.endedBy === '' && r.reason === '') return out.literal(WELL)
  out.literal(ENDED_BY)
  out.ascii(r.endedBy)
  out.literal(REASON)
  out.ascii(r.reason)
  out.literal(PHASE)
  out.ascii(r.phase)
  out.literal(END)
}

/** A field of the common formats: quotes, backslashes and what is not printable are escaped as Apache does. */
const clf = (text: string): string =>
  text === ''
    ? '-'
    : text.replace(/["\\]|[^\x20-\x7e]/g, (c) =>
        c === '"' || c === '\\' ? `\\${c}` : `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`,
      )

function common(r: FlowRecord): string {
  tick(r.startedAt)
  const request =
    r.method === '' ? `${r.protocol.toUpperCase()} ${r.service}` : `${clf(r.method)} ${clf(r.target)} HTTP/${r.version}`
  return `${r.clientAddress} - - [${clfSecond}] "${request}" ${r.status === 0 ? '-' : r.status} ${r.bytesOut}`
}

/** NCSA common log format; a TCP flow shows as `TCP service`. */
export const commonLine: LineFormat = (out, r) => out.text(`${common(r)}\n`)

export const combinedLine: LineFormat = (out, r) => out.text(`${common(r)} "${clf(r.referer)}" "${clf(r.userAgent)}"\n`)
