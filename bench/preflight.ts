/** Checks that a balancer does what the others do before it is measured: right answers, and all the added fields. */
import { get } from 'node:http'
import { get as getSecurely } from 'node:https'
import { text } from 'node:stream/consumers'
import { ADDED_FIELDS } from './backends.ts'
import type { Running } from './peers/index.ts'

const TIMEOUT_MS = 5000
const SIZES = { '/1k': 1024, '/1m': 1024 * 1024 } as const

export function fetchText(address: string, path: string, secure = false): Promise<string> {
  return new Promise((resolve, reject) => {
    const take = secure ? getSecurely : get
    const url = `${secure ? 'https' : 'http'}://${address}${path}`
    // the certificate is one that this bench has made
    const options = { agent: false, timeout: TIMEOUT_MS, rejectUnauthorized: false }
    const request = take(url, options, (response) => {
      if (response.statusCode === 200) text(response).then(resolve, reject)
      else {
        response.resume()
        reject(new Error(`${path} was answered with ${response.statusCode}`))
      }
    })
    request.once('timeout', () => request.destroy(new Error(`${path} was not answered within ${TIMEOUT_MS / 1000} s`)))
    request.once('error', reject)
  })
}

/** The fields that the backend's echo shows as missing. */
export const missingFields = (echo: string): string[] =>
  ADDED_FIELDS.filter((field) => !new RegExp(`^${field}: .`, 'm').test(echo))

export async function preflight(running: Running): Promise<void> {
  const { name } = running.process
  for (const [listener, address] of Object.entries(running.listeners)) {
    for (const [path, size] of Object.entries(SIZES)) {
      const body = await fetchText(address, path, listener === 'https').catch((error: unknown) => {
        running.process.assertRunning()
        throw new Error(`${name} is not ready for ${listener}`, { cause: error })
      })
      if (body.length !== size) throw new Error(`${name} relayed ${body.length} bytes of ${path}, expected ${size}`)
    }
  }
  for (const listener of ['http', 'https'] as const) {
    const address = running.listeners[listener]
    if (address === undefined) continue
    const missing = missingFields(await fetchText(address, '/fields', listener === 'https'))
    if (missing.length > 0)
      throw new Error(`${name} does not add ${missing.join(', ')} (${listener}): the comparison would be unfair`)
  }
}
