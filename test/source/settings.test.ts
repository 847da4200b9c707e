import assert from 'node:assert/strict'
import { rename, rm, symlink } from 'node:fs/promises'
import { describe, it } from 'node:test'
import type { SettingsObject } from '../../src/api/settings.ts'
import { createValidator } from '../../src/api/validate.ts'
import { readSchemas } from '../../src/source/crds.ts'
import { composeSettings, type SettingsOverride, type SettingsProblem } from '../../src/source/settings.ts'
import { SettingsFile, type SettingsFileOptions, type SettingsHandler } from '../../src/source/settings-file.ts'
import { systemTimers } from '../../src/thread/system-timers.ts'
import { TemporaryFolder } from './folder/temporary-folder.ts'

const checker = createValidator(readSchemas())

const compose = (text: string | null, ...overrides: SettingsOverride[]) =>
  composeSettings(text === null ? null : { file: 's.yaml', text }, overrides, checker)

const port = (value: number, name = 'http'): SettingsOverride => ({
  flag: `--${name} :${value}`,
  path: ['listeners', name, 'port'],
  value,
})

describe('settings from file and flags', () => {
  it('are all defaults without both, and with an empty file', () => {
    for (const text of [null, '', '# nothing\n', '{}\n']) {
      const composed = compose(text)
      assert.ok(composed.ok)
      assert.deepEqual(composed.settings.listeners, [{ name: 'http', port: 8080 }])
      assert.equal(composed.originOf(['listeners', 0, 'port']), null)
    }
  })

  it('let a flag override the file in its field only', () => {
    const composed = compose(
      'listeners:\n- { name: https, port: 1 }\n- { name: http, port: 2, address: "::1" }\n',
      port(3),
    )
    assert.ok(composed.ok)
    assert.deepEqual(composed.settings.listeners, [
      { name: 'https', port: 1 },
      { name: 'http', port: 3, address: '::1' },
    ])
    assert.deepEqual(composed.originOf(['listeners', 1, 'port']), { flag: '--http :3' })
    assert.deepEqual(composed.originOf(['listeners', 1, 'address']), { file: 's.yaml', line: 3 })
    assert.equal(composed.originOf(['limits', 'head']), null)
  })

  it('add a listener that the file does not have', () => {
    const composed = compose('listeners: [{ name: other, port: 1 }]\n', port(3))
    assert.ok(composed.ok)
    assert.deepEqual(
      composed.settings.listeners.map(({ name }) => name),
      ['other', 'http'],
    )
  })

  for (const [what, text, where, message] of [
    ['an unknown field', 'limits:\n  headerz: 5\n', 's.yaml:2:3', /headers/],
    ['a wrong type', 'limits:\n  headers: many\n', 's.yaml:2:3', /./],
    ['broken YAML', 'limits: {\n', 's.yaml:2:1', /Not valid YAML/],
    ['a second document', '{}\n---\n{}\n', 's.yaml:3:1', /one document/],
    ['a list', '- a\n', 's.yaml:1:1', /mapping/],
    ['a listener that is no object', 'listeners: [3]\n', 's.yaml:1:13', /./],
    ['a text for listeners', 'listeners: none\n', 's.yaml:1:1', /./],
  ] as const)
    it(`reject ${what}, with its location`, () => {
      const composed = compose(text, port(3))
      assert.ok(!composed.ok)
      assert.equal(composed.problems[0]?.where, where)
      assert.match(composed.problems[0]!.message, message)
    })

  it('report the flag of a rejected value', () => {
    const composed = compose('{}\n', port(80_000))
    assert.ok(!composed.ok)
    assert.equal(composed.problems[0]?.where, '--http :80000')
  })
})

class Listener implements SettingsHandler {
  readonly versions: SettingsObject[] = []
  current: readonly SettingsProblem[] = []
  #waiting: (() => void)[] = []

  changed(settings: SettingsObject): void {
    this.versions.push(settings)
    this.#wake()
  }

