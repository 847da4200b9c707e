import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises'
import { MessageChannel } from 'node:worker_threads'
import { WHOLE_BYTES } from '../../src/cache/response-archive.ts'
import type { TimerClock } from '../../src/lib/clock.ts'
import type { FileCall } from '../../src/store/archive/file-calls.ts'
import { FileRecords } from '../../src/store/archive/file-records.ts'
import { FileServer } from '../../src/store/archive/file-server.ts'
import { FileStore } from '../../src/store/archive/file-store.ts'
import type { RecordArchive } from '../../src/store/archive/record-archive.ts'
import { systemTimers } from '../../src/thread/system-timers.ts'
import { recordArchive } from '../lib/record-archive.ts'
import {
  archiveSuite,
  bytes,
  found,
  HOUR,
  keyOf,
  put,
  putVariant,
  readAll,
  sourceOf,
  ticketOf,
  varied,
} from '../suite/response-archive.ts'

/** Wide: these tests are of what happens, and a machine under test may be slow. */
const DEADLINE = 10_000
const MIB = 1_024 * 1_024
const SEALED_PIECE = WHOLE_BYTES + 16

const closing: (() => unknown)[] = []
after(async () => {
  for (const close of closing.toReversed()) await close()
})

function folderOf(): string {
  const folder = mkdtempSync(join(tmpdir(), 'headgate-archive-'))
  closing.push(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

interface Files {
  readonly store: FileStore
  readonly failures: (string | undefined)[]
  /** As a worker of the process has it. */
  archive(key?: Uint8Array): RecordArchive
  /** The process has ended. */
  end(): void
}

function open(
  stateDirectory: string,
  { maxBytes = 64 * MIB, clock = systemTimers }: { maxBytes?: number; clock?: TimerClock } = {},
): Files {
  const failures: (string | undefined)[] = []
  const store = new FileStore({
    maxFiles: 131_072,
    stateDirectory,
    maxBytes,
    clock,
    failure: (message) => failures.push(message?.message),
    unread: (message) => failures.push(message),
  })
  while (store.step());
  const server = new FileServer(store, { ...systemTimers, every: () => () => {} })
  const all: FileRecords[] = []
  const end = (): void => {
    for (const records of all.splice(0)) records.use(null)
  }
  closing.push(end)
  return {
    store,
    failures,
    end,
    archive(key = new Uint8Array(32)) {
      const records = new FileRecords({ time: systemTimers, deadline: DEADLINE, patience: DEADLINE, ask: () => {} })
      const { port1, port2 } = new MessageChannel()
      server.serve(port1)
      records.use(port2)
      all.push(records)
      return recordArchive({ name: 'File', records, master: () => key, deadline: DEADLINE, maxBodyBytes: 8 * MIB })
    },
  }
}

function filesOf(folder: string): string[] {
  return readdirSync(join(folder, 'cache'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name))
}

/** Bytes behind the header of a record, or the pieces of a body. */
function partsOf(path: string): { readonly header: Buffer; readonly parts: Buffer[] } {
  const file = readFileSync(path)
  if (!path.includes('.p.')) {
    const length = 13 + file[12]!
    return { header: file.subarray(0, length), parts: [file.subarray(length)] }
  }
  const parts: Buffer[] = []
  for (let at = 0; at < file.length; at += SEALED_PIECE) parts.push(file.subarray(at, at + SEALED_PIECE))
  return { header: Buffer.alloc(0), parts }
}

function edit(folder: string, change: (bytes: Buffer) => Buffer | null): void {
  for (const path of filesOf(folder)) {
    const { header, parts } = partsOf(path)
    const changed = parts.map(change)
    if (changed.some((part) => part === null)) rmSync(path)
    else writeFileSync(path, Buffer.concat([header, ...(changed as Buffer[])]))
  }
}

describe('the archive in files', () => {
  const folder = folderOf()
  const files = open(folder)
  const rig = {
    archive: files.archive(),
    other: files.archive(),
    stranger: files.archive(new Uint8Array(32).fill(1)),
    outlive: (ttl: number) => pause(ttl + 20),
    clear: async () => {
      for (const path of filesOf(folder)) rmSync(path)
    },
    edit: async (change: (bytes: Buffer) => Buffer | null) => edit(folder, change),
  }
  archiveSuite(() => rig)
})

describe('files of the archive', () => {
  it('outlive the process, with variants and long bodies, and know what they take', async () => {
    const folder = folderOf()
    const first = open(folder)
    const archive = first.archive()
    const body = randomBytes(3 * WHOLE_BYTES + 1)
    await put(archive, 'a', body)
    await put(archive, 'short', bytes('short'), { ttl: 30 })
    await putVariant(archive, 'b', 'de', 'Hallo')
    await put(archive, 'gone', bytes('gone'))
    await archive.remove(keyOf('gone'))
    const before = first.store.statistics
    first.end()
    await pause(40)
    const second = open(folder)
    assert.equal(second.store.statistics.files, before.files - 1, 'one is over')
    const again = second.archive()
    assert.ok((await readAll(found(await again.find(keyOf('a'))))).equals(body))
    assert.equal(String(found(await again.find(varied('b', 'de'))).whole), 'Hallo')
    for (const key of ['short', 'gone']) assert.equal((await again.find(keyOf(key))).type, 'none', key)
    assert.ok(second.store.statistics.bytes < before.bytes)
  })

  it('take no put of before the restart', async () => {
    const folder = folderOf()
    const first = open(folder)
    const ticket = await ticketOf(first.archive(), keyOf('a'))
    first.end()
    const record = { head: bytes('head'), ttl: HOUR }
    assert.equal(
      await open(folder)
        .archive()
        .put(ticket, record, sourceOf(bytes('old'))),
      'late',
    )
  })

  it('are never more than they may be, and the namespace with the most loses first', async () => {
    const folder = folderOf()
    const { archive, store } = (() => {
      const files = open(folder, { maxBytes: MIB })
      return { archive: files.archive(), store: files.store }
    })()
    const bank = { ...keyOf('account'), namespace: 'bank' }
    const record = { head: bytes('head'), ttl: HOUR }
    assert.equal(await archive.put(await ticketOf(archive, bank), record, sourceOf(randomBytes(50_000))), 'put')
    for (let i = 0; i < 40; i++) {
      await put(archive, `k${i}`, randomBytes(50_000))
      const disk = filesOf(folder).reduce((sum, path) => sum + Math.ceil(statSync(path).size / 4_096) * 4_096, 0)
      assert.ok(disk <= MIB && store.statistics.bytes <= MIB, `${i}: ${disk}`)
    }
    assert.equal((await archive.find(bank)).type, 'found')
    assert.equal((await archive.find(keyOf('k0'))).type, 'none')
    assert.equal((await archive.find(keyOf('k39'))).type, 'found')
    // A body that is larger than all there may be drops others, and itself; nothing of it stays.
    const ticket = await ticketOf(archive, keyOf('huge'))
    assert.equal(await archive.put(ticket, record, sourceOf(randomBytes(2 * MIB))), 'refused')
    assert.equal((await archive.find(keyOf('huge'))).type, 'none')
    for (const path of filesOf(folder)) assert.ok(!path.includes('.p.'), path)
  })

  it('forget what is over, in slices', async () => {
    const folder = folderOf()
    let now = 1_800_000_000_000
    const clock = { ...systemTimers, wall: () => now }
    const files = open(folder, { clock })
    const archive = files.archive()
    for (let i = 0; i < 20; i++) await put(archive, `k${i}`, bytes('body'), { ttl: i < 10 ? 1_000 : HOUR })
    now += 2_000
    for (let i = 0; i < 3; i++) files.store.sweep(8)
    assert.equal(filesOf(folder).length, 10)
    assert.equal(files.store.statistics.files, 10)
  })

  it('that are cut, of another version, or foreign are not found, and what is not ours stays', async () => {
    const folder = folderOf()
    const first = open(folder)
    for (const key of ['a', 'b', 'c', 'd', 'e']) await put(first.archive(), key, randomBytes(1_000))
    first.end()
    const [cut, older, empty, other, swapped] = filesOf(folder) as [string, string, string, string, string]
    truncateSync(cut, 8)
    writeFileSync(older, Buffer.concat([Buffer.from('HGC0'), readFileSync(older).subarray(4)]))
    truncateSync(empty, 0)
    const moved = readFileSync(swapped)
    writeFileSync(swapped, readFileSync(other))
    writeFileSync(other, moved)
    const strange = [join(folder, 'cache', 'README'), join(folder, 'cache', 'ab', 'note.txt')]
    mkdirSync(join(folder, 'cache', 'ab'), { recursive: true })
    for (const path of strange) writeFileSync(path, 'mine')
    const secret = join(folder, 'secret')
    writeFileSync(secret, 'secret')
    const link = join(folder, 'cache', 'ab', `ab${'x'.repeat(41)}`)
    symlinkSync(secret, link)
    const second = open(folder)
    const archive = second.archive()
    for (const key of ['a', 'b', 'c', 'd', 'e']) assert.equal((await archive.find(keyOf(key))).type, 'none', key)
    for (const path of [...strange, secret, link]) assert.ok(existsSync(path), path)
    for (const path of [cut, older, empty]) assert.ok(!existsSync(path), path)
    for (const key of ['a', 'b', 'c', 'd', 'e']) await put(archive, key, bytes('new'))
    assert.equal(String(found(await archive.find(keyOf('a'))).whole), 'new')
  })

  it('that a killed process was writing are removed once they are old, and those of another one stay', async () => {
    const folder = folderOf()
    const first = open(folder)
    await put(first.archive(), 'a', randomBytes(3 * WHOLE_BYTES))
    first.end()
    const [pieces, record] = filesOf(folder).toSorted((a, b) => b.length - a.length) as [string, string]
    const orphan = pieces.replace(/[0-9a-f]{32}$/, '0'.repeat(32))
    const drafts = [`${record}.1.tmp`, `${record}.2.tmp`, orphan, orphan.replace(/0$/, '1')]
    for (const path of drafts) writeFileSync(path, 'part')
    for (const path of [drafts[0]!, drafts[2]!]) utimesSync(path, 1, 1)
    open(folder)
    assert.deepEqual(drafts.map(existsSync), [false, true, false, true])
    assert.ok(existsSync(pieces) && existsSync(record))
  })

  it('refuse when the disk takes nothing, say so once, and go on when it does', async () => {
    const folder = folderOf()
    let passed = 0
    const clock = { ...systemTimers, monotonic: () => systemTimers.monotonic() + passed }
    const files = open(folder, { clock })
    const archive = files.archive()
    const ticket = await ticketOf(archive, keyOf('a'))
    const record = { head: bytes('head'), ttl: HOUR }
    // A file where the folder of this root would be.
    rmSync(join(folder, 'cache'), { recursive: true })
    writeFileSync(join(folder, 'cache'), '')
    for (let i = 0; i < 3; i++) {
      const outcome = await archive.put(ticket, record, sourceOf(bytes('x')))
      assert.ok(outcome === 'broken' || outcome === 'refused', outcome)
    }
    assert.equal(files.failures.length, 1)
    rmSync(join(folder, 'cache'))
    mkdirSync(join(folder, 'cache'))
    assert.equal(await archive.put(ticket, record, sourceOf(bytes('x'))), 'put')
    assert.equal(files.failures.length, 1, 'some writes may still fail')
    passed = 10_000
    const again = await ticketOf(archive, keyOf('b'))
    assert.equal(await archive.put(again, record, sourceOf(bytes('x'))), 'put')
    assert.deepEqual(files.failures.slice(1), [undefined])
  })

  it('in whose place something else stands are missing, and that stays as it is', async () => {
    const folder = folderOf()
    const files = open(folder)
    const archive = files.archive()
    const keys = ['folder', 'pipe', 'link', 'sparse', 'sparse pieces']
    const paths: string[] = []
    for (const key of keys) {
      const before = new Set(filesOf(folder))
      await put(archive, key, randomBytes(key === 'sparse pieces' ? 3 * WHOLE_BYTES : 1_000))
      const made = filesOf(folder).filter((path) => !before.has(path))
      paths.push(made.find((path) => path.includes('.p.')) ?? made[0]!)
    }
    const [directory, pipe, link, ...sparse] = paths as [string, string, string, ...string[]]
    for (const path of [directory, pipe, link]) rmSync(path)
    mkdirSync(directory)
    writeFileSync(join(directory, 'note.txt'), 'mine')
    execFileSync('mkfifo', [pipe])
    const secret = join(folder, 'secret')
    writeFileSync(secret, 'secret')
    symlinkSync(secret, link)
    for (const path of sparse) truncateSync(path, 2 ** 40)
    for (const key of keys) assert.equal((await archive.find(keyOf(key))).type, 'none', key)
    for (const key of keys.slice(1)) {
      await put(archive, key, bytes('new'))
      assert.equal(String(found(await archive.find(keyOf(key))).whole), 'new', key)
    }
    const ticket = await ticketOf(archive, keyOf('folder'))
    assert.equal(await archive.put(ticket, { head: bytes('head'), ttl: HOUR }, sourceOf(bytes('new'))), 'broken')
    assert.equal(readFileSync(join(directory, 'note.txt'), 'utf8'), 'mine')
    assert.equal(readFileSync(secret, 'utf8'), 'secret')
    assert.deepEqual(files.failures, [], 'the disk is well')
  })

  it('of a folder that this user may not read or write cost nothing but the misses', {
    skip: process.getuid?.() === 0 ? false : 'needs root, to become somebody else',
  }, async () => {
    const folder = folderOf()
    const files = open(folder)
    const archive = files.archive()
    await put(archive, 'a', randomBytes(1_000))
    const ticket = await ticketOf(archive, keyOf('b'))
    const path = join(folder, 'cache')
    // Of root, who is somebody else from now on.
    process.seteuid!(65_534)
    try {
      assert.equal((await archive.find(keyOf('a'))).type, 'none')
      assert.equal(await archive.put(ticket, { head: bytes('head'), ttl: HOUR }, sourceOf(bytes('b'))), 'refused')
    } finally {
      process.seteuid!(0)
    }
    const sentence = `${path} cannot be read or written by the user of this process; see to its owner and mode`
    assert.deepEqual(files.failures, [sentence, sentence])
  })

  it('are not used where their folder is a link', () => {
    const folder = folderOf()
    symlinkSync(tmpdir(), join(folder, 'cache'))
    assert.throws(() => open(folder), /no folder/)
  })
})

describe('the files of a thread that does not answer', () => {
  it('cost a lookup its deadline, five times, and nothing afterwards', async () => {
    const { port1, port2 } = new MessageChannel()
    let asked = 0
    const records = new FileRecords({ time: systemTimers, deadline: 5, patience: 5, ask: () => asked++ })
    const reasonOf = (): Promise<string> =>
      records.find('shop', 'root', null).then(
        () => 'found',
        (fault: { reason: string }) => fault.reason,
      )
    assert.deepEqual([await reasonOf(), await reasonOf(), asked], ['away', 'away', 1])
    records.use(port2)
    for (let i = 0; i < 5; i++) assert.equal(await reasonOf(), 'timeout')
    assert.equal(await reasonOf(), 'away')
    // Any answer, however late, says that it is back.
    port1.postMessage({ id: 0, value: null })
    while ((await reasonOf()) === 'away') await pause(1)
    port1.close()
    while ((await reasonOf()) !== 'away') await pause(1)
    records.use(null)
    assert.equal(await reasonOf(), 'absent')
  })
})

describe('the thread of the files', () => {
  /** The server in this thread, on a disk where each call takes some time more. */
  function slow(took: number, deadline: number): { readonly records: FileRecords; readonly done: string[] } {
    const done: string[] = []
    class SlowStore extends FileStore {
      override run(call: FileCall): unknown {
        done.push(`${call.owner} ${call.call}`)
        const end = performance.now() + took
        while (performance.now() < end);
        return super.run(call)
      }
    }
    const fault = (message: unknown): void => assert.fail(String(message))
    const options = { stateDirectory: folderOf(), maxFiles: 100, maxBytes: MIB, failure: fault, unread: fault }
    const store = new SlowStore({ ...options, clock: systemTimers })
    while (store.step());
    const server = new FileServer(store, { ...systemTimers, every: () => () => {} })
    const records = new FileRecords({ time: systemTimers, deadline, patience: 30_000, ask: () => {} })
    const { port1, port2 } = new MessageChannel()
    server.serve(port1)
    records.use(port2)
    closing.push(() => records.use(null))
    return { records, done }
  }
  const PIECES = { root: 'root', token: new Uint8Array(16) }

  it('reads by turns of the namespaces: many calls of one hold up no other', async () => {
    const { records, done } = slow(3, 30_000)
    const many = Array.from({ length: 60 }, (_, i) => records.readPiece({ owner: 'many', ...PIECES }, i + 1))
    while (done.length === 0) await nextTurn()
    await records.find('one', 'root', null)
    assert.ok(done.length < 20, `${done.length} calls before it`)
    await Promise.all(many)
    assert.equal(done.length, 61)
  })

  it('is asked on by others where many calls of one namespace are late together', async () => {
    const { records } = slow(4, 100)
    const late = Array.from({ length: 60 }, () => records.find('many', 'root', null).catch(({ reason }) => reason))
    const reasons = await Promise.all(late)
    assert.ok(reasons.filter((reason) => reason === 'timeout').length > 5, reasons.join())
    await records.find('one', 'root', null)
  })

  it('does nothing that nobody waits for, except what removes', async () => {
    const { records, done } = slow(150, 100)
    const calls = [1, 2, 3, 4].map(() => records.find('shop', 'root', null).catch(({ reason }) => reason))
    const removed = records.remove('shop', 'root')
    assert.deepEqual(await Promise.all(calls), ['timeout', 'timeout', 'timeout', 'timeout'])
    await removed
    // The first at most has begun in time.
    assert.deepEqual(done.slice(-1), ['shop remove'])
    assert.ok(done.length <= 2, done.join())
  })
})
