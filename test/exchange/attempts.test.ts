/** What an observer hears of attempts, and responses that are tried again by their status. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import type { AttemptObserver, AttemptOutcome } from '../../src/exchange/attempt-observer.ts'
import type { Filter } from '../../src/policy/filter.ts'
import { closedPort, onHead, rawBackend } from '../feature/backends.ts'
import { inProcess } from '../worker/in-process.ts'
import { type Scope, toUp } from '../worker/test-plane.ts'

class Observer implements AttemptObserver {
  started = 0
  readonly outcomes: AttemptOutcome[] = []

  attemptStarted(): void {
    this.started++
  }

  attemptEnded(outcome: Readonly<AttemptOutcome>): void {
    this.outcomes.push({ ...outcome })
  }

  get summary(): readonly (readonly [number, string | null, number])[] {
    return this.outcomes.map(({ endpoint, failure, status }) => [endpoint.port, failure, status] as const)
  }
}

/** Answers with the statuses in turn, then with the last of them. */
async function answering(
  scope: Scope,
  statuses: readonly number[],
  body = 'x',
): Promise<{ port: number; opened: number }> {
  let turn = 0
  let opened = 0
  const { port } = await rawBackend(scope, (socket, number) => {
    opened = number + 1
    onHead(socket, () => {
      const status = statuses[Math.min(turn++, statuses.length - 1)]!
      socket.write(`HTTP/1.1 ${status} X\r\ncontent-length: ${body.length}\r\n\r\n${body}`)
    })
  })
  return {
    port,
    get opened() {
      return opened
    },
  }
}

const retry = (more: object = {}) => ({ attempts: 1, codes: [503], backoff: '1ms', budgetPercent: 100, ...more })
const turns = { loadBalancing: { algorithm: 'RoundRobin' as const, slowStart: '0s', zoneAware: false } }

describe('the observer of attempts', () => {
  it('observes each once: endpoint, outcome, times', async (t) => {
    const observer = new Observer()
    const { port } = await answering(t, [200])
    const dead = await closedPort()
    const gateway = await inProcess(t, {
      upstreams: [dead, port],
      backend: turns,
      rules: toUp({ retry: retry() }),
      observer,
    })
    using client = await gateway.connect()
    await client.request()
    await client.request()
    client.end()
    await gateway.nothingLeft()
    const failed = observer.summary.filter((entry) => entry[0] === dead)
    assert.ok(failed.length > 0 && failed.every((entry) => isDeepStrictEqual(entry, [dead, 'ConnectFailure', 0])))
    assert.deepEqual(
      observer.summary.filter((entry) => entry[0] === port),
      [
        [port, null, 200],
        [port, null, 200],
      ],
    )
    assert.equal(observer.started, observer.outcomes.length)
    for (const { failure, reused, startedAt, sentAt, headAt, endedAt } of observer.outcomes) {
      if (failure !== null) assert.deepEqual([sentAt, headAt, reused], [-1, -1, false])
      else assert.ok(startedAt <= sentAt && sentAt <= headAt && headAt <= endedAt, 'times are in order')
      assert.ok(startedAt > 0 && startedAt <= endedAt)
    }
    assert.deepEqual(
      observer.outcomes.filter(({ failure }) => failure === null).map(({ reused }) => reused),
      [false, true],
    )
  })

  it('observes a deadline as a failure of the endpoint, and a client that has gone as none', async (t) => {
    const observer = new Observer()
    const silent = await rawBackend(t, (socket) => onHead(socket, () => {}))
    const gateway = await inProcess(t, {
      upstreams: [silent.port],
      rules: toUp({ retry: retry({ attempts: 0 }), timeouts: { responseHead: '50ms' } }),
      observer,
    })
    using client = await gateway.connect()
    assert.equal((await client.request()).status, 504)
    client.end()
    await gateway.nothingLeft()
    assert.deepEqual(observer.summary, [[silent.port, 'ResponseHeadTimeout', 0]])
  })

  it('observes that the client has gone', async (t) => {
    const observer = new Observer()
    const { promise: asked, resolve } = Promise.withResolvers<void>()
    const silent = await rawBackend(t, (socket) => onHead(socket, () => resolve()))
    const gateway = await inProcess(t, { upstreams: [silent.port], observer })
    using client = await gateway.connect()
    client.send('GET / HTTP/1.1\r\nhost: w.test\r\n\r\n')
    await asked
    client.reset()
    await gateway.nothingLeft()
    assert.deepEqual(observer.summary, [[silent.port, 'ClientGone', 0]])
  })
})

