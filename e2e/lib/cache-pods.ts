/** The origin of the cache tests as a pod with its Service, and Headgate's replicas, each asked by itself. */
import { readFileSync } from 'node:fs'
import { type Answer, ask, RELEASE, SYSTEM } from './headgate.ts'
import { kubectl } from './kubernetes.ts'
import { restricted } from './pods.ts'

export const ORIGIN = 'origin'
const PORT = 9000

/** The pod `origin`, its script and its Service. */
export function cachedOrigin(namespace: string): object[] {
  const script = readFileSync(new URL('cached-origin.ts', import.meta.url), 'utf8')
  const command = ['node', '/server/server.mts', String(PORT)]
  return [
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: ORIGIN, namespace }, data: { 'server.mts': script } },
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: ORIGIN, namespace, labels: { app: ORIGIN } },
      spec: {
        automountServiceAccountToken: false,
        terminationGracePeriodSeconds: 1,
        ...restricted([{ name: ORIGIN, command, port: PORT, probe: '/readyz', mount: ['script', '/server'] }]),
        volumes: [{ name: 'script', configMap: { name: ORIGIN } }],
      },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: ORIGIN, namespace },
      spec: { selector: { app: ORIGIN }, ports: [{ name: 'http', port: 80, targetPort: PORT }] },
    },
  ]
}

export interface Replica {
  readonly pod: string
  /** A request to this replica alone. */
  ask(host: string, path: string, headers?: Readonly<Record<string, string>>): Promise<Answer>
}

interface PodList {
  readonly items: readonly {
    readonly metadata: { readonly name: string; readonly deletionTimestamp?: string }
    readonly status: {
      readonly podIP?: string
      readonly conditions?: readonly { readonly type: string; readonly status: string }[]
    }
  }[]
}

/** Those that are ready and not ending. */
export async function replicas(): Promise<Replica[]> {
  const labels = ['-l', `app.kubernetes.io/instance=${RELEASE}`]
  const { items } = JSON.parse(await kubectl('get', 'pods', '-n', SYSTEM, ...labels, '-o', 'json')) as PodList
  return items
    .filter(({ metadata, status }) => {
      const ready = status.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') === true
      return ready && metadata.deletionTimestamp === undefined
    })
    .map(({ metadata, status }) => ({
      pod: metadata.name,
      ask: (host, path, headers = {}) => ask(`${status.podIP}:8080`, path, { host, ...headers }),
    }))
}

/** The version that a page says in every line of it; an error where it is not that page, or not of one version. */
export function versionOf({ status, body }: Answer, path: string, variant = '-'): number {
  const lines = new Set(body.trimEnd().split('\n'))
  const version = new RegExp(`^${path} ${variant} v(\\d+)$`).exec([...lines][0] ?? '')?.[1]
  if (status !== 200 || lines.size !== 1 || version === undefined)
    throw new Error(`${status}, not one version of ${path}: ${[...lines].slice(0, 3).join(' | ').slice(0, 300)}`)
  return Number(version)
}
