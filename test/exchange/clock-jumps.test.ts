/** The wall clock jumps by hours, at any moment: what is stored is never served for longer than it may be. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { cachingGateway } from '../lib/memory/caching-gateway.ts'
import { HeapRecords } from '../lib/memory/heap-records.ts'
import type { MemoryGateway } from '../lib/memory/rig.ts'
import { recordArchive } from '../lib/record-archive.ts'
import type { Scope, ServedRequest } from '../suite/transport-rig.ts'

const HOUR = 3_600_000
const SECOND = 1_000
const MAX_AGE = 60
/** Clocks of replicas may differ by so much, so a lifetime may be longer by it (src/cache/reuse.ts). */
const SKEW = 2 * SECOND

interface World {
  readonly gateway: MemoryGateway
  /** Asks for the page. @returns for how long its version has been another one at the origin, milliseconds */
  behind(): Promise<number>
}

/** The origin has a new version every second, which names when it was made; by the clock that never jumps. */
function world(scope: Scope, store: 'Memory' | 'Tiered' | 'Redis'): World {
  const answer = (request: ServedRequest): void => {
    const version = Math.floor(gateway.passed / SECOND)
    const fields = { 'cache-control': `max-age=${MAX_AGE}`, etag: `"${version}"` }
    if (request.fields['if-none-match'] === `"${version}"`) request.respond(304, '', fields)
    else request.respond(200, String(version), fields)
  }
  const archive = recordArchive({ records: new HeapRecords() })
  const gateway = cachingGateway(scope, answer, { cache: { store }, archive })
  return {
    gateway,
    async behind() {
      const { status, body } = await gateway.ask({ path: '/a' }).response()
      assert.equal(status, 200)
      return gateway.passed - Number(body) * SECOND
    },
  }
}

const JUMP = fc.oneof(
  fc.integer({ min: 1, max: 72 }).map((hours) => hours * HOUR),
  fc.integer({ min: 1, max: 72 }).map((hours) => -hours * HOUR),
)
const STEP = fc.record({
  jump: fc.option(JUMP, { nil: 0 }),
  /** Behind the jump, seconds. */
  pass: fc.integer({ min: 0, max: 100 }),
})

describe('a wall clock that jumps by hours', () => {
  for (const store of ['Memory', 'Tiered', 'Redis'] as const)
    it(`has nothing served beyond its lifetime, and fails no request (${store})`, async (t) => {
      await fc.assert(
        fc.asyncProperty(fc.array(STEP, { minLength: 2, maxLength: 20 }), async (steps) => {
          const w = world(t, store)
          for (const { jump, pass } of steps) {
            w.gateway.jump(jump)
            await w.gateway.pass(pass * SECOND)
            const behind = await w.behind()
            assert.ok(behind <= MAX_AGE * SECOND + SKEW + SECOND, `${behind} ms behind`)
          }
          await w.gateway.nothingLeft()
          assert.deepEqual(w.gateway.errors, [])
        }),
        { numRuns: 60 },
      )
    })

  for (const jump of [-5 * HOUR, 5 * HOUR])
    it(`within a fetch and within a validation, by ${jump / HOUR} hours`, async (t) => {
      const w = world(t, 'Tiered')
      for (let round = 0; round < 4; round++) {
        const asking = w.gateway.ask({ path: '/a' })
        w.gateway.jump(jump)
        const { status, body } = await asking.response()
        assert.equal(status, 200)
        assert.ok(w.gateway.passed - Number(body) * SECOND <= SECOND)
        assert.ok((await w.behind()) <= MAX_AGE * SECOND + SKEW)
        await w.gateway.pass((MAX_AGE + 61) * SECOND)
        assert.ok((await w.behind()) <= SECOND, 'it is validated')
        await w.gateway.pass((MAX_AGE + 1) * SECOND)
      }
      await w.gateway.nothingLeft()
      assert.deepEqual(w.gateway.errors, [])
    })

  it('back, and forth again: what was stored in between is not fresh for hours', async (t) => {
    const w = world(t, 'Tiered')
    await w.behind()
    w.gateway.jump(-10 * HOUR)
    assert.ok((await w.behind()) <= SECOND, 'no age is known, so it is validated')
    w.gateway.jump(10 * HOUR)
    await w.gateway.pass(5 * SECOND)
    assert.ok((await w.behind()) <= SECOND, 'hours old by the clock')
    await w.gateway.nothingLeft()
  })
})
