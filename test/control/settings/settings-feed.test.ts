import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import type { SettingsObject } from '../../../src/api/settings.ts'
import { createValidator } from '../../../src/api/validate.ts'
import { SettingsFeed, type SettingsNote, withPorts } from '../../../src/control/settings/settings-feed.ts'
import { settingsInForce } from '../../../src/control/settings/start-settings.ts'
import { readSchemas } from '../../../src/source/crds.ts'
import type { SettingsOverride } from '../../../src/source/settings.ts'
import { systemTimers } from '../../../src/thread/system-timers.ts'

const validator = createValidator(readSchemas())

function started(
  t: TestContext,
  path: string | undefined,
  overrides: readonly SettingsOverride[] = [],
  before?: SettingsObject,
) {
  const heard: (SettingsObject | readonly SettingsNote[])[] = []
  let wake: () => void = () => {}
  const feed = new SettingsFeed(path, overrides, validator, systemTimers, before)
  t.after(() => feed.stop())
  const hear = (one: SettingsObject | readonly SettingsNote[]): void => {
    heard.push(one)
    wake()
  }
  feed.start({ changed: hear, problems: hear })
  const until = async (count: number) => {
    while (heard.length < count)
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    return heard[count - 1]!
  }
  return { feed, until }
}

describe('the settings in force', () => {
  it('are the defaults and the flags where no file is named, each value with where it comes from', async (t) => {
    const { feed, until } = started(t, undefined, [
      { flag: '--admin 127.0.0.1:1', path: ['admin', 'address'], value: '127.0.0.1:1' },
    ])
    const settings = (await until(1)) as SettingsObject
    assert.equal(settings.admin.address, '127.0.0.1:1')
    const origins = new Map(feed.views().map((view) => [view.path, view.origin]))
    assert.equal(origins.get('admin.address'), '--admin 127.0.0.1:1')
    assert.equal(origins.get('tenancy'), 'default')
  })

  it('follow the file; what is broken is reported with its place and changes nothing', async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'headgate-settings-'))
    t.after(() => rm(folder, { recursive: true }))
    const path = join(folder, 'settings.yaml')
    await writeFile(path, 'limits: { headers: 50 }\n')
    const { until } = started(t, path)
    assert.equal(((await until(1)) as SettingsObject).limits.headers, 50)
    await writeFile(path, 'limits: { headers: lots }\n')
    const [note] = (await until(2)) as readonly SettingsNote[]
    assert.equal(note!.level, 'error')
    assert.match(note!.message, /settings\.yaml:1:\d+: limits\.headers: /)
    await writeFile(path, 'limits: { headers: 60 }\n')
    assert.deepEqual(await until(3), [])
    assert.equal(((await until(4)) as SettingsObject).limits.headers, 60)
  })
})

