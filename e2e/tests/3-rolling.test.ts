/** A steady load, and what happens to backends and to Headgate meanwhile: no request may fail. */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { figure } from '../lib/figures.ts'
import { type Entrance, entrance, install, RELEASE, SYSTEM } from '../lib/headgate.ts'
import { apply, freshNamespace, kubectl } from '../lib/kubernetes.ts'
import { startLoad } from '../lib/load-pod.ts'
import { REGISTRAR_VALUES, registrar, registrarSecret } from '../lib/registrar.ts'
import { backend, deployment, rolledOut, route, service } from '../lib/service.ts'
import { insideAddress, podNames, underLoad } from '../lib/under-load.ts'
import { until } from '../lib/wait.ts'

const NAMESPACE = 'rolling'
const HOST = 'rolling.example'
const NAME = 'rolling'
const REGISTERED = 'registered'
const REGISTERED_HOST = 'registered.example'
const BARE = 'bare'
const BARE_HOST = 'bare.example'

let door: Entrance

before(async () => {
  await install()
  door = await entrance()
  await freshNamespace(NAMESPACE)
  const options = { namespace: NAMESPACE, name: NAME, replicas: 10 }
  await apply(deployment(options), service(options), backend(NAMESPACE, NAME), route(NAMESPACE, NAME, HOST))
  await rolledOut(NAMESPACE, NAME)
  await until('traffic', async () => (await door.ask(HOST)).status === 200)
})

after(async () => {
  door?.close()
  await kubectl('delete', 'namespace', NAMESPACE, '--ignore-not-found', '--wait=false')
})

describe('the load', () => {
  it('counts failures with their reason', async () => {
    const url = `http://${await insideAddress()}/`
    const load = await startLoad(NAMESPACE, 'misled', { url, host: 'nobody.example', rate: 50, connections: 5 })
    const { requests, failures, reasons } = await load.stop()
    assert.ok(requests > 0)
    assert.equal(failures, requests)
    assert.deepEqual(reasons, { '404 HostNotFound': failures })
  })
})

describe('no request fails', () => {
  it('while a backend of 10 replicas is rolled with maxSurge 25 %', async () => {
    const report = await under('rolling update of 10 replicas', async () => {
      await kubectl('rollout', 'restart', `deployment/${NAME}`, '-n', NAMESPACE)
      await rolledOut(NAMESPACE, NAME)
    })
    assert.ok(Object.keys(report.served).length >= 20, 'all of the old and of the new pods have answered')
  })

  it('while a backend is rolled whose pods end at once: no preStop hook, connections cut off', async () => {
    const options = { namespace: NAMESPACE, name: BARE, replicas: 4, preStopSeconds: 0 }
    await apply(deployment(options), service(options), backend(NAMESPACE, BARE), route(NAMESPACE, BARE, BARE_HOST))
    await rolledOut(NAMESPACE, BARE)
    await until('traffic', async () => (await door.ask(BARE_HOST)).status === 200)
    const load = { namespace: NAMESPACE, host: BARE_HOST }
    const report = await underLoad('rolling update of 4 replicas without preStop', load, async () => {
      await kubectl('rollout', 'restart', `deployment/${BARE}`, '-n', NAMESPACE)
      await rolledOut(NAMESPACE, BARE)
    })
    assert.ok(Object.keys(report.served).length >= 8, 'all of the old and of the new pods have answered')
    await kubectl('delete', 'deployment', BARE, '-n', NAMESPACE, '--wait=false')
  })

  it('while a backend is scaled from 10 to 1 to 10', async () => {
    await under('scale 10 → 1 → 10', async () => {
      await scale(1)
      await until('one pod', async () => (await pods()).length === 1)
      await scale(10)
      await rolledOut(NAMESPACE, NAME)
    })
  })

  it('while a pod is deleted without any grace', async () => {
    await under('pods deleted with grace 0', async () => {
      for (const pod of (await pods()).slice(0, 3)) {
        await kubectl('delete', 'pod', pod, '-n', NAMESPACE, '--grace-period=0', '--force')
        await sleep(1000)
      }
      await rolledOut(NAMESPACE, NAME)
    })
  })

  it('while Headgate itself is rolled', async () => {
    await under('rolling update of Headgate', async () => {
      await kubectl('rollout', 'restart', `deployment/${RELEASE}`, '-n', SYSTEM)
      await rolledOut(SYSTEM, RELEASE)
      // The last of the old pods are still draining.
      await until('the old pods are gone', async () => (await headgatePods()).length === 2, { every: 500, seconds: 90 })
    })
  })

  it('while helm upgrade changes values', async () => {
    await under('helm upgrade with other values', async () => {
      await apply(registrarSecret)
      await install({ values: { 'log.level': 'debug', workers: '1', ...REGISTRAR_VALUES } })
      await until('the old pods are gone', async () => (await headgatePods()).length === 2, { every: 500, seconds: 90 })
    })
  })
})

