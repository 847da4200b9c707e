import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, describe, it } from 'node:test'
import type { ReplicaWarmUp } from '../../../src/admin/caches.ts'
import { WarmUp } from '../../../src/control/cache/warm-up.ts'
import { systemTimers } from '../../../src/thread/system-timers.ts'
import { eventually } from '../../feature/harness.ts'

describe('a list that fills the cache', () => {
  const asked: string[] = []
  const server = createServer((request, response) => {
    asked.push(`${request.headers.host}${request.url}`)
    const status = new URL(request.url!, 'http://x').searchParams.get('status')
    if (request.url === '/cut') return void response.destroy()
    if (request.url === '/5xx') return void response.writeHead(503).end()
    if (status !== null) response.setHeader('cache-status', status)
    if (request.url === '/endless') {
      const more = (): void => {
        while (!response.destroyed && response.write(Buffer.alloc(65_536)));
      }
      response.on('drain', more)
      more()
    } else response.end('body')
  })
  after(() => server.close())

  async function run(...urls: string[]): Promise<ReplicaWarmUp> {
    if (!server.listening) await once(server.listen(0, '127.0.0.1'), 'listening')
    const own = [{ address: '127.0.0.1', port: (server.address() as AddressInfo).port, tls: false }]
    const list = urls.map((url) => new URL(url))
    const warmUp = new WarmUp(list, () => own, systemTimers, 1_000)
    await eventually(() => assert.ok(warmUp.finished))
    return warmUp.view
  }

  it('counts by what the gateway itself says, which is the last entry', async () => {
    const view = await run(
      'http://h/?status=headgate;hit;ttl=5',
      'http://h/?status=Other;hit,%20headgate;fwd=uri-miss;stored',
      'http://h/?status=headgate;fwd=uri-miss;stored=?0',
      'http://h/?status=headgate;fwd=bypass;detail=hit',
      'http://h/?status=headgate;fwd=uri-miss;stored;key=%22http://h/a,b;hit%22;detail=%22miss%20NotStored%22',
      'http://h/?status=headgate;fwd=uri-miss;key=%22http://h/;hit%22;detail=%22miss%20NotStored,%20NoStore%22',
      'http://h/?status=Other;hit',
      'http://h/none',
    )
    const { requested, hits, stored, others, failed } = view
    assert.deepEqual(
      { requested, hits, stored, others, failed },
      { requested: 8, hits: 1, stored: 2, others: 5, failed: 0 },
    )
    assert.ok(asked.includes('h/none'))
    assert.equal(view.problems.length, 5)
    assert.match(
      view.problems.find(({ url }) => url.endsWith('none'))!.problem,
      /^200: its rule has no cache, or no rule has it; headgate explain says which/,
    )
  })

  it('says what has failed, and waits for no endless body', async () => {
    const view = await run('http://h/cut', 'http://h/5xx', 'https://h/', 'http://h/endless')
    assert.deepEqual([view.failed, view.others], [3, 1])
    const problems = view.problems.map(({ problem }) => problem).sort()
    assert.ok(problems.some((problem) => problem.startsWith('503: ')))
    assert.ok(problems.includes('there is no listener with TLS'))
  })
})
