/** The cluster under test, as a user has it: kubectl and helm, and the API behind them. */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { attempt, type ExecuteOptions, execute, type Outcome } from './execute.ts'
import { until } from './wait.ts'

export const CRDS = fileURLToPath(new URL('../../crds', import.meta.url))

/** kubectl that must succeed; what it printed. */
export function kubectl(...args: string[]): Promise<string> {
  return execute('kubectl', args)
}

/** kubectl that may fail. */
export function tryKubectl(args: readonly string[], options?: ExecuteOptions): Promise<Outcome> {
  return attempt('kubectl', args, options)
}

export function helm(...args: string[]): Promise<string> {
  return execute('helm', args)
}

/** Server-side apply of objects, as `kubectl apply --server-side -f -` does it. */
export function apply(...objects: readonly unknown[]): Promise<string> {
  const list = { apiVersion: 'v1', kind: 'List', items: objects }
  return execute('kubectl', ['apply', '--server-side', '--force-conflicts', '-f', '-'], { input: JSON.stringify(list) })
}

/** An object as kubectl shows it; undefined where there is none. */
export async function get<T>(kind: string, name: string, namespace?: string): Promise<T | undefined> {
  const layout = namespace === undefined ? [] : ['-n', namespace]
  const { code, stdout, stderr } = await attempt('kubectl', ['get', kind, name, ...layout, '-o', 'json'])
  if (code === 0) return JSON.parse(stdout)
  if (stderr.includes('NotFound')) return undefined
  throw new Error(`kubectl get ${kind} ${name}: ${stderr.trim()}`)
}

/** A namespace of its own for one test file, without what an earlier run left in it. */
export async function freshNamespace(name: string, labels: Readonly<Record<string, string>> = {}): Promise<void> {
  await kubectl('delete', 'namespace', name, '--ignore-not-found', '--wait')
  await apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } })
}

/** By kubectl, as they stand in the repository. */
export async function applyCrds(): Promise<void> {
  await kubectl('apply', '--server-side', '--force-conflicts', '-f', CRDS)
  const names = ['crd/routes.headgate.dev', 'crd/backends.headgate.dev']
  // A new one has no conditions at all for a moment, which `kubectl wait` takes for a failure.
  await until('the CRDs are established', async () => await kubectl('wait', '--for=condition=Established', ...names))
}

export interface ApiAnswer {
  readonly status: number
  // biome-ignore lint/suspicious/noExplicitAny: whatever the API server answers; the test looks into it
  readonly body: any
  /** Its `Warning` headers, joined. */
  readonly warnings: string
}

/** Requests to the API server, through `kubectl proxy`: with the user's rights and whatever way of logging in. */
export interface Api {
  request(method: string, path: string, body?: unknown): Promise<ApiAnswer>
  close(): void
}

export async function openApi(): Promise<Api> {
  const child = spawn('kubectl', ['proxy', '--port=0'], { stdio: ['ignore', 'pipe', 'inherit'] })
  const base = await new Promise<string>((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code) => reject(new Error(`kubectl proxy ended with ${code}`)))
    createInterface(child.stdout).once('line', (line) => {
      const [, address] = /on (\S+)$/.exec(line) ?? []
      if (address === undefined) reject(new Error(`kubectl proxy: ${line}`))
      else resolve(`http://${address}`)
    })
  })
  return {
    async request(method, path, body) {
      const response = await fetch(`${base}${path}`, {
        method,
        headers: { 'content-type': method === 'PATCH' ? 'application/merge-patch+json' : 'application/json' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
      const text = await response.text()
      const json = response.headers.get('content-type')?.startsWith('application/json') === true
      return {
        status: response.status,
        body: json ? JSON.parse(text) : text,
        warnings: response.headers.get('warning') ?? '',
      }
    },
    close: () => void child.kill(),
  }
}
