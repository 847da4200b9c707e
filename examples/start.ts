/**
 * `npm start`: starts three instances of the example service and a flaky one, and the gateway in front of them with the
 * manifests of examples/shop; prints a table of example requests, and the access log. Ctrl-C stops all processes.
 */
import { rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { curlLine, EXAMPLE_REQUESTS } from './requests.ts'
import { type ExampleTls, makeExampleTls } from './start/certificate.ts'
import { ChildProcesses } from './start/child-processes.ts'
import { formatLogLine, painter } from './start/log-lines.ts'
import { copyWithPorts, freePort } from './start/ports.ts'
import { makeSigningKeys, type SigningKeys } from './start/signing-keys.ts'

const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url))
const EXIT_WITH_PARENT = new URL('start/exit-with-parent.ts', import.meta.url).href
const SERVICE = fileURLToPath(new URL('service/main.ts', import.meta.url))
const SHOP = fileURLToPath(new URL('shop', import.meta.url))

const HELP = `npm start -- [--http PORT] [--https PORT] [--admin PORT] [--signals PORT] [--workers N] [--ca DIR] [--quiet]
  Ports in use are replaced by free ones, which the printed table contains.
`

/** As in examples/shop/backends.yaml; those that register do so with its Backend `catalog`. */
const INSTANCES = [
  {
    name: 'shop-1',
    port: 9011,
    registers: true,
    flags: ['--latency', '2', '--jitter', '1', '--distribution', 'uniform'],
  },
  {
    name: 'shop-2',
    port: 9012,
    registers: true,
    flags: ['--latency', '2', '--jitter', '1', '--distribution', 'uniform'],
  },
  {
    name: 'shop-3',
    port: 9013,
    registers: true,
    flags: ['--latency', '5', '--jitter', '10', '--distribution', 'exponential'],
  },
  { name: 'flaky', port: 9014, registers: false, flags: ['--latency', '10', '--reset-rate', '0.5'] },
] as const

/** Ctrl-C reaches this process twice when npm forwards it; two signals within this time count as one. */
const DUPLICATE_SIGNAL_MS = 300

