/** A load balancer as one writes it with node:http and http-proxy 1.18.1; `node http-proxy-server.ts PORT…`. */
import { randomUUID } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { Agent, createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createRequire } from 'node:module'

interface Proxy {
  web(request: IncomingMessage, response: ServerResponse, options: { target: string }): void
  on(event: 'proxyRes', listener: (answer: IncomingMessage, request: IncomingMessage) => void): void
  on(event: 'error', listener: (error: Error, request: IncomingMessage, response: ServerResponse) => void): void
}
interface HttpProxy {
  createProxyServer(options: { agent: Agent; xfwd: boolean }): Proxy
}

const LOG_BYTES = 64 * 1024 // lines are gathered into writes of this size, as nginx does
const FLUSH_MS = 1000

const httpProxy: HttpProxy = createRequire(import.meta.url)('http-proxy-legacy')
const proxy = httpProxy.createProxyServer({ agent: new Agent({ keepAlive: true, maxFreeSockets: 256 }), xfwd: true })
const targets = process.argv.slice(2).map((port) => `http://127.0.0.1:${port}`)

const log = createWriteStream('/dev/null')
let lines = ''
const flush = () => {
  log.write(lines)
  lines = ''
}
setInterval(flush, FLUSH_MS).unref()

proxy.on('error', (error, _request, response) => {
  process.stderr.write(`${error.message}\n`)
  if ('writeHead' in response && !response.headersSent) response.writeHead(502)
  response.end()
})

// http-proxy hands the connection field of one side to the other; without this, a client that asked for `close` is told
// `keep-alive`, and a `close` of the client's ends the connection to the backend.
const closing = new WeakSet<IncomingMessage>()
proxy.on('proxyRes', (answer, request) => {
  if (closing.has(request)) answer.headers.connection = 'close'
})

let turn = 0
const server = createServer((request, response) => {
  const started = performance.now()
  const target = targets[turn++ % targets.length] ?? ''
  const id = randomUUID()
  const { headers, method, url } = request
  if (headers.connection === 'close') closing.add(request)
  delete headers.connection
  headers['via'] = '1.1 http-proxy'
  headers['x-request-id'] = id
  response.on('finish', () => {
    lines += `${JSON.stringify({
      time: Date.now(),
      client: request.socket.remoteAddress,
      method,
      target: url,
      host: headers.host,
      status: response.statusCode,
      bytes: response.getHeader('content-length'),
      ms: performance.now() - started,
      backend: target,
      id,
    })}\n`
    if (lines.length > LOG_BYTES) flush()
  })
  proxy.web(request, response, { target })
})
server.keepAliveTimeout = 300_000
server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, () => {
  const address = server.address()
  if (address !== null && typeof address === 'object') process.stdout.write(`${address.port}\n`)
})
