/** The layer rules of the architecture: who may import whom, checked on every import in lib/. */
import { globSync, readFileSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import ts from 'typescript'

/** A folder imports only folders of a lower number. */
const LAYERS: Readonly<Record<string, number>> = {
  core: 0,
  config: 1,
  board: 1,
  pool: 2,
  tls: 2,
  telemetry: 2,
  policies: 3,
  affinity: 3,
  agents: 3,
  acme: 3,
  probes: 3,
  filters: 3,
  datapaths: 4,
  service: 5,
  cluster: 6,
  dns: 6,
  admin: 6,
  demo: 6,
  cli: 6,
  upgrade: 7,
}

/** Composition roots: they import the index of any folder. */
const ROOTS = ['main.ts', 'data-thread.ts']

/** The command line is a client of the balancer, not a part of it: these and no others, whatever their layer. */
const CLI_IMPORTS: Readonly<Record<string, 'anything' | 'types'>> = {
  core: 'anything',
  config: 'anything',
  tls: 'anything',
  demo: 'anything',
  admin: 'types',
  'main.ts': 'anything', // `evenkeel run`
}

interface Import {
  readonly specifier: string
  readonly line: number
  readonly typeOnly: boolean
}

/** Static, re-exported, dynamic and type imports alike. */
function importsOf(path: string, text: string): Import[] {
  const found: Import[] = []
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, false)
  const add = (node: ts.Node, typeOnly: boolean): void => {
    if (!ts.isStringLiteralLike(node)) return
    const { line } = source.getLineAndCharacterOfPosition(node.getStart(source))
    found.push({ specifier: node.text, line: line + 1, typeOnly })
  }
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) add(node.moduleSpecifier, isTypeImport(node.importClause))
    else if (ts.isExportDeclaration(node) && node.moduleSpecifier !== undefined)
      add(node.moduleSpecifier, node.isTypeOnly || onlyTypes(node.exportClause))
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) add(node.argument.literal, true)
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword)
      for (const argument of node.arguments.slice(0, 1)) add(argument, false)
    ts.forEachChild(node, visit)
  }
  visit(source)
  return found
}

function isTypeImport(clause: ts.ImportClause | undefined): boolean {
  if (clause === undefined) return false
  if (clause.phaseModifier === ts.SyntaxKind.TypeKeyword) return true
  return clause.name === undefined && onlyTypes(clause.namedBindings)
}

const onlyTypes = (bindings: ts.Node | undefined): boolean =>
  bindings !== undefined &&
  (ts.isNamedImports(bindings) || ts.isNamedExports(bindings)) &&
  bindings.elements.length > 0 &&
  bindings.elements.every((element) => element.isTypeOnly)

/** The folder of a path below lib/, or the file itself when it stands at the top. */
const folderOf = (path: string): string => path.split('/')[0] ?? path

/** Every breach in a tree of files, given by their paths below lib/. */
function breachesOf(files: Readonly<Record<string, string>>): string[] {
  const breaches: string[] = []
  const usersOf = new Map<string, Set<string>>()
  for (const [path, text] of Object.entries(files)) {
    const from = folderOf(path)
    if (LAYERS[from] === undefined && !ROOTS.includes(path)) breaches.push(`${path}: ${from} is in no layer`)
    for (const found of importsOf(path, text)) {
      const problem = found.specifier.startsWith('.') ? breachOf(path, found) : undefined
      if (problem !== undefined) breaches.push(`${path}:${found.line}: ${problem}`)
      if (found.specifier.startsWith('.') || isBuiltin(found.specifier)) continue
      const name = packageOf(found.specifier)
      usersOf.set(name, (usersOf.get(name) ?? new Set()).add(from))
    }
  }
  for (const [name, users] of usersOf)
    if (users.size > 1) breaches.push(`the package ${name} is imported by ${[...users].sort().join(' and ')}`)
  return breaches
}

/** `a/b` → `a`, `@a/b/c` → `@a/b`. */
const packageOf = (specifier: string): string =>
  specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')

function breachOf(path: string, { specifier, typeOnly }: Import): string | undefined {
  const target = posix.join(posix.dirname(path), specifier)
  const [from, to] = [folderOf(path), folderOf(target)]
  if (from === to && !ROOTS.includes(from)) return undefined
  if (target === '../package.json') return undefined
  if (target.startsWith('..')) return `${specifier} is outside of lib`
  if (LAYERS[to] !== undefined && target !== `${to}/index.ts`)
    return `${specifier} reaches into ${to} past its index.ts`
  if (from === 'cli') {
    const allowed = CLI_IMPORTS[to]
    if (allowed === undefined) return `cli may not import ${to}`
    return allowed === 'types' && !typeOnly ? `cli may import only types from ${to}` : undefined
  }
  if (ROOTS.includes(to))
    return ROOTS.includes(from) && typeOnly ? undefined : `${specifier} is a composition root, which nothing imports`
  const [upper, lower] = [LAYERS[from], LAYERS[to]]
  if (lower === undefined) return `${to} is in no layer`
  if (ROOTS.includes(from) || upper === undefined || lower < upper) return undefined
  return lower === upper
    ? `${from} and ${to} are both in layer ${upper}`
    : `${from} in layer ${upper} may not import ${to} in layer ${lower}`
}

