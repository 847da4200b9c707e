import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { changed, latencyOf, QUIET } from '../../examples/service/behaviour.ts'
import { createService } from '../../examples/service/service.ts'
import type { Scope } from '../feature/harness.ts'
import { RawClient, type RequestOptions, request } from '../feature/raw-client.ts'

async function service(scope: Scope, behaviour = {}): Promise<number> {
  const app = createService(behaviour)
  scope.after(() => app.close())
  const address = await app.listen({ host: '127.0.0.1', port: 0 })
  return Number(new URL(address).port)
}

const control = (body: unknown): RequestOptions => ({ method: 'PUT', path: '/_control', body: JSON.stringify(body) })

describe('the example service', () => {
  it('echoes what it received, whatever the type of the body', async (t) => {
    const port = await service(t, { name: 'one' })
    for (const headers of [{}, { 'content-type': 'application/json' }, { 'content-type': 'odd/type' }]) {
      const echo = (
        await request(port, { method: 'POST', path: '/a/b?c=d', host: 'x.y', headers, body: '{no json' })
      ).json()
      assert.deepEqual([echo.servedBy, echo.method, echo.path, echo.bodyBytes], ['one', 'POST', '/a/b?c=d', 8])
      assert.equal((echo.headers as Record<string, string>).host, 'x.y')
    }
  })

  it('is changed at run time, and says what it does not understand', async (t) => {
    const port = await service(t)
    assert.equal((await request(port, { path: '/healthz' })).status, 200)
    assert.equal(
      (await request(port, control({ healthy: false, ready: false, errorRate: 1, errorStatus: 500 }))).status,
      200,
    )
    assert.equal((await request(port, { path: '/healthz' })).status, 503)
    assert.equal((await request(port, { path: '/readyz' })).status, 503)
    assert.equal((await request(port)).status, 500)
    const refused = await request(port, control({ errorRate: 2 }))
    assert.deepEqual([refused.status, refused.json().error], [400, 'errorRate: a share from 0 to 1 is expected'])
    assert.match(
      String((await request(port, control({ latancy: 2 }))).json().error),
      /^latancy: not known; there are name,/,
    )
    assert.equal((await request(port, control([]))).status, 400)
    assert.equal((await request(port, { method: 'PUT', path: '/_control', body: 'x' })).status, 400)
  })

  it('answers with the size, the chunks and the status that a request asks for', async (t) => {
    const port = await service(t, { name: 's', size: 10 })
    assert.equal((await request(port)).text, 'xxxxxxxxxx')
    assert.equal((await request(port, { path: '/?size=3&status=418' })).status, 418)
    const streamed = await request(port, { path: '/?chunks=2' })
    assert.deepEqual([streamed.framing, streamed.text], ['chunked', 's: line 1 of 2\ns: line 2 of 2\n'])
  })

  it('resets the connection instead of answering when told to', async (t) => {
    const port = await service(t, { resetRate: 1 })
    using client = await RawClient.connect(port)
    await assert.rejects(client.request(), /before/)
  })

  it('varies its latency as the distribution says', () => {
    const uniform = changed(QUIET, { latency: 10, jitter: 4, distribution: 'uniform' })
    assert.deepEqual(
      [0, 0.5, 1].map((chance) => latencyOf(uniform, chance)),
      [6, 10, 14],
    )
    const exponential = changed(QUIET, { latency: 10, jitter: 4, distribution: 'exponential' })
    assert.equal(latencyOf(exponential, 0), 10)
    assert.ok(latencyOf(exponential, 0.99) > 28)
    assert.equal(latencyOf(changed(uniform, { jitter: 100 }), 0), 0, 'never negative')
  })
})
