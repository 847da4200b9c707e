/**
 * The cache of two replicas with one Redis behind their memories: what one purges, the other does not serve any more; a
 * replica that dies while it stores something leaves nothing half behind; and no wrong body while Headgate is rolled.
 */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { cachedOrigin, ORIGIN, type Replica, replicas, versionOf } from '../lib/cache-pods.ts'
import { figure } from '../lib/figures.ts'
import { type Entrance, entrance, install, RELEASE, SYSTEM } from '../lib/headgate.ts'
import { apply, freshNamespace, kubectl, tryKubectl } from '../lib/kubernetes.ts'
import { type Redis, startRedis } from '../lib/redis.ts'
import { REGISTRAR_TOKEN_FILE, REGISTRAR_VALUES, registrarSecret } from '../lib/registrar.ts'
import { backend, rolledOut, route } from '../lib/service.ts'
import { underLoad } from '../lib/under-load.ts'
import { until } from '../lib/wait.ts'

const NAMESPACE = 'cached'
const HOST = 'cached.example'
const PAGES = 200
/** The issue's; a machine that runs a cluster on two cores, and this test beside it, is given more. */
const GOAL = 100
const BOUND = 2_000

let door: Entrance
let redis: Redis
let two: readonly [Replica, Replica]
let version = '1'

const cached = () => {
  const cache = { store: 'Tiered', version, tags: { header: 'surrogate-key' } }
  return route(NAMESPACE, 'pages', HOST, [{ name: 'all', backendRefs: [{ name: ORIGIN }], policies: { cache } }])
}

before(async () => {
  await freshNamespace(NAMESPACE)
  redis = await startRedis(NAMESPACE)
  // The kubelet brings changed settings to a pod within two minutes, and to a new pod at once.
  const annotations = { 'podAnnotations.run': `r${process.pid}` }
  await apply(registrarSecret)
  await install({ values: { ...redis.values, ...REGISTRAR_VALUES, replicas: '2', ...annotations } })
  door = await entrance()
  await apply(...cachedOrigin(NAMESPACE), backend(NAMESPACE, ORIGIN), cached())
  await kubectl('wait', '-n', NAMESPACE, `pod/${ORIGIN}`, '--for=condition=Ready', '--timeout=60s')
  await until('traffic by both', async () => {
    await bothReplicas()
    for (const replica of two) if ((await replica.ask(HOST, '/_fetches')).status !== 200) return false
    return true
  })
})

after(async () => {
  door?.close()
  await kubectl('delete', 'namespace', NAMESPACE, '--ignore-not-found', '--wait=false')
})

async function bothReplicas(): Promise<void> {
  const [one, other] = await until('two replicas', async () => {
    const all = await replicas()
    return all.length === 2 && all
  })
  two = [one!, other!]
}

const changed = async (): Promise<number> => Number((await two[0].ask(HOST, '/_version')).body)
const served = async (replica: Replica, path: string): Promise<number> => versionOf(await replica.ask(HOST, path), path)

/** Both hold it, and go on serving it when the origin has another version. @returns the new version */
async function bothHold(path: string): Promise<number> {
  for (const replica of two) await served(replica, path)
  const old = await served(two[0], path)
  const now = await changed()
  for (const replica of two) assert.equal(await served(replica, path), old, `${replica.pod} has lost ${path}`)
  return now
}

/** Does it, and polls both meanwhile. @returns how long after the first the second serves the new version, in ms */
async function apart(path: string, wanted: number, work: () => Promise<unknown>): Promise<number> {
  const working = work()
  const times = await Promise.all(
    two.map((replica) =>
      until(
        `version ${wanted} of ${path} by ${replica.pod}`,
        async () => (await served(replica, path)) === wanted && performance.now(),
        { every: 2 },
      ),
    ),
  )
  await working
  return Math.abs(times[0]! - times[1]!)
}