t.test('lib/ keeps the layer rules', (t) => {
  const lib = fileURLToPath(new URL('../lib/', import.meta.url))
  const paths = globSync('**/*.{ts,js}', { cwd: lib }).map((path) => path.replaceAll('\\', '/'))
  t.ok(paths.includes('core/index.ts'), 'the tree was found')
  const breaches = breachesOf(Object.fromEntries(paths.map((path) => [path, readFileSync(lib + path, 'utf8')])))
  t.equal(breaches.join('\n'), '')
  t.end()
})

const allowed: Readonly<Record<string, Record<string, string>>> = {
  'a folder imports a lower one through its index': { 'pool/pool.ts': "import { x } from '../core/index.ts'" },
  'a folder imports itself as it likes': { 'datapaths/http/h1.ts': "import { x } from '../tcp/relay.ts'" },
  'a root imports the index of any folder': {
    'main.ts': "import './admin/index.ts'; import './cli/index.ts'; import './core/index.ts'",
  },
  'a root knows the types of the other': { 'main.ts': "import type { Message } from './data-thread.ts'" },
  'the command line imports what it is a client of': {
    'cli/run.ts':
      "import '../config/index.ts'; import '../demo/index.ts'; import '../tls/index.ts'; await import('../main.ts')",
  },
  "the command line imports admin's types": {
    'cli/query.ts': "import { type Status } from '../admin/index.ts'; import type { X } from '../admin/index.ts'",
  },
  'two files of one folder import a package': { 'config/a.ts': "import 'zod'", 'config/b.ts': "import 'zod/v4'" },
  'every folder imports node': { 'core/a.ts': "import 'node:net'", 'pool/a.ts': "import 'net'" },
  'an import in a comment or a text is none': {
    'core/a.ts': "// import '../pool/index.ts'\nexport const a = \"import '../pool/index.ts'\"",
  },
}
for (const [title, files] of Object.entries(allowed))
  t.test(`allowed: ${title}`, (t) => {
    t.same(breachesOf(files), [])
    t.end()
  })

const refused: Readonly<Record<string, readonly [files: Record<string, string>, breach: string]>> = {
  'a folder imports a higher one': [
    { 'core/a.ts': "\nimport { x } from '../pool/index.ts'" },
    'core/a.ts:2: core in layer 0 may not import pool in layer 2',
  ],
  'a type is an import too': [
    { 'core/a.ts': "import type { X } from '../pool/index.ts'" },
    'core/a.ts:1: core in layer 0 may not import pool in layer 2',
  ],
  'folders of one layer know each other': [
    { 'policies/a.ts': "import { x } from '../affinity/index.ts'" },
    'policies/a.ts:1: policies and affinity are both in layer 3',
  ],
  'an import goes past an index': [
    { 'pool/a.ts': "import { x } from '../core/clock.ts'" },
    'pool/a.ts:1: ../core/clock.ts reaches into core past its index.ts',
  ],
  'a nested index is not the index': [
    { 'service/a.ts': "import { x } from '../datapaths/http/index.ts'" },
    'service/a.ts:1: ../datapaths/http/index.ts reaches into datapaths past its index.ts',
  ],
  'a root goes past an index': [
    { 'main.ts': "import { x } from './pool/state.ts'" },
    'main.ts:1: ./pool/state.ts reaches into pool past its index.ts',
  ],
  'a root runs the other': [
    { 'main.ts': "import './data-thread.ts'" },
    'main.ts:1: ./data-thread.ts is a composition root, which nothing imports',
  ],
  'a folder imports a root': [
    { 'service/a.ts': "import { x } from '../main.ts'" },
    'service/a.ts:1: ../main.ts is a composition root, which nothing imports',
  ],
  'a re-export is an import': [
    { 'board/index.ts': "export { x } from '../config/index.ts'" },
    'board/index.ts:1: board and config are both in layer 1',
  ],
  'a dynamic import is an import': [
    { 'core/a.ts': "const x = await import('../tls/index.ts')" },
    'core/a.ts:1: core in layer 0 may not import tls in layer 2',
  ],
  'an import type is an import': [
    { 'core/a.ts': "type X = import('../tls/index.ts').X" },
    'core/a.ts:1: core in layer 0 may not import tls in layer 2',
  ],
  'the command line imports a part of the balancer': [
    { 'cli/a.ts': "import { x } from '../pool/index.ts'" },
    'cli/a.ts:1: cli may not import pool',
  ],
  "the command line imports more than admin's types": [
    { 'cli/a.ts': "import { type A, b } from '../admin/index.ts'" },
    'cli/a.ts:1: cli may import only types from admin',
  ],
  'two folders import one package': [
    { 'config/a.ts': "import 'yaml'", 'cli/a.ts': "import type { X } from 'yaml/util'" },
    'the package yaml is imported by cli and config',
  ],
  'two folders import one scoped package': [
    { 'config/a.ts': "import '@a/b'", 'tls/a.ts': "import '@a/c'", 'admin/a.ts': "import('@a/b/c')" },
    'the package @a/b is imported by admin and config',
  ],
  'a folder that is in no layer': [{ 'utils/a.ts': '' }, 'utils/a.ts: utils is in no layer'],
  'a file at the top that is no root': [{ 'helpers.ts': '' }, 'helpers.ts: helpers.ts is in no layer'],
  'an import leaves lib': [
    { 'core/a.ts': "import { x } from '../../test/support/raw.ts'" },
    'core/a.ts:1: ../../test/support/raw.ts is outside of lib',
  ],
}
for (const [title, [files, breach]] of Object.entries(refused))
  t.test(`refused: ${title}`, (t) => {
    t.same(breachesOf(files), [breach])
    t.end()
  })
