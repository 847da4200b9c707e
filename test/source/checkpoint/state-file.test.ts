import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { lstat, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { diskTrouble, MAX_STATE_BYTES, StateFile } from '../../../src/source/checkpoint/state-file.ts'

let state: string
let file: StateFile
beforeEach(async () => {
  state = await mkdtemp(join(tmpdir(), 'headgate-state-'))
  file = new StateFile(state)
})
afterEach(() => rm(state, { recursive: true, force: true }))

const parts = (...texts: string[]) => texts.map((text) => Buffer.from(text))

describe('the file in a state directory', () => {
  it('is not there at first, then what was written last', async () => {
    assert.equal(await file.exists(), false)
    assert.equal(await file.read(), undefined)
    assert.equal(await file.replace(parts('one ', 'and two')), 11)
    assert.equal((await file.read())?.toString(), 'one and two')
    await file.replace(parts('three'))
    assert.equal((await file.read())?.toString(), 'three')
    assert.equal(await file.exists(), true)
    assert.deepEqual(await readdir(join(state, 'cluster')), ['objects'])
  })

  it('can be read and written by its owner alone', async () => {
    await file.replace(parts('x'))
    assert.equal((await stat(file.path)).mode & 0o777, 0o600)
    assert.equal((await stat(join(state, 'cluster'))).mode & 0o777, 0o700)
  })

  it('stays as it was when a write fails in the middle, and nothing else is left', async () => {
    await file.replace(parts('whole'))
    const failing = function* () {
      yield Buffer.from('half')
      throw new Error('no more')
    }
    await assert.rejects(file.replace(failing()), /no more/)
    assert.equal((await file.read())?.toString(), 'whole')
    assert.deepEqual(await readdir(join(state, 'cluster')), ['objects'])
  })

  it('is whole whenever it is read while several write it', async () => {
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

  it('is not read through a link, and a write takes the place of the link', async () => {
    const elsewhere = join(state, 'elsewhere')
    await writeFile(elsewhere, 'not ours')
    await mkdir(join(state, 'cluster'))
    await symlink(elsewhere, file.path)
    await assert.rejects(file.read(), /symbolic link/)
    await file.replace(parts('ours'))
    assert.equal(await readFile(elsewhere, 'utf8'), 'not ours')
    assert.ok((await lstat(file.path)).isFile())
  })

  it('is neither read nor written where its folder is a link', async () => {
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

  it('does not wait for a FIFO in its place, nor read a folder', async () => {
    await mkdir(join(state, 'cluster'))
    execFileSync('mkfifo', [file.path])
    await assert.rejects(file.read(), /not a file/)
    await rm(file.path)
    await mkdir(file.path)
    await assert.rejects(file.read(), /not a file/)
  })

  it('has a bound, in both directions', async () => {
    const part = Buffer.alloc(MAX_STATE_BYTES / 4 + 1)
    await assert.rejects(file.replace([part, part, part, part]), /more than/)
    assert.equal(await file.exists(), false)
    await mkdir(join(state, 'cluster'), { recursive: true })
    execFileSync('truncate', ['-s', String(MAX_STATE_BYTES + 1), file.path])
    await assert.rejects(file.read(), /at most/)
  })

  it('says that the disk is full, and is as it was before', { skip: process.getuid?.() !== 0 }, async (t) => {
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
        (error) => diskTrouble(error) === 'the disk is full',
      )
      assert.equal((await full.read())?.toString(), 'fits')
      assert.deepEqual(await readdir(join(small, 'cluster')), ['objects'])
    } finally {
      execFileSync('umount', [small])
    }
  })

  it('is swept of what killed processes have left, and not of what another one is writing', async () => {
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
