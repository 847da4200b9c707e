/**
 * The way of a request, whatever carries it: the same cases on every transport. What only a codec can get wrong
 * (framing, smuggling, pipelining) has suites of its own.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { BodyStepFactory } from '../../src/message/body.ts'
import { Fields } from '../../src/message/fields.ts'
import type { Filter } from '../../src/policy/filter.ts'
import { toUp } from '../worker/test-plane.ts'
import { secondAttempts } from './second-attempts.ts'
import type { GatewayOptions, ServedRequest, TransportGateway, TransportRig, UpstreamScript } from './transport-rig.ts'

const fine = (request: ServedRequest): void => request.respond(200, 'fine')

/** Answers with the method, the target and the body. */
const echo = (request: ServedRequest): void =>
  void request.body().then((body) => request.respond(200, `${request.method} ${request.target} ${body}`))

export function exchangeSuite(name: string, rig: TransportRig): void {
  describe(`an exchange ${name}`, () => {
    plain(rig)
    bodies(rig)
    earlyResponses(rig)
  })
  describe(`a failing upstream ${name}`, () => failures(rig))
  describe(`the deadlines of an exchange ${name}`, () => deadlines(rig))
  describe(`a client that goes away ${name}`, () => vanishing(rig))
  describe(`a filter ${name}`, () => filters(rig))
  describe(`a request that is sent twice ${name}`, () => secondAttempts(rig))
}

type Scenario = (gateway: TransportGateway) => Promise<void>

/** Runs one case and sees that nothing is left of it. */
function on(rig: TransportRig, upstreams: UpstreamScript | readonly UpstreamScript[]) {
  return (title: string, scenario: Scenario, options: Omit<GatewayOptions, 'upstreams'> = {}): void => {
    it(title, async (t) => {
      const scripts = typeof upstreams === 'object' ? upstreams : [upstreams]
      const gateway = await rig.gateway(t, { upstreams: scripts, ...options })
      await scenario(gateway)
      await gateway.nothingLeft()
      assert.deepEqual(gateway.errors, [])
    })
  }
}

function plain(rig: TransportRig): void {
  on(rig, (request) => request.respond(200, 'hello', { 'x-seen': `${request.fields['x-mine']}`, server: 'rig' }))(
    'carries a request and its response, and logs it once',
    async (gateway) => {
      const { status, fields, body, complete } = await gateway
        .ask({ path: '/a?b', fields: { 'x-mine': '1' } })
        .response()
      assert.deepEqual(
        [status, fields['x-seen'], fields['content-length'], body, complete],
        [200, '1', '5', 'hello', true],
      )
      await gateway.nothingLeft()
      const [line, ...more] = gateway.log()
      assert.equal(more.length, 0)
      assert.deepEqual(
        [line!.status, line!.path, line!.bytesOut, line!.attempts, line!.reason],
        [200, '/a', 5, 1, undefined],
      )
    },
  )

  on(rig, (request) => request.respond(200, JSON.stringify(request.fields)))(
    'tells the upstream the host, the client, and that the request has passed here',
    async (gateway) => {
      const { body } = await gateway.ask({ fields: { 'x-forwarded-for': '6.6.6.6' } }).response()
      const fields = JSON.parse(body) as Record<string, string>
      assert.deepEqual(
        [fields.host, fields['x-forwarded-for'], fields['x-forwarded-host']],
        ['rig.test', '127.0.0.1', 'rig.test'],
      )
      assert.match(fields['x-request-id']!, /./)
      assert.match(fields['cdn-loop']!, /^headgate-/)
    },
  )

  on(rig, fine)('uses a connection to an upstream again', async (gateway) => {
    for (let i = 0; i < 3; i++) assert.equal((await gateway.ask().response()).body, 'fine')
    assert.equal(gateway.connections, 1)
  })

  for (const [method, status, length] of [
    ['HEAD', 200, '7'],
    ['GET', 204, undefined],
    ['GET', 304, '7'],
  ] as const)
    on(rig, (request) => {
      if (status === 204) request.respond(204)
      else {
        request.head(status, { 'content-length': '7' })
        request.end()
      }
    })(`reads no body behind ${method} ${status}, and the next response on the connection`, async (gateway) => {
      for (let i = 0; i < 2; i++) {
        const response = await gateway.ask({ method }).response()
        assert.deepEqual([response.status, response.fields['content-length'], response.body], [status, length, ''])
      }
      assert.equal(gateway.connections, 1)
    })

  on(rig, (request) => {
    request.interim(103, { link: '</style.css>; rel=preload' })
    request.respond(200, 'final')
  })('passes interim responses on before the final one', async (gateway) => {
    const request = gateway.ask()
    assert.equal((await request.response()).body, 'final')
    assert.deepEqual(
      request.interim.map(({ status, fields }) => [status, fields.link]),
      [[103, '</style.css>; rel=preload']],
    )
  })
}

