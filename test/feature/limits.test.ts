import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { onHead, rawBackend } from './backends.ts'
import { backend, eventually, type Gateway, route, startGateway, suiteScope } from './harness.ts'
import { holdings } from './wire.ts'

const ANSWER = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'

/** Its connection ends with it, so that its place becomes free for the other worker. */
const LAST_ANSWER = 'HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok'

/** A backend that answers only when told to. */
async function held(scope: Parameters<typeof rawBackend>[0], answer = ANSWER) {
  const waiting: (() => void)[] = []
  const raw = await rawBackend(scope, (socket) => {
    onHead(socket, () => void waiting.push(() => socket.write(answer)))
  })
  return { port: raw.port, sockets: raw.sockets, waiting }
}

/** So many requests have reached their worker: one sent later finds no place before them. */
async function arrived(gateway: Gateway, requests: number): Promise<void> {
  await eventually(async () => assert.equal((await holdings(gateway)).exchanges, requests))
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
          backend('b', [slow.port], { limits: { maxConcurrentRequests: 3 } }) +
          route('r', ['l.test'], rules('b')) +
          backend('c', [slow.port], { limits: { adaptive: { minRequests: 2, maxRequests: 2 } } }) +
          route('s', ['adaptive.test'], rules('c')),
      },
      { workers: 2 },
    )
    // An adaptive limit that can be one number alone; of two workers that begin at once each may go beyond it by one.
    const limited: ReturnType<typeof gateway.request>[] = []
    while (limited.length < 2) {
      limited.push(gateway.request({ host: 'adaptive.test' }))
      await eventually(() => assert.equal(slow.waiting.length, limited.length))
    }
    for (let i = 0; i < 4; i++) {
      const refused = await gateway.request({ host: 'adaptive.test' })
      assert.deepEqual([refused.status, refused.json().reason], [503, 'Overloaded'])
    }
    await gateway.logged(({ detail }) => /default\/c has .*adaptive limit/.test(String(detail)))
    for (const answer of slow.waiting.splice(0)) answer()
    for (const answer of await Promise.all(limited)) assert.equal(answer.status, 200)
    const first = [1, 2, 3].map(() => gateway.request({ host: 'l.test' }))
    await eventually(() => assert.equal(slow.waiting.length, 3))
    for (let i = 0; i < 6; i++) {
      const refused = await gateway.request({ host: 'l.test' })
      assert.deepEqual([refused.status, refused.json().reason], [503, 'Overloaded'])
    }
    await gateway.logged(({ detail }) => /default\/b has maxConcurrentRequests \(3\) in flight/.test(String(detail)))
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
    await arrived(gateway, 4)
    const refused = await gateway.request({ host: 'l.test' })
    assert.deepEqual([refused.status, refused.json().reason], [503, 'Overloaded'])
    await gateway.logged(({ detail }) => /maxConnections \(2\).*maxPending \(2\)/.test(String(detail)))
    assert.equal(slow.sockets.size, 2)
    for (let i = 0; i < 4; i++) {
      await eventually(() => assert.ok(slow.waiting.length > 0))
      slow.waiting.shift()!()
    }
    for (const answer of await Promise.all([...served, ...pending])) assert.equal(answer.status, 200)
    assert.equal(slow.sockets.size, 2)
  })

  it('gives the one connection to whichever worker has a request, and keeps no second one', async () => {
    const { port, sockets } = await rawBackend(scope, (socket) => {
      socket.on('end', () => socket.end())
      onHead(socket, () => void socket.write(ANSWER))
    })
    const gateway = await startGateway(
      scope,
      {
        'a.yaml':
          backend('b', [port], { limits: { maxConnections: 1 }, connection: { connectTimeout: '60s' } }) +
          route('r', ['l.test'], rules('b')),
      },
      { workers: 2 },
    )
    // Each on a connection of its own: the system gives them to either worker.
    const began = performance.now()
    for (let i = 0; i < 30; i++) assert.equal((await gateway.request({ host: 'l.test' })).status, 200)
    const answers = await Promise.all(Array.from({ length: 30 }, () => gateway.request({ host: 'l.test' })))
    assert.ok(answers.every(({ status }) => status === 200))
    assert.ok(performance.now() - began < 30_000, 'nobody waited for the time in which an idle connection is closed')
    await eventually(() => assert.equal(sockets.size, 1))
  })

  it('is never more than the operator allows, whatever the Backend asks for, and follows the settings', async () => {
    const slow = await held(scope, LAST_ANSWER)
    const most = 1_000_000
    const limits = { maxConnections: most, maxPending: most }
    const ceilings = { maxConnections: 2, maxPending: 1 }
    const gateway = await startGateway(
      scope,
      {
        'a.yaml':
          backend('b', [slow.port], { limits, connection: { connectTimeout: '5s' } }) +
          route('r', ['l.test'], rules('b')),
      },
      { workers: 2, settings: { upstreams: { limits: ceilings } } },
    )
    const held_ = [1, 2, 3].map(() => gateway.request({ host: 'l.test' }))
    await eventually(() => assert.equal(slow.waiting.length, 2))
    await arrived(gateway, 3)
    const refused = await gateway.request({ host: 'l.test' })
    assert.deepEqual([refused.status, refused.json().reason], [503, 'Overloaded'])
    assert.equal(slow.sockets.size, 2)
    for (let i = 0; i < 3; i++) {
      await eventually(() => assert.ok(slow.waiting.length > 0))
      slow.waiting.shift()!()
    }
    for (const answer of await Promise.all(held_)) assert.equal(answer.status, 200)
  })

  it('holds a Backend that says unlimited to the ceiling of requests at a time', async () => {
    const slow = await held(scope)
    const gateway = await startGateway(
      scope,
      { 'a.yaml': backend('b', [slow.port]) + route('r', ['l.test'], rules('b')) },
      { settings: { upstreams: { limits: { maxConcurrentRequests: 2 } } } },
    )
    const first = [1, 2].map(() => gateway.request({ host: 'l.test' }))
    await eventually(() => assert.equal(slow.waiting.length, 2))
    const refused = await gateway.request({ host: 'l.test' })
    assert.deepEqual([refused.status, refused.json().reason], [503, 'Overloaded'])
    for (const answer of slow.waiting.splice(0)) answer()
    for (const answer of await Promise.all(first)) assert.equal(answer.status, 200)
  })

  it('holds all Backends of a namespace together to its share, and no other namespace', async () => {
    const slow = await held(scope)
    const names = ['b0', 'b1', 'b2', 'b3']
    const gateway = await startGateway(
      scope,
      {
        'a.yaml': names.map((name) => backend(name, [slow.port]) + route(name, [`${name}.test`], rules(name))).join(''),
        'b.yaml': backend('other/b', [slow.port]) + route('other/r', ['other.test'], rules('b')),
      },
      { settings: { upstreams: { limits: { namespaceConnections: 3 } } } },
    )
    const first = [0, 1, 2].map((i) => gateway.request({ host: `b${i}.test` }))
    await eventually(() => assert.equal(slow.waiting.length, 3))
    const refused = await gateway.request({ host: 'b3.test' })
    assert.deepEqual([refused.status, refused.json().reason], [503, 'Overloaded'])
    await gateway.logged(({ reason, detail }) => reason === 'Overloaded' && /namespace/.test(String(detail)))
    const other = gateway.request({ host: 'other.test' })
    await eventually(() => assert.equal(slow.waiting.length, 4))
    for (const answer of slow.waiting.splice(0)) answer()
    for (const answer of await Promise.all([...first, other])) assert.equal(answer.status, 200)
    // What lies idle at another Backend of the namespace makes room.
    const again = gateway.request({ host: 'b3.test' })
    await eventually(() => assert.equal(slow.waiting.length, 1))
    slow.waiting[0]!()
    assert.equal((await again).status, 200)
  })
})
