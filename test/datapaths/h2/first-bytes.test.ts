/** Which version of HTTP a connection in the clear speaks is told by its first bytes, however they are cut. */
import t from 'tap'
import { DeadlineWheel } from '../../../lib/core/index.ts'
import { FirstBytes } from '../../../lib/datapaths/h2/first-bytes.ts'
import { idleSink, type Wire } from '../../../lib/datapaths/wire.ts'

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
const wheel = new DeadlineWheel()
t.teardown(() => wheel.close())

/** Lets pieces come until it is told; answers what was told. */
function tell(pieces: readonly Buffer[]): { http2: boolean; text: string; same: boolean } | null {
  const wire = { sink: idleSink, pause() {}, resume() {}, destroy() {} } as Partial<Wire> as Wire
  let told: ReturnType<typeof tell> = null
  let last: Buffer | null = null
  const next = (http2: boolean, first: Buffer, length: number) => {
    told = { http2, text: first.latin1Slice(0, length), same: first === last }
  }
  const first = new FirstBytes(wire, wheel, 1000, next, () => {})
  for (const piece of pieces) {
    last = piece
    if (told === null) first.onBytes(piece, piece.length)
  }
  return told
}

for (const [what, http2, text] of [
  ['HTTP/2', true, `${PREFACE}and more`],
  ['HTTP/1.1', false, 'GET / HTTP/1.1\r\n\r\n'],
  ['a method that begins alike', false, 'PRIVATE / HTTP/1.1\r\n\r\n'],
] as const)
  for (let cut = 0; cut < text.length; cut++)
    t.test(`${what}, cut at ${cut}`, async (t) => {
      const pieces = [text.slice(0, cut), text.slice(cut)]
        .filter((piece) => piece !== '')
        .map((piece) => Buffer.from(piece))
      const told = tell(pieces)
      t.equal(told?.http2, http2)
      t.ok(text.startsWith(told?.text ?? 'nothing'))
    })

t.test('what tells in one piece goes on as it was read: a flood of connections leaves no copies', async (t) => {
  const large = Buffer.concat([Buffer.from(PREFACE), Buffer.alloc(60_000)])
  t.equal(tell([large])?.same, true)
})
