/** `cache` in a gateway in memory: what is asked of the origin, and what is answered from what is stored. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type MemoryGateway, memoryGateway } from '../lib/memory/rig.ts'
import type { Asking, FieldMap, Scope, ServedRequest } from '../suite/transport-rig.ts'
import { toUp } from '../worker/test-plane.ts'

interface World {
  readonly gateway: MemoryGateway
  /** What the origin was asked. */
  readonly asked: ServedRequest[]
  answer: (request: ServedRequest) => void
}

function world(scope: Scope, cache: object = {}, policies: object = {}): World {
  const asked: ServedRequest[] = []
  const w: World = {
    gateway: memoryGateway(scope, {
      upstreams: [
        (request) => {
          asked.push(request)
          w.answer(request)
        },
      ],
      rules: toUp({ retry: { attempts: 0 }, ...policies, cache } as never),
    }),
    asked,
    answer: (request) => request.respond(200, `body of ${request.target}`, { 'cache-control': 'max-age=60' }),
  }
  return w
}

const get = ({ gateway }: World, path = '/a', fields: FieldMap = {}, more: Asking = {}) =>
  gateway.ask({ path, fields, ...more }).response()

describe('a response that may be stored', () => {
  it('is asked for once, and answered with its age', async (t) => {
    const w = world(t)
    const first = await get(w)
    assert.deepEqual([first.status, first.body], [200, 'body of /a'])
    assert.equal(first.fields['cache-status'], 'headgate;fwd=uri-miss;stored')
    await w.gateway.pass(5_000)
    const second = await get(w)
    assert.deepEqual([second.status, second.body], [200, 'body of /a'])
    assert.equal(second.fields['cache-status'], 'headgate;hit;ttl=55')
    assert.equal(second.fields.age, '5')
    assert.equal(w.asked.length, 1)
    await w.gateway.nothingLeft()
    assert.deepEqual(w.gateway.errors, [])
  })
})
