/** Clients whose connection is reset at any point of a handshake, or right behind it: nothing of them stays. */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { connect } from 'node:tls'
import t from 'tap'
import { ChaosRelay } from '../../bench/chaos/relay.ts'
import { startBalancer } from '../support/balancer.ts'
import { eventually, within } from '../support/eventually.ts'
import { activeOf, makeCertificate } from './fixtures/support.ts'

const CLIENTS = 60
const BODY = Buffer.alloc(70_000)

t.test(
  'a TLS client that is reset behind its handshake, in the middle of what it says, is not counted for ever',
  async (t) => {
    const certificate = await makeCertificate()
    const echo = createServer({ allowHalfOpen: true, noDelay: true }, (socket: Socket) => {
      socket.on('error', () => undefined)
      socket.pipe(socket)
    }).listen(0, '127.0.0.1')
    await once(echo, 'listening')
    t.teardown(() => echo.close())
    const balancer = await startBalancer(
      t,
      {
        virtualServices: {
          main: {
            protocol: 'tls',
            listen: ['127.0.0.1:0'],
            tls: certificate.tls,
            health: { type: 'none' },
            backends: [`127.0.0.1:${(echo.address() as AddressInfo).port}`],
          },
        },
      },
      { files: certificate.files },
    )
    for (let i = 0; i < CLIENTS; i++) {
      const relay = await ChaosRelay.start('127.0.0.1', 0, balancer.port('main'))
      const at = {
        host: '127.0.0.1',
        port: relay.port,
        ca: certificate.ca,
        servername: 'localhost',
        allowHalfOpen: true,
      }
      const socket = connect(at)
      socket.on('error', () => undefined)
      socket.resume()
      const closed = once(socket, 'close').catch(() => undefined)
      await within(once(socket, 'secureConnect'), 'a handshake')
      relay.spoil({ mode: 'reset', after: 1 + ((i * 1511) % BODY.length), of: 'requests' })
      socket.end(BODY)
      await within(closed, 'a reset')
      relay.close()
    }
    await eventually('no connection is counted any more', async () => (await activeOf(balancer, 'main')) === 0)
  },
)
