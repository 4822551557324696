/** HAProxy under test: one thread, the same added fields and access log as the others. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePorts, untilListening } from '../net.ts'
import { BALANCER_CORE } from '../processes.ts'
import type { Listener } from '../scenarios.ts'
import type { Peer } from './contract.ts'
import { findProgram } from './installed.ts'

type Ports = Readonly<Record<Listener | 'h2c', number>>

const LOG_FORMAT =
  `'{"time":"%Ts.%ms","client":"%[src]","method":"%HM","target":"%[capture.req.uri,json(utf8s)]",` +
  `"host":"%[var(txn.host),json(utf8s)]","status":%ST,"bytes":%B,"ms":%Ta,"backend":"%s","id":"%ID"}'`

const frontendOf = (name: string, bind: string, scheme: string): string => `frontend ${name}
  mode http
  bind ${bind} backlog 4096
  log-format ${LOG_FORMAT}
  unique-id-format %{+X}o%ci:%cp_%fi:%fp_%Ts_%rt:%pid
  unique-id-header X-Request-Id
  option forwardfor
  http-request set-var(txn.host) req.hdr(host)
  http-request set-header X-Forwarded-Proto ${scheme}
  http-request set-header X-Forwarded-Host %[var(txn.host)]
  http-request set-header X-Forwarded-Port %[dst_port]
  http-request add-header Via "1.1 haproxy"
  default_backend web`

const configOf = (ports: Ports, bundle: string, backends: readonly number[]): string => {
  const servers = backends.map((port, i) => `  server b${i} 127.0.0.1:${port} check inter 2s`).join('\n')
  return `global
  nbthread 1
  maxconn 8000
  ssl-default-bind-options ssl-min-ver TLSv1.2
  log stdout format raw local0 info
defaults
  log global
  timeout connect 2s
  timeout client 300s
  timeout server 300s
  timeout http-keep-alive 300s
  timeout http-request 10s
  balance roundrobin
${frontendOf('web', `127.0.0.1:${ports.http}`, 'http')}
${frontendOf('secure', `127.0.0.1:${ports.https} ssl crt ${bundle} alpn h2,http/1.1`, 'https')}
${frontendOf('clear', `127.0.0.1:${ports.h2c} proto h2`, 'http')}
backend web
  mode http
  http-reuse always
${servers}
frontend relay
  mode tcp
  bind 127.0.0.1:${ports.tcp} backlog 4096
  log-format '{"time":"%Ts.%ms","client":"%[src]","bytes":%B,"ms":%Tt,"backend":"%s"}'
  default_backend relay
backend relay
  mode tcp
${servers}
`
}

export const haproxy: Peer = {
  name: 'haproxy',
  find: () => findProgram('haproxy', ['-v'], /version ([^\s]+)/),
  without: () => undefined,
  async start({ processes, folder, backends, certificate, signal }) {
    const [http = 0, https = 0, tcp = 0, h2c = 0] = await freePorts(4)
    const config = join(folder, 'haproxy.cfg')
    writeFileSync(config, configOf({ http, https, tcp, h2c }, certificate.bundle, backends))
    // its log goes to stdout, which is /dev/null: the cheapest target that it has
    const process = await processes.start('haproxy', 'haproxy', ['-db', '-f', config], { core: BALANCER_CORE })
    await untilListening(process, [http, https, tcp, h2c], signal)
    const at = (port: number) => `127.0.0.1:${port}`
    return { process, listeners: { http: at(http), https: at(https), tcp: at(tcp) }, h2c: at(h2c) }
  },
}