function bodies(rig: TransportRig): void {
  const echoed = on(rig, echo)
  echoed('carries a body of known length', async (gateway) => {
    const request = gateway.ask({ method: 'POST', length: 6 })
    request.write('abc')
    request.write('def')
    request.end()
    assert.equal((await request.response()).body, 'POST / abcdef')
  })
  echoed('carries a body of unknown length', async (gateway) => {
    const request = gateway.ask({ method: 'PUT', length: 'unknown' })
    request.write('abc')
    request.write('def')
    request.end()
    assert.equal((await request.response()).body, 'PUT / abcdef')
  })
  echoed('carries a body that is empty after all', async (gateway) => {
    const request = gateway.ask({ method: 'POST', length: 'unknown' })
    request.end()
    assert.equal((await request.response()).body, 'POST / ')
  })

  on(
    rig,
    (request) =>
      void request.body().then((body) => {
        request.head(200, { trailer: 'x-sum' })
        request.write(`${body} ${request.trailers['x-sum']}`)
        request.end({ 'x-sum': '2' })
      }),
  )('carries trailers both ways', async (gateway) => {
    const request = gateway.ask({ method: 'POST', length: 'unknown', fields: { trailer: 'x-sum' } })
    request.write('abc')
    request.end({ 'x-sum': '1' })
    const { body, trailers } = await request.response()
    assert.deepEqual([body, trailers['x-sum']], ['abc 1', '2'])
  })

  let served: ServedRequest
  on(rig, (request) => {
    served = request
    request.head(200)
    request.write(Buffer.alloc(rig.large, 'x'))
    request.end()
  })('stops an upstream whose client does not read, and loses nothing', async (gateway) => {
    const request = gateway.ask()
    request.pause()
    await request.head()
    await gateway.pass(300)
    assert.ok(served.unsent > 0, 'the upstream was stopped')
    request.resume()
    assert.equal((await request.response()).body.length, rig.large)
  })

  on(rig, (request) => {
    served = request
    request.pause()
    echo(request)
  })('stops a client whose upstream does not read, and loses nothing', async (gateway) => {
    const request = gateway.ask({ method: 'POST', length: rig.large })
    request.write(Buffer.alloc(rig.large, 'x'))
    request.end()
    await gateway.until(() => served !== undefined)
    await gateway.pass(300)
    assert.ok(request.unsent > 0, 'the client was stopped')
    served.resume()
    assert.equal((await request.response()).body.length, rig.large + 'POST / '.length)
  })
}

function earlyResponses(rig: TransportRig): void {
  let served: ServedRequest
  const early = on(rig, (request) => {
    served = request
    request.respond(403, 'no')
  })
  early('whose response comes before its body sends the rest to the upstream', async (gateway) => {
    const request = gateway.ask({ method: 'POST', length: 6 })
    assert.deepEqual([(await request.head()).status, (await request.response()).body], [403, 'no'])
    request.write('abcdef')
    request.end()
    assert.equal(await served.body(), 'abcdef')
    await gateway.nothingLeft()
    assert.deepEqual([gateway.log()[0]!.status, gateway.log()[0]!.bytesIn], [403, 6])
  })
  early('that was answered early is over when its client goes away', async (gateway) => {
    const request = gateway.ask({ method: 'POST', length: 'unknown' })
    await request.response()
    request.vanish()
    await gateway.nothingLeft()
    const [line] = gateway.log()
    assert.deepEqual([line!.status, line!.reason], [403, undefined])
  })
  on(rig, (request) => {
    request.respond(413, 'too large')
    request.reset()
  })('whose upstream answers early and closes still has its response', async (gateway) => {
    const request = gateway.ask({ method: 'POST', length: 'unknown' })
    const { status, body } = await request.response()
    assert.deepEqual([status, body], [413, 'too large'])
    request.vanish()
  })
}

