/** Pods that speak WebSocket and gRPC over clear-text HTTP/2, with their Service. */
import { readFileSync } from 'node:fs'
import { restricted } from './pods.ts'

export const WEBSOCKET_PORT = 9000
export const GRPC_PORT = 9001

export interface ProtocolPods {
  readonly namespace: string
  readonly name: string
  readonly replicas: number
}

/** The Deployment, its script, and a Service that says by `appProtocol` what each port speaks. */
export function protocolPods({ namespace, name, replicas }: ProtocolPods): object[] {
  const script = readFileSync(new URL('protocol-server.ts', import.meta.url), 'utf8')
  const pod = restricted([
    {
      name: 'service',
      command: ['node', '/server/server.mts', String(WEBSOCKET_PORT), String(GRPC_PORT)],
      port: WEBSOCKET_PORT,
      probe: '/readyz',
      mount: ['script', '/server'],
      preStopSeconds: 2,
    },
  ])
  return [
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace }, data: { 'server.mts': script } },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name, namespace },
      spec: {
        replicas,
        selector: { matchLabels: { app: name } },
        strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
        template: {
          metadata: { labels: { app: name } },
          spec: {
            automountServiceAccountToken: false,
            terminationGracePeriodSeconds: 10,
            ...pod,
            volumes: [{ name: 'script', configMap: { name } }],
          },
        },
      },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace },
      spec: {
        selector: { app: name },
        ports: [
          { name: 'ws', port: 80, targetPort: WEBSOCKET_PORT, appProtocol: 'kubernetes.io/ws' },
          { name: 'grpc', port: 81, targetPort: GRPC_PORT, appProtocol: 'kubernetes.io/h2c' },
        ],
      },
    },
  ]
}
