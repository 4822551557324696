/** Which version of HTTP a client connection speaks. */

import type { Session } from '../contract.ts'
import type { HttpContext } from '../http/context.ts'
import { H1Session } from '../http/h1.ts'
import type { Wire } from '../wire.ts'
import { FirstBytes } from './first-bytes.ts'
import { H2Session } from './session.ts'

/** Serves the connection; `ended` is called once. */
export function acceptHttp(context: HttpContext, wire: Wire, client: number, ended: () => void): void {
  const { tls, http, timeouts } = context.view
  if (wire.protocol === 'h2') new H2Session(context, wire, client, ended).start()
  else if (tls !== null || !http.http2.cleartext) new H1Session(context, wire, client, ended).start()
  else {
    const next = (http2: boolean, first: Buffer, length: number): void => {
      context.sessions.delete(waiting)
      const session = http2
        ? new H2Session(context, wire, client, ended)
        : new H1Session(context, wire, client, ended, true)
      session.start()
      session.onBytes(first, length)
    }
    const over = (): void => {
      context.sessions.delete(waiting)
      ended()
    }
    const first = new FirstBytes(wire, context.wheel, timeouts.head, next, over)
    const waiting: Session = {
      seat: -1,
      drain: (graceMs) => graceMs === 0 && first.end(),
      cut: (backendName) => backendName === null && first.end(),
      since: () => Number.POSITIVE_INFINITY,
    }
    context.sessions.add(waiting)
  }
}
