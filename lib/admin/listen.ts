/** Where the admin listener listens: an address and port, or a socket in the file system for our own user and group. */
import { lstatSync, rmSync } from 'node:fs'
import { connect, type ListenOptions, type Server } from 'node:net'
import { BalancerError, codeOf, formatAddress, messageOf, parseAddressRange } from '../core/index.ts'

const OTHERS = 0o117 // everything but reading and writing by owner and group: 0660

/**
 * @param listen as `admin.listen` says
 * @returns where it listens: the port that the system chose for 0
 * @throws BalancerError LISTEN_FAILED
 */
export async function openListener(server: Server, listen: string): Promise<string> {
  if (listen.startsWith('unix:')) {
    await openSocket(server, listen.slice('unix:'.length))
    return listen
  }
  const range = parseAddressRange(listen)
  if (typeof range === 'string') throw new BalancerError('LISTEN_FAILED', `admin can't listen: ${range}`)
  const { host, first: port } = range
  const place = formatAddress(host, port)
  await bind(server, { host, port, exclusive: true, ipv6Only: host.includes(':') }).catch((error: unknown) => {
    throw failure(place, codeOf(error) === 'EADDRINUSE' ? 'the port is in use' : messageOf(error), error)
  })
  const address = server.address()
  return formatAddress(host, typeof address === 'object' && address !== null ? address.port : port)
}

async function openSocket(server: Server, path: string): Promise<void> {
  try {
    await bindPrivately(server, path)
  } catch (error) {
    if (codeOf(error) !== 'EADDRINUSE') throw failure(`unix:${path}`, messageOf(error), error)
    if (!lstatSync(path).isSocket()) throw failure(`unix:${path}`, 'there is a file that is no socket', error)
    if (await answers(path)) throw failure(`unix:${path}`, 'another process listens there', error)
    rmSync(path, { force: true }) // left behind by a run that was killed
    await bindPrivately(server, path).catch((again: unknown) => {
      throw failure(`unix:${path}`, messageOf(again), again)
    })
  }
}

/** The file is made while `listen` runs, with the rights that the mask leaves: nobody else ever has any. */
function bindPrivately(server: Server, path: string): Promise<void> {
  const before = process.umask(OTHERS)
  const bound = bind(server, { path })
  process.umask(before)
  return bound
}

function bind(server: Server, options: ListenOptions): Promise<void> {
  server.removeAllListeners('error')
  return new Promise((listening, reject) => {
    server.once('error', reject)
    server.listen(options, () => {
      server.removeAllListeners('error')
      server.on('error', () => {}) // failed accepts: libuv tries again with the next connection
      listening()
    })
  })
}

/** Does somebody listen on that socket? */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path })
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', (error) => resolve(codeOf(error) !== 'ECONNREFUSED'))
  })
}

const failure = (place: string, why: string, cause: unknown): BalancerError =>
  new BalancerError('LISTEN_FAILED', `admin can't listen on ${place}: ${why}`, { cause })
