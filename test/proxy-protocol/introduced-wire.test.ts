/** A wire behind a PROXY header: whom it tells, and the order of what it hands out. */
import t from 'tap'
import { NOTHING_TOLD, type ProxyHeader } from '../../lib/datapaths/proxy-protocol/header.ts'
import { introduce } from '../../lib/datapaths/proxy-protocol/introduced-wire.ts'
import { idleSink, type Wire } from '../../lib/datapaths/wire.ts'

const ends = { remoteAddress: '192.0.2.1', remotePort: 1000, localAddress: '198.51.100.2', localPort: 443 }
const header = (more: Partial<ProxyHeader>): ProxyHeader => ({ ...NOTHING_TOLD, version: 'v2', length: 28, ...more })

/** A wire that notes what is asked of it. */
function recorded(serverName = ''): { wire: Wire; calls: string[] } {
  const calls: string[] = []
  const note = (name: string) => (): void => void calls.push(name)
  const write = (name: string) => (): boolean => calls.push(name) > 0
  const wire: Wire = {
    sink: idleSink,
    owned: true,
    pending: false,
    borrowing: false,
    settled: true,
    queued: 7,
    remoteAddress: '127.0.0.1',
    remotePort: 1,
    localAddress: '127.0.0.2',
    localPort: 2,
    serverName,
    clientFields: '',
    protocol: '',
    covers: () => true,
    writeText: write('writeText'),
    writeOut: write('writeOut'),
    write: write('write'),
    writeOwned: write('writeOwned'),
    end: note('end'),
    pause: note('pause'),
    resume: note('resume'),
    bulk: note('bulk'),
    destroy: note('destroy'),
    reset: note('reset'),
  }
  return { wire, calls }
}

/** Notes what comes, and then does something. */
const sink = (calls: string[], then: () => void = () => undefined) => ({
  ...idleSink,
  onBytes: (bytes: Buffer, length: number) => {
    calls.push(`bytes ${bytes.toString('latin1', 0, length)}`)
    then()
  },
})

t.test('it has the ends and the name that the header tells', async (t) => {
  const wire = introduce(recorded().wire, header({ ends, authority: 'a.test' }), Buffer.alloc(0))
  t.match(wire, { ...ends, serverName: 'a.test', owned: true, pending: false, queued: 7 })
})

t.test('without ends in the header it has its own', async (t) => {
  const wire = introduce(recorded().wire, header({}), Buffer.from('early'))
  t.match(wire, { remoteAddress: '127.0.0.1', remotePort: 1, localAddress: '127.0.0.2', localPort: 2, serverName: '' })
})

t.test('the name of a TLS handshake here counts before that of the header', async (t) => {
  const wire = introduce(recorded('b.test').wire, header({ ends, authority: 'a.test' }), Buffer.alloc(0))
  t.equal(wire.serverName, 'b.test')
})

t.test('a wire of which nothing is told stays what it is', async (t) => {
  const { wire } = recorded()
  t.equal(introduce(wire, header({}), Buffer.alloc(0)), wire)
})

t.test('early bytes are handed out once, before the wire reads', async (t) => {
  const { wire, calls } = recorded()
  const introduced = introduce(wire, header({ ends }), Buffer.from('early'))
  introduced.sink = sink(calls)
  t.strictSame(calls, [])
  introduced.resume()
  introduced.resume()
  t.strictSame(calls, ['bytes early', 'resume', 'resume'])
})

t.test('a sink that pauses on early bytes gets no more', async (t) => {
  const { wire, calls } = recorded()
  const introduced = introduce(wire, header({ ends }), Buffer.from('early'))
  introduced.sink = sink(calls, () => introduced.pause())
  introduced.resume()
  t.strictSame(calls, ['bytes early', 'pause'])
  introduced.resume()
  t.strictSame(calls, ['bytes early', 'pause', 'resume'])
})

t.test('early bytes of a wire that was given up are handed to nobody', async (t) => {
  for (const how of ['destroy', 'reset'] as const) {
    const { wire, calls } = recorded()
    const introduced = introduce(wire, header({ ends }), Buffer.from('early'))
    introduced.sink = sink(calls)
    introduced[how]()
    introduced.resume()
    t.notOk(calls.includes('bytes early'), how)
  }
})

t.test('everything else is the business of the wire below', async (t) => {
  const { wire, calls } = recorded()
  const introduced = introduce(wire, header({ ends }), Buffer.alloc(0))
  const bytes = Buffer.from('x')
  introduced.writeText('x')
  introduced.write(bytes, 0, 1)
  introduced.writeOwned(bytes, 0, 1)
  introduced.bulk(true, false)
  introduced.end()
  introduced.sink = idleSink
  t.strictSame(calls, ['writeText', 'write', 'writeOwned', 'bulk', 'end'])
  t.equal(wire.sink, introduced.sink)
})
