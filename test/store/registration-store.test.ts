import assert from 'node:assert/strict'
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, suite, test } from 'node:test'
import type { KeptRegistration } from '../../src/api/registration.ts'
import { RegistrationStore } from '../../src/store/registration-store.ts'

const KEPT: KeptRegistration = {
  backend: 'shop/api',
  id: 'a',
  address: '10.0.0.7',
  port: 8080,
  weight: 3,
  zone: 'z',
  metadata: { version: '7' },
  lease: 30_000,
  state: 'ready',
  endWall: 1_800_000_000_000.5,
  endUptime: 12.5,
  boot: 'b',
}

suite('registrations in the state directory', () => {
  let folder = ''
  let failures: (string | undefined)[] = []
  const stores: RegistrationStore[] = []
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'headgate-store-'))
    failures = []
  })
  afterEach(() => {
    for (const store of stores.splice(0)) store.close()
    chmodSync(folder, 0o700)
    rmSync(folder, { recursive: true })
  })
  const make = (stateDirectory = folder): RegistrationStore => {
    const store = new RegistrationStore({ stateDirectory, failure: (message) => failures.push(message) })
    stores.push(store)
    return store
  }
  const keep = (kept: KeptRegistration) => ({ backend: kept.backend, id: kept.id, kept })
  const file = (): string => join(folder, 'registrations.db')

  test('what was written is there after the process was ended at any moment', () => {
    const store = make()
    assert.deepEqual(store.open(), [])
    store.write([keep(KEPT), keep({ ...KEPT, id: 'b' })])
    store.write([{ backend: 'shop/api', id: 'b', kept: undefined }, keep({ ...KEPT, weight: 9 })])
    // Not closed: as after SIGKILL.
    assert.deepEqual(make().open(), [{ ...KEPT, weight: 9 }])
    assert.equal(statSync(file()).mode & 0o777, 0o600)
    assert.deepEqual(failures, [])
  })

  test('a file that is no database is set aside and explained, and a new one is begun', () => {
    writeFileSync(file(), 'x'.repeat(10_000))
    const store = make()
    assert.deepEqual(store.open(), [])
    assert.match(failures[0] ?? '', /registrations\.db could not be read.*set aside as registrations\.db\.corrupt/)
    store.write([keep(KEPT)])
    assert.equal(failures.at(-1), undefined)
    assert.deepEqual(make().open(), [KEPT])
    assert.ok(existsSync(`${file()}.corrupt`))
  })

  test('a database with a broken page is set aside as well', () => {
    const store = make()
    store.open()
    store.write(Array.from({ length: 500 }, (_, i) => keep({ ...KEPT, id: `e${i}` })))
    store.close()
    const bytes = Buffer.alloc(8_192, 0xa5)
    writeFileSync(file(), bytes, { flag: 'r+' })
    assert.deepEqual(make().open(), [])
    assert.match(failures[0] ?? '', /set aside/)
  })

  test('a full disk is explained once, and everything is on disk once there is room', () => {
    const store = make()
    store.open()
    store.write([keep(KEPT)])
    store.close()
    // A table that is as large as it may be: the same error as that of a full disk.
    const fill = new DatabaseSync(file())
    fill.exec(
      'CREATE TRIGGER full BEFORE INSERT ON registration BEGIN SELECT RAISE(ABORT, "database or disk is full"); END',
    )
    store.write([keep({ ...KEPT, id: 'b' })])
    store.write([keep({ ...KEPT, id: 'c' }), { backend: 'shop/api', id: 'a', kept: undefined }])
    assert.ok(failures.length > 0 && failures.every((message) => /disk is full.*does not outlive/.test(message ?? '')))
    fill.exec('DROP TRIGGER full')
    fill.close()
    store.retry()
    assert.equal(failures.at(-1), undefined)
    const ids = make()
      .open()
      .map(({ id }) => id)
    assert.deepEqual(ids, ['b', 'c'])
  })

  test('a directory that cannot be made, a link and a newer version are explained; nothing is followed or lost', () => {
    writeFileSync(join(folder, 'flat'), '')
    assert.deepEqual(make(join(folder, 'flat', 'state')).open(), [])
    assert.match(failures.pop() ?? '', /cannot be used.*none outlives/)
    const target = join(folder, 'elsewhere')
    symlinkSync(target, file())
    const store = make()
    assert.deepEqual(store.open(), [])
    store.write([keep(KEPT)])
    assert.ok(!existsSync(target) && lstatSync(file()).isSymbolicLink())
    rmSync(file())
    store.retry()
    assert.equal(failures.at(-1), undefined)
    store.close()
    const newer = new DatabaseSync(file())
    newer.exec('PRAGMA user_version = 2')
    newer.close()
    assert.deepEqual(make().open(), [])
    assert.match(failures.at(-1) ?? '', /newer version/)
    assert.ok(!readdirSync(folder).some((name) => name.endsWith('.corrupt')))
  })

  test('another process that writes at this moment is waited for, then reported, and the write is made up for', () => {
    const store = make()
    store.open()
    const other = new DatabaseSync(file())
    other.exec('BEGIN IMMEDIATE')
    store.write([keep(KEPT)])
    assert.match(failures[0] ?? '', /locked/)
    other.exec('COMMIT')
    other.close()
    store.retry()
    assert.equal(failures.at(-1), undefined)
    assert.deepEqual(make().open(), [KEPT])
  })

  test('rows that were never written by this version are passed over', () => {
    const store = make()
    store.open()
    store.write([keep(KEPT)])
    const other = new DatabaseSync(file())
    const put = other.prepare('INSERT INTO registration VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)')
    put.run('shop/api', '../x', '10.0.0.7', 1, 1, null, '{}', 1e4, 'ready', 1, 1, 'b')
    put.run('shop/api', 'b', 'evil.example', 1, 1, null, '{}', 1e4, 'ready', 1, 1, 'b')
    put.run('shop/api', 'c', '10.0.0.7', 0, 1, null, '{}', 1e4, 'ready', 1, 1, 'b')
    put.run('shop/api', 'd', '10.0.0.7', 1, 1, null, 'no json', 1e4, 'ready', 1, 1, 'b')
    put.run('shop/api', 'e', '10.0.0.7', 1, 1, null, '{}', 1e12, 'ready', 1, 1, 'b')
    other.close()
    assert.deepEqual(make().open(), [KEPT])
  })
})
