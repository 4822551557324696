/** The commands of `evenkeel certs`: what each is called and takes. */
import { type Command, InvalidArgumentError, Option } from 'commander'
import type { CheckFlags } from './certs-check.ts'
import type { CreateFlags, ImportFlags, RequestFlags } from './certs-make.ts'
import type { AdminFlags } from './client.ts'

const PORT = /^(?:\[[0-9a-f:.]+\]|[^:[\]/\s]+):(\d{1,5})$/i
const KEY_TYPES = ['ec', 'rsa', 'rsa4096'] // of lib/tls, which is not loaded for the help
const MAX_DAYS = 36_500

export interface CertsContext {
  /** Adds the options of a command that asks a running balancer. */
  readonly admin: (command: Command) => Command
  readonly example: (...lines: readonly string[]) => string
  /** Of the configuration in this folder. */
  readonly file: string
  readonly end: (code: number) => void
}

export function addCerts(program: Command, { admin, example, file, end }: CertsContext): void {
  const certs = program
    .command('certs')
    .description('look at certificates, make, request and import them')
    .addHelpText('after', example('evenkeel certs list', 'evenkeel certs check shop.example.com:443'))
  admin(
    certs.command('list').description('the certificates that are served, what is wrong with them, and who uses them'),
  )
    .option('--file <config>', 'as the files of a configuration are, without asking the balancer')
    .option('--json', 'print them as JSON')
    .addHelpText('after', example('evenkeel certs list', 'evenkeel certs list --file new.yaml'))
    .action(async (flags: AdminFlags & { file?: string; json?: boolean }) => {
      const { list } = await import('./certs-list.ts')
      end(await list(flags, file))
    })
  certs
    .command('check')
    .description('connect to a server and check its certificate, chain, name and OCSP answer')
    .argument('<host:port>', 'where it is', place)
    .option('--servername <name>', 'the name to ask for; default: the host')
    .option('--ca <file>', 'PEM file with the authorities to trust; default: those of the runtime')
    .addOption(new Option('--starttls <protocol>', 'what it speaks before TLS').choices(['smtp', 'imap', 'pop3']))
    .option('--days <number>', 'fail when it ends within so many', days, 0)
    .option('--json', 'print what was found as JSON')
    .addHelpText(
      'after',
      example('evenkeel certs check shop.example.com:443 --days 14', 'evenkeel certs check mail:25 --starttls smtp'),
    )
    .action(async (at: string, flags: CheckFlags) => {
      const { check } = await import('./certs-check.ts')
      end(await check(at, flags))
    })
  making(certs.command('create').description('make a certificate for development, and an authority that signs it'))
    .argument('<names...>', 'DNS names and IP addresses')
    .option('--days <number>', 'how long it is valid', days, 365)
    .addHelpText('after', example("evenkeel certs create shop.test '*.shop.test' 10.0.0.5"))
    .action(async (names: string[], flags: CreateFlags) => {
      const { create } = await import('./certs-make.ts')
      end(await create(names, flags))
    })
  making(certs.command('csr').description('make a key and a signing request, for an authority to sign'))
    .argument('<names...>', 'DNS names and IP addresses')
    .addOption(new Option('--key <type>', 'type of the key').choices(KEY_TYPES).default('ec'))
    .addHelpText('after', example('evenkeel certs csr shop.example.com www.shop.example.com --key rsa'))
    .action(async (names: string[], flags: RequestFlags) => {
      const { request } = await import('./certs-make.ts')
      end(await request(names, flags))
    })
  making(certs.command('import').description('take certificate and key out of a PKCS#12 file, new or old'))
    .argument('<file>', 'a .p12 or .pfx; its passphrase is in EVENKEEL_PASSPHRASE, or is asked for')
    .option('--passphrase-file <file>', 'its first line is the passphrase')
    .addHelpText('after', example('evenkeel certs import old.p12 --name shop'))
    .action(async (from: string, flags: ImportFlags) => {
      const { importFile } = await import('./certs-make.ts')
      end(await importFile(from, flags))
    })
}

/** A command that writes files. */
const making = (command: Command): Command =>
  command
    .option('--out <folder>', 'where the files go', 'certs')
    .option('--name <name>', 'what the files are called, without an ending; default: by the first name')
    .option('--force', 'replace files that are there')
    .option('--json', 'print what was written as JSON')

function place(text: string): string {
  const port = Number(PORT.exec(text)?.[1] ?? 0)
  if (port >= 1 && port <= 65_535) return text
  throw new InvalidArgumentError('It is host:port, such as shop.example.com:443 or [::1]:8443.')
}

function days(text: string): number {
  const n = /^\d{1,5}$/.test(text) ? Number(text) : -1
  if (n >= 0 && n <= MAX_DAYS) return n
  throw new InvalidArgumentError(`It is a number of days, at most ${MAX_DAYS}.`)
}
