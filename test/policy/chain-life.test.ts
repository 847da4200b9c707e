import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { BodySource, BodyStepFactory } from '../../src/message/body.ts'
import { composeBody } from '../../src/message/body-pipe.ts'
import { Fields } from '../../src/message/fields.ts'
import type { LocalResponse } from '../../src/message/local-response.ts'
import { requestBodySteps } from '../../src/policy/body-steps.ts'
import {
  type Chain,
  composeChain,
  disposeChain,
  runEnd,
  runLocalResponse,
  runRequest,
  warmUpChain,
} from '../../src/policy/chain.ts'
import { explainChain } from '../../src/policy/explain-chain.ts'
import type { Filter, RequestBodyStep, RequestDecision } from '../../src/policy/filter.ts'
import { FilterRegistry } from '../../src/policy/registry.ts'
import { PLAIN, SUMMARY, TestExchange, testDeps } from './exchange.ts'

type Maker = () => Filter | undefined

function registryOf(makers: Record<string, Maker>): FilterRegistry {
  const registry = new FilterRegistry()
  for (const [name, create] of Object.entries(makers)) registry.register({ name, phase: 'plugin', create })
  return registry
}

function chainOf(...filters: Omit<Filter, 'name'>[]): Chain {
  const makers = filters.map((filter, i): [string, Maker] => [`f${i}`, () => ({ name: `f${i}`, ...filter })])
  const chain = composeChain(PLAIN, testDeps(), registryOf(Object.fromEntries(makers)))
  assert.ok(chain)
  return chain
}

const onRequest = (): undefined => undefined

describe('a chain that is dropped', () => {
  it('disposes of every filter, also behind one that throws', () => {
    const disposed: string[] = []
    const deps = testDeps()
    const registry = registryOf({
      a: () => ({ name: 'a', onRequest, dispose: () => void disposed.push('a') }),
      bad: () => ({
        name: 'bad',
        dispose() {
          throw new Error('oops')
        },
      }),
      b: () => ({ name: 'b', dispose: () => void disposed.push('b') }),
    })
    disposeChain(composeChain(PLAIN, deps, registry)!)
    assert.deepEqual(disposed, ['a', 'b'])
    assert.deepEqual(
      deps.reports.map(({ filter }) => filter),
      ['bad'],
    )
  })

  it('leaves nothing behind where it has no hook, cannot be composed, or was only explained', () => {
    let made = 0
    let disposed = 0
    const counted =
      (hooks: Partial<Filter> = {}) =>
      () => {
        made++
        return { name: 'a', dispose: () => void disposed++, ...hooks }
      }
    assert.equal(composeChain(PLAIN, testDeps(), registryOf({ a: counted() })), null)
    const failing = (): never => {
      throw new Error('no pattern')
    }
    assert.throws(
      () => composeChain(PLAIN, testDeps(), registryOf({ a: counted({ onRequest }), b: failing })),
      /^TypeError: b: /,
    )
    explainChain(PLAIN, testDeps(), new TestExchange(), registryOf({ a: counted({ onRequest }) }))
    assert.deepEqual([made, disposed], [3, 3])
  })
})

describe('a chain that warms up', () => {
  it('has nothing to wait for where no filter does', () => {
    assert.equal(warmUpChain(chainOf({ onRequest }), new AbortController().signal), null)
  })

  it('waits for all, and names the one that fails', async () => {
    const log: string[] = []
    const later = (name: string) => async () => void log.push(name)
    const { signal } = new AbortController()
    await warmUpChain(chainOf({ onRequest, warmUp: later('a') }, { warmUp: later('b') }), signal)
    assert.deepEqual(log, ['a', 'b'])
    const failing = chainOf({ onRequest, warmUp: later('a') }, { warmUp: () => Promise.reject(new Error('no keys')) })
    await assert.rejects(() => warmUpChain(failing, signal)!, /f1: no keys/)
    const throwing = chainOf({
      onRequest,
      warmUp() {
        throw new Error('at once')
      },
    })
    await assert.rejects(() => warmUpChain(throwing, signal)!, /f0: at once/)
  })
})

