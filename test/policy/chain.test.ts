import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { GatewayError } from '../../src/lib/error.ts'
import type { BodyStepFactory, BodyTee } from '../../src/message/body.ts'
import { Fields } from '../../src/message/fields.ts'
import type { ResponseHead } from '../../src/message/head.ts'
import type { LocalResponse } from '../../src/message/local-response.ts'
import { requestBodySteps, responseBodySteps } from '../../src/policy/body-steps.ts'
import { builtInFilters } from '../../src/policy/built-in.ts'
import { type Chain, composeChain, runEnd, runLocalResponse, runRequest, runResponse } from '../../src/policy/chain.ts'
import type { Exchange } from '../../src/policy/exchange.ts'
import { explainChain, explainFilters } from '../../src/policy/explain-chain.ts'
import type { Filter, RequestDecision, ResponseDecision } from '../../src/policy/filter.ts'
import type { PolicySet } from '../../src/policy/policy-set.ts'
import { FilterRegistry } from '../../src/policy/registry.ts'
import { PLAIN, pairs, SUMMARY, type TestDeps, TestExchange, testDeps } from './exchange.ts'

function answer(status: number, body: string | null = null): LocalResponse {
  return { status, fields: new Fields(), body: body === null ? null : Buffer.from(body) }
}

function upstreamHead(status = 200): ResponseHead {
  return { status, fields: Fields.from({ server: 'x' }), bodyLength: 5 }
}

/** A chain of these filters, in this order. */
function chainOf(filters: Filter[], deps: TestDeps = testDeps()): Chain {
  const registry = new FilterRegistry()
  for (const filter of filters) registry.register({ name: filter.name, phase: 'plugin', create: () => filter })
  const chain = composeChain(PLAIN, deps, registry)
  assert.ok(chain)
  return chain
}

/** A filter that writes down every call, and does what it is told besides. */
function tracer(name: string, log: string[], does: Partial<Filter> = {}): Filter {
  return {
    name,
    onRequest(x) {
      log.push(`${name}>`)
      return does.onRequest?.(x)
    },
    onResponse(x, head, local) {
      log.push(`<${name}`)
      return does.onResponse?.(x, head, local)
    },
    onEnd(x, summary) {
      log.push(`${name}!`)
      does.onEnd?.(x, summary)
    },
  }
}

describe('composing a chain', () => {
  it('gives null where nothing is to be done, so that a plain request walks nothing', () => {
    assert.equal(composeChain(PLAIN, testDeps()), null)
    assert.equal(composeChain(PLAIN, testDeps(), new FilterRegistry()), null)
  })

  it('has null for every hook without a filter, and is frozen', () => {
    const policy: PolicySet = { ...PLAIN, responseHeaders: { set: [], add: [], remove: ['server'] } }
    const chain = composeChain(policy, testDeps())!
    assert.deepEqual(
      [chain.request, chain.response?.length, chain.requestBody, chain.responseBody, chain.end],
      [null, 1, null, null, null],
    )
    assert.ok(Object.isFrozen(chain) && Object.isFrozen(chain.response))
  })

  it('puts the built-in filters in the order of a request', () => {
    const names = builtInFilters([]).definitions.map(({ name }) => name)
    const expected =
      'timeouts request-id response-headers cors-preflight body-limit concurrency identity-headers cross-site rateLimits-after-auth ' +
      'redirect respond token-issuer request-headers rewrite'
    assert.equal(names.join(' '), expected)
  })

  it('lets requestHeaders see the path that the client asked for, and sends the rewritten one', () => {
    const policy: PolicySet = {
      ...PLAIN,
      rewrite: { path: { type: 'ReplaceFullPath', replaceFullPath: '/new' } },
      requestHeaders: { set: [{ name: 'x-path', value: '%{path}' }], add: [], remove: [] },
    }
    const x = new TestExchange({ path: '/old' })
    assert.equal(runRequest(composeChain(policy, testDeps())!, x), undefined)
    assert.deepEqual([x.path, pairs(x.request)], ['/new', [['x-path', '/old']]])
  })

  it('names the filter whose part of the policy cannot be composed', () => {
    const policy: PolicySet = {
      ...PLAIN,
      requestHeaders: { set: [{ name: 'a', value: '%{nope}' }], add: [], remove: [] },
    }
    assert.throws(
      () => composeChain(policy, testDeps()),
      /TypeError: request-headers: %\{nope\} is not a variable here/,
    )
  })
})

