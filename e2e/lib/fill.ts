/** Many objects in few calls: what a large cluster looks like to a gateway. */
import { type Api, apply } from './kubernetes.ts'

/** Requests under way at a time. */
const PARALLEL = 16

export interface FillOptions {
  readonly namespaces: readonly string[]
  /** In each namespace. */
  readonly routes: number
  readonly backends: number
  /** Of each Backend: addresses that nobody dials, in a slice that somebody has written. */
  readonly endpoints: number
}

/** @returns how many objects there are now */
export async function fill(api: Api, { namespaces, routes, backends, endpoints }: FillOptions): Promise<number> {
  await apply(...namespaces.map((name) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })))
  const jobs: (() => Promise<void>)[] = []
  const create = (path: string, namespace: string, plural: string, object: object) =>
    jobs.push(async () => {
      const { status, body } = await api.request('POST', `${path}/namespaces/${namespace}/${plural}`, object)
      if (status !== 201) throw new Error(`POST ${namespace}/${plural}: ${status} ${JSON.stringify(body)}`)
    })
  for (const [n, namespace] of namespaces.entries()) {
    for (let b = 0; b < backends; b++) {
      const name = `backend-${b}`
      create('/api/v1', namespace, 'services', {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name, namespace },
        spec: { clusterIP: 'None', ports: [{ name: 'http', port: 80, targetPort: 8080 }] },
      })
      create('/apis/discovery.k8s.io/v1', namespace, 'endpointslices', {
        apiVersion: 'discovery.k8s.io/v1',
        kind: 'EndpointSlice',
        metadata: { name: `${name}-x`, namespace, labels: { 'kubernetes.io/service-name': name } },
        addressType: 'IPv4',
        ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
        endpoints: Array.from({ length: endpoints }, (_, i) => ({
          addresses: [`10.${200 + (n % 50)}.${b}.${i + 1}`],
          conditions: { ready: true, serving: true, terminating: false },
        })),
      })
      create('/apis/headgate.dev/v1alpha1', namespace, 'backends', {
        apiVersion: 'headgate.dev/v1alpha1',
        kind: 'Backend',
        metadata: { name, namespace },
        spec: { service: { name, port: 'http' } },
      })
    }
    for (let r = 0; r < routes; r++)
      create('/apis/headgate.dev/v1alpha1', namespace, 'routes', {
        apiVersion: 'headgate.dev/v1alpha1',
        kind: 'Route',
        metadata: { name: `route-${r}`, namespace },
        spec: {
          hostnames: [`r${r}.${namespace}.example`],
          rules: [
            {
              name: 'api',
              matches: [{ path: { type: 'PathPrefix', value: '/api' } }],
              backendRefs: [{ name: `backend-${r % backends}` }],
            },
            {
              name: 'ping',
              matches: [{ path: { type: 'Exact', value: '/ping' } }],
              respond: { statusCode: 200, body: namespace },
            },
          ],
        },
      })
  }
  const count = jobs.length
  await Promise.all(
    Array.from({ length: PARALLEL }, async () => {
      for (let job = jobs.pop(); job !== undefined; job = jobs.pop()) await job()
    }),
  )
  return count
}
