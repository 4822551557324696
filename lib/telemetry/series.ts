/** The table of series per service, listener and backend, read from the board when it is scraped. */
import {
  AFFINITY_RESULTS,
  BACKEND,
  type Board,
  BUCKETS,
  CODE_CLASSES,
  HANDSHAKE_FAILURES,
  HANDSHAKES,
  HTTP2_ERRORS,
  HTTP2_RESETS,
  LISTENER,
  REASONS,
  RETRY_REASONS,
  type RowKind,
  SERVICE,
} from '../board/index.ts'
import type { DurationHistogram } from './histogram.ts'
import { head, histogram, labels, line, type SeriesType } from './text.ts'

/** What is told of: the control thread's view, without any of its types. */
export interface SeriesSource {
  readonly board: Pick<Board, 'sum' | 'active'>
  /** All words for the state of a backend. */
  readonly states: readonly string[]
  services(): Iterable<ServiceSource>
}

export interface ServiceSource {
  readonly name: string
  readonly row: number
  readonly protocol: string
  readonly listeners: readonly ListenerSource[]
  readonly pools: readonly { readonly row: number }[]
  /** Clients of it that are in the table of bindings; null: it keeps none there. */
  readonly affinityEntries: number | null
  readonly backends: readonly BackendSource[]
  /** In the order of the configuration. */
  readonly certificates: readonly CertificateSource[]
}

export interface CertificateSource {
  /** The first name that it is for. */
  readonly name: string
  /** End of its validity in wall-clock milliseconds. */
  readonly notAfter: number
  /** Its files, as they are now, can't be used: the one before is. */
  readonly broken: boolean
}

export interface ListenerSource {
  /** `address:port` */
  readonly name: string
  readonly row: number
}

export interface BackendSource {
  readonly name: string
  readonly row: number
  readonly state: string
  /** What counts at present. */
  readonly effectiveWeight: number
  /** What it reported of itself, 0..100; null: nothing of late. */
  readonly load: number | null
  /** `from to cause` → how often. */
  readonly changes: ReadonlyMap<string, number>
  /** `pass` or the reason of a failure → how often. */
  readonly probeCounts: ReadonlyMap<string, number>
  readonly probeDurations: DurationHistogram
}

/** What a family's samples are made of. `of` is the text of the labels that name the subject. */
type Samples<Subject> = (name: string, of: string, subject: Subject, source: SeriesSource) => string

interface Family<Subject> {
  readonly name: string
  readonly help: string
  readonly type: SeriesType
  readonly samples: Samples<Subject>
}

/** The non-zero ones of a closed list; `always` are there from the start, so that a rate has a first value. */
function counts(kind: RowKind, column: number, list: readonly string[], label: string, always: readonly string[] = []) {
  return (name: string, of: string, { row }: { row: number }, { board }: SeriesSource): string => {
    let text = ''
    for (const [i, word] of list.entries()) {
      const n = board.sum(kind, row, column + i)
      if (n !== 0 || always.includes(word)) text += line(name, `${of},${label}="${word}"`, n)
    }
    return text
  }
}

const total =
  (kind: RowKind, column: number) =>
  (name: string, of: string, { row }: { row: number }, { board }: SeriesSource): string =>
    line(name, of, board.sum(kind, row, column))

const active =
  (kind: RowKind) =>
  (name: string, of: string, { row }: { row: number }, { board }: SeriesSource): string =>
    line(name, of, board.active(kind, row))

const durations =
  (kind: RowKind, column: number) =>
  (name: string, of: string, { row }: { row: number }, { board }: SeriesSource): string => {
    const buckets = Array.from({ length: BUCKETS.length + 1 }, (_, i) => board.sum(kind, row, column + i))
    return histogram(name, of, buckets, board.sum(kind, row, column + BUCKETS.length + 1))
  }

/** `certificate` is its place in the configuration, for two may have one name. */
const perCertificate =
  (value: (certificate: CertificateSource) => number): Family<ServiceSource>['samples'] =>
  (name, of, { certificates }) =>
    certificates
      .map((each, i) => line(name, `${of},${labels({ certificate: `${i}`, name: each.name })}`, value(each)))
      .join('')

const requestCodes = counts('service', SERVICE.at.requests, CODE_CLASSES, 'code', ['2xx', '5xx'])
const flowCodes = counts('service', SERVICE.at.requests, CODE_CLASSES, 'code', ['none'])

