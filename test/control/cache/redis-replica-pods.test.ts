import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { describe, it } from 'node:test'
import type { EndpointSlice, SliceEndpoint } from '../../../src/api/kubernetes.ts'
import { ReplicaPods } from '../../../src/control/cache/replica-pods.ts'
import { systemTimers } from '../../../src/thread/system-timers.ts'
import { eventually, suiteScope } from '../../feature/harness.ts'
import { NO_REDIS, RedisServer } from '../../lib/redis-server.ts'
import { redisAt, replicaRig } from './purge-rig.ts'

const scope = suiteScope()

const IN_POD = { POD_NAME: 'a', POD_NAMESPACE: 'edge', HEADGATE_REPLICAS: 'headgate-replicas' }

const endpoint = (name: string, conditions: SliceEndpoint['conditions'] = {}): SliceEndpoint => ({
  addresses: ['127.0.0.1'],
  conditions,
  targetRef: { kind: 'Pod', namespace: 'edge', name },
})

function slice(port: number, ...endpoints: SliceEndpoint[]): EndpointSlice {
  const metadata = { name: 'headgate-replicas-x', namespace: 'edge' }
  const own = { apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', addressType: 'IPv4' } as const
  return { ...own, metadata, endpoints, ports: [{ name: 'signals', port, protocol: 'TCP' }] }
}

function podsOf(
  environment: Record<string, string> = IN_POD,
  read = (slices: EndpointSlice[]): EndpointSlice[] | undefined => slices,
): { slices: EndpointSlice[]; readonly pods: ReplicaPods } {
  const rig: { slices: EndpointSlice[]; readonly pods: ReplicaPods } = {
    slices: [],
    pods: new ReplicaPods({
      inCluster: true,
      environment,
      slices: (service) => {
        assert.equal(service, 'edge/headgate-replicas')
        const slices = read(rig.slices)
        return slices && new Map(slices.map((object, i) => [String(i), { object } as never]))
      },
      time: systemTimers,
    }),
  }
  return rig
}

/** A port of probes: that of a process that lives, and one where nothing listens any more. */
async function probePorts(): Promise<{ lives: number; ended: number }> {
  const [living, dead] = [createServer(), createServer()]
  for (const server of [living, dead]) await once(server.listen(0, '127.0.0.1'), 'listening')
  const [lives, ended] = [living, dead].map((server) => (server.address() as AddressInfo).port) as [number, number]
  dead.close()
  scope.after(() => void living.close())
  return { lives, ended }
}

describe('the pods of the other replicas', () => {
  it('are those of the slices in all families, without the own one', async () => {
    const rig = podsOf()
    const six = { ...endpoint('b', { serving: false }), addresses: ['::1'] }
    rig.slices = [slice(1, endpoint('a'), endpoint('b', { ready: true, serving: false })), slice(1, six, endpoint('c'))]
    assert.equal(rig.pods.own, 'edge/a')
    assert.deepEqual(
      rig.pods.pods()?.map(({ name, addresses, ready }) => [name, addresses, ready]),
      [
        ['edge/b', ['127.0.0.1', '::1'], false],
        ['edge/c', ['127.0.0.1'], true],
      ],
    )
  })

  it('are not known where the Service is not read, and nobody says then that a purge acts everywhere', async () => {
    const { pods } = podsOf(IN_POD, () => undefined)
    assert.equal(pods.pods(), undefined)
    const rig = replicaRig('a', { redis: null, stateDirectory: undefined }, { others: pods })
    scope.after(() => rig.caches.stop())
    const view = await rig.purge('/x')
    assert.deepEqual([view.everywhere, view.acts], [false, ['edge/a']])
  })

  it('have ended where nothing listens at the port of their probes', async () => {
    const rig = podsOf()
    const { lives, ended } = await probePorts()
    for (const [port, wanted] of [
      [lives, false],
      [ended, true],
    ] as const) {
      rig.slices = [slice(port, endpoint('b'))]
      assert.equal(await rig.pods.hasEnded(rig.pods.pods()![0]!), wanted)
    }
    // Nobody knows where it is.
    assert.equal(await rig.pods.hasEnded({ name: 'edge/gone', addresses: [], ports: new Map(), ready: false }), false)
  })
})

describe('the answer to a purge in a cluster', { skip: NO_REDIS }, () => {
  it('counts a pod that lives and has not said anything, and not one whose process has ended', async () => {
    const server = await RedisServer.of(scope)
    const { lives, ended } = await probePorts()
    const [own, other] = [podsOf(), podsOf({ ...IN_POD, POD_NAME: 'b' })]
    const a = replicaRig('a', redisAt(server.address), { others: own.pods })
    const b = replicaRig('b', redisAt(server.address), { others: other.pods })
    for (const { caches } of [a, b]) scope.after(() => caches.stop())
    own.slices = [slice(lives, endpoint('a'), endpoint('b'))]
    await eventually(async () => assert.deepEqual((await a.purge('/x')).acts, ['edge/a', 'edge/b']))

    own.slices = [slice(lives, endpoint('b'), endpoint('c'), endpoint('starts', { serving: false }))]
    const view = await a.purge('/x')
    assert.deepEqual(
      [view.acts, view.missing],
      [
        ['edge/a', 'edge/b'],
        ['edge/c', 'edge/starts'],
      ],
    )
    assert.equal(view.everywhere, false)
    assert.match(view.detail, /edge\/c, edge\/starts/)

    // Killed; its pod is there still, and what it has said stands in Redis.
    const said = 'hg:{purges}:replicas'
    const second = Math.floor(Date.now() / 1_000)
    await server.admin.hset(said, 'killed', `${a.worker.history} 0 edge/c ${second}`)
    own.slices = [slice(ended, endpoint('b'), endpoint('c', { serving: false }), endpoint('d', { serving: false }))]
    const begun = performance.now()
    const after = await a.purge('/x')
    assert.deepEqual([after.acts, after.missing, after.everywhere], [['edge/a', 'edge/b'], [], true])
    assert.ok(performance.now() - begun < 500)
    assert.equal(await server.admin.hexists(said, 'killed'), 0)

    // Still ready, as far as the cluster knows: it may serve.
    await server.admin.hset(said, 'cut-off', `${a.worker.history} 0 edge/c ${second}`)
    own.slices = [slice(ended, endpoint('b'), endpoint('c', { serving: true }))]
    assert.deepEqual((await a.purge('/x')).missing, ['edge/c'])

    // Its pod is gone, and it is silent.
    await server.admin.hset(said, 'cut-off', `${a.worker.history} 0 edge/c ${second - 6}`)
    own.slices = [slice(ended, endpoint('b'))]
    assert.equal((await a.purge('/x')).everywhere, true)
  })

  it('does not count the process that was before it in the same pod', async () => {
    const server = await RedisServer.of(scope)
    const said = 'hg:{purges}:replicas'
    await server.admin.hset(said, 'before', `1 0 edge/b ${Math.floor(Date.now() / 1_000)}`)
    const own = podsOf({ ...IN_POD, POD_NAME: 'b' })
    const b = replicaRig('b', redisAt(server.address), { others: own.pods })
    scope.after(() => b.caches.stop())
    await eventually(async () => assert.deepEqual(await server.admin.hkeys(said), ['b']))
  })
})