  problems(list: readonly SettingsProblem[]): void {
    this.current = list
    this.#wake()
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  /** Limits of the newest version. */
  get headers(): number | undefined {
    return this.versions.at(-1)?.limits.headers
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }
}

function inFolder(
  run: (
    folder: TemporaryFolder,
    heard: Listener,
    watch: (options?: SettingsFileOptions) => SettingsFile,
  ) => Promise<void>,
) {
  return async () => {
    const folder = new TemporaryFolder()
    const heard = new Listener()
    const files: SettingsFile[] = []
    const watch = (options: SettingsFileOptions = {}) => {
      const file = new SettingsFile(folder.at('s.yaml'), checker, systemTimers, { pollInterval: 60_000, ...options })
      files.push(file)
      file.start(heard)
      return file
    }
    try {
      await run(folder, heard, watch)
    } finally {
      for (const file of files) await file.stop()
      await folder.close()
    }
  }
}

const headers = (number: number) => `limits: { headers: ${number} }\n`

describe('a settings file that is watched', { timeout: 20_000 }, () => {
  it(
    'gives what is in force at the start, and each valid version after it, flags still on top',
    inFolder(async (folder, heard, watch) => {
      await folder.write('s.yaml', headers(10))
      watch({ overrides: [port(99)] })
      await heard.until(() => heard.headers === 10)
      await folder.write('s.yaml', headers(20))
      await heard.until(() => heard.headers === 20)
      await folder.replace('s.yaml', headers(30))
      await heard.until(() => heard.headers === 30)
      for (const { listeners } of heard.versions) assert.equal(listeners[0]?.port, 99)
      assert.equal(heard.versions.length, 3)
    }),
  )

  it(
    'keeps the last good settings while the file is broken, empty or gone, and says why',
    inFolder(async (folder, heard, watch) => {
      await folder.write('s.yaml', headers(10))
      watch()
      await heard.until(() => heard.headers === 10)
      for (const [text, message] of [
        ['limits: { headers: none }\n', /./],
        ['limits: {', /Not valid YAML/],
        ['', /empty; the last good settings stay/],
      ] as const) {
        await folder.write('s.yaml', text)
        await heard.until(() => heard.current.length > 0 && message.test(heard.current[0]!.message))
        await folder.write('s.yaml', headers(10))
        await heard.until(() => heard.current.length === 0)
      }
      await folder.remove('s.yaml')
      await heard.until(() => heard.current.length > 0)
      assert.match(heard.current[0]!.message, /does not exist/)
      assert.equal(heard.versions.length, 1)
      await folder.write('s.yaml', headers(11))
      await heard.until(() => heard.headers === 11 && heard.current.length === 0)
    }),
  )

  it(
    'follows the swapped link of a mounted ConfigMap',
    inFolder(async (folder, heard, watch) => {
      const version = async (name: string, number: number) => {
        await folder.write(`${name}/s.yaml`, headers(number))
        await symlink(name, folder.at('..data_tmp'))
        await rename(folder.at('..data_tmp'), folder.at('..data'))
      }
      await version('..1', 10)
      await symlink('..data/s.yaml', folder.at('s.yaml'))
      watch()
      await heard.until(() => heard.headers === 10)
      await version('..2', 20)
      await rm(folder.at('..1'), { recursive: true })
      await heard.until(() => heard.headers === 20)
      assert.deepEqual(heard.current, [])
    }),
  )

  it(
    'finds by polling what the system does not report',
    inFolder(async (folder, heard, watch) => {
      await folder.write('s.yaml', headers(10))
      const failing = () => {
        throw Object.assign(new Error('no watches left'), { code: 'ENOSPC' })
      }
      watch({ pollInterval: 30, watch: failing })
      await heard.until(() => heard.headers === 10)
      await folder.write('s.yaml', headers(20))
      await heard.until(() => heard.headers === 20)
    }),
  )

  it(
    'is silent after it was stopped',
    inFolder(async (folder, heard, watch) => {
      await folder.write('s.yaml', headers(10))
      const file = watch()
      await heard.until(() => heard.headers === 10)
      await folder.write('s.yaml', headers(20))
      await file.stop()
      assert.equal(heard.headers, 10)
    }),
  )
})
