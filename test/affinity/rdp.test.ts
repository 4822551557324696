/** What the first packet of a Remote Desktop client says, and what it does not. */
import fc from 'fast-check'
import t from 'tap'
import { addressInToken, rdpKeyIn } from '../../lib/affinity/rdp.ts'
import { connectionRequest } from './fixtures/rdp.ts'
import { flow, rigOf } from './fixtures/rig.ts'

t.test('name and token are read however the packet is split', (t) => {
  const rows: readonly (readonly [string, string])[] = [
    ['Cookie: mstshash=alice\r\n', 'mstshash=alice'],
    ['Cookie: mstshash=CORP\\Alice B\r\n', 'mstshash=corp\\alice b'],
    ['Cookie: msts=3640205228.15629.0000\r\n', 'msts=3640205228.15629.0000'],
    ['', ''],
    ['cookie: mstshash=alice\r\n', ''],
    ['Cookie: other=alice\r\n', ''],
    ['Cookie: mstshash=\r\n', ''],
    ['Cookie: mstshash=alice\n', ''],
    ['Cookie: mstshash=alice', ''],
  ]
  for (const [cookie, key] of rows) {
    const bytes = connectionRequest(cookie)
    for (let cut = 0; cut < bytes.length; cut++) t.equal(rdpKeyIn(bytes.subarray(0, cut)), null)
    t.equal(rdpKeyIn(bytes), key, cookie)
    t.equal(rdpKeyIn(Buffer.concat([bytes, Buffer.from('more')])), key)
  }
  t.end()
})

t.test('what is not RDP is known at once, so that nobody waits for more of it', (t) => {
  for (const text of ['GET / HTTP/1.1\r\n', '\x16\x03\x01', '\x00', 'SSH-2.0'])
    t.equal(rdpKeyIn(Buffer.from(text, 'latin1')), '')
  t.equal(rdpKeyIn(Buffer.from([3, 0, 0xff, 0xff])), '', 'a packet of 64 KiB')
  t.equal(rdpKeyIn(Buffer.from([3, 0, 0, 4])), '', 'an empty one')
  const other = connectionRequest('Cookie: mstshash=alice\r\n')
  other[5] = 0xd0
  t.equal(rdpKeyIn(other), '', 'a confirm')
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const key = rdpKeyIn(Buffer.from(bytes))
      return key === null || key === '' || /^msts(hash)?=/.test(key)
    }),
  )
  t.end()
})

t.test('a routing token is the address of a backend', (t) => {
  t.same(addressInToken('3640205228.15629.0000'), { host: '172.31.249.216', port: 3389 })
  t.same(addressInToken('16777343.15629.0000'), { host: '127.0.0.1', port: 3389 })
  for (const bad of ['', '1.2', '4294967296.1.0000', '1.65536.0000', 'a.b.0000', '1.2.000', '1.2.00000', '-1.2.0000'])
    t.equal(addressInToken(bad), null, bad)
  t.end()
})

t.test('a token leads to its backend without any memory, and to nobody where there is none of that address', (t) => {
  const rig = rigOf({ type: 'rdp-cookie' }, { backends: ['a@127.0.0.1:3389', 'b@127.0.0.2:3389'] })
  const [a, b] = rig.backends
  const { affinity } = rig.built
  t.equal(affinity.find(flow('192.0.2.1', 'msts=16777343.15629.0000'))?.name, a?.name)
  t.equal(affinity.find(flow('192.0.2.1', 'msts=33554559.15629.0000'))?.name, b?.name)
  t.equal(affinity.find(flow('192.0.2.1', 'msts=50331775.15629.0000'))?.name, undefined)
  t.equal(affinity.find(flow('192.0.2.1', 'msts=nonsense'))?.name, undefined)
  if (a !== undefined) affinity.bind(flow('192.0.2.1', 'msts=50331775.15629.0000'), a, undefined)
  t.equal(rig.board.bindings.entriesByScope()[0], 0)
  t.end()
})
