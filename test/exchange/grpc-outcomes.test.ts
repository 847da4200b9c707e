/** What an attempt of a gRPC call says about its endpoint. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { faultCode, NO_EVIDENCE, WELL } from '../../src/balance/fault.ts'
import type { AttemptObserver, AttemptOutcome } from '../../src/exchange/attempt-observer.ts'
import { framed } from '../grpc/web-client.ts'
import { type MemoryGateway, memoryGateway } from '../lib/memory/rig.ts'
import type { FieldMap, GatewayOptions, Scope, ServedRequest } from '../suite/transport-rig.ts'
import { toUp } from '../worker/test-plane.ts'

const GRPC = { 'content-type': 'application/grpc' }

interface World {
  readonly gateway: MemoryGateway
  readonly outcomes: AttemptOutcome[]
  /** As passive health checks judge the last attempt. */
  verdict(): number
}

function world(scope: Scope, script: (request: ServedRequest) => void, more: Partial<GatewayOptions> = {}): World {
  const outcomes: AttemptOutcome[] = []
  const observer: AttemptObserver = {
    attemptStarted() {},
    attemptEnded: (outcome) => void outcomes.push({ ...outcome }),
  }
  const gateway = memoryGateway(scope, { upstreams: [script], observer, ...more })
  const verdict = (): number => {
    const { failure, status, unanswered, grpcStatus } = outcomes.at(-1)!
    return faultCode(failure, status, unanswered, grpcStatus)
  }
  return { gateway, outcomes, verdict }
}

async function call({ gateway }: World, fields: FieldMap = {}): Promise<void> {
  const request = gateway.ask({ method: 'POST', fields: { ...GRPC, ...fields }, body: framed('x').toString('latin1') })
  await request.response()
  await gateway.nothingLeft()
}

describe('an attempt of a gRPC call', () => {
  for (const [status, fault] of [
    ['0', false],
    ['5', false],
    ['4', false],
    ['13', true],
    ['14', true],
  ] as const) {
    it(`that ends with grpc-status ${status} in its trailers is ${fault ? 'a fault' : 'no fault'}`, async (t) => {
      const at = world(t, (request) => {
        request.head(200, GRPC)
        request.write(framed('y').toString('latin1'))
        request.end({ 'grpc-status': status })
      })
      await call(at)
      assert.equal(at.outcomes[0]!.grpcStatus, Number(status))
      assert.equal(at.verdict() !== WELL, fault)
    })

    it(`that is answered by grpc-status ${status} alone is ${fault ? 'a fault' : 'no fault'}`, async (t) => {
      const at = world(t, (request) => request.respond(200, '', { ...GRPC, 'grpc-status': status }))
      await call(at)
      assert.equal(at.verdict() !== WELL, fault)
    })
  }

  it('is judged by what its own endpoint said, not by what another says to the retry', async (t) => {
    const statuses = [503, 200]
    const at = world(t, (request) => request.respond(statuses.shift()!, '', { ...GRPC, 'grpc-status': '0' }), {
      rules: toUp({ retry: { attempts: 1, codes: [503], backoff: '1ms', budgetPercent: 100 } }),
    })
    const request = at.gateway.ask({ method: 'GET', fields: GRPC })
    await request.response()
    await at.gateway.nothingLeft()
    const codes = at.outcomes.map(({ failure, status, unanswered, grpcStatus }) =>
      faultCode(failure, status, unanswered, grpcStatus),
    )
    assert.deepEqual(codes, [503, WELL])
  })

  it('counts for what is learnt of the endpoint at its head, where that says already that it failed', async (t) => {
    const learnt: number[] = []
    const observer: AttemptObserver = {
      attemptStarted() {},
      attemptEnded() {},
      attemptAnswered: (_backend, _endpoint, status) => void learnt.push(status),
    }
    const statuses = ['0', '14']
    const script = (request: ServedRequest): void =>
      request.respond(200, '', { ...GRPC, 'grpc-status': statuses.shift()! })
    const at = world(t, script, { observer })
    await call(at)
    await call(at)
    assert.deepEqual(learnt, [200, 503])
  })

  it('of HTTP takes no notice of a field with that name', async (t) => {
    const at = world(t, (request) => request.respond(200, 'x', { 'grpc-status': '14' }))
    await at.gateway.ask().response()
    await at.gateway.nothingLeft()
    assert.equal(at.verdict(), WELL)
  })

  it('that meets a deadline of its client is a fault only where that was a second or more', async (t) => {
    const at = world(t, () => {})
    for (const [timeout, fault] of [
      ['20m', false],
      ['900m', false],
      ['1500m', true],
    ] as const) {
      await call(at, { 'grpc-timeout': timeout })
      assert.equal(at.outcomes.at(-1)!.failure, 'RequestTimeout')
      assert.equal(at.verdict() !== NO_EVIDENCE, fault, timeout)
    }
  })

  it('that meets the deadline of its rule is a fault, however short that is', async (t) => {
    const at = world(t, () => {}, { rules: toUp({ timeouts: { request: '200ms' } }) })
    await call(at)
    assert.equal(at.outcomes.at(-1)!.failure, 'RequestTimeout')
    assert.notEqual(at.verdict(), NO_EVIDENCE)
  })
})
