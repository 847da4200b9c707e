import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { onHead, rawBackend } from './backends.ts'
import { backend, eventually, route, startGateway, suiteScope } from './harness.ts'

const ANSWER = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'

/** A backend that answers only when told to. */
async function held(scope: Parameters<typeof rawBackend>[0]) {
  const waiting: (() => void)[] = []
  const raw = await rawBackend(scope, (socket) => {
    onHead(socket, () => void waiting.push(() => socket.write(ANSWER)))
  })
  return { port: raw.port, sockets: raw.sockets, waiting }
}

describe('limits of a Backend, exact over two workers', () => {
  const scope = suiteScope()
  const rules = (name: string) => [{ name: 'all', backendRefs: [{ name }], policies: { retry: { attempts: 0 } } }]

  it('answers 503 at once beyond maxConcurrentRequests, and serves again once one is done', async () => {
    const slow = await held(scope)
    const gateway = await startGateway(
      scope,
      {
        'a.yaml':
          backend('b', [slow.port], { limits: { maxConcurrentRequests: 3 } }) + route('r', ['l.test'], rules('b')),
      },
      { workers: 2 },
    )
    const first = [1, 2, 3].map(() => gateway.request({ host: 'l.test' }))
    await eventually(() => assert.equal(slow.waiting.length, 3))
    for (let i = 0; i < 6; i++) {
      const refused = await gateway.request({ host: 'l.test' })
      assert.deepEqual([refused.status, refused.json().reason], [503, 'Overloaded'])
    }
    for (const answer of slow.waiting.splice(0)) answer()
    for (const answer of await Promise.all(first)) assert.equal(answer.status, 200)
    const again = gateway.request({ host: 'l.test' })
    await eventually(() => assert.equal(slow.waiting.length, 1))
    slow.waiting[0]!()
    assert.equal((await again).status, 200)
  })

  it('opens maxConnections and not one more, lets maxPending requests wait and refuses the rest at once', async () => {
    const slow = await held(scope)
    const limits = { maxConnections: 2, maxPending: 2 }
    const gateway = await startGateway(scope, {
      'a.yaml':
        backend('b', [slow.port], { limits, connection: { connectTimeout: '5s' } }) +
        route('r', ['l.test'], rules('b')),
    })
    const served = [1, 2].map(() => gateway.request({ host: 'l.test' }))
    await eventually(() => assert.equal(slow.waiting.length, 2))
    const pending = [1, 2].map(() => gateway.request({ host: 'l.test' }))
    // The two are in the queue once a fifth request finds it full.
    await eventually(async () => {
      const refused = await gateway.request({ host: 'l.test', headers: { 'x-probe': '1' } })
      assert.deepEqual([refused.status, refused.json().reason], [503, 'Overloaded'])
    })
    assert.equal(slow.sockets.size, 2)
    for (let i = 0; i < 4; i++) {
      await eventually(() => assert.ok(slow.waiting.length > 0))
      slow.waiting.shift()!()
    }
    for (const answer of await Promise.all([...served, ...pending])) assert.equal(answer.status, 200)
    assert.equal(slow.sockets.size, 2)
  })
})