describe('a registry', () => {
  it('keeps plugins in their phase, in the order in which they came', () => {
    const registry = builtInFilters([])
    const create = () => undefined
    registry.register({ name: 'late', phase: 'mirror', create })
    registry.register({ name: 'p1', phase: 'plugin', create })
    registry.register({ name: 'p2', phase: 'plugin', create })
    registry.register({ name: 'early', phase: 'begin', create })
    const names = registry.definitions.map(({ name }) => name).join(' ')
    assert.match(
      names,
      /^timeouts request-id early response-headers cors-preflight body-limit concurrency identity-headers cross-site rateLimits-after-auth p1 p2 redirect .* rewrite late$/,
    )
  })

  it('refuses a name that is taken and a phase that there is none of', () => {
    const registry = builtInFilters()
    const create = () => undefined
    assert.throws(
      () => registry.register({ name: 'rewrite', phase: 'plugin', create }),
      /rewrite is registered already/,
    )
    assert.throws(() => registry.register({ name: 'new', phase: 'nowhere' as 'plugin', create }), /no such phase/)
    registry.register({ name: 'new', phase: 'plugin', create })
  })

  it('is one for each caller', () => {
    builtInFilters().register({ name: 'mine', phase: 'plugin', create: () => undefined })
    assert.ok(!builtInFilters().definitions.some(({ name }) => name === 'mine'))
  })
})

