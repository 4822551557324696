/** Header blocks of HTTP/2, several on one connection: what they mean, and what of it an HTTP/1.1 head tells. */
import { FIELD_OVERHEAD, fieldBlock, headsStart, memory } from '../../lib/datapaths/h2/field-block.ts'
import { HpackDecoder } from '../../lib/datapaths/h2/hpack-decoder.ts'
import { RequestWriter } from '../../lib/datapaths/h2/request-writer.ts'
import { BAD, DONE } from '../../lib/datapaths/http/head.ts'
import { RequestHead } from '../../lib/datapaths/http/request.ts'
import { type Field, ReferenceDecoder } from '../reference/hpack.ts'
import { holds, same, type Target } from '../target.ts'

const TABLE = 200 // small, so that entries leave
const MAX_SIZE = 2000
const MAX_FIELDS = 40
const RULES = { allowTrace: true, upgrades: ['websocket'], via: 'evenkeel' } as const
const WIDE = { maxTarget: 8192, maxHead: 32_768, maxFields: 100 }

const writer = new RequestWriter()

function seen(): Field[] {
  const fields: Field[] = []
  for (let i = 0; i < fieldBlock.count; i++)
    fields.push([
      memory.latin1Slice(fieldBlock.nameStart(i), fieldBlock.nameEnd(i)),
      memory.latin1Slice(fieldBlock.valueStart(i), fieldBlock.valueEnd(i)),
    ])
  return fields
}

/** The head of the block in hand, as HTTP/1.1 reads it: nothing that is not in the block may be in there. */
function head(fields: readonly Field[], ended: boolean): string {
  if (!writer.write(fieldBlock, headsStart, ended)) return writer.problem
  const text = memory.latin1Slice(headsStart, writer.end)
  holds(text.endsWith('\r\n\r\n') && text.indexOf('\r\n\r\n') === text.length - 4, 'a head ends once')
  const parsed = new RequestHead()
  const result = parsed.parse(memory, headsStart, writer.end, WIDE, false)
  holds(result === DONE || result === BAD, 'a head is whole')
  if (result === BAD || !parsed.interpret(memory, headsStart, RULES)) return `refused ${parsed.error}`
  same('it ends where it was written to', parsed.pos, writer.end - headsStart)
  const value = (name: string): string => fields.find(([n]) => n === name)?.[1] ?? ''
  const tunnel = fields.some(([n]) => n === ':protocol')
  same('method', parsed.method, tunnel ? 'GET' : value(':method'))
  const host = memory.latin1Slice(headsStart + parsed.hostStart, headsStart + parsed.hostEnd)
  same('host', host.toLowerCase(), (value(':authority') || value('host')).toLowerCase())
  holds(parsed.framing.chunked === (!ended && !tunnel && parsed.framing.length < 0), 'framing is ours')
  const lines = text.split('\r\n').length - 3
  holds(lines <= fields.length + 3, 'no field is made up')
  return `head ${parsed.upgrade !== ''} ${parsed.absolute}`
}

export const hpack: Target = {
  name: 'hpack',
  // Blocks with their length in front: one byte for it.
  seeds: [
    '\x0f\x82\x86\x84\x41\x8a\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab',
    '\x14\x82\x86\x84\x41\x0fwww.example.com\x04\x82\x86\x84\xbe',
    '\x1f\x82\x87\x85\x01\x03a.t\x40\x0acustom-key\x0ccustom-value\x01\xbe',
    '\x21\x82\x87\x84\x01\x03a.t\x60\x03a=b\x60\x03c=d\x0f\x11\x0212\x00\x02te\x08trailers',
    '\x2a\x02\x07CONNECT\x00\x09:protocol\x09websocket\x87\x84\x01\x03a.t',
    '\x09\x3f\xa9\x01\x20\x3f\x10\x82\x86\x84',
  ],
  words: [
    '\x82',
    '\x84',
    '\x87',
    '\xbe',
    '\xbf',
    '\x40',
    '\x00',
    '\x10',
    '\x20',
    '\x3f\xa9\x01',
    '\x01a',
    '\x03a.t',
    '\x04host',
    '\x0aconnection',
    '\x0econtent-length',
    '\x06cookie',
    '\r\n',
    '\x7f\xff',
    '\xff\xff\xff\xff\x0f',
    ':path',
  ],
  check(input) {
    const decoder = new HpackDecoder(TABLE)
    const reference = new ReferenceDecoder(TABLE)
    let met = ''
    for (let at = 0; at < input.length; ) {
      const length = input[at] ?? 0
      const bytes = input.subarray(at + 1, at + 1 + length)
      at += 1 + length
      fieldBlock.begin(MAX_SIZE, MAX_FIELDS)
      const ok = decoder.decode(bytes, 0, bytes.length, fieldBlock)
      const wanted = reference.decode(Buffer.from(bytes))
      same('verdict', ok, wanted !== null)
      if (wanted === null) return `${met} malformed`
      const size = wanted.reduce((sum, [name, value]) => sum + name.length + value.length + FIELD_OVERHEAD, 0)
      same('too large', fieldBlock.tooLarge, size > MAX_SIZE || wanted.length > MAX_FIELDS)
      if (fieldBlock.tooLarge) met = 'large'
      else {
        const fields = seen()
        same('fields', fields, wanted)
        met = `${head(fields, true)} ${head(fields, false)}`
      }
    }
    return met
  },
}