function failures(rig: TransportRig): void {
  const retried = { rules: toUp({ retry: { attempts: 1, backoff: '5ms', reasons: ['ConnectFailure'] } }) }

  on(rig, 'refusing')('that refuses connections is 502 ConnectFailure', async (gateway) => {
    const { status, body } = await gateway.ask().response()
    assert.deepEqual([status, (JSON.parse(body) as { reason: string }).reason], [502, 'ConnectFailure'])
  })

  on(rig, ['refusing', fine])(
    'that refuses connections is followed by another, also for a request with a body',
    async (gateway) => {
      for (let i = 0; i < 12; i++) {
        const { body } = await gateway.ask({ method: 'POST', body: 'abc' }).response()
        assert.equal(body, 'fine')
      }
      await gateway.nothingLeft()
      const attempts = gateway.log().map((line) => line.attempts)
      assert.ok(attempts.includes(2), `${attempts}`)
    },
    retried,
  )

  on(rig, 'deaf')(
    'that accepts no connection is 504 ConnectTimeout in its time',
    async (gateway) => {
      const { status, body } = await gateway.ask().response()
      assert.deepEqual([status, (JSON.parse(body) as { reason: string }).reason], [504, 'ConnectTimeout'])
    },
    { backend: { connection: { connectTimeout: '100ms', idleTimeout: '60s', maxRequestsPerConnection: 0 } } },
  )

  const dying = (): UpstreamScript => {
    let seen = 0
    return (request) => (++seen === 2 ? request.reset() : fine(request))
  }
  on(rig, dying())('whose kept connection dies under a GET is asked again on a new one', async (gateway) => {
    assert.equal((await gateway.ask().response()).body, 'fine')
    assert.equal((await gateway.ask().response()).body, 'fine')
    assert.equal(gateway.connections, 2)
  })
  on(rig, dying())('whose kept connection dies under a POST is 502: it may have done it', async (gateway) => {
    assert.equal((await gateway.ask().response()).body, 'fine')
    const { status, body } = await gateway.ask({ method: 'POST', body: 'x' }).response()
    assert.deepEqual([status, (JSON.parse(body) as { reason: string }).reason], [502, 'ResetBeforeResponse'])
  })

  on(rig, (request) => {
    request.head(200, { 'content-length': '100' })
    request.write('abc')
    request.reset()
  })('that breaks off within a body cuts the response', async (gateway) => {
    const { status, complete } = await gateway.ask().response()
    assert.equal(complete, false)
    await gateway.nothingLeft()
    const [line] = gateway.log()
    // Where nothing of the response had left, the client is told instead.
    assert.deepEqual([line!.reason, status === 200 || status === 502 || status === 0], ['UpstreamTruncated', true])
  })

  const limited = { backend: { limits: { maxConnections: 1, maxPending: 10, maxConcurrentRequests: 0 } } }
  let held: ServedRequest[] = []
  on(rig, (request) => void held.push(request))(
    rig.capacity > 1
      ? 'at its limit of connections gets all requests on the one that it has'
      : 'at its limit of connections lets a request wait for one',
    async (gateway) => {
      held = []
      const [one, two] = [gateway.ask(), gateway.ask()]
      const together = Math.min(rig.capacity, 2)
      await gateway.until(() => held.length === together)
      await gateway.pass(60)
      assert.equal(held.length, together)
      held[0]!.respond(200, 'first')
      await gateway.until(() => held.length === 2)
      held[1]!.respond(200, 'second')
      const bodies = [(await one.response()).body, (await two.response()).body]
      assert.deepEqual([bodies.sort(), gateway.connections], [['first', 'second'], 1])
    },
    limited,
  )
}

function deadlines(rig: TransportRig): void {
  const silent = (): void => {}
  const reasonOf = (body: string): string => (JSON.parse(body) as { reason: string }).reason
  for (const [timeouts, status, reason] of [
    [{ responseHead: '100ms' }, 504, 'ResponseHeadTimeout'],
    [{ request: '100ms' }, 504, 'RequestTimeout'],
    [{ backendRequest: '100ms' }, 504, 'BackendRequestTimeout'],
  ] as const) {
    let served: ServedRequest | undefined
    on(rig, (request) => void (served = request))(
      `end a silent upstream: ${Object.keys(timeouts)[0]} is ${reason}`,
      async (gateway) => {
        const response = await gateway.ask().response()
        assert.deepEqual([response.status, reasonOf(response.body)], [status, reason])
        await gateway.until(() => served!.gone)
      },
      { rules: toUp({ timeouts, retry: { attempts: 0 } }) },
    )
  }

  on(rig, (request) => {
    request.head(200)
    request.write('abc')
  })(
    'cut a response that stands still',
    async (gateway) => {
      const request = gateway.ask()
      assert.equal((await request.head()).status, 200)
      assert.equal((await request.response()).complete, false)
      await gateway.nothingLeft()
      assert.equal(gateway.log()[0]!.reason, 'IdleTimeout')
    },
    { rules: toUp({ timeouts: { idle: '100ms' } }) },
  )

  on(rig, silent)(
    'blame a client that does not send its body',
    async (gateway) => {
      const request = gateway.ask({ method: 'POST', length: 10 })
      request.write('abc')
      const { status, body } = await request.response()
      assert.deepEqual([status, reasonOf(body)], [408, 'RequestBodyTimeout'])
      request.vanish()
    },
    { rules: toUp({ timeouts: { idle: '100ms' } }) },
  )
}