describe('the way of an exchange through a chain', () => {
  it('goes in by order, back in reverse, and ends once', () => {
    const log: string[] = []
    const chain = chainOf([tracer('a', log), tracer('b', log), tracer('c', log)])
    const x = new TestExchange()
    assert.equal(runRequest(chain, x), undefined)
    assert.equal(runResponse(chain, x, upstreamHead(), chain.length), undefined)
    runEnd(chain, x, () => SUMMARY)
    runEnd(chain, x, () => SUMMARY)
    assert.equal(log.join(' '), 'a> b> c> <c <b <a a! b! c!')
  })

  it('takes an answer back through those already passed, and ends those that were entered', async () => {
    const log: string[] = []
    const b = tracer('b', log, { onRequest: () => ({ type: 'respond', response: answer(403, 'no') }) })
    const chain = chainOf([tracer('a', log), b, tracer('c', log)])
    const x = new TestExchange()
    const outcome = await runRequest(chain, x)
    assert.ok(outcome?.type === 'respond' && outcome.from === 1)
    const replacement = await runLocalResponse(chain, x, outcome.response, outcome.from)
    assert.ok(replacement?.type === 'replace')
    assert.equal(replacement.response.status, 403)
    runEnd(chain, x, () => SUMMARY)
    assert.equal(log.join(' '), 'a> b> <a a! b!')
  })

  it('counts filters without onRequest as passed once a later one was reached', async () => {
    const log: string[] = []
    const outer: Filter = { name: 'outer', onResponse: () => void log.push('<outer') as undefined }
    const inner: Filter = { name: 'inner', onResponse: () => void log.push('<inner') as undefined }
    const refusing: Filter = { name: 'refusing', onRequest: () => ({ type: 'respond', response: answer(429) }) }
    const chain = chainOf([outer, refusing, inner])
    const outcome = await runRequest(chain, new TestExchange())
    assert.ok(outcome?.type === 'respond')
    await runLocalResponse(chain, new TestExchange(), outcome.response, outcome.from)
    assert.deepEqual(log, ['<outer'])
  })

  it('lets filters further out see the response that was put in place of another, and change it', async () => {
    const log: string[] = []
    const c = tracer('c', log)
    const b = tracer('b', log, { onResponse: () => ({ type: 'replace', response: answer(502, 'page') }) })
    const a = tracer('a', log, {
      onResponse(_x, head) {
        assert.deepEqual([head.status, head.bodyLength], [502, 4])
        head.status = 503
        head.fields.set('x-seen', 'a')
        return undefined
      },
    })
    const replacement = await runResponse(chainOf([a, b, c]), new TestExchange(), upstreamHead(), 3)
    assert.ok(replacement?.type === 'replace')
    assert.equal(replacement.from, 1)
    assert.equal(replacement.response.status, 503)
    assert.deepEqual(pairs(replacement.response.fields), [['x-seen', 'a']])
    assert.equal(Buffer.from(replacement.response.body as Uint8Array).toString(), 'page')
    assert.equal(log.join(' '), '<c <b <a')
  })

  it('keeps the reason of a refusal on its way back', async () => {
    const chain = chainOf([tracer('a', [])])
    const replacement = await runLocalResponse(
      chain,
      new TestExchange(),
      { ...answer(404), reason: 'RouteNotFound' },
      1,
    )
    assert.ok(replacement?.type === 'replace' && replacement.response.reason === 'RouteNotFound')
  })

  it('stays synchronous until a filter returns a promise', async () => {
    const log: string[] = []
    const slow = tracer('slow', log, { onRequest: async () => undefined, onResponse: async () => undefined })
    const chain = chainOf([tracer('a', log), slow, tracer('b', log)])
    const x = new TestExchange()
    const pending = runRequest(chain, x)
    assert.ok(pending instanceof Promise)
    assert.equal(log.join(' '), 'a> slow>')
    assert.equal(await pending, undefined)
    const back = runResponse(chain, x, upstreamHead(), chain.length)
    assert.ok(back instanceof Promise)
    assert.equal(log.join(' '), 'a> slow> b> <b <slow')
    assert.equal(await back, undefined)
    assert.equal(log.at(-1), '<a')
  })

  it('drops a late decision of an exchange that has ended, and enters no further filter', async () => {
    const log: string[] = []
    const { promise, resolve } = Promise.withResolvers<RequestDecision>()
    const chain = chainOf([tracer('slow', log, { onRequest: () => promise }), tracer('b', log)])
    const x = new TestExchange()
    const pending = runRequest(chain, x)
    x.ended = true
    runEnd(chain, x, () => SUMMARY)
    resolve({ type: 'respond', response: answer(200) })
    assert.deepEqual(await pending, { type: 'ended' })
    assert.equal(log.join(' '), 'slow> slow!')
  })

  it('drops a late reply and a late rejection of an exchange that has ended, without a report', async () => {
    const deps = testDeps()
    for (const settle of ['resolve', 'reject'] as const) {
      const late = Promise.withResolvers<never>()
      const chain = chainOf([{ name: 'slow', onRequest: () => late.promise, onResponse: () => late.promise }], deps)
      const x = new TestExchange()
      const pending = [runRequest(chain, x), runResponse(chain, x, upstreamHead(), 1)]
      x.ended = true
      if (settle === 'resolve') late.resolve({ type: 'replace', response: answer(200) } as never)
      else late.reject(new Error('aborted'))
      assert.deepEqual(await Promise.all(pending), [{ type: 'ended' }, { type: 'ended' }])
    }
    assert.deepEqual(deps.reports, [])
  })
})

