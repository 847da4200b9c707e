import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { describe, it } from 'node:test'
import { importsOf, tokenize } from './architecture/imports.ts'
import { judge } from './architecture/rules.ts'

const ROOT = new URL('../src/', import.meta.url)

function sourcesOf(root: URL): Map<string, string> {
  const tree = new Map<string, string>()
  for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !entry.name.endsWith('.ts')) continue
    const folder = entry.parentPath.slice(root.pathname.length - 1).replaceAll('\\', '/')
    const path = posix.join(folder, entry.name).replace(/^\//, '')
    tree.set(path, readFileSync(new URL(path, root), 'utf8'))
  }
  return tree
}

/** A made-up tree, judged; the fault is expected to be the only one. */
function soleFault(tree: Record<string, string>): string {
  const faults = judge(new Map(Object.entries(tree)))
  assert.equal(faults.length, 1, `expected one fault: ${JSON.stringify(faults)}`)
  return faults[0]!
}

describe('the architecture of src/', () => {
  it('keeps every house rule that a program can check', () => {
    const tree = sourcesOf(ROOT)
    assert.ok(tree.size > 10 && tree.has('lib/reason.ts'), 'the real sources were found')
    const faults = judge(tree)
    assert.deepEqual(faults, [], `\n${faults.join('\n')}\n`)
  })
})

