/**
 * Measures the memory of a gateway whose configuration is replaced repeatedly under load, from its metrics and from the
 * system.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

export interface SoakTarget {
  readonly pid: number
  readonly folder: string
  readonly signalsPort: number
}

export interface SoakPlan {
  readonly routes: number
  /** Milliseconds between two versions of all Routes. */
  readonly every: number
  /** The Backend that requests for the Routes go to, `namespace: bench`; none: they answer themselves. */
  readonly backend?: string
  readonly sampled?: (sample: Sample) => void
}

/** Bytes. */
export interface Sample {
  readonly seconds: number
  readonly resident: number
  /** Of it, what is no file: heaps, buffers, tables. */
  readonly anonymous: number
  /** Heap in use by thread. */
  readonly heaps: Readonly<Record<string, number>>
  /** Generation of the tables that every worker serves, or a newer one. */
  readonly generation: number
}

/** Routes that match by patterns, each version by others. */
export function soakManifest(plan: Pick<SoakPlan, 'routes' | 'backend'>, version: number): string {
  const answer =
    plan.backend === undefined
      ? 'respond: { statusCode: 200, contentType: text/plain, body: soak }'
      : `backendRefs: [{ name: ${plan.backend} }]`
  let text = ''
  for (let i = 0; i < plan.routes; i++)
    text += `---
apiVersion: headgate.dev/v1alpha1
kind: Route
metadata: { name: soak-${i}, namespace: bench }
spec:
  hostnames: [soak-${i}.example]
  rules:
  - name: all
    matches:
    - path: { type: RegularExpression, value: "/r${i}/v${version}/[a-z]+/(foo|bar)[0-9]{1,8}" }
    - path: { type: PathPrefix, value: /x }
      headers: [{ name: x-v, type: RegularExpression, value: "v${version}-${i}-[a-f0-9]+" }]
    ${answer}
`
  return text
}

/**
 * Rewrites the Routes until `until` is settled.
 * @returns how many versions were written, and the samples, one a second
 */
export async function rewriteUntil(
  until: Promise<unknown>,
  target: SoakTarget,
  plan: SoakPlan,
): Promise<{ readonly versions: number; readonly samples: readonly Sample[] }> {
  let over = false
  const ended = until.then(
    () => void (over = true),
    () => void (over = true),
  )
  const began = performance.now()
  const samples: Sample[] = []
  const sampling = (async () => {
    while (!over) {
      const sample = await sampleOf(target, (performance.now() - began) / 1_000)
      samples.push(sample)
      plan.sampled?.(sample)
      await Promise.race([delay(1_000), ended])
    }
  })()
  let versions = 0
  while (!over) {
    const next = join(target.folder, '..', 'soak.next')
    writeFileSync(next, soakManifest(plan, versions++))
    renameSync(next, join(target.folder, 'soak.yaml'))
    await Promise.race([delay(plan.every), ended])
  }
  await sampling
  return { versions, samples }
}

export async function sampleOf(target: SoakTarget, seconds: number): Promise<Sample> {
  const status = readFileSync(`/proc/${target.pid}/status`, 'utf8')
  const bytes = (field: string): number => Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) * 1_024
  const answer = await fetch(`http://127.0.0.1:${target.signalsPort}/metrics`)
  const text = await answer.text()
  const heaps: Record<string, number> = {}
  for (const [, thread, used] of text.matchAll(/^headgate_thread_heap_used_bytes\{thread="(.+)"\} (\d+)/gm))
    heaps[thread!] = Number(used)
  const generations = Array.from(text.matchAll(/^headgate_worker_generation\{.+\} (\d+)/gm), ([, one]) => Number(one))
  const generation = Math.min(...generations)
  return { seconds, resident: bytes('VmRSS'), anonymous: bytes('RssAnon'), heaps, generation }
}