describe('a filter that fails', () => {
  for (const how of ['throws', 'rejects'] as const)
    it(`${how}: the client gets a refusal that the filters before it have seen`, async () => {
      const log: string[] = []
      const deps = testDeps()
      const failing = (error: Error) => (): never | Promise<never> => {
        if (how === 'throws') throw error
        return Promise.reject(error)
      }
      const chain = chainOf([tracer('a', log), { name: 'bad', onRequest: failing(new Error('oops')) }], deps)
      const outcome = await runRequest(chain, new TestExchange())
      assert.ok(outcome?.type === 'respond')
      assert.deepEqual([outcome.response.status, outcome.response.reason, outcome.from], [500, 'InternalError', 1])
      assert.equal(deps.reports[0]?.filter, 'bad')

      const known = chainOf([{ name: 'bad', onRequest: failing(new GatewayError('Overloaded')) }], deps)
      const refused = await runRequest(known, new TestExchange())
      assert.ok(refused?.type === 'respond' && refused.response.reason === 'Overloaded')

      const back = chainOf([tracer('a', log), { name: 'bad', onResponse: failing(new Error('oops')) }], deps)
      log.length = 0
      const replacement = await runResponse(back, new TestExchange(), upstreamHead(), 2)
      assert.ok(replacement?.type === 'replace' && replacement.response.reason === 'InternalError')
      assert.deepEqual(log, ['<a'])
    })

  it('in onEnd is reported, and the other filters are still called', () => {
    const log: string[] = []
    const deps = testDeps()
    const bad: Filter = {
      name: 'bad',
      onEnd() {
        throw new Error('oops')
      },
    }
    const chain = chainOf([tracer('a', log), bad, tracer('b', log)], deps)
    const x = new TestExchange()
    runRequest(chain, x)
    runEnd(chain, x, () => SUMMARY)
    assert.equal(log.join(' '), 'a> b> a! b!')
    assert.deepEqual(
      deps.reports.map(({ filter }) => filter),
      ['bad'],
    )
  })
})

describe('the body steps of a chain', () => {
  const factories = new Map<string, BodyStepFactory>()
  const bodyFilter = (name: string, wants = true): Filter => {
    const factory = (() => assert.fail('not made here')) as BodyStepFactory
    factories.set(name, factory)
    return {
      name,
      requestBody: () => (wants ? { step: factory, length: 'unknown' } : undefined),
      responseBody: () => (wants ? factory : undefined),
    }
  }
  const named = (steps: readonly (BodyStepFactory | BodyTee)[] | null) =>
    steps?.map((step) => [...factories].find(([, factory]) => factory === step)?.[0]).join('') ?? null

  it('are in order for the request, in reverse for the response, and only of filters with one', () => {
    const chain = chainOf([bodyFilter('a'), bodyFilter('b', false), bodyFilter('c')])
    const x = new TestExchange()
    assert.equal(named(requestBodySteps(chain, x)!.steps), 'ac')
    assert.equal(named(responseBodySteps(chain, x, upstreamHead(), chain.length)), 'ca')
  })

  it('of an answer are those of the filters before it', () => {
    const chain = chainOf([bodyFilter('a'), bodyFilter('b'), bodyFilter('c')])
    assert.equal(named(responseBodySteps(chain, new TestExchange(), upstreamHead(), 2)), 'ba')
    assert.equal(named(responseBodySteps(chain, new TestExchange(), upstreamHead(), 0)), null)
  })

  it('are null when no filter has one', () => {
    const chain = chainOf([bodyFilter('a', false), tracer('b', [])])
    assert.equal(requestBodySteps(chain, new TestExchange()), null)
    assert.equal(responseBodySteps(chain, new TestExchange(), upstreamHead(), 2), null)
    assert.equal(requestBodySteps(chainOf([tracer('b', [])]), new TestExchange()), null)
  })
})

