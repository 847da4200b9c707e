import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { lstat, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { describeFileError } from '../../../src/lib/system-error.ts'
import { MAX_STATE_BYTES, StateFile } from '../../../src/source/checkpoint/state-file.ts'

let state: string
let file: StateFile
beforeEach(async () => {
  state = await mkdtemp(join(tmpdir(), 'headgate-state-'))
  file = new StateFile(state)
})
afterEach(() => rm(state, { recursive: true, force: true }))

const parts = (...texts: string[]) => texts.map((text) => Buffer.from(text))

describe('the state file', () => {
  it('is absent at first, then has the last written content', async () => {
    assert.equal(await file.exists(), false)
    assert.equal(await file.read(), undefined)
    assert.equal(await file.replace(parts('one ', 'and two')), 11)
    assert.equal((await file.read())?.toString(), 'one and two')
    await file.replace(parts('three'))
    assert.equal((await file.read())?.toString(), 'three')
    assert.equal(await file.exists(), true)
    assert.deepEqual(await readdir(join(state, 'cluster')), ['objects'])
  })

  it('is readable and writable for its owner only', async () => {
    await file.replace(parts('x'))
    assert.equal((await stat(file.path)).mode & 0o777, 0o600)
    assert.equal((await stat(join(state, 'cluster'))).mode & 0o777, 0o700)
  })

  it('is unchanged after a failed write, without temporary files', async () => {
    await file.replace(parts('whole'))
    const failing = function* () {
      yield Buffer.from('half')
      throw new Error('no more')
    }
    await assert.rejects(file.replace(failing()), /no more/)
    assert.equal((await file.read())?.toString(), 'whole')
    assert.deepEqual(await readdir(join(state, 'cluster')), ['objects'])
  })

  it('is consistent for readers during concurrent writes', async () => {
    const text = (i: number) => String(i % 10).repeat(200_000)
    const others = [file, new StateFile(state)]
    let over = false
    const writing = Promise.all(
      Array.from({ length: 20 }, (_, i) => others[i % 2]!.replace(parts(...text(i).match(/.{1,50000}/g)!))),
    ).finally(() => {
      over = true
    })
    while (!over) {
      const read = (await file.read())?.toString()
      if (read !== undefined) assert.equal(read, text(Number(read[0])))
    }
    await writing
    assert.deepEqual(await readdir(join(state, 'cluster')), ['objects'])
  })

  it('is not read through a link, and a write replaces the link', async () => {
    const elsewhere = join(state, 'elsewhere')
    await writeFile(elsewhere, 'not ours')
    await mkdir(join(state, 'cluster'))
    await symlink(elsewhere, file.path)
    await assert.rejects(file.read(), /symbolic link/)
    await file.replace(parts('ours'))
    assert.equal(await readFile(elsewhere, 'utf8'), 'not ours')
    assert.ok((await lstat(file.path)).isFile())
  })

  it('is neither read nor written when its folder is a link', async () => {
    const elsewhere = await mkdtemp(join(tmpdir(), 'headgate-elsewhere-'))
    try {
      await symlink(elsewhere, join(state, 'cluster'))
      await writeFile(join(elsewhere, 'objects'), 'planted')
      await assert.rejects(file.read(), /symbolic link/)
      await assert.rejects(file.replace(parts('x')), /symbolic link/)
      await assert.rejects(file.remove(), /symbolic link/)
      assert.equal(await readFile(join(elsewhere, 'objects'), 'utf8'), 'planted')
    } finally {
      await rm(elsewhere, { recursive: true })
    }
  })

  it('does not block on a FIFO, and does not read a folder', async () => {
    await mkdir(join(state, 'cluster'))
    execFileSync('mkfifo', [file.path])
    await assert.rejects(file.read(), /not a file/)
    await rm(file.path)
    await mkdir(file.path)
    await assert.rejects(file.read(), /not a file/)
  })

  it('has a maximum size for reads and writes', async () => {
    const part = Buffer.alloc(MAX_STATE_BYTES / 4 + 1)
    await assert.rejects(file.replace([part, part, part, part]), /more than/)
    assert.equal(await file.exists(), false)
    await mkdir(join(state, 'cluster'), { recursive: true })
    execFileSync('truncate', ['-s', String(MAX_STATE_BYTES + 1), file.path])
    await assert.rejects(file.read(), /the maximum is/)
  })

  it('is unchanged when the disk is full, which is reported', { skip: process.getuid?.() !== 0 }, async (t) => {
    const small = join(state, 'small')
    await mkdir(small)
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'none', small], { stdio: 'ignore' })
    } catch {
      return t.skip('nothing can be mounted here')
    }
    try {
      const full = new StateFile(small)
      await full.replace(parts('fits'))
      await assert.rejects(
        full.replace(Array.from({ length: 10 }, () => Buffer.alloc(20_000))),
        (error) => describeFileError(error) === 'the disk is full',
      )
      assert.equal((await full.read())?.toString(), 'fits')
      assert.deepEqual(await readdir(join(small, 'cluster')), ['objects'])
    } finally {
      execFileSync('umount', [small])
    }
  })

  it('deletes temporary files of killed processes, and not those in use', async () => {
    await file.replace(parts('x'))
    const [old, young] = ['objects.a.tmp', 'objects.b.tmp'].map((name) => join(state, 'cluster', name)) as [
      string,
      string,
    ]
    await writeFile(old, '')
    await writeFile(young, '')
    await utimes(old, new Date(), new Date(Date.now() - 2 * 3_600_000))
    await file.sweep(Date.now())
    assert.deepEqual((await readdir(join(state, 'cluster'))).sort(), ['objects', 'objects.b.tmp'])
  })
})