function vanishing(rig: TransportRig): void {
  let served: ServedRequest | undefined
  const keep = (request: ServedRequest): void => void (served = request)

  on(rig, keep)('before its response ends the request at the upstream', async (gateway) => {
    served = undefined
    const request = gateway.ask()
    await gateway.until(() => served !== undefined)
    request.vanish()
    await gateway.until(() => served!.gone)
    await gateway.nothingLeft()
    assert.deepEqual([gateway.log()[0]!.reason, gateway.log()[0]!.status], ['ClientGone', 0])
  })

  on(rig, (request) => {
    keep(request)
    request.head(200)
    request.write(Buffer.alloc(rig.large))
  })('within a response ends it at the upstream', async (gateway) => {
    const request = gateway.ask()
    request.pause()
    await request.head()
    await gateway.pass(50)
    request.vanish()
    await gateway.until(() => served!.gone)
    await gateway.nothingLeft()
    const [line] = gateway.log()
    assert.deepEqual([line!.reason, line!.status], ['ClientGone', 200])
    assert.ok((line!.bytesOut as number) < rig.large)
  })

  on(rig, keep)('within its body ends the request at the upstream', async (gateway) => {
    served = undefined
    const request = gateway.ask({ method: 'POST', length: 10 })
    request.write('abc')
    await gateway.until(() => served?.received === 3)
    request.vanish()
    await gateway.until(() => served!.gone)
    await gateway.nothingLeft()
    assert.equal(gateway.log()[0]!.reason, 'ClientGone')
  })
}

/** Capital letters, a chunk at a time. */
const capitals: BodyStepFactory = (sink, resume) => ({
  data: (chunk) => sink.write(Buffer.from(Buffer.from(chunk).toString('latin1').toUpperCase())),
  end: (trailers) => sink.end(trailers),
  drained: resume,
  abort() {},
})

function filters(rig: TransportRig): void {
  const using = (filter: Omit<Filter, 'name'>): Omit<GatewayOptions, 'upstreams'> => ({
    filters: [{ phase: 'auth', filter: { name: 'case', ...filter } }],
  })

  on(rig, 'refusing')(
    'responds itself, now or later',
    async (gateway) => {
      for (const path of ['/now', '/later']) {
        const { status, body, fields } = await gateway.ask({ path }).response()
        assert.deepEqual([status, body, fields['x-by']], [401, 'who?', 'case'])
      }
    },
    using({
      onRequest: (x) => {
        const response = { status: 401, fields: Fields.from({ 'x-by': 'case' }), body: Buffer.from('who?') }
        const decision = { type: 'respond', response } as const
        return x.path === '/now' ? decision : Promise.resolve(decision)
      },
    }),
  )

  on(rig, echo)(
    'changes the bodies of both directions',
    async (gateway) => {
      const { body } = await gateway.ask({ method: 'POST', body: 'abc' }).response()
      assert.equal(body, 'POST / ABC')
    },
    using({
      requestBody: () => ({ step: capitals, length: 'kept' }),
      responseBody: () => capitals,
    }),
  )

  on(rig, (request) => request.respond(200, 'x'.repeat(300_000), { 'x-was': 'kept' }))(
    'may take its time over a response and keeps what it is given',
    async (gateway) => {
      const { body, fields } = await gateway.ask().response()
      assert.deepEqual([body.length, fields['x-was'], fields['x-then']], [300_000, 'kept', 'seen kept'])
    },
    using({
      onResponse: async (_, head) => {
        await new Promise((resolve) => setImmediate(resolve))
        head.fields.set('x-then', `seen ${head.fields.get('x-was')}`)
        return undefined
      },
    }),
  )

  on(rig, fine)(
    'puts another response in the place of the one of the upstream',
    async (gateway) => {
      const { status, body } = await gateway.ask().response()
      assert.deepEqual([status, body], [404, 'nothing here'])
    },
    using({
      onResponse: () => ({
        type: 'replace',
        response: { status: 404, fields: new Fields(), body: Buffer.from('nothing here') },
      }),
    }),
  )

  on(rig, fine)(
    'hears once how it ended',
    async (gateway) => {
      await gateway.ask().response()
      await gateway.nothingLeft()
      assert.deepEqual(ends.splice(0), [200])
    },
    using({ onEnd: (_, summary) => void ends.push(summary.status) }),
  )
  const ends: number[] = []
}