const OF_SERVICE: readonly Family<ServiceSource>[] = [
  {
    name: 'evenkeel_requests_total',
    help: 'Requests by the class of their answer; flows of TCP and TLS have the class none.',
    type: 'counter',
    samples: (name, of, service, source) =>
      (service.protocol.startsWith('http') ? requestCodes : flowCodes)(name, of, service, source),
  },
  {
    name: 'evenkeel_request_duration_seconds',
    help: 'From the end of a request head, or the accept of a flow, to its end.',
    type: 'histogram',
    samples: durations('service', SERVICE.at.duration),
  },
  {
    name: 'evenkeel_request_errors_total',
    help: 'Requests and flows that did not end well, by reason.',
    type: 'counter',
    samples: counts('service', SERVICE.at.errors, REASONS, 'reason'),
  },
  {
    name: 'evenkeel_retries_total',
    help: 'Further tries of a request or flow, by the reason for the try.',
    type: 'counter',
    samples: counts('service', SERVICE.at.retries, RETRY_REASONS, 'reason'),
  },
  {
    name: 'evenkeel_retries_denied_total',
    help: 'Further tries that the retry budget did not allow.',
    type: 'counter',
    samples: total('service', SERVICE.at.retriesDenied),
  },
  {
    name: 'evenkeel_queue_length',
    help: 'Requests and flows that wait for a backend with room.',
    type: 'gauge',
    samples: (name, of, { pools }, { board }) =>
      line(
        name,
        of,
        pools.reduce((sum, { row }) => sum + board.active('pool', row), 0),
      ),
  },
  {
    name: 'evenkeel_affinity_total',
    help: 'Looks for the backend that a client is kept on. broken: there is one, and it may not serve the client any more.',
    type: 'counter',
    samples: counts('service', SERVICE.at.affinity, AFFINITY_RESULTS, 'result'),
  },
  {
    name: 'evenkeel_affinity_entries',
    help: 'Clients that are kept on a backend by the table that all services share; services of a group tell those of the group.',
    type: 'gauge',
    samples: (name, of, { affinityEntries: n }) => (n === null ? '' : line(name, of, n)),
  },
  {
    name: 'evenkeel_affinity_evictions_total',
    help: 'Clients that were forgotten before their time, because the table had no room.',
    type: 'counter',
    samples: (name, of, { row, affinityEntries }, { board }) =>
      affinityEntries === null ? '' : line(name, of, board.sum('service', row, SERVICE.at.affinityEvicted)),
  },
  {
    name: 'evenkeel_bytes_total',
    help: 'Bytes from (in) and to (out) clients, heads and bodies.',
    type: 'counter',
    samples: (name, of, { row }, { board }) =>
      line(name, `${of},direction="in"`, board.sum('service', row, SERVICE.at.bytesIn)) +
      line(name, `${of},direction="out"`, board.sum('service', row, SERVICE.at.bytesOut)),
  },
  {
    name: 'evenkeel_compression_bytes_total',
    help: 'Bytes of bodies that were compressed, before (in) and after (out).',
    type: 'counter',
    samples: (name, of, { row, protocol }, { board }) =>
      protocol.startsWith('http')
        ? line(name, `${of},direction="in"`, board.sum('service', row, SERVICE.at.compressionIn)) +
          line(name, `${of},direction="out"`, board.sum('service', row, SERVICE.at.compressionOut))
        : '',
  },
  {
    name: 'evenkeel_http2_connection_errors_total',
    help: 'HTTP/2 connections with clients that were ended because of what the client did, by error code of RFC 9113.',
    type: 'counter',
    samples: (name, of, service, source) =>
      service.protocol.startsWith('http')
        ? counts('service', SERVICE.at.http2Errors, HTTP2_ERRORS, 'code')(name, of, service, source)
        : '',
  },
  {
    name: 'evenkeel_http2_resets_total',
    help: 'Streams of HTTP/2 that were reset, by whom.',
    type: 'counter',
    samples: (name, of, service, source) =>
      service.protocol.startsWith('http')
        ? counts('service', SERVICE.at.http2Resets, HTTP2_RESETS, 'by')(name, of, service, source)
        : '',
  },
  {
    name: 'evenkeel_tls_handshakes_total',
    help: 'TLS handshakes with clients that succeeded.',
    type: 'counter',
    samples: (name, of, { row }, { board }) => {
      let text = ''
      for (const [i, handshake] of HANDSHAKES.entries()) {
        const n = board.sum('service', row, SERVICE.at.handshakes + i)
        const [version = '', resumed] = handshake.split(' ')
        if (n !== 0) text += line(name, `${of},version="${version}",resumed="${resumed !== undefined}"`, n)
      }
      return text
    },
  },
  {
    name: 'evenkeel_tls_handshake_failures_total',
    help: 'TLS handshakes with clients that failed, by reason.',
    type: 'counter',
    samples: counts('service', SERVICE.at.handshakeFailures, HANDSHAKE_FAILURES, 'reason'),
  },
  {
    name: 'evenkeel_client_table_full_total',
    help: 'Connections and requests of clients that were not limited because the table of clients had no room for them.',
    type: 'counter',
    samples: total('service', SERVICE.at.clientsUnknown),
  },
  {
    name: 'evenkeel_tls_certificate_not_after_seconds',
    help: 'End of the validity of a certificate, seconds since the epoch.',
    type: 'gauge',
    samples: perCertificate(({ notAfter }) => notAfter / 1000),
  },
  {
    name: 'evenkeel_tls_certificate_broken',
    help: '1 while the files of a certificate can not be used as they are, so that the one before is served.',
    type: 'gauge',
    samples: perCertificate(({ broken }) => (broken ? 1 : 0)),
  },
]

