import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, suite, test } from 'node:test'
import { LastGoodStore } from '../../src/control/last-good.ts'
import type { LastGoodChange } from '../../src/control/resource-cache.ts'

let state: string
let warnings: string[]
const warn = (message: string) => warnings.push(message)
const folder = () => join(state, 'last-good')

beforeEach(async () => {
  state = await mkdtemp(join(tmpdir(), 'headgate-last-good-'))
  warnings = []
})
afterEach(() => rm(state, { recursive: true, force: true }))

function kept(name: string, kind: 'Route' | 'Backend' = 'Route'): LastGoodChange {
  const metadata = { name, namespace: 'a' }
  return {
    kind,
    key: `a/${name}`,
    object: { apiVersion: 'headgate.dev/v1alpha1', kind, metadata, spec: { rules: [] } } as never,
  }
}

suite('last good versions on disk', () => {
  test('what was kept is read by the next process', async () => {
    const store = new LastGoodStore(state, warn)
    store.keep([kept('one'), kept('one', 'Backend'), kept(`long-${'x'.repeat(240)}`)])
    await store.flushed()
    const records = await new LastGoodStore(state, warn).read()
    assert.deepEqual(
      records.map(({ kind, key }) => `${kind} ${key}`).sort(),
      ['Backend a/one', `Route a/long-${'x'.repeat(240)}`, 'Route a/one'].sort(),
    )
    assert.deepEqual(records.find(({ kind, key }) => kind === 'Route' && key === 'a/one')?.object, kept('one').object)
    assert.deepEqual(warnings, [])
  })

  test('nobody else can read it', async () => {
    const store = new LastGoodStore(state, warn)
    store.keep([kept('one')])
    await store.flushed()
    const [file] = await readdir(folder())
    assert.equal((await stat(join(folder(), file ?? ''))).mode & 0o077, 0)
  })

  test('only the newest wish for an object counts, and what is given up is gone', async () => {
    const store = new LastGoodStore(state, warn)
    store.keep([kept('one')])
    store.keep([{ ...kept('one'), object: undefined }, kept('two')])
    await store.flushed()
    assert.deepEqual(
      (await store.read()).map(({ key }) => key),
      ['a/two'],
    )
  })

  test('where nothing was ever kept there is nothing', async () => {
    assert.deepEqual(await new LastGoodStore(join(state, 'none'), warn).read(), [])
    assert.deepEqual(warnings, [])
  })

  test('what is damaged, foreign or half-written is passed over with a message each, the rest is read', async () => {
    const store = new LastGoodStore(state, warn)
    store.keep([kept('one'), kept('two')])
    await store.flushed()
    const [first, second] = (await readdir(folder())).sort()
    const text = await readFile(join(folder(), first ?? ''), 'utf8')
    await writeFile(join(folder(), first ?? ''), text.slice(0, 20))
    await writeFile(join(folder(), 'copied.json'), await readFile(join(folder(), second ?? ''), 'utf8'))
    await writeFile(join(folder(), 'begun.json.tmp'), '{')
    await mkdir(join(folder(), 'folder.json'))
    assert.equal((await store.read()).length, 1)
    assert.equal(warnings.length, 3)
    for (const warning of warnings) assert.match(warning, /^ignoring .*delete the file$/)
    assert.ok(!(await readdir(folder())).includes('begun.json.tmp'))
  })

  test('a state directory that cannot be written is told, and the next object is tried again', async () => {
    await writeFile(folder(), 'a file where the folder should be')
    const store = new LastGoodStore(state, warn)
    store.keep([kept('one')])
    await store.flushed()
    assert.equal(warnings.length, 1)
    assert.match(
      warnings[0] ?? '',
      /cannot keep the last good version of Route a\/one .*serves on, but not after a restart/,
    )
    await rm(folder())
    store.keep([kept('two')])
    await store.flushed()
    assert.deepEqual(
      (await store.read()).map(({ key }) => key),
      ['a/two'],
    )
  })

  test('a full disk is told, leaves no half file, and what was kept before is still there', async (t) => {
    try {
      await stat('/dev/full')
    } catch {
      t.skip('there is no /dev/full here')
      return
    }
    const store = new LastGoodStore(state, warn)
    store.keep([kept('one')])
    await store.flushed()
    const [file] = await readdir(folder())
    const before = await readFile(join(folder(), file ?? ''), 'utf8')
    // Writing through the link is writing to a full disk.
    const { symlink } = await import('node:fs/promises')
    await symlink('/dev/full', join(folder(), `${file}.tmp`))
    const change = kept('one')
    store.keep([{ ...change, object: { ...change.object, spec: { rules: [], hostnames: ['x.example'] } } as never }])
    await store.flushed()
    assert.match(warnings[0] ?? '', /the disk is full/)
    assert.equal(await readFile(join(folder(), file ?? ''), 'utf8'), before)
    assert.deepEqual(await readdir(folder()), [file])
  })
})
