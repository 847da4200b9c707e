/**
 * Pods that fail as they are told to, without a readiness probe: what takes them out is Headgate. Each fault has a
 * Backend of its own, with one pod that fails and the pods that are well, which all of them have in common.
 */
import { readFileSync } from 'node:fs'
import type { FaultEndpointOptions, FaultMode } from '../../bench/lib/fault-endpoint.ts'
import { signalContainer } from './faults.ts'
import { kubectl } from './kubernetes.ts'
import { restricted } from './pods.ts'
import { backend, route } from './service.ts'
import { until } from './wait.ts'

export type PodFault = 'kill -9' | 'SIGSTOP' | FaultMode

export const PORT = 9000
const CONTROL = 9001
const WELL = 3

export const nameOf = (index: number): string => `fault-${index}`
export const hostOf = (index: number): string => `${nameOf(index)}.example`
/** Of the pod that fails. */
export const failing = (index: number): string => `failing-${index}`

/** Everything for so many faults. */
export function faultPods(namespace: string, faults: number, spec: object, policies: object): object[] {
  const script = readFileSync(new URL('../../bench/lib/fault-endpoint.ts', import.meta.url), 'utf8')
  const all = Array.from({ length: faults }, (_, index) => index)
  const pod = (name: string, groups: readonly number[]) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, labels: Object.fromEntries(groups.map((index) => [nameOf(index), 'yes'])) },
    spec: {
      automountServiceAccountToken: false,
      terminationGracePeriodSeconds: 1,
      ...restricted([{ name: 'endpoint', command: command(name), port: PORT, mount: ['script', '/endpoint'] }]),
      volumes: [{ name: 'script', configMap: { name: 'endpoint' } }],
    },
  })
  return [
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'endpoint', namespace },
      data: { 'endpoint.mts': script },
    },
    ...Array.from({ length: WELL }, (_, index) => pod(`well-${index}`, all)),
    ...all.flatMap((index) => [
      pod(failing(index), [index]),
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: nameOf(index), namespace },
        spec: { selector: { [nameOf(index)]: 'yes' }, ports: [{ name: 'http', port: 80, targetPort: PORT }] },
      },
      backend(namespace, nameOf(index), spec),
      route(namespace, nameOf(index), hostOf(index), undefined, { policies }),
    ]),
  ]
}

function command(name: string): string[] {
  const options: FaultEndpointOptions = { name, ports: [PORT], address: '0.0.0.0', control: CONTROL }
  return ['node', '/endpoint/endpoint.mts', JSON.stringify(options)]
}

export class FaultPod {
  readonly address: string
  readonly #container: string

  private constructor(address: string, container: string) {
    this.address = address
    this.#container = container
  }

  static async find(namespace: string, name: string): Promise<FaultPod> {
    const path = 'jsonpath={.status.podIP} {.status.containerStatuses[0].containerID}'
    const [address, id] = (await kubectl('get', 'pod', name, '-n', namespace, '-o', path)).split(' ')
    return new FaultPod(address!, id!.replace(/^.*:\/\//, ''))
  }

  async begin(fault: PodFault): Promise<void> {
    if (fault === 'kill -9') await signalContainer(this.#container, 'SIGKILL')
    else if (fault === 'SIGSTOP') await signalContainer(this.#container, 'SIGSTOP')
    else await this.#become(fault)
  }

  /** Resolves when it serves again, asked directly. */
  async end(fault: PodFault): Promise<void> {
    if (fault === 'SIGSTOP') await signalContainer(this.#container, 'SIGCONT')
    else if (fault !== 'kill -9') await this.#become('well')
    const asked = async () => (await fetch(`http://${this.address}:${PORT}/`)).status === 200
    await until(`${this.address} serves again`, asked, { every: 20 })
  }

  async #become(mode: FaultMode): Promise<void> {
    await (await fetch(`http://${this.address}:${CONTROL}/${mode}`)).text()
  }
}
