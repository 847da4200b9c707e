/** The suite of every source, on a real API server: the reflector alone, without a gateway around it. */
import { after, before } from 'node:test'
import type { Kind } from '../../src/api/kinds.ts'
import { KubernetesClient } from '../../src/source/kubernetes/client.ts'
import { KubeConfigCredentials } from '../../src/source/kubernetes/kube-config.ts'
import { KubernetesSource } from '../../src/source/kubernetes/kubernetes-source.ts'
import { collectionPath, objectPath, resourceOf } from '../../src/source/kubernetes/resources.ts'
import type { Source, SourceEvent, SourceHandler } from '../../src/source/source.ts'
import { systemTimers } from '../../src/thread/system-timers.ts'
import { interestIn, type Manifest, sourceSuite } from '../../test/suite/source.ts'
import { type Api, CRDS, freshNamespace, kubectl, openApi } from '../lib/kubernetes.ts'
import { until } from '../lib/wait.ts'

const NAMESPACE = 'shop'
const KINDS: readonly Kind[] = ['Route', 'Backend', 'Secret', 'Service', 'EndpointSlice', 'ConfigMap']

let api: Api

before(async () => {
  await kubectl('apply', '--server-side', '--force-conflicts', '-f', CRDS)
  await until('the CRDs are established', () =>
    kubectl('wait', '--for=condition=Established', 'crd/routes.headgate.dev', 'crd/backends.headgate.dev'),
  )
  await freshNamespace(NAMESPACE)
  api = await openApi()
})

after(async () => {
  api?.close()
  await kubectl('delete', 'namespace', NAMESPACE, '--ignore-not-found', '--wait=false')
})

sourceSuite('a real API server', async () => {
  for (const kind of KINDS) await empty(kind)
  const credentials = new KubeConfigCredentials({ time: systemTimers })
  const { server } = await credentials.access()
  const client = new KubernetesClient(credentials, systemTimers)
  const whole = new KubernetesSource({
    client,
    server,
    random: Math.random,
    time: systemTimers,
    handlerFailed: (error) => {
      throw error
    },
  })
  const named = (name: string): string => `${NAMESPACE}/${name}`
  whole.interest(
    interestIn({ services: [named('v')], secrets: [named('s')], configMaps: [named('c')], namespaces: true }),
  )
  const written = new Set<string>()
  const put = async (object: Manifest): Promise<void> => {
    written.add(`${object.kind} ${object.metadata.namespace ?? ''}/${object.metadata.name}`)
    const kind = object.kind as Kind
    const created = await api.request(
      'POST',
      collectionPath(resourceOf(kind), kind === 'Namespace' ? undefined : NAMESPACE),
      object,
    )
    const { status, body } = created.status === 409 ? await api.request('PATCH', pathOf(object), object) : created
    if (status !== 200 && status !== 201) throw new Error(`${pathOf(object)}: ${status} ${JSON.stringify(body)}`)
  }
  return {
    source: narrowed(whole, written),
    put,
    putAll: async (objects) => {
      for (const object of objects) await put(object)
    },
    remove: async (object) => void (await api.request('DELETE', pathOf(object))),
    close: () => client.close(),
  }
})

function pathOf({ kind, metadata }: Manifest): string {
  return objectPath(resourceOf(kind as Kind), kind === 'Namespace' ? undefined : NAMESPACE, metadata.name)
}

/** Without what a cluster holds anyway. */
async function empty(kind: Kind): Promise<void> {
  const path = collectionPath(resourceOf(kind), NAMESPACE)
  const { body } = await api.request('GET', path)
  for (const { metadata } of body.items as { metadata: { name: string } }[])
    if (metadata.name !== 'kube-root-ca.crt') await api.request('DELETE', `${path}/${metadata.name}`)
}

/** Only what the suite has written: everything else of the cluster is none of its business. */
function narrowed(source: Source, written: ReadonlySet<string>): Source {
  return {
    start: (handler: SourceHandler) =>
      source.start({
        changed: (events: SourceEvent[]) => {
          const own = events.filter(({ kind, key }) => written.has(`${kind} ${key}`))
          if (own.length > 0) handler.changed(own)
        },
        synced: () => handler.synced(),
        problems: (list) => handler.problems(list),
      }),
    stop: () => source.stop(),
    locate: (kind, key, path) => source.locate(kind, key, path),
  }
}
