/** The backends of a bench: one nginx that serves three ports from memory, and a fourth with TLS. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePorts, untilListening } from './net.ts'
import type { Certificate } from './peers/index.ts'
import { LOAD_CORE, type Processes } from './processes.ts'

const BACKENDS = 3
const MIB = 1024 * 1024

/** The fields that each balancer must add to a request; `/fields` echoes what arrived. */
export const ADDED_FIELDS = [
  'X-Forwarded-For',
  'X-Forwarded-Proto',
  'X-Forwarded-Host',
  'X-Forwarded-Port',
  'Via',
  'X-Request-Id',
] as const

const variable = (field: string) => `$http_${field.toLowerCase().replaceAll('-', '_')}`

/** Lines common to every nginx of a bench: one worker, and nothing written outside of the folder. */
export const nginxPreamble = (folder: string): string => `daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
${process.getuid?.() === 0 ? 'user root;' : ''}
pid ${folder}/nginx.pid;
error_log stderr error;
events { worker_connections 16000; multi_accept off; }
`

export const nginxFolders = (folder: string): string =>
  ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `  ${kind}_temp_path ${folder}/${kind};`)
    .join('\n')

const configOf = (
  folder: string,
  ports: readonly number[],
  secure: number,
  { cert, key }: Certificate,
): string => `${nginxPreamble(folder)}
http {
${nginxFolders(folder)}
  access_log off;
  sendfile on;
  tcp_nopush on;
  open_file_cache max=10;
  keepalive_requests 100000000;
  keepalive_timeout 300s;
  default_type text/plain;
  server {
${ports.map((port) => `    listen 127.0.0.1:${port} backlog=4096;`).join('\n')}
    listen 127.0.0.1:${secure} ssl http2 backlog=4096;
    ssl_certificate ${cert};
    ssl_certificate_key ${key};
    ssl_protocols TLSv1.2 TLSv1.3;
    root ${folder}/files;
    location = /1k { return 200 "${'x'.repeat(1024)}"; }
    location = /1m { }
    location = /fields { return 200 "${ADDED_FIELDS.map((field) => `${field}: ${variable(field)}\\n`).join('')}"; }
  }
}
`

export interface Backends {
  /** Ports in the clear: what the balancers relay to. */
  readonly ports: readonly number[]
  /** A port with TLS: what its load is without a balancer. */
  readonly secure: number
}

export async function startBackends(
  processes: Processes,
  parent: string,
  certificate: Certificate,
  signal: AbortSignal,
): Promise<Backends> {
  const folder = join(parent, 'backends')
  mkdirSync(join(folder, 'files'), { recursive: true })
  writeFileSync(join(folder, 'files', '1m'), Buffer.alloc(MIB, 'x'))
  const [secure = 0, ...ports] = await freePorts(1 + BACKENDS)
  writeFileSync(join(folder, 'nginx.conf'), configOf(folder, ports, secure, certificate))
  const nginx = await processes.start('backends', 'nginx', ['-p', folder, '-c', join(folder, 'nginx.conf')], {
    core: LOAD_CORE,
  })
  await untilListening(nginx, [...ports, secure], signal)
  return { ports, secure }
}
