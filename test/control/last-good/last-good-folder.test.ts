import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, suite, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { LastGoodFolder } from '../../../src/control/last-good/last-good-folder.ts'
import { parseKeys, readKeys } from '../../../src/source/checkpoint/state-key.ts'
import type { LastGoodChange } from '../../../src/thread/retained-state.ts'
import { systemTimers } from '../../../src/thread/system-timers.ts'

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
    const store = new LastGoodFolder(state, systemTimers, warn)
    store.keep([kept('one'), kept('one', 'Backend'), kept(`long-${'x'.repeat(240)}`)])
    await store.flushed()
    const records = await new LastGoodFolder(state, systemTimers, warn).read()
    assert.deepEqual(
      records.map(({ kind, key }) => `${kind} ${key}`).sort(),
      ['Backend a/one', `Route a/long-${'x'.repeat(240)}`, 'Route a/one'].sort(),
    )
    assert.deepEqual(records.find(({ kind, key }) => kind === 'Route' && key === 'a/one')?.object, kept('one').object)
    assert.deepEqual(warnings, [])
  })

  test('no other user can read it', async () => {
    const store = new LastGoodFolder(state, systemTimers, warn)
    store.keep([kept('one')])
    await store.flushed()
    const [file] = await readdir(folder())
    assert.equal((await stat(join(folder(), file ?? ''))).mode & 0o077, 0)
  })

  test('only the newest wish for an object counts, and what is given up is gone', async () => {
    const store = new LastGoodFolder(state, systemTimers, warn)
    store.keep([kept('one')])
    store.keep([{ ...kept('one'), object: undefined }, kept('two')])
    await store.flushed()
    assert.deepEqual(
      (await store.read()).map(({ key }) => key),
      ['a/two'],
    )
  })

  test('hostnames are on disk before thousands of broken objects, and it is known when', async () => {
    const store = new LastGoodFolder(state, systemTimers, warn)
    const hostname = (key: string): LastGoodChange => {
      return { kind: 'Hostname', key, object: { namespace: 'a', key: 'a/x', created: 1, until: 2 } }
    }
    store.keep(Array.from({ length: 300 }, (_, i) => kept(`broken-${i}`)))
    const names = Array.from({ length: 20 }, (_, i) => `h${i}.example`)
    store.keep(names.map(hostname))
    await store.recorded()
    const there = async () =>
      (await new LastGoodFolder(state, systemTimers, warn).read()).map(({ kind, key }) => `${kind} ${key}`)
    const early = await there()
    for (const name of names) assert.ok(early.includes(`Hostname ${name}`), name)
    store.keep([hostname('late.example')])
    await store.recorded()
    assert.ok((await there()).includes('Hostname late.example'))
    await store.flushed()
    assert.equal((await there()).length, 321)
    await store.recorded()
  })

  test('a hostname that cannot be written delays no caller for ever', async () => {
    await writeFile(join(state, 'last-good'), 'in the way')
    const store = new LastGoodFolder(state, systemTimers, warn)
    store.keep([{ kind: 'Hostname', key: 'x.example', object: { namespace: 'a', key: 'a/x', created: 1, until: 2 } }])
    await store.recorded()
    assert.match(warnings[0] ?? '', /cannot keep the last good version of Hostname x\.example/)
  })

  test('a file is never written twice at the same time: the newest wish is what stays', async () => {
    const store = new LastGoodFolder(state, systemTimers, warn)
    for (let round = 0; round < 50; round++) {
      const until = round
      store.keep([{ kind: 'Hostname', key: 'x.example', object: { namespace: 'a', key: 'a/x', created: 1, until } }])
      if (round % 7 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    await store.flushed()
    const [record] = await store.read()
    assert.deepEqual(record?.object, { namespace: 'a', key: 'a/x', created: 1, until: 49 })
  })

  test('where nothing was ever kept there is nothing', async () => {
    assert.deepEqual(await new LastGoodFolder(join(state, 'none'), systemTimers, warn).read(), [])
    assert.deepEqual(warnings, [])
  })

  test('what is damaged, foreign or half-written is passed over with a message each, the rest is read', async () => {
    const store = new LastGoodFolder(state, systemTimers, warn)
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

  test('a state directory that cannot be written is reported, and the next object is tried again', async () => {
    await writeFile(folder(), 'a file where the folder should be')
    const store = new LastGoodFolder(state, systemTimers, warn)
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

  test('what cannot be written is reported, leaves no half file, and what was kept before is still there', async () => {
    const store = new LastGoodFolder(state, systemTimers, warn)
    store.keep([kept('one')])
    await store.flushed()
    const [file] = await readdir(folder())
    const name = createHash('sha256').update('Route a/two').digest('hex')
    await mkdir(join(folder(), `${name}.json`, 'in the way'), { recursive: true })
    store.keep([kept('two')])
    await store.flushed()
    assert.match(warnings[0] ?? '', /cannot keep the last good version of Route a\/two/)
    assert.deepEqual((await readdir(folder())).sort(), [file, `${name}.json`].sort())
    assert.equal((await store.read()).length, 1)
  })
})

suite('last good versions where others may write', () => {
  const keysOf = (byte: number) => async () => parseKeys(Buffer.alloc(32, byte).toString('base64'))

  test('links and FIFOs in their place are passed over without waiting for them', async () => {
    const store = new LastGoodFolder(state, systemTimers, warn)
    store.keep([kept('one'), kept('two')])
    await store.flushed()
    const [first = ''] = await readdir(folder())
    await rename(join(folder(), first), join(state, 'elsewhere'))
    await symlink(join(state, 'elsewhere'), join(folder(), first))
    await symlink('/dev/zero', join(folder(), 'endless.json'))
    await promisify(execFile)('mkfifo', [join(folder(), 'waits.json')])
    const records = await Promise.race([store.read(), delay(5_000, 'it waits', { ref: false })])
    assert.equal(records.length, 1)
    assert.equal(warnings.length, 3)
  })

  test('nothing is written through a link', async () => {
    await mkdir(folder())
    const other = join(state, 'other')
    await writeFile(other, 'of somebody else')
    const name = createHash('sha256').update('Route a/one').digest('hex')
    await symlink(other, join(folder(), `${name}.json.tmp`))
    await symlink(other, join(folder(), `${name}.json`))
    const store = new LastGoodFolder(state, systemTimers, warn)
    store.keep([kept('one')])
    await store.flushed()
    assert.equal(await readFile(other, 'utf8'), 'of somebody else')
    assert.equal((await store.read()).length, 1)
    await rm(folder(), { recursive: true })
    await mkdir(join(state, 'theirs'))
    await symlink(join(state, 'theirs'), folder())
    store.keep([kept('two')])
    await store.flushed()
    assert.deepEqual(await readdir(join(state, 'theirs')), [])
    assert.match(warnings.at(-1) ?? '', /symbolic link/)
  })

  test('with a key they are sealed, and what is not sealed by one of the keys is not taken', async () => {
    const sealing = new LastGoodFolder(state, systemTimers, warn, keysOf(1))
    sealing.keep([kept('one')])
    await sealing.flushed()
    const [file = ''] = await readdir(folder())
    assert.ok(!(await readFile(join(folder(), file))).includes('"spec"'))
    assert.deepEqual((await sealing.read())[0]?.object, kept('one').object)
    assert.deepEqual(warnings, [])
    assert.deepEqual(await new LastGoodFolder(state, systemTimers, warn, keysOf(2)).read(), [])
    assert.deepEqual(await new LastGoodFolder(state, systemTimers, warn).read(), [])
    const open = new LastGoodFolder(state, systemTimers, warn)
    open.keep([kept('forged')])
    await open.flushed()
    assert.deepEqual(
      (await sealing.read()).map(({ key }) => key),
      ['a/one'],
    )
    assert.match(warnings.at(-1) ?? '', /ignoring .*not a state file/)
  })

  test('a start with a new key above the old one seals them anew', async () => {
    const old = new LastGoodFolder(state, systemTimers, warn, keysOf(1))
    old.keep([kept('one')])
    await old.flushed()
    const both = new LastGoodFolder(state, systemTimers, warn, async () => [
      ...(await keysOf(2)()),
      ...(await keysOf(1)()),
    ])
    assert.equal((await both.read()).length, 1)
    await both.flushed()
    assert.equal((await new LastGoodFolder(state, systemTimers, warn, keysOf(2)).read()).length, 1)
    assert.deepEqual(warnings, [])
  })

  test('a missing key file keeps nothing and takes nothing', async () => {
    const store = new LastGoodFolder(state, systemTimers, warn, () => readKeys(join(state, 'none')))
    store.keep([kept('one')])
    await store.flushed()
    assert.deepEqual(await readdir(folder()), [])
    assert.deepEqual(await store.read(), [])
    assert.match(warnings.join(), /cannot keep .*key file does not exist.*cannot read .*key file does not exist/)
  })
})
