/** Brings a cluster up: a node on this machine, everything in a network and a folder of its own. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { attempt, execute } from '../lib/execute.ts'
import { createCertificates } from './certificates.ts'
import { type Component, commandOf } from './components.ts'
import { writeConfiguration } from './configuration.ts'
import { createGroup } from './control-group.ts'
import { importImage, pauseImage } from './images.ts'
import { createNetwork } from './network.ts'
import { DNS_ADDRESS, NODE_ADDRESS, NODE_NAME, type Place } from './place.ts'
import { isRunning, lastWords, start } from './processes.ts'
import { provideDebian, providePrograms } from './programs.ts'
import { step } from './steps.ts'

/** Idempotent: what is there already stays as it is. */
export async function up(place: Place): Promise<void> {
  if (process.getuid?.() !== 0)
    throw new Error('a cluster of its own needs root; or set KUBECONFIG to one that is there')
  await provideDebian()
  const programs = await providePrograms()
  const pause = await pauseImage(programs)
  const begin = (component: Component) => start(place, component, commandOf(place, programs, component))
  await step('network, certificates, configuration', 10, async () => {
    mkdirSync(place.logs, { recursive: true })
    await createNetwork(place)
    createGroup(place)
    await createCertificates(place)
    await writeConfiguration(place)
  })
  await step('etcd, API server', 30, async () => {
    await begin('etcd')
    await begin('apiserver')
    await begin('containerd')
    await apiServerReady(place, programs)
  })
  await step('controllers, scheduler, kubelet, proxy, DNS', 30, async () => {
    // They end when they are earlier than the API server's own objects.
    await begin('controllers')
    await begin('scheduler')
    await until(place, 'containerd', () => ctr(place, 'version'))
    await importImage(place, pause)
    await begin('kubelet')
    await begin('proxy')
    await kubectl(place, programs, ['apply', '--server-side', '-f', '-'], JSON.stringify(DNS_OBJECTS))
    await begin('dns')
  })
  await step('node ready', 30, async () => {
    await until(place, 'kubelet', async () => {
      const path = '{.status.conditions[?(@.type=="Ready")].status}'
      const { code, stdout } = await tryKubectl(place, programs, ['get', 'node', NODE_NAME, '-o', `jsonpath=${path}`])
      return code === 0 && stdout === 'True'
    })
    await until(place, 'controllers', async () => {
      const { code } = await tryKubectl(place, programs, ['get', 'serviceaccount', 'default', '-n', 'default'])
      return code === 0
    })
    await until(place, 'dns', () => dnsAnswers(place))
  })
}

/** Asked where pods ask: by the address of its Service. */
async function dnsAnswers(place: Place): Promise<boolean> {
  const script = `
    const resolver = new (require('node:dns').promises.Resolver)({ timeout: 1000, tries: 1 })
    resolver.setServers(['${DNS_ADDRESS}'])
    resolver.resolve4('kubernetes.default.svc.cluster.local').catch(() => process.exit(1))`
  const { code } = await attempt('nsenter', [...place.enter, process.execPath, '-e', script], { timeout: 10_000 })
  return code === 0
}

/** Waits until the API server says that it is ready. */
export async function apiServerReady(place: Place, programs: string): Promise<void> {
  await until(
    place,
    'apiserver',
    async () => (await tryKubectl(place, programs, ['get', '--raw', '/readyz'])).code === 0,
  )
}

async function until(place: Place, component: Component, holds: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 120_000
  while (!(await holds())) {
    if (!isRunning(place, component)) throw new Error(`${component} has ended:\n${lastWords(place, component)}`)
    if (Date.now() > deadline) throw new Error(`${component} does not get ready:\n${lastWords(place, component)}`)
    await sleep(200)
  }
}

async function ctr(place: Place, ...args: string[]): Promise<boolean> {
  return (await attempt('ctr', ['-a', join(place.state, 'containerd.sock'), ...args])).code === 0
}

const kubectlCommand = (place: Place, programs: string, args: readonly string[]) => [
  ...place.enter,
  join(programs, 'bin', 'kubectl'),
  `--kubeconfig=${place.kubeconfig}`,
  ...args,
]

const tryKubectl = (place: Place, programs: string, args: readonly string[]) =>
  attempt('nsenter', kubectlCommand(place, programs, args), { timeout: 20_000 })

const kubectl = (place: Place, programs: string, args: readonly string[], input: string) =>
  execute('nsenter', kubectlCommand(place, programs, args), { input })

/** CoreDNS runs beside the node: a Service without a selector leads pods to it. */
const DNS_OBJECTS = {
  apiVersion: 'v1',
  kind: 'List',
  items: [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'kube-dns', namespace: 'kube-system' },
      spec: {
        clusterIP: DNS_ADDRESS,
        ports: [
          { name: 'dns', port: 53, protocol: 'UDP' },
          { name: 'dns-tcp', port: 53, protocol: 'TCP' },
        ],
      },
    },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: {
        name: 'kube-dns',
        namespace: 'kube-system',
        labels: { 'kubernetes.io/service-name': 'kube-dns' },
      },
      addressType: 'IPv4',
      ports: [
        { name: 'dns', port: 53, protocol: 'UDP' },
        { name: 'dns-tcp', port: 53, protocol: 'TCP' },
      ],
      endpoints: [{ addresses: [NODE_ADDRESS] }],
    },
  ],
}
