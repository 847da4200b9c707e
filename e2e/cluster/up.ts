/** Brings a cluster up: a node on this machine, everything in a network and a folder of its own. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { attempt, execute } from '../lib/execute.ts'
import { createCertificates } from './certificates.ts'
import { type ClusterLayout, DNS_ADDRESS, NODE_ADDRESS, NODE_NAME } from './cluster-layout.ts'
import { type Component, commandOf } from './components.ts'
import { writeConfiguration } from './configuration.ts'
import { createGroup } from './control-group.ts'
import { importImage, pauseImage } from './images.ts'
import { createNetwork } from './network.ts'
import { isRunning, lastLines, start } from './processes.ts'
import { provideDebian, providePrograms } from './programs.ts'
import { step } from './steps.ts'

/** Idempotent: what is there already stays as it is. */
export async function up(layout: ClusterLayout): Promise<void> {
  if (process.getuid?.() !== 0)
    throw new Error('a cluster of its own needs root; or set KUBECONFIG to one that is there')
  await provideDebian()
  const programs = await providePrograms()
  const pause = await pauseImage(programs)
  const begin = (component: Component) => start(layout, component, commandOf(layout, programs, component))
  await step('network, certificates, configuration', 10, async () => {
    mkdirSync(layout.logs, { recursive: true })
    await createNetwork(layout)
    createGroup(layout)
    await createCertificates(layout)
    await writeConfiguration(layout)
  })
  await step('etcd, API server', 30, async () => {
    await begin('etcd')
    await begin('apiserver')
    await begin('containerd')
    await apiServerReady(layout, programs)
  })
  await step('controllers, scheduler, kubelet, proxy, DNS', 30, async () => {
    // They end when they are earlier than the API server's own objects.
    await begin('controllers')
    await begin('scheduler')
    await until(layout, 'containerd', () => ctr(layout, 'version'))
    await importImage(layout, pause)
    await begin('kubelet')
    await begin('proxy')
    await kubectl(layout, programs, ['apply', '--server-side', '-f', '-'], JSON.stringify(DNS_OBJECTS))
    await begin('dns')
  })
  await step('node ready', 30, async () => {
    await until(layout, 'kubelet', async () => {
      const path = '{.status.conditions[?(@.type=="Ready")].status}'
      const { code, stdout } = await tryKubectl(layout, programs, ['get', 'node', NODE_NAME, '-o', `jsonpath=${path}`])
      return code === 0 && stdout === 'True'
    })
    await until(layout, 'controllers', async () => {
      const { code } = await tryKubectl(layout, programs, ['get', 'serviceaccount', 'default', '-n', 'default'])
      return code === 0
    })
    await until(layout, 'dns', () => dnsAnswers(layout))
  })
}

/** Asked where pods ask: by the address of its Service. */
async function dnsAnswers(layout: ClusterLayout): Promise<boolean> {
  const script = `
    const resolver = new (require('node:dns').promises.Resolver)({ timeout: 1000, tries: 1 })
    resolver.setServers(['${DNS_ADDRESS}'])
    resolver.resolve4('kubernetes.default.svc.cluster.local').catch(() => process.exit(1))`
  const { code } = await attempt('nsenter', [...layout.enter, process.execPath, '-e', script], { timeout: 10_000 })
  return code === 0
}

/** Waits until the API server says that it is ready. */
export async function apiServerReady(layout: ClusterLayout, programs: string): Promise<void> {
  await until(
    layout,
    'apiserver',
    async () => (await tryKubectl(layout, programs, ['get', '--raw', '/readyz'])).code === 0,
  )
}

async function until(layout: ClusterLayout, component: Component, holds: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 120_000
  while (!(await holds())) {
    if (!isRunning(layout, component)) throw new Error(`${component} has ended:\n${lastLines(layout, component)}`)
    if (Date.now() > deadline) throw new Error(`${component} does not get ready:\n${lastLines(layout, component)}`)
    await sleep(200)
  }
}

async function ctr(layout: ClusterLayout, ...args: string[]): Promise<boolean> {
  return (await attempt('ctr', ['-a', join(layout.state, 'containerd.sock'), ...args])).code === 0
}

const kubectlCommand = (layout: ClusterLayout, programs: string, args: readonly string[]) => [
  ...layout.enter,
  join(programs, 'bin', 'kubectl'),
  `--kubeconfig=${layout.kubeconfig}`,
  ...args,
]

const tryKubectl = (layout: ClusterLayout, programs: string, args: readonly string[]) =>
  attempt('nsenter', kubectlCommand(layout, programs, args), { timeout: 20_000 })

const kubectl = (layout: ClusterLayout, programs: string, args: readonly string[], input: string) =>
  execute('nsenter', kubectlCommand(layout, programs, args), { input })

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
