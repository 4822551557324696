/** What no window takes waits: unchanged, and in memory that is used again. */
import t from 'tap'
import type { MessageBody } from '../../../lib/datapaths/h2/message-body.ts'
import { MessageSender } from '../../../lib/datapaths/h2/message-sender.ts'
import type { Outbound } from '../../../lib/datapaths/h2/outbound.ts'
import { madeBy } from '../fixtures/made.ts'
import { pattern, sha } from '../fixtures/wires.ts'

const KIB = 1024
const MIB = 1024 * KIB
const LINE = 2 // of a chunk, on either side

/** An answer in one chunk whose lines are two bytes long. */
class Paper extends MessageSender {
  protected head(_buf: Buffer, base: number): number {
    this.state = 'body'
    this.body = {
      done: false,
      dataStart: 0,
      dataEnd: 0,
      trailers: '',
      step(_bytes: Buffer, p: number, end: number): number {
        const framing = end - p === LINE
        this.dataStart = framing ? end : p
        this.dataEnd = end
        return end
      },
    } satisfies Pick<MessageBody, 'done' | 'dataStart' | 'dataEnd' | 'trailers' | 'step'> as unknown as MessageBody
    return base
  }
}

function paper(): { sender: Paper; sent: Buffer[]; told: () => number } {
  const sent: Buffer[] = []
  let told = 0
  const outbound = {
    room: () => 16 * KIB,
    wait() {},
    data(_id: number, buf: Buffer, start: number, end: number) {
      sent.push(Buffer.copyBytesFrom(buf, start, end - start))
    },
  }
  const owner = {
    onSent(all: boolean) {
      if (all) told++
    },
    onUnsendable() {},
  }
  const sender = new Paper(1, 0, outbound as unknown as Outbound, owner)
  return { sender, sent, told: () => told }
}

t.test('bytes that may change at once arrive as they were', async (t) => {
  const { sender, sent, told } = paper()
  const wanted: Buffer[] = []
  for (const size of [60 * KIB, 5, 30 * KIB]) {
    const bytes = pattern(size, size)
    wanted.push(Buffer.from(bytes))
    t.equal(sender.write(bytes, 0, size, false), false)
    bytes.fill(0)
  }
  sender.widen(10)
  sender.widen(MIB)
  t.equal(sha(Buffer.concat(sent)), sha(Buffer.concat(wanted)))
  t.equal(told(), 1)
})

t.test('they wait in memory that is used again', async (t) => {
  const { sender, sent } = paper()
  const bytes = pattern(60 * KIB)
  const round = (): void => {
    sender.write(bytes, 0, bytes.length, false)
    sender.widen(bytes.length)
    sent.length = 0
  }
  round()
  const made = await madeBy(t, () => {
    for (let i = 0; i < 100; i++) round()
  })
  t.ok(made < MIB, `${made / KIB} KiB for 100 times 60`)
})

t.test('the end of a chunk behind bytes that wait where they are copies nothing', async (t) => {
  const { sender, sent } = paper()
  const bytes = pattern(60 * KIB)
  const made = await madeBy(t, () => {
    for (let i = 0; i < 100; i++) {
      sender.write(bytes, 0, bytes.length, true)
      sender.text('\r\n')
      sender.widen(bytes.length)
      t.equal(sender.queued, false)
      sent.length = 0
    }
  })
  t.ok(made < MIB, `${made / KIB} KiB for 100 times 60`)
})