describe('a summary', () => {
  it('is only made where a filter wants it', () => {
    const never = () => assert.fail('nobody asked')
    const x = new TestExchange()
    const plain = chainOf({ onRequest })
    runRequest(plain, x)
    runEnd(plain, x, never)
    const curious = chainOf({ onRequest, onEnd: (_x, summary) => assert.equal(summary, SUMMARY) })
    runEnd(curious, x, never)
    runRequest(curious, x)
    runEnd(curious, x, () => SUMMARY)
    runEnd(curious, x, never)
  })
})

/** A stream that counts how often it is given up. */
function stream(): { readonly response: LocalResponse; readonly given: () => number } {
  let aborted = 0
  const body: BodySource = { length: undefined, start: () => ({ resume() {}, abort: () => void aborted++ }) }
  return { response: { status: 200, fields: new Fields(), body }, given: () => aborted }
}

describe('a stream without a reader', () => {
  it('is given up when another response takes its place, and not when only its head changes', async () => {
    const { response, given } = stream()
    const other: LocalResponse = { status: 502, fields: new Fields(), body: null }
    const chain = chainOf({ onResponse: () => ({ type: 'replace', response: other }) })
    await runLocalResponse(chain, new TestExchange(), response, 1)
    assert.equal(given(), 1)

    const kept = stream()
    const same = chainOf({ onResponse: () => ({ type: 'replace', response: { ...kept.response, status: 203 } }) })
    const replacement = await runLocalResponse(same, new TestExchange(), kept.response, 1)
    assert.ok(replacement?.type === 'replace' && replacement.response.status === 203)
    assert.equal(kept.given(), 0)
  })

  it('is given up when the exchange ended while a filter was awaited', async () => {
    const late = stream()
    const decision = Promise.withResolvers<RequestDecision>()
    const x = new TestExchange()
    const pending = runRequest(chainOf({ onRequest: () => decision.promise }), x)
    x.end()
    decision.resolve({ type: 'respond', response: late.response })
    assert.deepEqual(await pending, { type: 'ended' })
    assert.equal(late.given(), 1)

    const waiting = stream()
    const slow = Promise.withResolvers<undefined>()
    const back = new TestExchange()
    const answer = runLocalResponse(chainOf({ onResponse: () => slow.promise }), back, waiting.response, 1)
    back.end()
    slow.resolve(undefined)
    assert.deepEqual(await answer, { type: 'ended' })
    assert.equal(waiting.given(), 1)
  })
})

describe('the length of a request body', () => {
  const pass: BodyStepFactory = (sink, resume) => ({
    data: (chunk) => sink.write(chunk),
    end: (trailers) => sink.end(trailers),
    drained: resume,
    abort() {},
  })
  const lengthOf = (requestBodyLength: number | undefined, ...lengths: RequestBodyStep['length'][]) => {
    const chain = chainOf(...lengths.map((length) => ({ requestBody: () => ({ step: pass, length }) })))
    const x = new TestExchange()
    Object.assign(x, { requestBodyLength })
    return requestBodySteps(chain, x)!
  }

  it('is determined by the last step that changes it', () => {
    assert.equal(lengthOf(5, 'kept').length, 5)
    assert.equal(lengthOf(undefined, 'kept').length, undefined)
    assert.equal(lengthOf(5, 'unknown', 'kept').length, undefined)
    assert.equal(lengthOf(5, 'unknown', 7, 'kept').length, 7)
    assert.equal(lengthOf(undefined, 9).length, 9)
  })

  it('is kept to, byte by byte, and trailers go only where there is none', () => {
    const run = (length: number | undefined, sent: number) => {
      const log: unknown[] = []
      const { steps } = lengthOf(length, 'kept')
      const sink = {
        write: (chunk: Uint8Array) => log.push(chunk.length) > 0,
        end: (trailers: Fields | null) => void log.push(trailers === null ? 'end' : 'trailers'),
        fail: ({ reason }: { reason: string }) => void log.push(reason),
      }
      const pipe = composeBody(steps, sink, () => {})
      for (let i = 0; i < sent; i++) pipe.write(new Uint8Array(1))
      pipe.end(Fields.from({ 'x-trailer': 'a' }))
      return log.join(' ')
    }
    assert.equal(run(2, 2), '1 1 end')
    assert.equal(run(2, 3), '1 1 InternalError')
    assert.equal(run(2, 1), '1 InternalError')
    assert.equal(run(undefined, 1), '1 trailers')
  })
})