/** Its exit code is 1 where it does not act in every replica that is known: one that has just ended counts too. */
async function purge(replica: Replica, ...words: string[]): Promise<void> {
  const { stdout, stderr } = await tryKubectl([
    ...['exec', '-n', SYSTEM, replica.pod, '--', 'node', '/app/bin/headgate.js', 'cache', 'purge', ...words],
    ...['--token-file', REGISTRAR_TOKEN_FILE],
  ])
  assert.match(stdout, /^Purged: /, stderr)
}

describe('a purge at one replica acts in both', () => {
  const ways: readonly (readonly [what: string, path: string, words: string[]])[] = [
    ['by URL', '/by-url', [`http://${HOST}/by-url`]],
    ['by tag', '/by-tag', ['--namespace', NAMESPACE, '--tag', 'by-tag']],
    ['by prefix', '/by-prefix/one', ['--prefix', `http://${HOST}/by-prefix/`]],
  ]
  for (const [what, path, words] of ways)
    it(what, async () => {
      const now = await bothHold(path)
      const took = await apart(path, now, () => purge(two[0], ...words))
      figure(`purge ${what}: second replica after the first`, `${took.toFixed(0)} ms`, `${GOAL} ms`)
      assert.ok(took < BOUND, `${took} ms`)
    })

  it('by a new version in the policy', async () => {
    const now = await bothHold('/by-version')
    version = '2'
    const took = await apart('/by-version', now, () => apply(cached()))
    figure('another version of the policy: second replica after the first', `${took.toFixed(0)} ms`, `${GOAL} ms`)
    assert.ok(took < BOUND, `${took} ms`)
  })

  it('and what was purged while Redis was away, when it is back; and again at once', async () => {
    await redis.delete()
    const now = await bothHold('/away')
    await purge(two[0], `http://${HOST}/away`)
    assert.equal(await served(two[0], '/away'), now)
    await redis.create()
    const back = performance.now()
    await until('the other replica has heard of it', async () => (await served(two[1], '/away')) === now)
    figure(
      'purge while Redis was away: in the other replica after it is back',
      `${(performance.now() - back).toFixed(0)} ms`,
    )
    const later = await bothHold('/again')
    const took = await apart('/again', later, () => purge(two[1], `http://${HOST}/again`))
    figure('purge after a lost connection: second replica after the first', `${took.toFixed(0)} ms`, `${GOAL} ms`)
    assert.ok(took < BOUND, `${took} ms`)
  })
})

describe('what two replicas share', () => {
  it('a page that one has fetched is not fetched by the other', async () => {
    const fetches = async () => Number((await two[0].ask(HOST, '/_fetches')).body)
    await served(two[0], '/shared')
    await until('the other has it from Redis', async () => {
      const before = await fetches()
      await served(two[1], `/shared`)
      return (await fetches()) === before
    })
  })

  it('a replica that is killed while it stores a page leaves no part of it', async () => {
    const path = '/filling'
    const filling = two[0].ask(HOST, `${path}?slow`).catch(() => undefined)
    await sleep(1_000)
    const others = Array.from({ length: 5 }, async () => versionOf(await two[1].ask(HOST, `${path}?slow`), path))
    await kubectl('delete', 'pod', two[0].pod, '-n', SYSTEM, '--grace-period=0', '--force')
    await filling
    await Promise.all(others)
    versionOf(await two[1].ask(HOST, `${path}?slow`), path)
  })

  it('no wrong body while Headgate is rolled under load, and pages change and are purged', async () => {
    const load = { namespace: NAMESPACE, host: HOST, pages: PAGES }
    await underLoad('rolling update with a cache, bodies checked', load, async () => {
      await kubectl('rollout', 'restart', `deployment/${RELEASE}`, '-n', SYSTEM)
      await sleep(2_000)
      await two[1].ask(HOST, '/_version').catch(() => undefined)
      await rolledOut(SYSTEM, RELEASE)
      await bothReplicas()
      await purge(two[0], '--namespace', NAMESPACE, '--tag', 'pages')
    })
  })
})
