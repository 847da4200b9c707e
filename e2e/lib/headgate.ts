/** Headgate in the cluster: installed by its chart, asked over its Service. */
import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { Agent, type IncomingHttpHeaders, request } from 'node:http'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { get, helm } from './kubernetes.ts'
import { IMAGE } from './pods.ts'
import { until } from './wait.ts'

export const CHART = fileURLToPath(new URL('../../helm/headgate', import.meta.url))
export const SYSTEM = 'headgate-system'
export const RELEASE = 'headgate'

/** What every installation of the tests has in common. */
const VALUES: Readonly<Record<string, string>> = {
  'image.repository': IMAGE.slice(0, IMAGE.lastIndexOf(':')),
  'image.tag': IMAGE.slice(IMAGE.lastIndexOf(':') + 1),
  'service.type': 'ClusterIP',
  // One node for everything: what is asked for must fit.
  'resources.requests.cpu': '10m',
  'resources.requests.memory': '64Mi',
}

/** The archive of the image that was loaded last; none on a cluster that was given by KUBECONFIG. */
const loaded = (() => {
  const state = process.env.HEADGATE_E2E_STATE
  const file = state === undefined ? undefined : join(state, 'image')
  return file !== undefined && existsSync(file) ? { 'podAnnotations.image': readFileSync(file, 'utf8') } : {}
})()

export interface Installation {
  readonly release?: string
  readonly namespace?: string
  readonly values?: Readonly<Record<string, string>>
  /** Who installs it; the namespace must be there then. */
  readonly user?: string
  /** Folder of the chart, where it is not ours. */
  readonly chart?: string
}

/** Installs, or upgrades what is installed, and waits until every pod is ready. */
export async function install({
  release = RELEASE,
  namespace = SYSTEM,
  values = {},
  user,
  chart = CHART,
}: Installation = {}): Promise<void> {
  const settings = Object.entries({ ...VALUES, ...loaded, ...values }).flatMap(([key, value]) => [
    '--set',
    `${key}=${value}`,
  ])
  const layout = ['--namespace', namespace, ...(user === undefined ? ['--create-namespace'] : ['--kube-as-user', user])]
  await helm('upgrade', '--install', release, chart, ...layout, ...settings, '--wait', '--timeout', '3m')
}

export async function uninstall({ release = RELEASE, namespace = SYSTEM }: Installation = {}): Promise<void> {
  await helm('uninstall', release, '--namespace', namespace, '--ignore-not-found', '--wait', '--timeout', '3m')
}

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** Where requests from outside get in. */
export interface Entrance {
  readonly address: string
  /** A request on a connection of its own. */
  ask(host: string, path?: string, headers?: Readonly<Record<string, string>>, body?: string): Promise<Answer>
  close(): void
}

/** The Service itself where the tests run in the cluster's network, else a port forwarded to it. */
export async function entrance(namespace = SYSTEM, service = RELEASE, port = 80): Promise<Entrance> {
  if (process.env.HEADGATE_E2E_STATE !== undefined) {
    const found = await get<{ spec: { clusterIP: string } }>('service', service, namespace)
    if (found === undefined) throw new Error(`no Service ${namespace}/${service}`)
    const address = `${found.spec.clusterIP}:${port}`
    // Pods that are ready are not reached by a Service before the node's proxy knows of them.
    await until(`an answer from ${namespace}/${service}`, () => ask(address, '/', { host: 'nobody.example' }))
    return entranceAt(address, () => {})
  }
  const child = spawn('kubectl', ['port-forward', '-n', namespace, `service/${service}`, `:${port}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const line = await new Promise<string>((resolve, reject) => {
    createInterface(child.stdout).once('line', resolve)
    child.once('exit', (code) => reject(new Error(`kubectl port-forward ended with ${code}`)))
  })
  return entranceAt(/127\.0\.0\.1:\d+/.exec(line)?.[0] ?? line, () => void child.kill())
}

const entranceAt = (address: string, close: () => void): Entrance => ({
  address,
  ask: (host, path = '/', headers = {}, body = undefined) => ask(address, path, { host, ...headers }, body),
  close,
})

/** One request, with a body a POST; rejects when no whole answer comes within ten seconds. */
export function ask(
  address: string,
  path: string,
  headers: Readonly<Record<string, string>>,
  body?: string,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sending = request(`http://${address}${path}`, {
      agent: new Agent({ keepAlive: false }),
      method: body === undefined ? 'GET' : 'POST',
      headers,
      signal: AbortSignal.timeout(10_000),
    })
    sending.on('error', reject)
    sending.on('response', (response) => {
      const chunks: Buffer[] = []
      response.on('error', reject)
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () =>
        resolve({
          status: response.statusCode!,
          headers: response.headers,
          body: Buffer.concat(chunks).toString(),
        }),
      )
    })
    sending.end(body)
  })
}
