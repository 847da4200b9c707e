/**
 * `npm start`: three instances of the example service and a flaky one, the gateway before them with the manifests in
 * examples/shop, a table of things to try, and the access log as it grows. Ctrl-C ends all of it.
 */
import { rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { Children } from './start/children.ts'
import { painter, readable } from './start/log-lines.ts'
import { copyWithPorts, freePort } from './start/ports.ts'
import { curlLine, TRIES } from './tries.ts'

const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url))
const LEASH = new URL('start/leash.ts', import.meta.url).href
const SERVICE = fileURLToPath(new URL('service/main.ts', import.meta.url))
const SHOP = fileURLToPath(new URL('shop', import.meta.url))

const HELP = `npm start -- [--http PORT] [--admin PORT] [--signals PORT] [--workers N] [--quiet]
  Ports that are taken are replaced by free ones; the table that is printed says which.
`

/** As examples/shop/backends.yaml names them. */
const INSTANCES = [
  { name: 'shop-1', port: 9011, flags: ['--latency', '2', '--jitter', '1', '--distribution', 'uniform'] },
  { name: 'shop-2', port: 9012, flags: ['--latency', '2', '--jitter', '1', '--distribution', 'uniform'] },
  { name: 'shop-3', port: 9013, flags: ['--latency', '5', '--jitter', '10', '--distribution', 'exponential'] },
  { name: 'flaky', port: 9014, flags: ['--latency', '10', '--reset-rate', '0.5'] },
] as const

/** Ctrl-C reaches this process twice when npm passes it on as well; a person is not that fast. */
const ECHO_MS = 300

const { values } = parseArgs({
  options: {
    http: { type: 'string', default: '8080' },
    admin: { type: 'string', default: '9901' },
    signals: { type: 'string', default: '9902' },
    workers: { type: 'string' },
    quiet: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h' },
  },
})
if (values.help === true) {
  process.stdout.write(HELP)
  process.exit(0)
}

const paint = painter(process.stdout.isTTY === true && process.env.NO_COLOR === undefined)
let copy: string | undefined
let stopping = 0
/** When the first Ctrl-C came; 0: not yet. */
let first = 0
const children = new Children((name, how) => {
  console.error(paint(`\n${name} ended by itself (${how}); stopping the rest`, 'red'))
  void stop(1)
})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, interrupted)
process.on('exit', () => {
  children.kill()
  if (copy !== undefined) rmSync(copy, { recursive: true, force: true })
})
await start()

async function start(): Promise<void> {
  const began = performance.now()
  const [http, admin, signals] = await Promise.all(
    [values.http, values.admin, values.signals].map((port) => freePort(Number(port))),
  )
  // The manifests tell people, in comments and on the start page, where to send requests.
  const ports = new Map([[8080, http!]])
  for (const { port } of INSTANCES) ports.set(port, await freePort(port))
  const moved = [...ports].filter(([wanted, got]) => wanted !== got)
  if (moved.length > 0) {
    copy = copyWithPorts(SHOP, ports)
    const list = moved.map(([wanted, got]) => `${wanted} → ${got}`).join(', ')
    console.log(
      paint(`Other ports than the manifests name: ${list}. What is served is a copy of them in ${copy}`, 'yellow'),
    )
  }
  const folder = copy ?? SHOP
  const print = (line: string): void => {
    if (!values.quiet) console.log(readable(line, paint))
  }
  children.start({
    name: 'headgate',
    arguments: [
      ...[
        '--import',
        LEASH,
        MAIN,
        'run',
        '--config',
        folder,
        '--http',
        `127.0.0.1:${http}`,
        '--admin',
        `127.0.0.1:${admin}`,
      ],
      ...['--signals', `127.0.0.1:${signals}`, '--drain-delay', '0', '--drain-timeout', '1s'],
      ...(values.workers === undefined ? [] : ['--workers', values.workers]),
    ],
    onLine: print,
  })
  const services = INSTANCES.map(
    ({ name, port, flags }) =>
      new Promise<void>((resolve) => {
        const service = children.start({
          name,
          arguments: [SERVICE, '--name', name, '--port', String(ports.get(port)), ...flags],
          onLine: (line, from) => from === 'stderr' && console.error(`${name}: ${line}`),
        })
        service.once('message', () => resolve())
      }),
  )
  // Printed while they start: it can be read meanwhile.
  table({ http: http!, admin: admin!, signals: signals!, flaky: ports.get(9014)! }, folder)
  await Promise.all([...services, ready(signals!)])
  if (stopping > 0) return
  console.log(
    paint(`Everything is ready after ${((performance.now() - began) / 1000).toFixed(1)} s: try a line.`, 'green'),
  )
}

/** Asks until it says so; a gateway that cannot start ends, and that ends everything. */
async function ready(port: number): Promise<void> {
  while (stopping === 0) {
    const answer = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined)
    await answer?.arrayBuffer()
    if (answer?.ok === true) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

interface Ports {
  readonly http: number
  readonly admin: number
  readonly signals: number
  readonly flaky: number
}

function table({ http, admin, signals, flaky }: Ports, folder: string): void {
  const lines = TRIES.map((one) => ({ shows: one.shows, curl: curlLine(one, http) }))
  const width = Math.max(...lines.map((line) => line.shows.length))
  console.log(`
${paint(`Headgate proxies http://127.0.0.1:${http} to four instances of the example service`, 'bold')}. Open it, or try:

${lines.map((line) => `  ${line.shows.padEnd(width)}  ${paint(line.curl, 'bold')}`).join('\n')}

  Manifests, each with comments: ${folder}
    Edit one and send the request again: it acts at once. A mistake is told here and changes nothing that is served.
  The flaky instance, or any other, can be told to behave:
    ${paint(`curl -X PUT http://127.0.0.1:${flaky}/_control -d '{"resetRate": 0, "latency": 300}'`, 'bold')}
  Admin http://127.0.0.1:${admin}    Signs of life http://127.0.0.1:${signals}/readyz and /metrics    Ctrl-C ends everything.
`)
}

function interrupted(): void {
  if (first === 0) {
    first = performance.now()
    console.log('\nstopping; once more stops at once')
    void stop(0)
  } else if (performance.now() - first > ECHO_MS) {
    children.kill()
    process.exit(130)
  }
}

async function stop(code: number): Promise<void> {
  if (stopping++ > 0) return
  await children.stop()
  process.exit(code)
}
