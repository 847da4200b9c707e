import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { Kind } from '../../src/api/kinds.ts'
import type { KubeObject } from '../../src/api/object.ts'
import { inheritedCacheCost, memoryCost } from '../../src/compile/memory-cost.ts'
import type { ServedResource } from '../../src/compile/resource-set.ts'
import { ingress, prefix, type Rules, route, slice } from './world.ts'

const KIB = 1_024

const many = <T>(count: number, of: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => of(i))
const costOf = ({ object }: ServedResource<KubeObject>): number => memoryCost(object.kind as Kind, object)

/** Bounds are what one more of each was measured to take, rounded down. */
function assertEach(
  small: ServedResource<KubeObject>,
  large: ServedResource<KubeObject>,
  more: number,
  bytes: number,
): void {
  const each = (costOf(large) - costOf(small)) / more
  assert.ok(each >= bytes && each < 3 * bytes, `${Math.round(each)} bytes each`)
}

suite('the memory that an object is counted with', () => {
  test('grows with each hostname of a Route, also of one without rules', () => {
    const named = (count: number) => route('a/r', { hostnames: many(count, (i) => `h${i}.test`), rules: {} })
    assertEach(named(1), named(64), 63, 1.5 * KIB)
  })

  test('grows with each listener that a Route names', () => {
    const named = (count: number) =>
      route('a/r', {
        listeners: many(count, (i) => `l${i}`),
        rules: { r: { matches: many(100, (i) => prefix(`/${i}`)) } },
      })
    assertEach(named(1), named(64), 63, 1.5 * KIB + 100 * 200)
  })

  test('grows with each host of an Ingress, once more with a default backend', () => {
    const named = (count: number, more: object = {}) =>
      ingress('a/i', { ...more, rules: many(count, (i) => ({ host: `h${i}.test` })) })
    const defaultBackend = { service: { name: 'api', port: { number: 80 } } }
    assertEach(named(1), named(2_048), 2_047, 2.9 * KIB)
    assertEach(named(1, { defaultBackend }), named(2_048, { defaultBackend }), 2_047, 4.2 * KIB)
  })

  test('has the policies of a Route for each rule that adds something of its own', () => {
    const set = many(16, (i) => ({ name: `x-${i}`, value: 'v'.repeat(500) }))
    const policies = { requestHeaders: { set } }
    const ruled = (own: number, of: object | null = policies) => {
      const rules: Rules = Object.fromEntries(
        many(64, (i) => [
          `r${i}`,
          {
            matches: [prefix(`/${i}`)],
            ...(i < own ? { respond: { statusCode: 200, body: `${i}` } } : { backendRefs: [] }),
          },
        ]),
      ) as never
      return route('a/r', { rules, ...(of && { policies: of }) })
    }
    assertEach(ruled(1), ruled(64), 63, 8 * KIB)
    const without = (costOf(ruled(64, null)) - costOf(ruled(1, null))) / 63
    assert.ok(without < KIB, `${Math.round(without)} bytes each`)
  })

  test('has the filter of each rule whose cache is its own, or of all of them where the Route has one', () => {
    const ruled = (count: number, own: object, policies?: object) => {
      const rules: Rules = Object.fromEntries(
        many(count, (i) => [`r${i}`, { matches: [prefix(`/${i}`)], backendRefs: [], policies: own }]),
      ) as never
      return route('a/r', { rules, ...(policies && { policies }) })
    }
    const cached = (count: number) => ruled(count, { cache: { version: 'v' } })
    assertEach(cached(1), cached(64), 63, 7 * KIB)
    const edits = { responseHeaders: { remove: ['x-a'] } }
    const inherited = (count: number) => ruled(count, edits, { cache: {} })
    assertEach(inherited(1), inherited(64), 63, 7 * KIB)
    const plain = (costOf(ruled(64, edits)) - costOf(ruled(1, edits))) / 63
    assert.ok(plain < 3 * KIB, `${Math.round(plain)} bytes each`)
  })

  test('has the filter of a cache of the settings for each set of policies that has no cache of its own', () => {
    const ruled = (count: number, own: object, policies?: object) => {
      const rules: Rules = Object.fromEntries(
        many(count, (i) => [`r${i}`, { matches: [prefix(`/${i}`)], backendRefs: [], ...own }]),
      ) as never
      const { object } = route('a/r', { rules, ...(policies && { policies }) })
      return inheritedCacheCost('Route', object)
    }
    const edits = { responseHeaders: { remove: ['x-a'] } }
    const each = (ruled(64, { policies: edits }) - ruled(1, { policies: edits })) / 63
    assert.ok(each >= 7 * KIB && each < 21 * KIB, `${Math.round(each)} bytes each`)
    assert.equal(ruled(64, { splitAffinity: { by: ['client.ip'] } }), 64 * each)
    assert.equal(ruled(64, {}), 0, 'one set with all rules that say nothing')
    assert.equal(ruled(64, {}, edits), each, 'one set of the Route')
    assert.equal(ruled(64, { policies: { cache: {} } }), 0)
    assert.equal(ruled(64, { policies: edits }, { cache: {} }), 0, 'counted already')
    const answered = { backendRefs: undefined, respond: { statusCode: 200, body: 'a' } }
    assert.equal(ruled(64, { policies: edits, ...answered }), 0)
  })

  test('has each address of an EndpointSlice for each of its ports', () => {
    const sliced = (ports: number) =>
      slice('a/s', 'api', {
        endpoints: many(1_000, (i) => ({ addresses: [`10.0.${i >> 8}.${i & 255}`] })),
        ports: many(ports, (i) => ({ name: `p${i}`, port: i + 1, protocol: 'TCP' as const })),
      })
    assertEach(sliced(1), sliced(100), 99, 1_000 * 250)
  })
})