const { values } = parseArgs({
  options: {
    http: { type: 'string', default: '8080' },
    https: { type: 'string', default: '8443' },
    admin: { type: 'string', default: '9901' },
    signals: { type: 'string', default: '9902' },
    workers: { type: 'string' },
    ca: { type: 'string' },
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
let tls: ExampleTls | undefined
let signingKeys: SigningKeys | undefined
let stopping = 0
/** Time of the first Ctrl-C; 0 before it. */
let first = 0
const children = new ChildProcesses((name, how) => {
  console.error(paint(`\n${name} ended by itself (${how}); stopping the rest`, 'red'))
  void stop(1)
})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, interrupted)
process.on('exit', () => {
  children.kill()
  tls?.remove()
  signingKeys?.remove()
  if (copy !== undefined) rmSync(copy, { recursive: true, force: true })
})
await start()

async function start(): Promise<void> {
  const began = performance.now()
  const [http, https, admin, signals] = await Promise.all(
    [values.http, values.https, values.admin, values.signals].map((port) => freePort(Number(port))),
  )
  // The comments of the manifests and the start page contain the ports of the example requests.
  const ports = new Map([
    [8080, http!],
    [8443, https!],
  ])
  for (const { port } of INSTANCES) ports.set(port, await freePort(port))
  const moved = [...ports].filter(([wanted, got]) => wanted !== got)
  if (moved.length > 0) {
    copy = copyWithPorts(SHOP, ports)
    const list = moved.map(([wanted, got]) => `${wanted} → ${got}`).join(', ')
    console.log(
      paint(`Some ports of the manifests are in use: ${list}. A copy with other ports is served: ${copy}`, 'yellow'),
    )
  }
  console.log(paint('Starting the gateway and four instances of the example service; what to try follows.', 'green'))
  const folder = copy ?? SHOP
  tls = makeExampleTls(folder, https!, values.ca)
  signingKeys = makeSigningKeys(folder)
  const print = (line: string): void => {
    if (!values.quiet) console.log(formatLogLine(line, paint))
  }
  children.start({
    name: 'headgate',
    arguments: [
      ...[
        '--import',
        EXIT_WITH_PARENT,
        MAIN,
        'run',
        '--config',
        folder,
        '--settings',
        tls.settings,
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
  const { tokenFile, authority } = tls
  const registry = `http://127.0.0.1:${admin}/api/v1/backends/shop/catalog`
  const services = INSTANCES.map(({ name, port, registers, flags }) =>
    startService(name, [
      ...['--name', name, '--port', String(ports.get(port)), ...flags],
      ...(registers ? ['--register', registry, '--token-file', tokenFile] : []),
    ]),
  )
  await Promise.all([...services.map(({ serves }) => serves), ready(signals!)])
  if (stopping > 0) return
  // Behind the log of the start: what it says can be tried at once.
  table(
    { http: http!, https: https!, admin: admin!, signals: signals!, flaky: ports.get(9014)! },
    { folder, authority, registry, second: services[1]!.pid, tokenFile },
  )
  console.log(
    paint(`Everything is ready after ${((performance.now() - began) / 1000).toFixed(1)} s: try a request.`, 'green'),
  )
}

/** An instance that ends is no failure of the example: what follows from it is there to be seen. */
function startService(
  name: string,
  flags: readonly string[],
): { readonly pid: number; readonly serves: Promise<void> } {
  const { promise: serves, resolve } = Promise.withResolvers<void>()
  const service = children.start({
    name,
    arguments: [SERVICE, ...flags],
    onLine: (line, from) => from === 'stderr' && console.error(`${name}: ${line}`),
    onExit: (how) => {
      resolve()
      const again = ['node', 'examples/service/main.ts', ...flags].join(' ')
      console.log(paint(`${name} has ended (${how}); the others serve on. Start it again: ${again}`, 'yellow'))
    },
  })
  service.once('message', () => resolve())
  return { pid: service.pid!, serves }
}

/** Polls `/readyz`. A gateway that cannot start exits, which stops everything. */
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
  readonly https: number
  readonly admin: number
  readonly signals: number
  readonly flaky: number
}

interface Places {
  /** Of the manifests. */
  readonly folder: string
  /** Of the certificate. */
  readonly authority: string
  /** Where instances register. */
  readonly registry: string
  /** The process id of the second instance. */
  readonly second: number
  /** Of the token of the admin API. */
  readonly tokenFile: string
}

function table({ http, https, admin, signals, flaky }: Ports, places: Places): void {
  const { folder, authority, registry, second, tokenFile } = places
  const purged = JSON.stringify({ urls: [`http://cache.localhost:${http}/news?latency=700`] })
  const lines = EXAMPLE_REQUESTS.map((one) => ({ shows: one.shows, curl: curlLine(one, http) }))
  const width = Math.max(...lines.map((line) => line.shows.length))
  console.log(`
${paint(`Headgate proxies http://127.0.0.1:${http} to four instances of the example service`, 'bold')}. Open it, or try:

${lines.map((line) => `  ${line.shows.padEnd(width)}  ${paint(line.curl, 'bold')}`).join('\n')}

  The same over https, with a certificate made now. A browser opens https://localhost:${https} once it trusts the authority:
    ${paint(`curl --cacert ${authority} https://localhost:${https}`, 'bold')}

  Manifests with comments: ${folder}
    Edit one and send the request again: the change applies immediately. A mistake is reported here and changes nothing that is served.
  Three instances have registered themselves and renew that by heartbeats. Kill one and send the first request again: the others take its share.
    ${paint(`kill -9 ${second}; curl -s ${registry}/endpoints`, 'bold')}
  What the cache holds can be purged; the request of the HIT is a MISS again then:
    ${paint(`curl -X POST http://127.0.0.1:${admin}/api/v1/cache/purges -H "Authorization: Bearer $(cat ${tokenFile})" -H 'Content-Type: application/json' -d '${purged}'`, 'bold')}
  The behaviour of the flaky instance, and of any other, can be changed:
    ${paint(`curl -X PUT http://127.0.0.1:${flaky}/_control -d '{"resetRate": 0, "latency": 300}'`, 'bold')}
  Admin http://127.0.0.1:${admin}    Probes http://127.0.0.1:${signals}/readyz and /metrics    Ctrl-C stops everything.
`)
}

function interrupted(): void {
  if (first === 0) {
    first = performance.now()
    console.log('\nstopping; press Ctrl-C again to stop immediately')
    void stop(0)
  } else if (performance.now() - first > DUPLICATE_SIGNAL_MS) {
    children.kill()
    process.exit(130)
  }
}

async function stop(code: number): Promise<void> {
  if (stopping++ > 0) return
  await children.stop()
  process.exit(code)
}
