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
  /** Of every request: `x-api-key: …`. */
  readonly headers?: readonly string[]
  /** Each request has another path: this behind `path`, and its number behind that. */
  readonly unique?: string
  /** A field whose value is the number of the request: none has the bytes of another one. */
  readonly numbered?: string
  /** The next line of a file, after the last one the first again, as the value of a field of each request. */
  readonly cycled?: CycledField
}

export interface CycledField {
  readonly name: string
  readonly file: string
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

let scripts = 0

/** @param scratch folder for the script that wrk runs */
export async function load(scratch: string, cpu: number | undefined, options: Load): Promise<LoadResult> {
  // Several run at a time.
  const script = join(scratch, `wrk-${++scripts}.lua`)
  writeFileSync(script, scriptFor(options))
  const arguments_ = ['-t1', `-c${options.connections}`, `-d${options.seconds}s`, '--timeout', '5s']
  arguments_.push(
    '-s',
    script,
    '-H',
    `Host: ${options.host}`,
    ...(options.headers ?? []).flatMap((header) => ['-H', header]),
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

function scriptFor({ bodyBytes, cycled, numbered, path, unique }: Load): string {
  const body =
    bodyBytes === undefined
      ? ''
      : `wrk.method = 'POST'\nwrk.body = string.rep('x', ${bodyBytes})\nwrk.headers['Content-Type'] = 'application/octet-stream'\n`
  const cycle =
    cycled === undefined
      ? ''
      : `local requests, next = {}, 0
init = function(args)
  for value in io.lines(${JSON.stringify(cycled.file)}) do
    wrk.headers[${JSON.stringify(cycled.name)}] = value
    requests[#requests + 1] = wrk.format()
  end
end
request = function()
  next = next % #requests + 1
  return requests[next]
end
`
  const others =
    unique === undefined
      ? ''
      : `local number = 0
request = function()
  number = number + 1
  return wrk.format(nil, ${JSON.stringify(`${path}${unique}`)} .. number)
end
`
  const counted =
    numbered === undefined
      ? ''
      : `local number = 0
request = function()
  number = number + 1
  wrk.headers[${JSON.stringify(numbered)}] = number
  return wrk.format()
end
`
  return `${body}${cycle}${others}${counted}
done = function(summary, latency, requests)
  local e = summary.errors
  local failed = e.connect + e.read + e.write + e.status + e.timeout
  io.write(string.format('RESULT {"requests":%d,"duration":%d,"p50":%d,"p99":%d,"failed":%d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), failed))
end
`
}