describe('a Backend whose endpoints register', () => {
  it('is accepted, serves them, and fails no request while they come and go', async () => {
    const backends = { apiVersion: 'headgate.dev/v1alpha1', kind: 'Backend' }
    const metadata = { name: REGISTERED, namespace: NAMESPACE }
    await apply({ ...backends, metadata, spec: { registration: { lease: '1h' } } })
    await apply(route(NAMESPACE, REGISTERED, REGISTERED_HOST))
    await kubectl('wait', '-n', NAMESPACE, `backend.headgate.dev/${REGISTERED}`, '--for=condition=Accepted')
    await until('no endpoint', async () => (await door.ask(REGISTERED_HOST)).status === 503)
    const path = 'jsonpath={.items[*].status.podIP}'
    const addresses = (await kubectl('get', 'pods', '-n', NAMESPACE, '-l', `app=${NAME}`, '-o', path)).split(' ')
    const everywhere = async (method: string, id: string, body?: object) => {
      for (const pod of await headgatePods()) {
        const said = await registrar(pod, method, `${NAMESPACE}/${REGISTERED}/endpoints/${id}`, body)
        assert.match(said, /^20[01] /)
      }
    }
    const endpoint = (index: number) => ({ address: addresses[index], port: 9000 })
    await everywhere('PUT', 'one', endpoint(0))
    await everywhere('PUT', 'two', endpoint(1))
    await until('both serve', async () => (await statusOf(REGISTERED)) === '2 2')
    assert.equal((await door.ask(REGISTERED_HOST)).status, 200)
    const load = { namespace: NAMESPACE, host: REGISTERED_HOST }
    const { served } = await underLoad('endpoints register and leave', load, async () => {
      await everywhere('DELETE', 'one?drain=0s')
      await everywhere('PUT', 'three', endpoint(2))
      await everywhere('DELETE', 'two?drain=10s')
    })
    assert.equal(Object.keys(served).length, 3)
  })
})

describe('a backend without pods', () => {
  it('returns 503 with a reason, and serves again immediately', async () => {
    // A port that is forwarded leads to one pod, and that is gone.
    door.close()
    door = await entrance()
    await scale(0)
    const { body } = await until('503', async () => {
      const answer = await door.ask(HOST)
      return answer.status === 503 && answer
    })
    assert.equal((JSON.parse(body) as { reason: string }).reason, 'NoEndpoint')
    await scale(1)
    const ready = await until(
      'a ready pod',
      async () => {
        const path = '{.items[*].endpoints[?(@.conditions.ready==true)].addresses[0]}'
        const labels = ['-l', `kubernetes.io/service-name=${NAME}`]
        return (
          (await kubectl('get', 'endpointslices', '-n', NAMESPACE, ...labels, '-o', `jsonpath=${path}`)) !== '' &&
          performance.now()
        )
      },
      { every: 10 },
    )
    await until('traffic', async () => (await door.ask(HOST)).status === 200, { every: 2 })
    figure('first endpoint after none → traffic', `${(performance.now() - ready).toFixed(0)} ms at most`)
    await scale(10)
    await rolledOut(NAMESPACE, NAME)
  })
})

const under = (what: string, work: () => Promise<void>) => underLoad(what, { namespace: NAMESPACE, host: HOST }, work)

const scale = (replicas: number) => kubectl('scale', `deployment/${NAME}`, '-n', NAMESPACE, `--replicas=${replicas}`)

/** Endpoints of a Backend, by its status: how many there are, and how many get requests. */
const statusOf = (name: string) =>
  kubectl(
    ...['get', 'backend.headgate.dev', name, '-n', NAMESPACE],
    ...['-o', 'jsonpath={.status.endpoints.total} {.status.endpoints.eligible}'],
  )

const pods = () => podNames(NAMESPACE, `app=${NAME}`)
const headgatePods = () => podNames(SYSTEM, `app.kubernetes.io/instance=${RELEASE}`)
