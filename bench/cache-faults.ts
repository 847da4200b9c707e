/**
 * `node bench/cache-faults.ts`: what two replicas find in the archive of the cache while Redis is hung, slow, gone or
 * failing over, while what stands in it is cut or foreign, and while files and their disk fail. Takes a minute, and
 * starts redis-server itself. It fails when a wrong body was found.
 */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { MessagePort } from 'node:worker_threads'
import { MessageChannel } from 'node:worker_threads'
import { Archive } from '../src/control/archive/archive.ts'
import { divideMemory } from '../src/lib/memory-budget.ts'
import { ContentStore } from '../src/policy/contents.ts'
import { systemTimers } from '../src/thread/system-timers.ts'
import { WorkerArchives } from '../src/worker/archives.ts'
import { FaultyWay } from '../test/lib/faulty-way.ts'
import { RedisServer } from '../test/lib/redis-server.ts'
import { FaultedCache, type FaultRow, pause, SPOILT, tableOf } from './lib/cache-faults.ts'
import { provide, REDIS } from './lib/programs.ts'
import { SlowWay } from './lib/redis-faults.ts'

const missing = provide([REDIS])
if (missing !== undefined) throw new Error(missing)

const FAULT = 2_000
const MIB = 1_024 * 1_024
const KEY = randomBytes(32)
const nothing = (): void => {}

function workerArchives(askForFiles: (use: (port: MessagePort | null) => void) => void): WorkerArchives {
  const archives: WorkerArchives = new WorkerArchives({
    clock: systemTimers,
    random: Math.random,
    randomBytes,
    contents: new ContentStore(),
    maxPutBytes: 1e9,
    key: () => KEY,
    askForFiles: () => askForFiles((port) => archives.useFiles(port)),
    count: nothing,
    problem: nothing,
    recovered: nothing,
  })
  return archives
}

function replicas(addresses: readonly string[]): FaultedCache {
  return new FaultedCache(
    [1, 2].map(() => {
      const archives = workerArchives(nothing)
      archives.use({ mode: 'Single', addresses, keyPrefix: 'bench' })
      return archives.of('Redis')!
    }),
  )
}

async function spoil(server: RedisServer, change: (typeof SPOILT)[number]['change']): Promise<void> {
  const keys = (await server.admin.keys('bench:cache:*')).filter((key) => !key.endsWith(':gone'))
  const values = await Promise.all(keys.map((key) => server.admin.getBuffer(key)))
  const sets = keys.map((key, i) => {
    const [value, other] = [values[i], values[(i + 1) % values.length]]
    if (value == null || other == null) return undefined
    return server.admin.set(key, change(value, other), 'PX', 20_000)
  })
  await Promise.all(sets)
}

async function redisRows(): Promise<FaultRow[]> {
  const rows: FaultRow[] = []
  const server = await RedisServer.start()
  const way = await SlowWay.open(server.port)
  const near = replicas([server.address])
  const far = replicas([way.address])
  const run = async (cache: FaultedCache, what: string, begin: () => unknown, end: () => unknown): Promise<void> => {
    rows.push(await cache.measure(`Redis: ${what}`, FAULT, begin, end))
  }
  await run(near, 'nothing', nothing, nothing)
  await run(
    near,
    'hung (SIGSTOP)',
    () => server.pause(),
    () => server.resume(),
  )
  await run(
    near,
    'gone (SIGKILL), then started anew',
    () => server.kill(),
    () => server.run(),
  )
  for (const delay of [10, 100])
    await run(
      far,
      `slow, ${delay} ms`,
      () => void (way.delay = delay),
      () => void (way.delay = 0),
    )
  await run(
    far,
    'a connection that loses everything; a new one works',
    () => way.blackHole(true),
    () => way.blackHole(false),
  )
  const dripping = await FaultyWay.open(server.port)
  await run(
    replicas([dripping.address]),
    'a byte a second',
    () => void (dripping.fault = 'drip'),
    () => void (dripping.fault = null),
  )
  dripping.close()
  let over = false
  await run(
    near,
    'another tenant looks up 256 KiB, 32 at a time',
    () => near.greedy(() => over),
    () => void (over = true),
  )
  await run(near, 'scripts forgotten (SCRIPT FLUSH)', () => server.admin.script('FLUSH'), nothing)
  await run(near, 'everything gone (FLUSHALL)', () => server.admin.flushall(), nothing)
  await run(
    near,
    'out of memory (OOM)',
    () => server.admin.config('SET', 'maxmemory', '1'),
    () => server.admin.config('SET', 'maxmemory', '0'),
  )
  await run(
    near,
    'evicts all the time (8 MiB, allkeys-lru)',
    async () => {
      await server.admin.config('SET', 'maxmemory-policy', 'allkeys-lru')
      await server.admin.config('SET', 'maxmemory', '8388608')
    },
    () => server.admin.config('SET', 'maxmemory', '0'),
  )
  for (const { what, change } of SPOILT) {
    const spoiling = setInterval(() => void spoil(server, change), 250)
    await run(near, `values ${what}, every 250 ms`, nothing, () => clearInterval(spoiling))
  }
  rows.push(await failover(server))
  way.close()
  await server.stop()
  return rows
}

