/**
 * A cache in files whose disk fails: full, read-only, removed, unreadable. The file systems are mounted in a mount
 * namespace of the test's own, in which this file runs once more; that takes root.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statfsSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { find } from '../../bench/lib/programs.ts'
import { httpBackend } from './backends.ts'
import { backend, eventually, type Gateway, route, startGateway } from './harness.ts'

const INSIDE = 'HEADGATE_TEST_MOUNTS'
const HOST = 'files.test'
const UNSHARE = find('unshare')
const MAY_MOUNT = UNSHARE !== undefined && spawnSync(UNSHARE, ['-m', 'true']).status === 0

function mount(...arguments_: readonly string[]): void {
  execFileSync('mount', arguments_, { stdio: ['ignore', 'ignore', 'inherit'] })
}

interface Place {
  readonly gateway: Gateway
  /** The state directory. */
  readonly folder: string
  readonly fetched: string[]
  /** Until the files have what was asked for. */
  get(path: string): Promise<void>
  /** Of the process log, about files of the cache. */
  said(): readonly string[]
}

/** Bodies name their path; `/large…` has 3 MB, others 3 kB. */
const bodyOf = (path: string): Buffer => Buffer.alloc(path.startsWith('/large') ? 3_000_000 : 3_000, `${path} `)

async function place(t: TestContext, folder: string, files = '64Mi'): Promise<Place> {
  const fetched: string[] = []
  const { port } = await httpBackend(t, ({ url = '' }, response) => {
    fetched.push(url)
    response.setHeader('cache-control', 'max-age=600').end(bodyOf(url))
  })
  const rule = { name: 'all', backendRefs: [{ name: 'up' }], policies: { cache: { store: 'File' } } }
  const all = backend('up', [port]) + route('files', [HOST], [rule])
  const gateway = await startGateway(t, { 'all.yaml': all }, { settings: { stateDirectory: folder, cache: { files } } })
  return {
    gateway,
    folder,
    fetched,
    async get(path) {
      const { status, body } = await gateway.request({ host: HOST, path })
      assert.equal(status, 200)
      assert.ok(body.equals(bodyOf(path)), path)
    },
    said: () =>
      gateway.processLog.filter((line) => /files? of the cache/.test(line)).map((line) => JSON.parse(line).message),
  }
}

const pathsOf = (what: string, count: number): string[] => Array.from({ length: count }, (_, i) => `/${what}/${i}`)

describe('a cache in files', { skip: MAY_MOUNT ? false : 'needs root and unshare', concurrency: 2 }, () => {
  if (process.env[INSIDE] === undefined)
    it('outlives what its disk does', { timeout: 300_000 }, () => {
      // With the context of this run the inner one would do nothing, and well.
      const { NODE_TEST_CONTEXT: _, ...env } = process.env
      const { status, stdout } = spawnSync(
        UNSHARE!,
        ['-m', '--propagation', 'private', process.execPath, import.meta.filename],
        { env: { ...env, [INSIDE]: '1' }, encoding: 'utf8', timeout: 280_000 },
      )
      assert.equal(status, 0, stdout)
      assert.match(stdout, /tests 6/)
    })
  else inside()
})

