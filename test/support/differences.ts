/** Where the engine `http-proxy` can't keep a rule of docs/http.md: which rows of the tests differ, and what happens instead. */

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
  /** Titles of the rows that it concerns. */
  readonly rows: RegExp
  readonly verdict: Verdict
}

const SECOND_CHUNK = String.raw`^"(?:[35]\\r\\n(?:abc|hello)\\r\\n)?`

export const DIFFERENCES: readonly Difference[] = [
  {
    rule: 2,
    what: 'A tab behind `chunked` is refused.',
    rows: /^tRANSFER-eNCODING: cHUNKED\t$/,
    verdict: 400,
  },
  {
    rule: 3,
    what: 'Zeros in front of a chunk size may be any number.',
    rows: new RegExp(`${SECOND_CHUNK}0{17,}5?\\\\r`),
    verdict: 'passed',
  },
  {
    rule: 3,
    what: 'A chunk size from 2^53 to 2^64 is taken for one, and its bytes are waited for.',
    rows: new RegExp(`${SECOND_CHUNK}(?:[Ff]{16}|80{15}|7f{15}|80000000000005|20000000000001)\\\\r`),
    verdict: 'waits',
  },
  {
    rule: 3,
    what: 'Extensions of chunks have a limit of 16 KiB a body, and none a line.',
    rows: /^"(?:5\\r\\nhello\\r\\n)?[05];[ax]{58}|^"5\\r\\nhello\\r\\n0;a{10}/,
    verdict: 'passed',
  },
  {
    rule: 5,
    what: 'Methods that node:http does not know are refused; its list is `http.METHODS`.',
    rows: /^(?:[Gg]et|X|!#\$%&'\*\+-\.\^_`\|~|on an unknown method)$/,
    verdict: 400,
  },
  {
    rule: 5,
    what: 'Empty lines, and spaces between the parts of the request line, are skipped where a request comes in one read with the end of the one before.',
    rows: /^"(?:[^"]*[^n"])?(?:\\r\\n\\r\\n|hello|0\\r\\n\\r\\n)(?:\\n|\\r\\n\\n)"$/,
    verdict: 'waits',
  },
  {
    rule: 12,
    what: 'Content-Length and Transfer-Encoding as trailers are refused, not left out; in an answer they break it off.',
    rows: /^(?:content-length|transfer-encoding): \w+$/i,
    verdict: 400,
  },
]

/** Which HTTP engine the services of a rig have. */
export const ENGINE = process.env['EVENKEEL_TEST_ENGINE'] === 'http-proxy' ? 'http-proxy' : 'native'

/** What happens to this row instead of what the rule says; undefined: the rule holds. */
export const verdictOf = (row: string): Verdict | undefined =>
  ENGINE === 'native' ? undefined : DIFFERENCES.find(({ rows }) => rows.test(row))?.verdict
