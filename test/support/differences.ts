/** Where the engine `http-proxy` can't keep a rule of docs/http.md: which rows of the tests differ, and what happens instead. */
import { basename } from 'node:path'

/**
 * passed: the backend gets it and answers. waits: for bytes that do not come; nothing whole reaches the backend.
 * cut: the answer is broken off. A number: refused with this status.
 */
export type Verdict = 'passed' | 'waits' | 'cut' | number

export interface Difference {
  /** Number of the rule. */
  readonly rule: number
  /** As docs/http.md tells it. */
  readonly what: string
  /** Test files whose rows with these titles it concerns. */
  readonly files: readonly string[]
  readonly rows: RegExp
  readonly verdict: Verdict
}

const SECOND_CHUNK = String.raw`^"(?:[35]\\r\\n(?:abc|hello)\\r\\n)?`

export const DIFFERENCES: readonly Difference[] = [
  {
    rule: 2,
    what: 'A tab behind `chunked` is refused.',
    files: ['transfer-encoding'],
    rows: /^tRANSFER-eNCODING: cHUNKED\t$/,
    verdict: 400,
  },
  {
    rule: 3,
    what: 'Zeros in front of a chunk size may be any number.',
    files: ['chunks', 'bad-responses'],
    rows: new RegExp(`${SECOND_CHUNK}(?:0{16,}5|0{17,})\\\\r`),
    verdict: 'passed',
  },
  {
    rule: 3,
    what: 'A chunk size from 2^53 to 2^64 is taken for one, and its bytes are waited for.',
    files: ['chunks', 'bad-responses'],
    rows: new RegExp(`${SECOND_CHUNK}(?:[Ff]{16}|80{15}|7f{15}|80000000000005|20000000000001)\\\\r`),
    verdict: 'waits',
  },
  {
    rule: 3,
    what: 'Extensions of chunks have a limit of 16 KiB a chunk, and none a line or a body.',
    files: ['chunks', 'bad-responses'],
    rows: /^"(?:5\\r\\nhello\\r\\n)?[05];[ax]{58}|^"5\\r\\nhello\\r\\n0;a{10}/,
    verdict: 'passed',
  },
  {
    rule: 3,
    what: 'Extensions of chunks have a limit of 16 KiB a chunk, and none a line or a body.',
    files: ['chunks'],
    rows: /^100 chunks of 200 bytes of extension$/,
    verdict: 'waits', // for the rest of the body, which the row leaves out
  },
  {
    rule: 5,
    what: 'Methods that node:http does not know are refused; its list is `http.METHODS`.',
    files: ['request-line', 'request-length'],
    rows: /^(?:[Gg]et|X|!#\$%&'\*\+-\.\^_`\|~|on an unknown method)$/,
    verdict: 400,
  },
  {
    rule: 5,
    what: 'Empty lines, and spaces between the parts of the request line, are skipped where a request comes in one read with the end of the one before.',
    files: ['pipelining'],
    rows: /(?:\\r\\n\\r\\n|hello)(?:\\r\\n)?\\n"$/,
    verdict: 'waits',
  },
  {
    rule: 12,
    what: 'Content-Length and Transfer-Encoding as trailers are refused, not left out; in an answer they break it off.',
    files: ['trailers'],
    rows: /^(?:content-length|transfer-encoding): \w+$/i,
    verdict: 400,
  },
]

/** The test file that runs. */
const thisFile = (): string => basename(process.argv[1] ?? '', '.test.ts')

/** Which HTTP engine the services of a rig have. */
export const ENGINE = process.env['EVENKEEL_TEST_ENGINE'] === 'http-proxy' ? 'http-proxy' : 'native'

/** What happens to this row instead of what the rule says; undefined: the rule holds. */
export const verdictOf = (row: string): Verdict | undefined =>
  ENGINE === 'native'
    ? undefined
    : DIFFERENCES.find(({ files, rows }) => files.includes(thisFile()) && rows.test(row))?.verdict
