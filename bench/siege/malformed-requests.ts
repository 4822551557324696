/** The table of malformed requests, with the status that each must be answered with. */

export interface Malformed {
  readonly title: string
  readonly bytes: Buffer
  readonly status: number
}

const HOST = 'Host: a.test\r\n'
const row = (status: number, title: string, text: string): Malformed => ({
  title,
  bytes: Buffer.from(text, 'latin1'),
  status,
})

export const MALFORMED: readonly Malformed[] = [
  row(400, 'not HTTP', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n'),
  row(400, 'binary', `${'\x80\xff\x00'.repeat(50)}\r\n\r\n`),
  row(400, 'no version', `GET /\r\n${HOST}\r\n`),
  row(400, 'two spaces', `GET  / HTTP/1.1\r\n${HOST}\r\n`),
  row(400, 'control character in the target', `GET /\x01 HTTP/1.1\r\n${HOST}\r\n`),
  row(505, 'another major version', `GET / HTTP/3.0\r\n${HOST}\r\n`),
  row(400, 'no Host', 'GET / HTTP/1.1\r\n\r\n'),
  row(400, 'two Hosts', `GET / HTTP/1.1\r\n${HOST}${HOST}\r\n`),
  row(400, 'space before the colon', `GET / HTTP/1.1\r\n${HOST}X : y\r\n\r\n`),
  row(400, 'folded field', `GET / HTTP/1.1\r\n${HOST}X: y\r\n z\r\n\r\n`),
  row(400, 'NUL in a value', `GET / HTTP/1.1\r\n${HOST}X: a\x00b\r\n\r\n`),
  row(400, 'bare LF', `GET / HTTP/1.1\nHost: a.test\n\n`),
  row(400, 'bare CR in a value', `GET / HTTP/1.1\r\n${HOST}X: a\rb\r\n\r\n`),
  row(400, 'field without a name', `GET / HTTP/1.1\r\n${HOST}: y\r\n\r\n`),
  row(400, 'two lengths', `POST / HTTP/1.1\r\n${HOST}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab`),
  row(400, 'signed length', `POST / HTTP/1.1\r\n${HOST}Content-Length: +1\r\n\r\na`),
  row(
    400,
    'length and chunks',
    `POST / HTTP/1.1\r\n${HOST}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  ),
  row(501, 'unknown coding', `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: zip\r\n\r\n0\r\n\r\n`),
  row(400, 'chunk size that is none', `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\nxyz\r\n`),
  row(
    400,
    'chunk longer than its size',
    `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n`,
  ),
  row(414, 'long target', `GET /${'a'.repeat(10_000)} HTTP/1.1\r\n${HOST}\r\n`),
  row(431, 'long head', `GET / HTTP/1.1\r\n${HOST}X: ${'a'.repeat(40_000)}\r\n\r\n`),
  row(431, 'many fields', `GET / HTTP/1.1\r\n${HOST}${'X: y\r\n'.repeat(200)}\r\n`),
  row(405, 'TRACE', `TRACE / HTTP/1.1\r\n${HOST}\r\n`),
  row(417, 'another expectation', `GET / HTTP/1.1\r\n${HOST}Expect: cake\r\n\r\n`),
]
