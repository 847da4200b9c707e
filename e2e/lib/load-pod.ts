/** The load as a pod: started, asked for what it saw, and taken away. */
import { readFileSync } from 'node:fs'
import { apply, kubectl, tryKubectl } from './kubernetes.ts'
import type { LoadOptions } from './load.ts'
import type { LoadReport } from './load-report.ts'
import { restricted } from './pods.ts'
import { until } from './wait.ts'

export interface Load {
  /** What happened so far, at most a second old. */
  report(): Promise<LoadReport>
  /** What happened in all; the pod is gone then. */
  stop(): Promise<LoadReport>
}

/** Starts the load and waits until its first requests are answered. */
export async function startLoad(namespace: string, name: string, options: LoadOptions): Promise<Load> {
  // What a test that failed has left behind.
  await kubectl('delete', 'pod', '-n', namespace, name, '--ignore-not-found', '--grace-period=0', '--force')
  const script = readFileSync(new URL('load.ts', import.meta.url), 'utf8')
  await apply(
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace }, data: { 'load.mts': script } },
    pod(namespace, name, options),
  )
  // Right after a start, and after the API server or the kubelet was away, a log cannot be read for a moment.
  const report = () =>
    until(`a report of load ${name}`, async () => {
      const { stdout } = await tryKubectl(['logs', '-n', namespace, name, '--tail=1'])
      return stdout.startsWith('{') && stdout.endsWith('}\n') ? (JSON.parse(stdout) as LoadReport) : undefined
    })
  await until(`load ${name} is answered`, async () => (await report()).requests > 0, { every: 200 })
  return {
    report,
    async stop() {
      const { seconds } = await report()
      const last = await until(
        'a later report of the load',
        async () => {
          const later = await report()
          return later.seconds > seconds ? later : undefined
        },
        { every: 200 },
      )
      await kubectl('delete', 'pod', '-n', namespace, name, '--grace-period=0', '--force', '--wait=false')
      return last
    },
  }
}

const pod = (namespace: string, name: string, options: LoadOptions) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace, labels: { app: name } },
  spec: {
    restartPolicy: 'Never',
    automountServiceAccountToken: false,
    ...restricted([
      { name: 'load', command: ['node', '/load/load.mts', JSON.stringify(options)], mount: ['script', '/load'] },
    ]),
    volumes: [{ name: 'script', configMap: { name } }],
  },
})