describe('settings that are read at the start only', () => {
  const first = 'signals: { address: ":19902" }\nlimits: { headers: 50 }\n'

  async function file(t: TestContext, text: string) {
    const folder = await mkdtemp(join(tmpdir(), 'headgate-settings-'))
    t.after(() => rm(folder, { recursive: true }))
    const path = join(folder, 'settings.yaml')
    await writeFile(path, text)
    return path
  }

  it('stay as they are, the others are reported to wait, and what can act does', async (t) => {
    const path = await file(t, first)
    const { feed, until } = started(t, path)
    assert.equal(((await until(1)) as SettingsObject).signals.address, ':19902')
    await writeFile(
      path,
      [
        'limits: { headers: 60, memory: 1Gi }',
        'signals: { address: ":19912" }',
        'admin: { address: "127.0.0.1:19911" }',
        'stateDirectory: /s',
        'stateKeyFile: /k',
        'watchNamespaces: [a, b]',
        '',
      ].join('\n'),
    )
    const now = (await until(2)) as SettingsObject
    assert.deepEqual([now.limits.headers, now.limits.memory], [60, 0])
    assert.deepEqual(
      [now.signals.address, now.admin, now.stateDirectory, now.stateKeyFile, now.watchNamespaces],
      [':19902', { address: '127.0.0.1:9901' }, undefined, undefined, []],
    )
    const notes = (await until(3)) as readonly SettingsNote[]
    assert.ok(notes.every(({ level, reason }) => level === 'warn' && reason === 'RestartNeeded'))
    assert.deepEqual(
      notes.map(({ message }) => message.slice(message.indexOf('.yaml:') + '.yaml:'.length)),
      [
        '3: admin.address: "127.0.0.1:19911" acts when Headgate is started again; until then "127.0.0.1:9901" is in force',
        '2: signals.address: ":19912" acts when Headgate is started again; until then ":19902" is in force',
        '1: limits.memory: "1Gi" acts when Headgate is started again; until then 0 is in force',
        '6: watchNamespaces: ["a","b"] acts when Headgate is started again; until then [] is in force',
        '4: stateDirectory: "/s" acts when Headgate is started again; until then nothing is in force',
        '5: stateKeyFile: "/k" acts when Headgate is started again; until then nothing is in force',
      ],
    )
    const views = new Map(feed.views().map((view) => [view.path, view]))
    assert.equal(views.get('signals.address')!.value, ':19902')
    assert.match(views.get('signals.address')!.origin, /^the start;/)
    assert.match(views.get('limits.headers')!.origin, /settings\.yaml:1$/)
    assert.equal(views.has('stateDirectory'), false)
  })

  it('that wait alone change nothing; taken back, nothing is reported any more', async (t) => {
    const path = await file(t, first)
    const { until } = started(t, path)
    await until(1)
    await writeFile(path, `${first}stateDirectory: /s\n`)
    assert.equal(((await until(2)) as readonly SettingsNote[])[0]!.reason, 'RestartNeeded')
    await writeFile(path, `${first}# as before\n`)
    assert.deepEqual(await until(3), [])
  })

  it('change nothing when others are left out, or the order differs', async (t) => {
    const path = await file(t, `admin: { address: "127.0.0.1:19901" }\n${first}`)
    const { until } = started(t, path)
    await until(1)
    await writeFile(path, 'limits: { headers: 50 }\n')
    const notes = (await until(2)) as readonly SettingsNote[]
    assert.deepEqual(
      notes.map(({ message }) => message.replace(/ acts.*/, '')),
      ['admin.address: "127.0.0.1:9901"', 'signals.address: ":9902"'],
    )
    await writeFile(path, `${first}admin: { address: "127.0.0.1:19901" }\n`)
    assert.deepEqual(await until(3), [])
  })

  it('wait on, and are reported with what is wrong, when a later version is broken', async (t) => {
    const path = await file(t, first)
    const { until } = started(t, path)
    await until(1)
    await writeFile(path, `${first}stateDirectory: /s\n`)
    await until(2)
    await writeFile(path, `${first}stateDirectory: 7\n`)
    const notes = (await until(3)) as readonly SettingsNote[]
    assert.deepEqual(
      notes.map(({ reason }) => reason),
      ['Invalid', 'RestartNeeded'],
    )
  })

  it('are those of the process, also for a control thread that comes later', async (t) => {
    const { until } = started(t, await file(t, first))
    const settings = (await until(1)) as SettingsObject
    const later = started(t, await file(t, 'signals: { address: ":1" }\n'), [], settings)
    assert.equal(((await later.until(1)) as SettingsObject).signals.address, ':19902')
    assert.equal(((await later.until(2)) as readonly SettingsNote[]).length, 1)
  })

  it('are those of flags, whatever the file has', async (t) => {
    const path = await file(t, first)
    const { feed, until } = started(t, path, [{ flag: '--state /f', path: ['stateDirectory'], value: '/f' }])
    assert.equal(((await until(1)) as SettingsObject).stateDirectory, '/f')
    await writeFile(path, `${first}stateDirectory: /s\ntenancy: Strict\n`)
    assert.equal(((await until(2)) as SettingsObject).stateDirectory, '/f')
    assert.equal(feed.views().find((view) => view.path === 'stateDirectory')!.origin, '--state /f')
  })
})

describe('a list that is read at the start', () => {
  it('is the same list in another order, and another one with another member', async (t) => {
    const { until } = started(t, undefined)
    const settings = (await until(1)) as SettingsObject
    const watching = (...watchNamespaces: string[]): SettingsObject => ({ ...settings, watchNamespaces })
    assert.deepEqual(settingsInForce(watching('a', 'b', 'c'), watching('c', 'a', 'b')).waiting, [])
    for (const other of [watching('a', 'b'), watching('a', 'b', 'd'), watching()]) {
      const { settings: inForce, waiting } = settingsInForce(watching('a', 'b', 'c'), other)
      assert.deepEqual([inForce.watchNamespaces, waiting.length], [['a', 'b', 'c'], 1])
    }
  })
})

describe('ports that were left to the system', () => {
  it('are put where 0 stands, and nowhere else', async (t) => {
    const { until } = started(t, undefined)
    const settings = (await until(1)) as SettingsObject
    const asked = {
      ...settings,
      listeners: [
        { name: 'a', port: 0 },
        { name: 'b', port: 80 },
      ],
      admin: { address: '127.0.0.1:0' },
      signals: { address: ':9902' },
    }
    const sockets = [
      { name: 'b', address: '::', port: 5678 },
      { name: 'a', address: '::', port: 1234 },
    ]
    const real = withPorts(asked, { sockets, failures: [], admin: 9, signals: 8, everyAddress: '::' })
    assert.deepEqual(
      real.listeners.map((listener) => listener.port),
      [1234, 80],
    )
    assert.equal(real.admin.address, '127.0.0.1:9')
    assert.equal(real.signals.address, ':9902')
  })
})