describe('the judge itself', () => {
  it('lets imports go down and stay in the folder', () => {
    const tree = {
      'lib/clock.ts': 'export const a = 1',
      'http/head.ts':
        "import { a } from '../lib/clock.ts'\nimport type { T } from './fields.ts'\nexport const b: T = a",
      'http/fields.ts': 'export type T = number',
    }
    assert.deepEqual(judge(new Map(Object.entries(tree))), [])
  })

  it('refuses an upward import', () => {
    const fault = soleFault({ 'lib/a.ts': "import { b } from '../http/b.ts'\nb()", 'http/b.ts': 'export const b = 1' })
    assert.equal(fault, 'lib/a.ts:1: imports upward: lib (0) → http/b.ts (2)')
  })

  it('refuses a sideways import, even of a type only', () => {
    const fault = soleFault({
      'control/a.ts': "\nimport type { B } from '../worker/b.ts'\nexport type A = B",
      'worker/b.ts': 'export type B = 1',
    })
    assert.equal(fault, 'control/a.ts:2: imports sideways: control → worker/b.ts, both in layer 11')
  })

  for (const [how, source] of [
    ['a dynamic import', "export const load = () => import('../worker/b.ts')"],
    ['an import inside a type', "export type B = typeof import('../worker/b.ts')"],
    ['a re-export', "export const own = 1\nexport { b } from '../worker/b.ts'"],
    ['an import for its effect', "import '../worker/b.ts'"],
    ['an import split over lines', "import {\n  b, // from '../lib/x.ts'\n} from '../worker/b.ts'\nb()"],
    ['an import inside a template', `export const t = \`\${await import('../worker/b.ts')}\``],
  ] as const)
    it(`sees ${how}`, () => {
      assert.match(soleFault({ 'link/a.ts': source, 'worker/b.ts': 'export const b = 1' }), /imports upward: link/)
    })

  it('does not take comments, strings and patterns for imports', () => {
    const source = [
      "// import { b } from '../worker/b.ts'",
      "/* import('../worker/b.ts') */",
      'export const text = "import { b } from \'../worker/b.ts\'"',
      "export const template = `import { b } from '../worker/b.ts'`",
      "export const pattern = /import '.*' from \"/g",
    ].join('\n')
    assert.deepEqual(importsOf(tokenize(source)), [])
  })

  it('lets the entry of a thread be named from anywhere', () => {
    const source = "export const entry = new URL('../worker/b.ts', import.meta.url)"
    assert.deepEqual(
      judge(
        new Map([
          ['supervisor/a.ts', source],
          ['worker/b.ts', 'export const b = 1'],
        ]),
      ),
      [],
    )
    assert.deepEqual(
      judge(
        new Map([
          ['link/a.ts', source],
          ['worker/b.ts', 'export const b = 1'],
        ]),
      ),
      [],
    )
  })

  it('refuses a cycle inside one folder', () => {
    const fault = soleFault({
      'lib/a.ts': "import './b.ts'",
      'lib/b.ts': "import './c.ts'",
      'lib/c.ts': "import './a.ts'",
    })
    assert.equal(fault, 'cycle: lib/a.ts → lib/b.ts → lib/c.ts → lib/a.ts')
  })

  it('refuses a cycle of types inside one folder', () => {
    const fault = soleFault({
      'lib/a.ts': "import { b } from './b.ts'\nb()",
      'lib/b.ts': "import type { C } from './c.ts'\nexport const b = 1",
      'lib/c.ts': "import { type A } from './a.ts'\nexport type C = A",
    })
    assert.equal(fault, 'cycle: lib/a.ts → lib/b.ts → lib/c.ts → lib/a.ts')
  })

  describe('in a folder that is divided into rooms', () => {
    const rooms = {
      'control/leader/leader.ts': 'export type T = 1',
      'control/leader/lease.ts': 'export type T = 1',
      'control/status/statuses.ts': 'export type T = 1',
      'control/control.ts': 'export type T = 1',
    }
    const importing = (path: string, from: string) => ({
      ...rooms,
      [path]: `import type { T } from '${from}'\nexport type U = T`,
    })

    it('lets imports follow the flow, through the entrance of each room', () => {
      for (const [path, from] of [
        ['control/status/a.ts', '../leader/leader.ts'],
        ['control/a.ts', './status/statuses.ts'],
        ['control/leader/a.ts', './lease.ts'],
        ['supervisor/a.ts', '../control/control.ts'],
      ] as const)
        assert.deepEqual(judge(new Map(Object.entries(importing(path, from)))), [])
    })

    it('refuses an import against the flow, past an entrance, of what puts rooms together, and from outside', () => {
      assert.match(
        soleFault(importing('control/leader/a.ts', '../status/statuses.ts')),
        /against the flow: leader \(0\) → status \(4\)/,
      )
      assert.match(
        soleFault(importing('control/status/a.ts', '../leader/lease.ts')),
        /the way into leader is leader\.ts/,
      )
      assert.match(soleFault(importing('control/a.ts', './leader/lease.ts')), /the way into leader is leader\.ts/)
      assert.match(soleFault(importing('control/status/a.ts', '../control.ts')), /puts the rooms together/)
      assert.match(soleFault(importing('supervisor/a.ts', '../control/leader/leader.ts')), /a room of control/)
      assert.match(soleFault({ ...rooms, 'control/attic/a.ts': '' }), /no rank is assigned to control\/attic/)
    })

    it('refuses a cycle of types', () => {
      const fault = soleFault({
        'control/leader/a.ts': "import type { B } from './b.ts'\nexport type A = B",
        'control/leader/b.ts': "import type { A } from './a.ts'\nexport type B = A",
      })
      assert.match(fault, /cycle: control\/leader\/a\.ts → control\/leader\/b\.ts/)
    })
  })

  it('refuses a folder without a layer', () => {
    assert.match(soleFault({ 'sidecar/a.ts': '' }), /no layer is assigned to sidecar/)
  })

  it('refuses a way out of src and a file that is not there', () => {
    assert.match(soleFault({ 'lib/a.ts': "import '../../test/x.ts'" }), /outside src/)
    assert.match(soleFault({ 'lib/a.ts': "import './b'" }), /does not exist/)
  })

  for (const [what, source] of [
    ['files', "import { readFile } from 'node:fs/promises'"],
    ['sockets', "import { connect } from 'node:net'"],
    ['a whole module of which only a part is pure', "import net from 'node:net'"],
    ['threads', "import { Worker } from 'node:worker_threads'"],
    ['a package that does I/O', "import { Pool } from 'undici'"],
    ['timers', 'setTimeout(() => {}, 1)'],
    ['the clock', 'export const now = Date.now()'],
    ['the date', 'export const now = new Date()'],
    ['chance', 'export const x = Math.random()'],
    ['the process', 'export const home = process.env.HOME'],
    ['key material', "import { randomBytes } from 'node:crypto'"],
  ] as const)
    it(`refuses ${what} in a pure layer, and allows the same at an edge`, () => {
      assert.match(soleFault({ 'policy/a.ts': source }), /pure/)
      assert.deepEqual(judge(new Map([['listener/a.ts', source]])), [])
    })

  it('refuses timers of their own where the contract of timers is, wherever they come from', () => {
    for (const source of [
      'setTimeout(() => {}, 1)',
      "import { setTimeout } from 'node:timers/promises'",
      'run(setInterval)',
    ])
      for (const folder of ['control', 'source', 'supervisor', 'admin'])
        assert.match(judge(new Map([[`${folder}/a.ts`, source]])).join(), /a timer of its own/)
    assert.deepEqual(
      judge(
        new Map([
          ['thread/a.ts', 'setTimeout(() => {}, 1)'],
          ['control/a.ts', 'socket.setTimeout(1)'],
        ]),
      ),
      [],
    )
  })

  it('allows what only computes in a pure layer', () => {
    const source = [
      "import { isIP } from 'node:net'",
      "import { createHash, type Hash as H } from 'node:crypto'",
      "import { Buffer } from 'node:buffer'",
      "import { RE2JS } from 're2js'",
      "import type { MessagePort } from 'node:worker_threads'",
      'export const parsed = new Date(0)',
      'export const ticked = clock.setTimeout(5)',
    ].join('\n')
    assert.deepEqual(judge(new Map([['policy/a.ts', source]])), [])
  })

  it('rejects barrels, default exports, empty names, odd names, wide comments and long files', () => {
    const lib = { 'lib/a.ts': 'export const a = 1' }
    assert.match(soleFault({ ...lib, 'lib/all.ts': "export { a } from './a.ts'" }), /barrel/)
    assert.match(soleFault({ ...lib, 'lib/all.ts': "export const own = 1\nexport * from './a.ts'" }), /barrel/)
    assert.match(soleFault({ 'lib/index.ts': 'export const a = 1' }), /barrel/)
    assert.match(soleFault({ 'lib/a.ts': 'export default 1' }), /default export/)
    assert.match(soleFault({ 'lib/string-utils.ts': '' }), /says nothing/)
    assert.match(soleFault({ 'lib/common/time.ts': '' }), /says nothing/)
    assert.match(soleFault({ 'lib/MyClass.ts': '' }), /kebab-case/)
    assert.match(
      soleFault({ 'lib/a.ts': `/** ${'a'.repeat(118)} */` }),
      /lib\/a\.ts:1: a comment line over 120 columns/,
    )
    assert.match(soleFault({ 'lib/a.ts': `// ${'a'.repeat(118)}` }), /comment line over 120/)
    assert.deepEqual(judge(new Map([['lib/a.ts', `// https://example.test/${'a'.repeat(118)}`]])), [])
    const faults = judge(new Map([['lib/a.ts', '\n'.repeat(401)]]))
    assert.deepEqual(faults, [
      'lib/a.ts: 401 lines; split it, 400 is the most',
      '1 of 1 files are over 300 lines: lib/a.ts',
    ])
  })
})