function inside(): void {
  const folder = (t: TestContext): string => {
    const path = mkdtempSync(join(tmpdir(), 'headgate-disk-'))
    t.after(() => {
      for (const mounted of [join(path, 'cache'), path]) spawnSync('umount', ['-l', mounted])
      rmSync(path, { recursive: true, force: true })
    })
    return path
  }

  const AGAIN = 'the files of the cache are written again'

  const MAKES_ROOM = /^files of the cache are removed to make room for others of it, .*: the disk of \S+\/cache /

  /** Pages are asked for, more than the disk takes: the newest are in files, and each of a new process is not fetched. */
  async function rotates(t: TestContext, disk: string, paths: readonly string[]): Promise<void> {
    const first = await place(t, disk)
    for (const path of paths) await first.get(path)
    let asked = 0
    await eventually(async () => {
      for (let i = 0; i < 10; i++) await first.get(`/more/${asked++}`)
      assert.match(first.said().join(), MAKES_ROOM)
    }, 60_000)
    assert.equal(first.said().length, 1, first.said().join('\n'))
    const last = `${paths[0]}/last`
    // Until it is in a file; a machine that is busy may be too late for one.
    for (let i = 0; i < 20; i++) await first.get(`${last}/${i}`)
    await first.gateway.shutDown()
    const second = await place(t, disk)
    await eventually(async () => {
      for (let i = 0; i < 20; i++) await second.get(`${last}/${i}`)
      assert.ok(second.fetched.length < 20, 'some are found')
    })
    await second.gateway.stop()
  }

  /** Asks for pages until there are files of some; a machine that is busy may be too late for one. */
  async function filled(p: Place, what: string): Promise<void> {
    let asked = 0
    await eventually(async () => {
      await p.get(`/${what}/${asked++}`)
      const cache = join(p.folder, 'cache')
      const files = existsSync(cache) ? readdirSync(cache, { recursive: true, withFileTypes: true }) : []
      assert.ok(files.filter((file) => file.isFile()).length >= 6)
    }, 60_000)
  }

  /** Asks for pages until the log says it. */
  async function said(p: Place, what: RegExp): Promise<void> {
    let asked = 0
    await eventually(async () => {
      await p.get(`/said/${what.source.length}/${asked++}`)
      assert.match(p.said().join(), what)
    }, 60_000)
  }

  /** Asks for pages until the files take them again, which is said once. */
  async function recovers(p: Place, round: string): Promise<void> {
    let asked = 0
    await eventually(async () => {
      await p.get(`/${round}/${asked++}`)
      assert.ok(p.said().includes(AGAIN), p.said().join('\n'))
    }, 60_000)
  }

  it('whose disk is full for long ones, says so once, and goes on when it is not', {
    timeout: 120_000,
  }, async (t) => {
    const disk = folder(t)
    mount('-t', 'tmpfs', '-o', 'size=8m', 'none', disk)
    const p = await place(t, disk)
    for (const path of pathsOf('before', 10)) await p.get(path)
    writeFileSync(join(disk, 'others'), Buffer.alloc(7_000_000))
    // Small ones fit now and then, and long ones never do.
    for (const path of pathsOf('mixed', 60).flatMap((path) => [path, `/large${path}`])) await p.get(path)
    let more = 0
    await eventually(async () => {
      for (const path of [`/more/${more++}`, `/large/more/${more}`]) await p.get(path)
      assert.match(p.said().join(), MAKES_ROOM)
    }, 60_000)
    assert.equal(p.said().length, 1, p.said().join('\n'))
    assert.ok(statfsSync(disk).bavail > 0, 'others can write')
    rmSync(join(disk, 'others'))
    await recovers(p, 'after')
    assert.equal(p.said().length, 2, p.said().join('\n'))
  })

  it('makes room on a full disk from what was not asked for longest, says so once, and leaves others their part', {
    timeout: 120_000,
  }, async (t) => {
    const disk = folder(t)
    mount('-t', 'tmpfs', '-o', 'size=8m', 'none', disk)
    writeFileSync(join(disk, 'others'), Buffer.alloc(5_000_000))
    await rotates(t, disk, pathsOf('page', 700))
    const { bavail, bsize } = statfsSync(disk)
    assert.ok(bavail * bsize > 300_000, `${bavail * bsize} bytes are left to others`)
  })

  it('makes room where the disk takes no further file, though it has bytes', { timeout: 120_000 }, async (t) => {
    const disk = folder(t)
    const cache = join(disk, 'cache')
    mkdirSync(cache)
    mount('-t', 'tmpfs', '-o', 'size=64m,nr_inodes=150', 'none', cache)
    await rotates(t, disk, pathsOf('page', 200))
  })

  it('whose disk is mounted read-only, serves what it has, and goes on', { timeout: 120_000 }, async (t) => {
    const disk = folder(t)
    const cache = join(disk, 'cache')
    mkdirSync(cache)
    mount('-t', 'tmpfs', '-o', 'size=8m', 'none', cache)
    const p = await place(t, disk)
    for (const path of pathsOf('before', 10)) await p.get(path)
    await filled(p, 'before')
    // Busy as long as a file is being written.
    await eventually(() => mount('-o', 'remount,ro', 'none', cache))
    for (const path of [...pathsOf('before', 10), ...pathsOf('during', 10), ...pathsOf('large', 3)]) await p.get(path)
    await said(p, /is read-only; mount it/)
    mount('-o', 'remount,rw', 'none', cache)
    await recovers(p, 'after')
    assert.equal(p.said().length, 2, p.said().join('\n'))
  })

  it('whose folder is removed, or is a file for a while, makes it anew', { timeout: 120_000 }, async (t) => {
    const disk = folder(t)
    const p = await place(t, disk)
    // What is being written meanwhile makes it anew.
    const remove = () => eventually(() => rmSync(join(disk, 'cache'), { recursive: true, force: true }))
    for (const path of pathsOf('before', 10)) await p.get(path)
    await filled(p, 'before')
    await remove()
    for (const path of [...pathsOf('before', 10), ...pathsOf('during', 10), ...pathsOf('large', 3)]) await p.get(path)
    await filled(p, 'during')
    assert.deepEqual(p.said(), [])
    await eventually(async () => {
      await remove()
      writeFileSync(join(disk, 'cache'), '')
    })
    for (const path of [...pathsOf('file', 10), ...pathsOf('large/file', 3)]) await p.get(path)
    await said(p, /see to \S+\/cache/)
    rmSync(join(disk, 'cache'))
    await recovers(p, 'after')
  })

  const noLoop =
    find('mkfs.ext4') !== undefined && spawnSync('losetup', ['-f']).status === 0
      ? false
      : 'needs mkfs.ext4 and loop devices'
  it('whose disk cannot be read (EIO) asks the origin, and says what fails', {
    skip: noLoop,
    timeout: 120_000,
  }, async (t) => {
    const backing = folder(t)
    const disk = folder(t)
    const image = join(backing, 'image')
    writeFileSync(image, '')
    truncateSync(image, 16 * 2 ** 20)
    execFileSync('mkfs.ext4', ['-q', image])
    mount('-o', 'loop', image, disk)
    const first = await place(t, disk)
    await filled(first, 'large')
    await first.gateway.stop()
    // What is mounted anew is read from the image, which ends behind the names of the files.
    execFileSync('umount', [disk])
    mount('-o', 'loop', image, disk)
    const second = await place(t, disk)
    truncateSync(image, 2 ** 20)
    for (const path of [...pathsOf('large', 5), ...pathsOf('others', 10)]) await second.get(path)
    await said(second, /EIO/)
    assert.ok(second.said().length <= 2, second.said().join('\n'))
  })
}
