/**
 * An endpoint fails, in each way that endpoints do, each in a Backend of its own and all at the same time: no idempotent
 * request fails, five requests find it out, and it serves again once it is well. `node bench/faults.ts` measures it.
 */
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { FAULTS, type Fault, FaultProcess } from '../../bench/lib/fault-process.ts'
import { backend, eventually, type Gateway, route, startGateway, suiteScope } from './harness.ts'
import { request } from './raw-client.ts'

/** Those that are noticed by a deadline. */
const SILENT: readonly Fault[] = ['SIGSTOP', 'slow by 2 s']
const FAILURES = 5
/** Has an endpoint that fails, too, and no requests. */
const BYSTANDER = 'bystander'
const RECOVERY_MS = 60_000

const nameOf = (fault: Fault): string => `fault-${FAULTS.indexOf(fault)}`

describe('an endpoint that fails', { concurrency: true }, () => {
  const scope = suiteScope()
  const failing = new Map<Fault, FaultProcess>()
  let gateway: Gateway

  before(async () => {
    const start = async (name: string, endpoints: number) => {
      const started = await FaultProcess.start(name, endpoints)
      scope.after(() => started.stop())
      return started
    }
    const [well, ...others] = await Promise.all([start('well', 2), ...FAULTS.map((fault) => start(nameOf(fault), 1))])
    for (const [index, process] of others.entries()) failing.set(FAULTS[index]!, process)
    const manifests = FAULTS.map((fault) => {
      const name = nameOf(fault)
      const healthCheck = { passive: { consecutiveFailures: FAILURES, baseEjection: '2s' } }
      const policies = {
        timeouts: { responseHead: SILENT.includes(fault) ? '500ms' : '30s' },
        retry: { attempts: 5, codes: [503], reasons: ['ConnectFailure', 'ResetBeforeResponse', 'ResponseHeadTimeout'] },
      }
      const rules = [{ name: 'all', backendRefs: [{ name }], policies }]
      return (
        backend(name, [...failing.get(fault)!.ports, ...well!.ports], { healthCheck }) +
        route(name, [`${name}.test`], rules)
      )
    })
    manifests.push(backend(BYSTANDER, failing.get('100 % 503')!.ports))
    gateway = await startGateway(scope, { 'all.yaml': manifests.join('') }, { workers: 2 })
  })

  /** On a connection of its own, so that every worker gets some. */
  const get = (name: string) => request(gateway.port, { host: `${name}.test` })

  const taken = async (name: string, port: number): Promise<boolean> => {
    const { items } = (await request(gateway.adminPort, { path: '/api/v1/backends', host: 'localhost' })).json() as {
      items: { id: string; endpoints: { authority: string; taken: boolean }[] }[]
    }
    const { endpoints } = items.find(({ id }) => id === `default/${name}`)!
    return endpoints.find(({ authority }) => authority === `127.0.0.1:${port}`)!.taken
  }

  /** How many requests met the endpoint: the only one that fails. */
  const met = async (name: string, requests: number): Promise<number> => {
    const lines = await eventually(() => {
      const all = gateway.accessLog.filter(({ host }) => host === `${name}.test`)
      assert.equal(all.length, requests)
      return all
    })
    return lines.filter(({ attempts }) => Number(attempts) > 1).length
  }

  for (const fault of FAULTS)
    it(`by ${fault} fails no GET, is out after ${FAILURES} requests, and comes back`, {
      concurrency: true,
    }, async () => {
      const name = nameOf(fault)
      const process = failing.get(fault)!
      const [port] = process.ports
      let requests = 0
      const failed: number[] = []
      const ask = async () => {
        const response = await get(name)
        requests++
        if (response.status !== 200) failed.push(response.status)
        return response.header('x-served-by')
      }
      await process.begin(fault)
      await eventually(async () => {
        assert.notEqual(await ask(), name)
        assert.equal(await taken(name, port!), false)
      }, RECOVERY_MS)
      const found = await met(name, requests)
      assert.ok(found > 0, 'none met it')
      // A healthy one may have met a deadline, too, where the machine is busy.
      if (!SILENT.includes(fault)) assert.ok(found <= FAILURES, `${found} requests met it`)
      if (fault === '100 % 503') assert.equal(await taken(BYSTANDER, port!), true, 'of another Backend it is not out')
      for (let i = 0; i < 10; i++) assert.notEqual(await ask(), name)
      if (!SILENT.includes(fault)) {
        const trials = (await met(name, requests)) - found
        assert.ok(trials <= 1, `${trials} requests met it after its ejection: a trial is one`)
      }
      await process.end(fault)
      await eventually(async () => assert.equal(await ask(), name), RECOVERY_MS)
      assert.equal(await taken(name, port!), true)
      assert.deepEqual(failed, [])
    })
})
