/**
 * The cluster's own parts break under a steady load: what was known goes on being served, and what changed is caught up
 * with.
 */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { apiServerAway, compactEtcd, endContainer, endThread, notOurs, restart } from '../lib/faults.ts'
import { figure } from '../lib/figures.ts'
import { ask, type Entrance, entrance, install, RELEASE, SYSTEM } from '../lib/headgate.ts'
import { apply, freshNamespace, kubectl, tryKubectl } from '../lib/kubernetes.ts'
import { backend, deployment, rolledOut, route, service } from '../lib/service.ts'
import { underLoad } from '../lib/under-load.ts'
import { until } from '../lib/wait.ts'

const NAMESPACE = 'faults'
const HOST = 'faults.example'
const NAME = 'faults'
/** Milliseconds that the API server is away at least, and until a container that has started meanwhile was asked. */
const AWAY = 8_000

let door: Entrance

before(async () => {
  if (notOurs) return
  await install()
  door = await entrance()
  await freshNamespace(NAMESPACE)
  const options = { namespace: NAMESPACE, name: NAME, replicas: 3 }
  await apply(deployment(options), service(options), backend(NAMESPACE, NAME), route(NAMESPACE, NAME, HOST))
  await rolledOut(NAMESPACE, NAME)
  await until('traffic', async () => (await door.ask(HOST)).status === 200)
})

after(async () => {
  if (notOurs) return
  door?.close()
  await kubectl('delete', 'namespace', NAMESPACE, '--ignore-not-found', '--wait=false')
})

describe('no request fails', { skip: notOurs }, () => {
  it('while the API server is killed and unreachable for a minute; a later change applies soon', async () => {
    await under('API server killed, away for 60 s', async () => {
      await apiServerAway(60_000)
      await seen('after-outage')
    })
  })

  it('while etcd compacts its history and the watches restart', async () => {
    await under('etcd compacted while no watch was there', async () => {
      await apply(route(NAMESPACE, 'gone', 'gone.example', [answering('gone')]))
      await everywhere('gone.example', 200)
      await apiServerAway(1000, async () => void (await compactEtcd()))
      // The objects of before, minus one, plus one: a list taken anew must show all three.
      await kubectl('delete', 'route.headgate.dev', 'gone', '-n', NAMESPACE)
      await compactEtcd()
      await seen('after-compaction')
      await everywhere('gone.example', 404)
    })
  })

  it('while the kubelet is restarted', async () => {
    const before = await restarts()
    await under('kubelet restarted', async () => {
      await restart('kubelet')
      await sleep(5000)
    })
    assert.equal(await restarts(), before, 'no container was started again')
  })
})

describe('the leader', { skip: notOurs }, () => {
  it('is deleted: no request fails, and another one takes over', async () => {
    const { name } = await leader()
    await under('leader deleted', async () => {
      await kubectl('delete', 'pod', name, '-n', SYSTEM, '--wait=false')
      await told('leader-deleted')
      await rolledOut(SYSTEM, RELEASE)
    })
    await until('another leads', async () => (await leader()).name !== name, { every: 500 })
  })

  it('is killed: requests to the others do not fail, and another one takes over', async () => {
    const { name, container } = await leader()
    const other = (await headgatePods()).items.find(({ metadata }) => metadata.name !== name)!
    const load = { namespace: NAMESPACE, host: HOST, address: `${other.status.podIP}:8080` }
    await underLoad('leader killed', load, async () => {
      await endContainer(container)
      await told('leader-killed')
    })
    await rolledOut(SYSTEM, RELEASE)
  })

  it('has its control thread killed: no request fails, and it continues', async () => {
    const { container } = await leader()
    const before = await restarts()
    await under('control thread of the leader killed', async () => {
      await endThread(container, 'control/main')
      await told('control-killed')
    })
    assert.equal(await restarts(), before, 'only the thread was started again')
  })
})

describe('a container that starts while the API server is down', { skip: notOurs }, () => {
  it('is not ready, returns no wrong 404, and becomes ready by itself', async () => {
    const pod = await onePod()
    await apiServerAway(AWAY, async () => {
      await endContainer(pod.container)
      // The signals port of the new container, on the node's network.
      const answer = await until('the new container is not ready', async () => {
        const ready = await fetch(`http://${pod.address}:9902/readyz`, { signal: AbortSignal.timeout(2000) })
        const text = await ready.text()
        return ready.status === 503 && text.includes('API server') && text
      })
      figure('start without an API server, /readyz says', answer.trim().replaceAll(/\s+/g, ' ').slice(0, 200))
      const status = await ask(`${pod.address}:8080`, '/', { host: HOST }).then(
        (other) => other.status,
        (error: NodeJS.ErrnoException) => error.code,
      )
      figure('the same, a request is answered with', String(status))
      assert.notEqual(status, 404)
      assert.notEqual(status, 200)
    })
    const started = performance.now()
    await until('ready', async () => (await fetch(`http://${pod.address}:9902/readyz`)).status === 200)
    figure('API server ready → the pod that waited for it is ready', `${(performance.now() - started).toFixed(0)} ms`)
    await rolledOut(SYSTEM, RELEASE)
  })
})

