import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import type { SettingsObject } from '../../src/api/settings.ts'
import { createValidator } from '../../src/api/validate.ts'
import { SettingsFeed, withPorts } from '../../src/control/settings-feed.ts'
import { readSchemas } from '../../src/source/crds.ts'
import type { SettingsOverride } from '../../src/source/settings.ts'

const validator = createValidator(readSchemas())

function started(t: TestContext, path: string | undefined, overrides: readonly SettingsOverride[] = []) {
  const heard: (SettingsObject | readonly string[])[] = []
  let wake: () => void = () => {}
  const feed = new SettingsFeed(path, overrides, validator)
  t.after(() => feed.stop())
  const hear = (one: SettingsObject | readonly string[]): void => {
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

  it('follow the file; what is broken is told with its place and changes nothing', async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'headgate-settings-'))
    t.after(() => rm(folder, { recursive: true }))
    const path = join(folder, 'settings.yaml')
    await writeFile(path, 'limits: { headers: 50 }\n')
    const { until } = started(t, path)
    assert.equal(((await until(1)) as SettingsObject).limits.headers, 50)
    await writeFile(path, 'limits: { headers: lots }\n')
    const lines = (await until(2)) as readonly string[]
    assert.match(lines[0]!, /settings\.yaml:1:\d+: limits\.headers: /)
    await writeFile(path, 'limits: { headers: 60 }\n')
    assert.deepEqual(await until(3), [])
    assert.equal(((await until(4)) as SettingsObject).limits.headers, 60)
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
    const real = withPorts(asked, { listeners: { a: 1234, b: 5678 }, admin: 9, signals: 8, everyAddress: '::' })
    assert.deepEqual(
      real.listeners.map((listener) => listener.port),
      [1234, 80],
    )
    assert.equal(real.admin.address, '127.0.0.1:9')
    assert.equal(real.signals.address, ':9902')
  })
})
