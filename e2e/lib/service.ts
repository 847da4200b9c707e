/** The example service as a Deployment with its Service, and the resources that lead to it. */
import { kubectl } from './kubernetes.ts'
import { restricted } from './pods.ts'

const PORT = 9000

export interface ServiceOptions {
  readonly namespace: string
  readonly name: string
  readonly replicas?: number
  /** Flags of the example service. */
  readonly flags?: readonly string[]
  readonly labels?: Readonly<Record<string, string>>
  /** Where it listens; default all of IPv4. */
  readonly host?: string
  /** How long it waits before it ends, as whoever runs behind a Service should; default 2, 0 is no hook. */
  readonly preStopSeconds?: number
}

/** Each pod says its own name in `x-served-by`. */
export const deployment = ({
  namespace,
  name,
  replicas = 1,
  flags = [],
  labels = {},
  host = '0.0.0.0',
  preStopSeconds = 2,
}: ServiceOptions) => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name, namespace },
  spec: {
    replicas,
    selector: { matchLabels: { app: name } },
    strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: '25%', maxUnavailable: 0 } },
    template: {
      metadata: { labels: { app: name, ...labels } },
      spec: {
        automountServiceAccountToken: false,
        terminationGracePeriodSeconds: 20,
        ...restricted([
          {
            name: 'service',
            command: [
              ...['node', '/app/examples/service/main.js', '--host', host, '--port', `${PORT}`],
              ...['--name', '$(POD_NAME)', ...flags],
            ],
            port: PORT,
            probe: '/readyz',
            ...(preStopSeconds > 0 && { preStopSeconds }),
            env: [{ name: 'POD_NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }],
          },
        ]),
      },
    },
  },
})

export const service = ({ namespace, name }: ServiceOptions) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace },
  spec: { selector: { app: name }, ports: [{ name: 'http', port: 80, targetPort: 'http' }] },
})

export const backend = (namespace: string, name: string, spec: object = {}) => ({
  apiVersion: 'headgate.dev/v1alpha1',
  kind: 'Backend',
  metadata: { name, namespace },
  spec: { service: { name, port: 80 }, ...spec },
})

/** A Route for one host, everything to one Backend of the same namespace unless other rules are given. */
export const route = (namespace: string, name: string, host: string, rules?: readonly object[], spec: object = {}) => ({
  apiVersion: 'headgate.dev/v1alpha1',
  kind: 'Route',
  metadata: { name, namespace },
  spec: { hostnames: [host], rules: rules ?? [{ name: 'all', backendRefs: [{ name }] }], ...spec },
})

/** A rule that answers everything by itself. */
export const answering = (body: string) => ({ name: 'all', respond: { statusCode: 200, body } })

export async function rolledOut(namespace: string, name: string, seconds = 120): Promise<void> {
  await kubectl('rollout', 'status', `deployment/${name}`, '-n', namespace, `--timeout=${seconds}s`)
}
