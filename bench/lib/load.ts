/** One run of wrk, with its figures read by machine instead of from its table. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { find } from './programs.ts'

export interface Load {
  readonly port: number
  readonly path: string
  readonly host: string
  readonly seconds: number
  readonly connections: number
  readonly tls?: boolean
  /** Bytes of a POST body; none: GET. */
  readonly bodyBytes?: number
}

export interface LoadResult {
  readonly requests: number
  readonly perSecond: number
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
  /** Statuses of 400 and more, connections that failed or broke, and answers that did not come. */
  readonly failed: number
}

/** @param scratch folder for the script that wrk runs */
export async function load(scratch: string, cpu: number | undefined, options: Load): Promise<LoadResult> {
  const script = join(scratch, `wrk-${options.bodyBytes ?? 0}.lua`)
  writeFileSync(script, scriptFor(options.bodyBytes))
  const arguments_ = ['-t1', `-c${options.connections}`, `-d${options.seconds}s`, '--timeout', '5s']
  arguments_.push(
    '-s',
    script,
    '-H',
    `Host: ${options.host}`,
    `${options.tls === true ? 'https' : 'http'}://127.0.0.1:${options.port}${options.path}`,
  )
  const wrk = find('wrk')!
  const [command, ...rest] = cpu === undefined ? [wrk] : [find('taskset')!, '-c', String(cpu), wrk]
  const child = spawn(command!, [...rest, ...arguments_], { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  const [code] = await once(child, 'close')
  const line = /^RESULT (.*)$/m.exec(output)?.[1]
  if (code !== 0 || line === undefined) throw new Error(`wrk ended with ${code}:\n${output}`)
  const result = JSON.parse(line) as { requests: number; duration: number; p50: number; p99: number; failed: number }
  return {
    requests: result.requests,
    perSecond: (result.requests * 1e6) / result.duration,
    p50: result.p50 / 1000,
    p99: result.p99 / 1000,
    failed: result.failed,
  }
}

function scriptFor(bodyBytes: number | undefined): string {
  const body =
    bodyBytes === undefined
      ? ''
      : `wrk.method = 'POST'\nwrk.body = string.rep('x', ${bodyBytes})\nwrk.headers['Content-Type'] = 'application/octet-stream'\n`
  return `${body}
done = function(summary, latency, requests)
  local e = summary.errors
  local failed = e.connect + e.read + e.write + e.status + e.timeout
  io.write(string.format('RESULT {"requests":%d,"duration":%d,"p50":%d,"p99":%d,"failed":%d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), failed))
end
`
}
