/** One run of h2load (nghttp2), with its figures read from its summary. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { LoadResult } from './load.ts'
import { find } from './programs.ts'

export interface H2Load {
  readonly port: number
  /** Of the URL, and in SNI. */
  readonly host: string
  readonly path: string
  readonly seconds: number
  readonly connections: number
  /** On each connection at a time. */
  readonly streams: number
  readonly headers?: readonly string[]
  /** Of a POST; none: GET. */
  readonly body?: Uint8Array
}

/** @param scratch folder for the body that is sent */
export async function h2load(scratch: string, cpu: number | undefined, options: H2Load): Promise<LoadResult> {
  const { port, host, path, seconds, connections, streams, headers = [], body } = options
  const arguments_ = ['-t1', `-c${connections}`, `-m${streams}`, `-D${seconds}`, `--connect-to=127.0.0.1:${port}`]
  for (const header of headers) arguments_.push('-H', header)
  if (body !== undefined) {
    const file = join(scratch, 'h2load-body')
    writeFileSync(file, body)
    arguments_.push('-d', file)
  }
  arguments_.push(`https://${host}:${port}${path}`)
  const program = find('h2load')!
  const [command, ...rest] = cpu === undefined ? [program] : [find('taskset')!, '-c', String(cpu), program]
  const child = spawn(command!, [...rest, ...arguments_], { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  const [code] = await once(child, 'close')
  const summary = parseSummary(output)
  if (code !== 0 || summary === undefined) throw new Error(`h2load ended with ${code}:\n${output}`)
  return summary
}

/**
 * `requests: 10 total, 10 started, 10 done, 9 succeeded, 1 failed, 0 errored, 0 timeout`: in a run of a set time those
 * under way at its end are neither. A status of 400 and more counts as failed; how the median time is not told, the
 * mean stands for it.
 */
export function parseSummary(output: string): LoadResult | undefined {
  const counts = /^requests: .* (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout$/m.exec(output)
  const rate = /^finished in .*?, ([\d.]+) req\/s/m.exec(output)
  const times = /^time for request: +(\S+) +(\S+) +(\S+)/m.exec(output)
  if (counts === null || rate === null) return undefined
  const [succeeded, failed, errored, timeout] = counts.slice(1).map(Number) as [number, number, number, number]
  return {
    requests: succeeded,
    perSecond: Number(rate[1]),
    p50: milliseconds(times?.[3]),
    p99: Number.NaN,
    failed: failed + errored + timeout,
  }
}

function milliseconds(text: string | undefined): number {
  const [, number, unit] = /^([\d.]+)(us|ms|s)$/.exec(text ?? '') ?? []
  return Number(number) * ({ us: 0.001, ms: 1, s: 1_000 }[unit as 'us' | 'ms' | 's'] ?? Number.NaN)
}