const OF_LISTENER: readonly Family<ListenerSource>[] = [
  {
    name: 'evenkeel_connections_total',
    help: 'Connections of clients that were accepted, TLS handshake included.',
    type: 'counter',
    samples: total('listener', LISTENER.at.connections),
  },
  {
    name: 'evenkeel_client_connections_active',
    help: 'Connections of clients that are open.',
    type: 'gauge',
    samples: active('listener'),
  },
]

const OF_BACKEND: readonly Family<BackendSource>[] = [
  {
    name: 'evenkeel_backend_requests_total',
    help: 'Requests that a backend answered, by class; flows of TCP and TLS have the class none.',
    type: 'counter',
    samples: counts('backend', BACKEND.at.requests, CODE_CLASSES, 'code', ['2xx', '5xx']),
  },
  {
    name: 'evenkeel_backend_response_seconds',
    help: 'From the request to the first byte of the answer.',
    type: 'histogram',
    samples: durations('backend', BACKEND.at.response),
  },
  {
    name: 'evenkeel_backend_connect_seconds',
    help: 'Time to connect to a backend.',
    type: 'histogram',
    samples: durations('backend', BACKEND.at.connect),
  },
  {
    name: 'evenkeel_backend_connect_failures_total',
    help: 'Connects to a backend that failed or came too late.',
    type: 'counter',
    samples: total('backend', BACKEND.at.connectFailures),
  },
  {
    name: 'evenkeel_backend_active',
    help: 'Requests and flows in progress on a backend.',
    type: 'gauge',
    samples: active('backend'),
  },
  {
    name: 'evenkeel_backend_state',
    help: '1 for the state that a backend is in, 0 for the others.',
    type: 'gauge',
    samples: (name, of, backend, { states }) => {
      let text = ''
      for (const state of states) text += line(name, `${of},state="${state}"`, state === backend.state ? 1 : 0)
      return text
    },
  },
  {
    name: 'evenkeel_backend_state_changes_total',
    help: 'Changes of the state of a backend, with their cause.',
    type: 'counter',
    samples: (name, of, { changes }) => {
      let text = ''
      for (const [change, n] of changes) {
        const [from = '', to = '', cause = ''] = change.split(' ')
        text += line(name, `${of},${labels({ from, to, cause })}`, n)
      }
      return text
    },
  },
  {
    name: 'evenkeel_backend_weight',
    help: 'Effective weight of a backend.',
    type: 'gauge',
    samples: (name, of, { effectiveWeight }) => line(name, of, effectiveWeight),
  },
  {
    name: 'evenkeel_backend_load',
    help: 'Load that a backend reported of itself, 0 (idle) to 100, smoothed; absent while it is not known.',
    type: 'gauge',
    samples: (name, of, { load }) => (load === null ? '' : line(name, of, load)),
  },
  {
    name: 'evenkeel_backend_draining_flows',
    help: 'Requests and flows that a draining backend still serves.',
    type: 'gauge',
    samples: (name, of, { row, state }, { board }) =>
      line(name, of, state === 'draining' ? board.active('backend', row) : 0),
  },
  {
    name: 'evenkeel_probe_duration_seconds',
    help: 'Duration of the probes of a backend.',
    type: 'histogram',
    samples: (name, of, { probeDurations }) => histogram(name, of, probeDurations.counts, probeDurations.sum),
  },
  {
    name: 'evenkeel_probe_results_total',
    help: 'Results of the probes of a backend; a pass has the reason none.',
    type: 'counter',
    samples: (name, of, { probeCounts }) => {
      let text = ''
      for (const [result, n] of probeCounts) {
        const pass = result === 'pass'
        const reason = pass ? 'none' : result
        text += line(name, `${of},${labels({ result: pass ? 'pass' : 'fail', reason })}`, n)
      }
      return text
    },
  },
]

const PIECE_CHARS = 64 * 1024 // less than a millisecond of work

/** The text of all families, in pieces of whole lines. */
export function* seriesText(source: SeriesSource): Generator<string> {
  yield* familyText(source, OF_SERVICE, (service) => [[service, labels({ service: service.name })]])
  yield* familyText(source, OF_LISTENER, ({ name: service, listeners }) =>
    listeners.map((each) => [each, labels({ service, listener: each.name })]),
  )
  yield* familyText(source, OF_BACKEND, ({ name: service, backends }) =>
    backends.map((each) => [each, labels({ service, backend: each.name })]),
  )
}

function* familyText<Subject>(
  source: SeriesSource,
  families: readonly Family<Subject>[],
  subjectsOf: (service: ServiceSource) => Iterable<readonly [Subject, string]>,
): Generator<string> {
  let text = ''
  for (const { name, help, type, samples } of families) {
    text += head(name, help, type)
    for (const service of source.services())
      for (const [subject, of] of subjectsOf(service)) {
        text += samples(name, of, subject, source)
        if (text.length < PIECE_CHARS) continue
        yield text
        text = ''
      }
  }
  yield text
}