/** What the new master had not heard yet is lost, a removal too: purges are what counts then. */
async function failover(server: RedisServer): Promise<FaultRow> {
  const replica = await RedisServer.start({ replicaOf: server.port })
  while (!String(await replica.admin.info('replication')).includes('master_link_status:up')) await pause(20)
  const row = await replicas([server.address, replica.address]).measure(
    'Redis: failover, the replica takes over 500 ms later',
    FAULT,
    async () => {
      await server.kill()
      setTimeout(() => void replica.admin.replicaof('NO', 'ONE'), 500)
    },
    nothing,
  )
  await replica.stop()
  return row
}

function filesOf(folder: string): string[] {
  return readdirSync(join(folder, 'cache'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.endsWith('.tmp'))
    .map(({ parentPath, name }) => join(parentPath, name))
}

async function fileRows(): Promise<FaultRow[]> {
  const rows: FaultRow[] = []
  const stateDirectory = mkdtempSync(join(tmpdir(), 'headgate-faults-'))
  const open = (): Archive => {
    const archive = new Archive({ time: systemTimers, warn: nothing })
    archive.open({ stateDirectory, maxBytes: 64 * MIB }, divideMemory(512 * MIB, 1, 0, true).archive)
    return archive
  }
  let owner = open()
  const workers = [1, 2].map(() => workerArchives((use) => owner.ask(use)))
  const cache = new FaultedCache(workers.map((archives) => archives.of('File')!))
  const run = async (what: string, begin: () => unknown, end: () => unknown): Promise<void> => {
    rows.push(await cache.measure(`files: ${what}`, FAULT, begin, end))
  }
  const again = async (): Promise<void> => {
    await owner.stop()
    owner = open()
    for (const archives of workers) archives.forget()
  }
  await run('nothing', nothing, nothing)
  await run('the thread ends, and another one takes over', again, nothing)
  await run('all are removed', () => rmSync(join(stateDirectory, 'cache'), { recursive: true }), nothing)
  for (const { what, change } of SPOILT) {
    const spoiling = setInterval(() => spoilFiles(stateDirectory, change), 250)
    await run(`contents ${what}, every 250 ms`, nothing, () => clearInterval(spoiling))
  }
  await run('a thread that answers nothing', () => silence(workers), again)
  await owner.stop()
  rmSync(stateDirectory, { recursive: true, force: true })
  return rows
}

/** Behind the header, as somebody would who knows it. */
function spoilFiles(folder: string, change: (typeof SPOILT)[number]['change']): void {
  const files = filesOf(folder).flatMap((path) => {
    try {
      return [{ path, bytes: readFileSync(path) }]
    } catch {
      return []
    }
  })
  const front = (bytes: Buffer, path: string): number => (path.includes('.p.') ? 0 : 13 + (bytes[12] ?? 0))
  for (const [i, { path, bytes }] of files.entries()) {
    const other = files[(i + 1) % files.length]!
    const at = front(bytes, path)
    const spoilt = change(bytes.subarray(at), other.bytes.subarray(front(other.bytes, other.path)))
    writeFileSync(path, Buffer.concat([bytes.subarray(0, at), spoilt]))
  }
}

/** As a disk that hangs holds it up. */
function silence(workers: readonly WorkerArchives[]): void {
  for (const archives of workers) archives.useFiles(new MessageChannel().port1)
}

const rows = [...(await redisRows()), ...(await fileRows())]
console.log(tableOf(rows))
const wrong = rows.reduce((sum, row) => sum + row.wrong, 0)
const checked = rows.reduce((sum, row) => sum + row.checked, 0)
console.log(`\n${checked} bodies checked, ${wrong} wrong`)
process.exit(wrong === 0 ? 0 : 1)
