/** Starts one or more instances of the example service; see `--help`. */
import { parseArgs } from 'node:util'
import { type Behaviour, changed, QUIET } from './behaviour.ts'
import { Registration } from './registration.ts'
import { createService } from './service.ts'

const HELP = `node examples/service/main.ts [flags]

  --port N              first port (default 9000; 0: any free one)
  --host ADDRESS        address to listen on (default 127.0.0.1)
  --instances N         so many instances on this port and the following ones (default 1)
  --name NAME           shown in answers; several instances get -1, -2, … (default service)
  --latency MS          before an answer begins (default 0)
  --jitter MS           how much that varies (default 0)
  --distribution KIND   fixed, uniform (± jitter) or exponential (a long tail of mean jitter)
  --error-rate SHARE    0 … 1 of the requests fail (default 0)
  --error-status CODE   with this status (default 503)
  --reset-rate SHARE    0 … 1 of the requests end in a reset connection (default 0)
  --size BYTES          plain text of this size instead of the JSON echo (default 0: echo)
  --register URL        registers with the Headgate whose admin API has this Backend, for example
                        http://127.0.0.1:9901/api/v1/backends/shop/catalog
  --token-file FILE     has the token for that (admin.tokenFile of its settings)
  --unhealthy           /healthz says 503
  --unready             /readyz says 503

While it runs:
  curl 127.0.0.1:9000/_control                                   how it behaves now
  curl -X PUT 127.0.0.1:9000/_control -d '{"latency": 500}'      any of name, latency, jitter, distribution, errorRate,
                                                                 errorStatus, resetRate, healthy, ready, size
A single request may ask for itself: ?latency=MS ?size=BYTES ?status=CODE ?chunks=N&every=MS
`

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '9000' },
    host: { type: 'string', default: '127.0.0.1' },
    instances: { type: 'string', default: '1' },
    name: { type: 'string', default: QUIET.name },
    latency: { type: 'string' },
    jitter: { type: 'string' },
    distribution: { type: 'string' },
    'error-rate': { type: 'string' },
    'error-status': { type: 'string' },
    'reset-rate': { type: 'string' },
    size: { type: 'string' },
    register: { type: 'string' },
    'token-file': { type: 'string' },
    unhealthy: { type: 'boolean' },
    unready: { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
  },
})

if (values.help === true) process.stdout.write(HELP)
else
  try {
    await start()
  } catch (error) {
    console.error((error as Error).message)
    process.exit(1)
  }

async function start(): Promise<void> {
  const count = Number(values.instances)
  const nameOf = (index: number): string => (count === 1 ? values.name : `${values.name}-${index + 1}`)
  const services = Array.from({ length: count }, (_, index) => createService(behaviour(nameOf(index))))
  const registrations: Registration[] = []
  // Started by another program (examples/start.ts): never outlive it.
  process.once('disconnect', () => process.exit())
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => {
      void Promise.all(registrations.map((one) => one.leave()))
        .then(() => Promise.all(services.map((service) => service.close())))
        .then(() => process.exit())
    })
  const first = Number(values.port)
  for (const [index, service] of services.entries()) {
    const address = await service.listen({ host: values.host, port: first === 0 ? 0 : first + index })
    console.log(`${nameOf(index)} listens on ${address}`)
    const { register: backend, 'token-file': tokenFile } = values
    if (backend === undefined) continue
    if (tokenFile === undefined) throw new TypeError('--register needs --token-file')
    const { hostname, port } = new URL(address)
    const where = { address: hostname.replace(/^\[|\]$/g, ''), port: Number(port) }
    const registration = new Registration({ backend, tokenFile, id: nameOf(index), ...where })
    registrations.push(registration)
    await registration.begin()
  }
  process.send?.('listening')
}

function behaviour(name: string): Behaviour {
  const change: Record<string, unknown> = { name }
  const numbers = {
    latency: values.latency,
    jitter: values.jitter,
    errorRate: values['error-rate'],
    errorStatus: values['error-status'],
    resetRate: values['reset-rate'],
    size: values.size,
  }
  for (const [key, text] of Object.entries(numbers)) if (text !== undefined) change[key] = Number(text)
  if (values.distribution !== undefined) change.distribution = values.distribution
  if (values.unhealthy === true) change.healthy = false
  if (values.unready === true) change.ready = false
  return changed(QUIET, change)
}
