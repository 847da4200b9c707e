/** Filters that warm up when they are linked and let go when they are dropped. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { WARM_UP } from '../../src/link/warm-up.ts'
import type { FilterDefinition } from '../../src/policy/registry.ts'
import { onHead, rawBackend } from '../feature/backends.ts'
import { inProcess } from '../worker/in-process.ts'
import { type InProcessOptions, toUp } from '../worker/test-plane.ts'

interface Life {
  readonly definition: FilterDefinition
  readonly events: string[]
}

/** A filter of the policy sets that limit bodies, told apart by that limit. */
function living(warmUp: (limit: number, signal: AbortSignal) => Promise<void> = () => Promise.resolve()): Life {
  const events: string[] = []
  const definition: FilterDefinition = {
    name: 'living',
    phase: 'plugin',
    create({ limits: { maxRequestBytes: limit } }) {
      if (limit < 0) return undefined
      return {
        name: 'living',
        warmUp: (signal) => warmUp(limit, signal),
        onRequest: () => void events.push(`request ${limit}`),
        dispose: () => void events.push(`dispose ${limit}`),
      }
    },
  }
  return { definition, events }
}

/** A rule for each limit, at its path. */
function limited(...limits: number[]): NonNullable<InProcessOptions['rules']> {
  const rules: NonNullable<InProcessOptions['rules']> = {}
  for (const limit of limits)
    rules[`r${limit}`] = {
      ...toUp({ limits: { maxRequestBytes: limit } }).all,
      matches: [{ path: { type: 'PathPrefix', value: `/${limit}` } }],
    }
  return rules
}

describe('a filter that warms up', () => {
  it('is awaited before its rules serve requests, by these and not by the generation', async (t) => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const { definition, events } = living((limit) => (limit === 1 ? promise : Promise.resolve()))
    const gateway = await inProcess(t, { rules: limited(1, 2), definitions: [definition] })
    using early = await gateway.connect()
    const waiting = early.request({ path: '/1' })
    using client = await gateway.connect()
    assert.match((await client.request({ path: '/2' })).text, /NoEndpoint/)
    assert.deepEqual(events, ['request 2'])
    resolve()
    assert.match((await waiting).text, /NoEndpoint/)
    assert.deepEqual([events, gateway.errors], [['request 2', 'request 1'], []])
  })

  it('costs its own rules when it fails, and never the generation', async (t) => {
    const { definition, events } = living(async (limit) => {
      if (limit === 2) throw new Error('no keys')
    })
    const gateway = await inProcess(t, { rules: limited(1, 2), definitions: [definition] })
    using client = await gateway.connect()
    assert.match((await client.request({ path: '/1' })).text, /NoEndpoint/)
    assert.match((await client.request({ path: '/2' })).text, /InternalError/)
    assert.match(String(gateway.errors[0]), /answer 500: living: no keys/)
    assert.deepEqual(events, ['request 1'], 'it is kept for another try')
  })

  it('has a bound, at which its signal fires', { timeout: WARM_UP * 5 }, async (t) => {
    let fired = false
    const { definition } = living((limit, signal) => {
      signal.addEventListener('abort', () => (fired = true))
      return limit === 2 ? new Promise(() => {}) : Promise.resolve()
    })
    const gateway = await inProcess(t, { rules: limited(1, 2), definitions: [definition] })
    using client = await gateway.connect()
    assert.match((await client.request({ path: '/1' })).text, /NoEndpoint/)
    assert.match((await client.request({ path: '/2' })).text, /InternalError/)
    assert.match(String(gateway.errors[0]), /not ready within/)
    assert.equal(fired, true)
  })
})

describe('a filter that is dropped', () => {
  it('is disposed of once, behind the last exchange that uses it; one that stays is kept', async (t) => {
    const { promise: asked, resolve } = Promise.withResolvers<void>()
    let answer = (): void => {}
    const upstream = await rawBackend(t, (socket) =>
      onHead(socket, () => {
        answer = () => void socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n')
        resolve()
      }),
    )
    const { definition, events } = living()
    const upstreams = [upstream.port]
    const gateway = await inProcess(t, { rules: limited(1, 2, 3), definitions: [definition], upstreams })
    using client = await gateway.connect()
    const pending = client.request({ path: '/1' })
    await asked
    await gateway.link({ rules: limited(2), upstreams })
    assert.deepEqual(events, ['request 1', 'dispose 3'], 'the set of the running exchange is kept for it')
    answer()
    assert.equal((await pending).status, 200)
    assert.deepEqual(events, ['request 1', 'dispose 3', 'dispose 1'])
    await gateway.link({ rules: limited(4), upstreams })
    assert.deepEqual(events.slice(3), ['dispose 2'])
  })
})