describe('a container with a state directory that starts while the API server is down', { skip: notOurs }, () => {
  it('serves its checkpoint, reports it, and is reconciled without a gap', async () => {
    const key = Buffer.alloc(32, 7).toString('base64')
    await apply({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'state-key', namespace: SYSTEM },
      stringData: { keys: `${key}\n` },
    })
    await install({ values: { 'state.enabled': 'true', 'state.keySecretName': 'state-key' } })
    await apply(route(NAMESPACE, 'kept', 'kept.example', [answering('kept')]))
    await everywhere('kept.example', 200)
    // Controllers that have just been started again leave pods of before for a while.
    await until('the pods of before are gone', async () => (await headgatePods()).items.length === 2, { seconds: 120 })
    const pod = await onePod()
    const files = "console.log(require('fs').readdirSync('/var/lib/headgate', { recursive: true }))"
    await until('the state is written', async () => {
      const { stdout, stderr } = await tryKubectl(['exec', '-n', SYSTEM, pod.name, '--', 'node', '-e', files])
      if (stdout.includes('cluster/objects')) return true
      throw new Error(`${pod.name} holds ${stdout}${stderr}`)
    })
    // What was written just before its end may be missing: a Route of the last seconds.
    await sleep(8_000)
    const url = `http://${pod.address}:9902/readyz`
    await apiServerAway(AWAY, async () => {
      await endContainer(pod.container)
      const started = performance.now()
      const says = await until('ready without an API server', async () => {
        const ready = await fetch(url, { signal: AbortSignal.timeout(2000) })
        const text = await ready.text()
        return ready.status === 200 && text
      })
      figure('start without an API server, with a state directory → ready', ms(performance.now() - started))
      figure('the same, /readyz says', says.trim().replaceAll(/\s+/g, ' ').slice(0, 200))
      assert.match(says, /serving the checkpoint of an earlier process/)
      assert.equal((await ask(`${pod.address}:8080`, '/', { host: 'kept.example' })).body, 'kept')
      assert.equal((await ask(`${pod.address}:8080`, '/', { host: HOST })).status, 200)
    })
    const load = { namespace: NAMESPACE, host: HOST, address: `${pod.address}:8080` }
    await underLoad('reconciling the checkpoint with the cluster', load, async () => {
      await apply(route(NAMESPACE, 'kept', 'kept.example', [answering('changed')]))
      await until('the change', async () => {
        return (await ask(`${pod.address}:8080`, '/', { host: 'kept.example' })).body === 'changed'
      })
      await until('no checkpoint is served any more', async () => (await (await fetch(url)).text()) === 'ok\n')
    })
    const secret = `require('fs').readFileSync('/var/lib/headgate/cluster/objects').includes('kept.example') && process.exit(1)`
    const { code } = await tryKubectl(['exec', '-n', SYSTEM, pod.name, '--', 'node', '-e', secret])
    assert.equal(code, 0, 'with a key all of it is sealed')
  })
})

const under = (what: string, work: () => Promise<void>) => underLoad(what, { namespace: NAMESPACE, host: HOST }, work)

const answering = (body: string) => ({ name: 'all', respond: { statusCode: 200, body } })

/** A Route applied now acts on every replica; notes how long that took. */
async function seen(name: string): Promise<void> {
  const started = performance.now()
  await apply(route(NAMESPACE, name, `${name}.example`, [answering(name)]))
  await everywhere(`${name}.example`, 200, 120)
  figure(`${name}: a Route applied → seen on every replica`, `${(performance.now() - started).toFixed(0)} ms`)
}

/** A Route applied now is told that it is served; notes how long that took. */
async function told(name: string): Promise<void> {
  const started = performance.now()
  await apply(route(NAMESPACE, name, `${name}.example`, [answering(name)]))
  await everywhere(`${name}.example`, 200)
  await kubectl('wait', '-n', NAMESPACE, `route.headgate.dev/${name}`, '--for=condition=Ready', '--timeout=60s')
  figure(`${name}: a Route applied → its status says Ready`, `${(performance.now() - started).toFixed(0)} ms`)
}

async function leader(): Promise<{ readonly name: string; readonly container: string }> {
  return await until('a leader', async () => {
    const path = 'jsonpath={.spec.holderIdentity}'
    const holder = await kubectl('get', 'lease', RELEASE, '-n', SYSTEM, '-o', path)
    const pod = (await headgatePods()).items.find(({ metadata }) => holder.startsWith(`${metadata.name}_`))
    if (pod === undefined) return undefined
    return { name: pod.metadata.name, container: idOf(pod.status.containerStatuses[0]!.containerID) }
  })
}

const everywhere = (host: string, status: number, seconds = 60) =>
  until(
    `${status} from ${host} everywhere`,
    async () => {
      for (let i = 0; i < 10; i++) if ((await door.ask(host)).status !== status) return false
      return true
    },
    { seconds },
  )

interface PodList {
  readonly items: {
    readonly metadata: { readonly name: string; readonly deletionTimestamp?: string }
    readonly status: {
      readonly podIP: string
      readonly containerStatuses: { readonly restartCount: number; readonly containerID: string }[]
    }
  }[]
}

/** Without those that are ending. */
async function headgatePods(): Promise<PodList> {
  const label = `app.kubernetes.io/instance=${RELEASE}`
  const { items }: PodList = JSON.parse(await kubectl('get', 'pods', '-n', SYSTEM, '-l', label, '-o', 'json'))
  return { items: items.filter(({ metadata }) => metadata.deletionTimestamp === undefined) }
}

async function restarts(): Promise<number> {
  return (await headgatePods()).items.reduce((sum, pod) => sum + pod.status.containerStatuses[0]!.restartCount, 0)
}

async function onePod(): Promise<{ name: string; address: string; container: string }> {
  // The node makes one that was killed already wait.
  const restartsOf = ({ status }: PodList['items'][number]) => status.containerStatuses[0]!.restartCount
  const [pod] = (await headgatePods()).items.sort((a, b) => restartsOf(a) - restartsOf(b))
  const { podIP, containerStatuses } = pod!.status
  return { name: pod!.metadata.name, address: podIP, container: idOf(containerStatuses[0]!.containerID) }
}

const ms = (time: number): string => `${time.toFixed(0)} ms`

/** As containerd knows it. */
const idOf = (id: string): string => id.replace(/^.*:\/\//, '')