describe('a response with a status of retry.codes', () => {
  it('is followed by another attempt, and no filter ever sees it', async (t) => {
    const observer = new Observer()
    const seen: number[] = []
    const filter: Filter = { name: 'watch', onResponse: (_, head) => void seen.push(head.status) }
    const failing = await answering(t, [503])
    const good = await answering(t, [200])
    const gateway = await inProcess(t, {
      upstreams: [failing.port, good.port],
      backend: turns,
      rules: toUp({ retry: retry() }),
      filters: [{ phase: 'begin', filter }],
      observer,
    })
    using client = await gateway.connect()
    for (let i = 0; i < 4; i++) assert.equal((await client.request()).status, 200)
    client.end()
    await gateway.nothingLeft()
    assert.deepEqual(seen, [200, 200, 200, 200])
    assert.ok(observer.summary.some((entry) => JSON.stringify(entry) === JSON.stringify([failing.port, null, 503])))
    assert.equal(failing.opened, 1, 'the connection of a response that is not wanted is used again')
  })

  it('reaches the client when no attempt is left', async (t) => {
    const failing = await answering(t, [503], 'all is lost')
    const gateway = await inProcess(t, { upstreams: [failing.port], rules: toUp({ retry: retry({ attempts: 2 }) }) })
    using client = await gateway.connect()
    const response = await client.request()
    assert.deepEqual([response.status, response.text], [503, 'all is lost'])
    client.end()
    await gateway.nothingLeft()
    assert.deepEqual(
      gateway.log().map(({ status, attempts }) => [status, attempts]),
      [[503, 3]],
    )
  })

  it('is not tried again for a method that may change something, nor when another status came', async (t) => {
    const failing = await answering(t, [503, 502])
    const gateway = await inProcess(t, { upstreams: [failing.port], rules: toUp({ retry: retry({ attempts: 5 }) }) })
    using client = await gateway.connect()
    assert.equal((await client.request({ method: 'POST', body: 'x' })).status, 503)
    assert.equal((await client.request()).status, 502)
    client.end()
    await gateway.nothingLeft()
    assert.deepEqual(
      gateway.log().map(({ attempts }) => attempts),
      [1, 1],
    )
  })

  it('is given up with its connection when it is long or slow', async (t) => {
    for (const start of [
      'content-length: 1000000\r\n\r\nslow',
      `content-length: 200000\r\n\r\n${'x'.repeat(200_000)}`,
    ]) {
      const closed: Promise<unknown>[] = []
      let turn = 0
      const upstream = await rawBackend(t, (socket) => {
        onHead(socket, () => {
          if (turn++ > 0) return void socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')
          closed.push(new Promise((resolve) => socket.on('close', resolve)))
          socket.write(`HTTP/1.1 503 X\r\n${start}`)
        })
      })
      const gateway = await inProcess(t, { upstreams: [upstream.port], rules: toUp({ retry: retry() }) })
      using client = await gateway.connect()
      assert.equal((await client.request()).text, 'ok')
      await Promise.all(closed)
      assert.equal(closed.length, 1)
      client.end()
      await gateway.nothingLeft()
    }
  })

  it('holds nothing when the client goes in the wait', async (t) => {
    const failing = await answering(t, [503])
    const observer = new Observer()
    const gateway = await inProcess(t, {
      upstreams: [failing.port],
      rules: toUp({ retry: retry({ backoff: '1m' }) }),
      observer,
    })
    using client = await gateway.connect()
    client.send('GET / HTTP/1.1\r\nhost: w.test\r\n\r\n')
    while (observer.outcomes.length === 0) await new Promise((resolve) => setImmediate(resolve))
    client.reset()
    await gateway.nothingLeft()
    assert.deepEqual(observer.summary, [[failing.port, null, 503]])
  })
})
