/**
 * `node bench/redis-faults.ts`: what requests on a limit over all replicas meet while Redis is hung, slow, gone or
 * failing over. Takes half a minute, and starts redis-server itself.
 */
import { RedisServer } from '../test/lib/redis-server.ts'
import { provide, REDIS } from './lib/programs.ts'
import { FaultedWorker, measure, pause, type Row, SlowWay } from './lib/redis-faults.ts'

const missing = provide([REDIS])
if (missing !== undefined) throw new Error(missing)

const FAULT = 2_000
const rows: Row[] = []

for (const choice of ['Allow', 'Deny'] as const) {
  const server = await RedisServer.start()
  const way = await SlowWay.open(server.port)
  const near = new FaultedWorker([server.address], choice)
  const far = new FaultedWorker([way.address], choice)
  const run = async (...[fault, ...more]: Parameters<typeof measure>): Promise<void> => {
    rows.push(await measure(`${choice}: ${fault}`, ...more))
  }
  const nothing = (): void => {}
  await run('none', near, FAULT, nothing, nothing)
  await run(
    'hung (SIGSTOP)',
    near,
    FAULT,
    () => server.pause(),
    () => server.resume(),
  )
  await run(
    'gone (SIGKILL), then started anew',
    near,
    FAULT,
    () => server.kill(),
    () => server.run(),
  )
  await far.answers()
  await run(
    'slow, 20 ms',
    far,
    FAULT,
    () => void (way.delay = 20),
    () => void (way.delay = 0),
  )
  await run(
    'slow, 200 ms',
    far,
    FAULT,
    () => void (way.delay = 200),
    () => void (way.delay = 0),
  )
  await run(
    'a connection that loses everything; a new one works',
    far,
    FAULT,
    () => way.blackHole(true),
    () => way.blackHole(false),
  )
  await run('scripts forgotten (SCRIPT FLUSH)', near, FAULT, () => server.admin.script('FLUSH'), nothing)
  await run(
    'out of memory (OOM)',
    near,
    FAULT,
    () => server.admin.config('SET', 'maxmemory', '1'),
    () => server.admin.config('SET', 'maxmemory', '0'),
  )
  near.redis.stop()
  far.redis.stop()
  way.close()

  const replica = await RedisServer.start({ replicaOf: server.port })
  while (!String(await replica.admin.info('replication')).includes('master_link_status:up')) await pause(20)
  const both = new FaultedWorker([server.address, replica.address], choice)
  await run(
    'failover: the master dies, its replica takes over 500 ms later',
    both,
    FAULT,
    async () => {
      await server.kill()
      setTimeout(() => void replica.admin.replicaof('NO', 'ONE'), 500)
    },
    nothing,
  )
  both.redis.stop()
  await replica.stop()
  await server.stop()
}

const round = (time: number): string =>
  time < 0 ? 'was not left' : `${time < 10 ? time.toFixed(1) : Math.round(time)} ms`
console.log('| Redis is | requests | pass | 503 | decided within, median | longest | back after |')
console.log('|---|---|---|---|---|---|---|')
for (const { fault, requests, allowed, unavailable, median, longest, back } of rows)
  console.log(
    `| ${fault} | ${requests} | ${allowed} | ${unavailable} | ${round(median)} | ${round(longest)} | ${round(back)} |`,
  )
process.exit(0)
