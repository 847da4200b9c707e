import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { SliceEndpoint } from '../../src/api/kubernetes.ts'
import { countListed, refusedOf, type ServiceEndpoints, serviceEndpoints } from '../../src/compile/service-endpoints.ts'
import { service, slice } from './world.ts'

const PORT = { name: 'http', port: 80, protocol: 'TCP' as const }
const SERVICE = service('a/api', [PORT]).object

interface Pod {
  readonly number: number
  readonly state: 'ready' | 'draining' | 'out'
  readonly zone: string
  readonly hint: string
}

type Cut = Readonly<Record<string, { readonly family: 'IPv4' | 'IPv6'; readonly pods: readonly Pod[] }>>

function entry({ number, state, zone, hint }: Pod, family: string): SliceEndpoint {
  const out = { ready: false, serving: state === 'draining', terminating: true }
  return {
    addresses: [family === 'IPv4' ? `10.0.0.${number}` : `fd00::${number}`],
    conditions: state === 'ready' ? { ready: true } : out,
    ...(zone !== '' && { zone }),
    ...(hint !== '' && { hints: { forZones: [{ name: hint }] } }),
    targetRef: { kind: 'Pod', namespace: 'a', name: `pod-${number}` },
  }
}

function slicesOf(cut: Cut) {
  return new Map(
    Object.entries(cut).map(([key, { family, pods }]) => [
      key,
      slice(key, 'api', { addressType: family, endpoints: pods.map((pod) => entry(pod, family)) }),
    ]),
  )
}

describe('the endpoints of a port of a Service', () => {
  const pod = fc.record({
    number: fc.integer({ min: 1, max: 8 }),
    state: fc.constantFrom('ready' as const, 'ready' as const, 'draining' as const, 'out' as const),
    zone: fc.constantFrom('', 'a', 'b'),
    hint: fc.constantFrom('', 'a'),
  })
  const family = fc.constantFrom('IPv4' as const, 'IPv4' as const, 'IPv6' as const)
  const part = fc.record({ family, pods: fc.array(pod, { maxLength: 6 }) })
  const cuts = fc.array(fc.dictionary(fc.constantFrom('a/1', 'a/2', 'a/3'), part, { maxKeys: 3 }), { maxLength: 8 })

  it('are the same by one change after another as from nothing, whatever slices do', () => {
    fc.assert(
      fc.property(cuts, fc.array(fc.boolean()), (history, judged) => {
        let made: ServiceEndpoints | undefined
        history.forEach((cut, i) => {
          const filter = (endpoint: { address: string }) => !endpoint.address.endsWith('8') || judged[i] === true
          const use = { service: SERVICE, port: PORT, admits: filter }
          const slices = slicesOf(cut)
          made = serviceEndpoints({ ...use, judged: false }, slices, made)
          const anew = serviceEndpoints({ ...use, judged: false }, slices)
          assert.deepEqual(made.endpoints, anew.endpoints)
          assert.deepEqual([countListed(made), refusedOf(made)], [countListed(anew), refusedOf(anew)])
          const again = serviceEndpoints({ ...use, judged: true }, slicesOf(cut), made)
          assert.equal(again.endpoints, made.endpoints, 'the same content is the same list')
        })
      }),
    )
  })

  it('keep the object of every endpoint that stays as it is, also where it moves within its slice', () => {
    const pods = [1, 2, 3, 4].map((number): Pod => ({ number, state: 'ready', zone: 'a', hint: '' }))
    const use = { service: SERVICE, port: PORT, admits: () => true, judged: true }
    const before = serviceEndpoints(use, slicesOf({ 'a/1': { family: 'IPv4', pods } }))
    const changed = pods.toReversed().map((one) => (one.number === 3 ? { ...one, zone: 'b' } : one))
    const after = serviceEndpoints(use, slicesOf({ 'a/1': { family: 'IPv4', pods: changed } }), before)
    assert.deepEqual(
      after.endpoints.map((endpoint) => before.endpoints.includes(endpoint)),
      [true, true, false, true],
    )
  })
})
