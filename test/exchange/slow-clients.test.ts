/** A server with deadlines of its own breaks off where a client is slow, which says nothing about the server. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { faultCode, NO_EVIDENCE } from '../../src/balance/fault.ts'
import type { AttemptObserver } from '../../src/exchange/attempt-observer.ts'
import { type MemoryGateway, memoryGateway } from '../lib/memory/rig.ts'
import type { Scope, ServedRequest } from '../suite/transport-rig.ts'

interface World {
  readonly gateway: MemoryGateway
  /** What the server has been asked. */
  readonly served: ServedRequest[]
  /** As passive health checks judge each attempt. */
  readonly verdicts: number[]
}

function world(scope: Scope): World {
  const served: ServedRequest[] = []
  const verdicts: number[] = []
  const observer: AttemptObserver = {
    attemptStarted() {},
    attemptEnded: ({ failure, status, unanswered, grpcStatus, slowClient }) =>
      void verdicts.push(faultCode(failure, status, unanswered, grpcStatus, slowClient)),
  }
  const gateway = memoryGateway(scope, { upstreams: [(request) => void served.push(request)], observer })
  return { gateway, served, verdicts }
}

/** The server breaks off a POST of which a part has come. @param after milliseconds */
async function breakUpload({ gateway, served }: World, after: number, pieces = 1): Promise<void> {
  const client = gateway.ask({ method: 'POST', length: 1_000 })
  for (let i = 0; i < pieces; i++) {
    client.write('abc')
    await gateway.pass(after / pieces)
  }
  await gateway.until(() => served.length > 0, 'the request')
  served[0]!.reset()
  assert.equal((await client.response()).status, 502)
  await gateway.nothingLeft()
}

/** The server breaks off a response. @param takes whether the client takes what has come of it */
async function breakDownload({ gateway, served }: World, takes: boolean): Promise<void> {
  const client = gateway.ask()
  if (!takes) client.pause()
  await gateway.until(() => served.length > 0, 'the request')
  const [request] = served
  request!.head(200, { 'content-length': String(64 * 1024 * 1024) })
  for (let i = 0; i < 64 && request!.unsent === 0; i++) {
    request!.write(Buffer.alloc(64 * 1024))
    await gateway.pass(10)
  }
  await gateway.pass(1_100)
  request!.reset()
  if (!takes) client.resume()
  await gateway.nothingLeft()
}

describe('an attempt that the server breaks off', () => {
  it('while the client has not sent its body for a second is no fault', async (t) => {
    const at = world(t)
    await breakUpload(at, 1_100)
    assert.deepEqual(at.verdicts, [NO_EVIDENCE])
  })

  it('while the client sends its body drop by drop is no fault', async (t) => {
    const at = world(t)
    await breakUpload(at, 1_200, 6)
    assert.deepEqual(at.verdicts, [NO_EVIDENCE])
  })

  it('while a body is on its way that a client sends in time is a fault', async (t) => {
    const at = world(t)
    await breakUpload(at, 300)
    assert.notEqual(at.verdicts[0], NO_EVIDENCE)
  })

  it('while the client has not taken its response for a second is no fault', async (t) => {
    const at = world(t)
    await breakDownload(at, false)
    assert.deepEqual(at.verdicts, [NO_EVIDENCE])
  })

  it('within a response that the client takes is a fault', async (t) => {
    const at = world(t)
    await breakDownload(at, true)
    assert.notEqual(at.verdicts[0], NO_EVIDENCE)
  })
})
