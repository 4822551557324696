/** nginx under test: one worker, the same added fields and access log as the others. */
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { nginxFolders, nginxPreamble } from '../backends.ts'
import { freePorts, untilListening } from '../net.ts'
import { BALANCER_CORE } from '../processes.ts'
import type { Certificate, Peer } from './contract.ts'
import { findProgram } from './installed.ts'

const STREAM_MODULE = '/usr/lib/nginx/modules/ngx_stream_module.so' // Debian's place for it

const httpOf = (
  folder: string,
  [http, https]: readonly [number, number],
  { cert, key }: Certificate,
  backends: readonly number[],
): string => `http {
${nginxFolders(folder)}
  log_format line escape=json '{"time":"$time_iso8601","client":"$remote_addr","method":"$request_method",'
    '"target":"$request_uri","host":"$http_host","status":$status,"bytes":$body_bytes_sent,"ms":$request_time,'
    '"backend":"$upstream_addr","id":"$request_id"}';
  access_log /dev/null line buffer=64k flush=1s;
  keepalive_requests 100000000;
  keepalive_timeout 300s;
  client_header_timeout 10s;
  upstream web {
${backends.map((backend) => `    server 127.0.0.1:${backend};`).join('\n')}
    keepalive 256;
    keepalive_requests 100000000;
    keepalive_timeout 300s;
  }
  server {
    listen 127.0.0.1:${http} backlog=4096;
    listen 127.0.0.1:${https} ssl http2 backlog=4096;
    ssl_certificate ${cert};
    ssl_certificate_key ${key};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:sessions:10m;
    location / {
      proxy_pass http://web;
      proxy_http_version 1.1;
      proxy_connect_timeout 2s;
      proxy_max_temp_file_size 0;
      proxy_buffers 8 64k;
      proxy_busy_buffers_size 128k;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header X-Forwarded-Port $server_port;
      proxy_set_header Via "1.1 nginx";
      proxy_set_header X-Request-Id $request_id;
    }
  }
}
`

const streamOf = (port: number, backends: readonly number[]): string => `stream {
  log_format line '{"time":"$time_iso8601","client":"$remote_addr","bytes":$bytes_sent,"backend":"$upstream_addr"}';
  access_log /dev/null line buffer=64k flush=1s;
  upstream relay {
${backends.map((backend) => `    server 127.0.0.1:${backend};`).join('\n')}
  }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    proxy_pass relay;
    proxy_connect_timeout 2s;
  }
}
`

export const nginx: Peer = {
  name: 'nginx',
  find: () => findProgram('nginx', ['-v'], /nginx\/([^\s]+)/),
  without: (listener) =>
    listener === 'tcp' && !existsSync(STREAM_MODULE)
      ? 'its stream module is not installed (Debian: libnginx-mod-stream)'
      : undefined,
  async start({ processes, folder, backends, certificate, signal }) {
    const [http = 0, https = 0, tcp = 0] = await freePorts(3)
    const relays = existsSync(STREAM_MODULE)
    const config = join(folder, 'nginx.conf')
    writeFileSync(
      config,
      [
        relays ? `load_module ${STREAM_MODULE};\n` : '',
        nginxPreamble(folder),
        httpOf(folder, [http, https], certificate, backends),
        relays ? streamOf(tcp, backends) : '',
      ].join(''),
    )
    const process = await processes.start('nginx', 'nginx', ['-p', folder, '-c', config], { core: BALANCER_CORE })
    await untilListening(process, relays ? [http, https, tcp] : [http, https], signal)
    const listeners = { http: `127.0.0.1:${http}`, https: `127.0.0.1:${https}` }
    return { process, listeners: relays ? { ...listeners, tcp: `127.0.0.1:${tcp}` } : listeners }
  },
}
