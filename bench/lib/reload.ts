/**
 * Measures the latency of a changed file, and the requests that fail while all files change.
 */
import { renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { RawClient } from '../../test/feature/raw-client.ts'
import { quantile } from './compare.ts'
import { type LoadResult, load } from './load.ts'
import type { Gateway } from './servers.ts'

export interface ReloadFigures {
  readonly changes: number
  /** Milliseconds from the rename of the file to the first answer that shows it. */
  readonly p50: number
  readonly p99: number
  readonly most: number
}

const RELOAD_HOST = 'reload.example'

function reloadRoute(marker: string): string {
  return `
apiVersion: headgate.dev/v1alpha1
kind: Route
metadata: { name: reload, namespace: bench }
spec:
  hostnames: [${RELOAD_HOST}]
  rules:
  - name: all
    respond: { statusCode: 200, contentType: text/plain, body: "${marker}" }
`
}

/** Asks over one connection, as fast as answers come, while the file changes again and again. */
export async function measureReload(gateway: Gateway, changes: number): Promise<ReloadFigures> {
  using client = await RawClient.connect(gateway.port)
  const times: number[] = []
  for (let i = 0; i < changes; i++) {
    // Not in step with anything that ticks in the gateway.
    await delay(20 + Math.random() * 30)
    const marker = `change-${i}`
    const began = performance.now()
    replace(gateway.folder, 'reload.yaml', reloadRoute(marker))
    for (;;) {
      const answer = await client.request({ host: RELOAD_HOST })
      if (answer.text === marker) break
      if (performance.now() - began > 10_000) throw new Error(`the change did not act within 10 s: ${answer.text}`)
    }
    times.push(performance.now() - began)
  }
  return { changes, p50: quantile(times, 0.5), p99: quantile(times, 0.99), most: Math.max(...times) }
}

/** Rewrites every file twice a second, each time with another content, while wrk asks. */
export async function rewriteUnderLoad(
  gateway: Gateway,
  plan: { readonly scratch: string; readonly cpu: number | undefined; readonly seconds: number; readonly host: string },
  files: Readonly<Record<string, string>>,
): Promise<LoadResult & { readonly rewrites: number }> {
  const running = new AbortController()
  let rewrites = 0
  const rewriting = (async () => {
    while (!running.signal.aborted) {
      for (const [name, text] of Object.entries(files)) {
        // A header that counts makes each version a real change of the route.
        const version = String(rewrites++)
        replace(gateway.folder, name, text.replaceAll('VERSION', version))
      }
      await delay(500)
    }
  })()
  try {
    const { scratch, cpu, seconds, host } = plan
    const result = await load(scratch, cpu, { port: gateway.port, path: '/x', host, seconds, connections: 32 })
    return { ...result, rewrites }
  } finally {
    running.abort()
    await rewriting
    for (const name of Object.keys(files)) if (name !== 'bench.yaml') rmSync(join(gateway.folder, name))
  }
}

/**
 * By rename: never half-written. The temporary file lies in the same folder's parent, so that only one event is seen.
 */
function replace(folder: string, name: string, text: string): void {
  const temporary = join(folder, '..', `${name}.next`)
  writeFileSync(temporary, text)
  renameSync(temporary, join(folder, name))
}
