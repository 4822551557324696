/** The relays in front of some backends, as a process of its own. `relay-process.ts HOST NAME:PORT:TO,…`, a name several times. */
import { ChaosRelay, type Spoiling } from './relay.ts'

const [host = '', ways = ''] = process.argv.slice(2)
const relays = await Promise.all(
  ways.split(',').map(async (text) => {
    const [name, port, to] = text.split(':')
    return { name, relay: await ChaosRelay.start(host, Number(port), Number(to)) }
  }),
)
process.on('message', ({ name, spoiling }: { name: string; spoiling: Spoiling }) => {
  for (const each of relays) if (each.name === name) each.relay.spoil(spoiling)
})
process.on('disconnect', () => process.exit(0))
process.send?.('listening')