describe('explaining a chain', () => {
  it('describes each filter in request order, also those without a hook', () => {
    const policy: PolicySet = {
      ...PLAIN,
      limits: { maxRequestBytes: 10 },
      rewrite: { hostname: 'b' },
      responseHeaders: { set: [], add: [], remove: ['server'] },
    }
    const explained = explainChain(policy, testDeps(), Object.freeze(new TestExchange()))
    assert.deepEqual(
      explained.map(({ filter, effect }) => `${filter} ${effect}`),
      [
        'timeouts sets the timeouts responseHead 60000 ms, idle 60000 ms, tunnelIdle 3600000 ms',
        'request-id sends x-request-id, taken over from a trusted proxy or made',
        'response-headers removes server on the response',
        'body-limit refuses a request body of more than 10 bytes with 413',
        'rewrite sends the host b in place of shop.example.com',
      ],
    )
  })

  it('shows what a filter in front changes to those behind it, and leaves the request as it is', () => {
    const policy: PolicySet = {
      ...PLAIN,
      requestHeaders: { set: [{ name: 'x-a', value: 'new' }], add: [], remove: ['x-b'] },
      rewrite: { hostname: 'b', path: { type: 'ReplaceFullPath', replaceFullPath: '/other?q=1' } },
    }
    const x = new TestExchange({ path: '/a' }, { 'x-a': 'old', 'x-b': '1' })
    const seen: unknown[] = []
    const watching: Filter = {
      name: 'watching',
      onRequest: () => undefined,
      explain: (dry) =>
        void seen.push(dry.path, dry.query, dry.upstreamHost, dry.request.get('x-a'), dry.request.has('x-b')),
    }
    const chain = composeChain(policy, testDeps())!
    explainFilters([...chain.filters, watching], x)
    assert.deepEqual(seen, ['/other', 'q=1', 'b', 'new', false])
    assert.deepEqual(
      [x.path, x.query, x.upstreamHost, x.request.get('x-a'), x.request.has('x-b')],
      ['/a', undefined, undefined, 'old', true],
    )
  })

  it('goes on behind a filter whose explanation fails or is missing, and ends with one that refuses', () => {
    const filter = (name: string, hooks: Partial<Filter>): Filter => ({ name, ...hooks })
    const fail = (error: unknown) => () => {
      throw error
    }
    const filters = [
      filter('plugin', { onRequest: () => undefined }),
      filter('broken', { explain: fail(new Error('secret')) }),
      filter('refusing', { explain: () => undefined, rehearse: fail(new GatewayError('HeadTooLarge')) }),
      filter('behind', { explain: () => ({ filter: 'behind', effect: '' }) }),
    ]
    assert.deepEqual(explainFilters(filters, new TestExchange()), [
      { filter: 'plugin', effect: 'does not say' },
      { filter: 'broken', effect: 'cannot say: its explanation has failed' },
      { filter: 'refusing', effect: 'refuses: The request head is too large', status: 431 },
    ])
  })
})

// The promise of filter.ts in one property: whatever filters do and whenever, each is entered in order, told of the
// response in reverse only if it was passed, and told of the end exactly once if it was entered.
describe('any chain', () => {
  const does = fc.constantFrom('go', 'go later', 'answer', 'answer later', 'throw', 'reject')
  const doesBack = fc.constantFrom('go', 'go later', 'replace', 'replace later', 'throw', 'reject')
  it('keeps its order and its ends', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(does, doesBack), { minLength: 1, maxLength: 6 }), async (behaviours) => {
        const log: string[] = []
        const filters = behaviours.map(([way, back], i) =>
          tracer(String(i), log, {
            onRequest: () => act<RequestDecision>(way, { type: 'respond', response: answer(418) }),
            onResponse: () => act<ResponseDecision>(back, { type: 'replace', response: answer(502) }),
          }),
        )
        const chain = chainOf(filters)
        const x: Exchange = new TestExchange()
        const outcome = await runRequest(chain, x)
        const stop = behaviours.findIndex(([way]) => !/^go/.test(way))
        const entered = stop === -1 ? behaviours.length : stop + 1
        const passed = stop === -1 ? behaviours.length : stop
        assert.equal(outcome?.type === 'respond', stop !== -1)
        if (outcome?.type === 'respond') await runLocalResponse(chain, x, outcome.response, outcome.from)
        else await runResponse(chain, x, upstreamHead(), chain.length)
        runEnd(chain, x, () => SUMMARY)
        const names = behaviours.map((_, i) => String(i))
        const expected = [
          ...names.slice(0, entered).map((name) => `${name}>`),
          ...names
            .slice(0, passed)
            .toReversed()
            .map((name) => `<${name}`),
          ...names.slice(0, entered).map((name) => `${name}!`),
        ]
        assert.deepEqual(log, expected)
      }),
      { numRuns: 300 },
    )
  })
})

function act<Result>(how: string, result: Result): Result | undefined | Promise<Result | undefined> {
  if (how === 'throw') throw new Error(how)
  if (how === 'reject') return Promise.reject(new Error(how))
  const value = how.startsWith('go') ? undefined : result
  return how.endsWith('later') ? Promise.resolve(value) : value
}
