import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { SettingsObject } from '../../src/api/settings.ts'
import { CompileState } from '../../src/compile/compile-state.ts'
import { Handovers, handoverText } from '../../src/compile/handover.ts'
import type { HostnameClaim } from '../../src/compile/plan.ts'
import { compiled, ingress, route, type World, world } from './world.ts'

const at = (key: string, created: number | undefined, ...hostnames: string[]) => route(key, { hostnames }, { created })

/** What is told after each of these worlds, one compiled on top of the other. */
function told(...worlds: World[]): string[][] {
  const memo = new CompileState()
  return worlds.map((parts) => {
    compiled(world(parts), memo)
    return memo.handovers.take().handovers.map(handoverText)
  })
}

suite('a hostname that comes to another namespace', () => {
  const shop = at('shop/a', 10, 'x.example')
  const team = at('team/b', 20, 'x.example')

  test('is reported with both owners and the reason: the Route was deleted', () => {
    assert.deepEqual(told({ routes: [shop, team] }, { routes: [team] }), [
      [],
      [
        'x.example has come from namespace shop (Route shop/a) to namespace team (Route team/b): namespace shop has no Route or Ingress for it any more',
      ],
    ])
  })

  test('is reported when a restore recreates everything in the same second', () => {
    const [, , moved] = told(
      { routes: [at('zoo/z', 10, 'x.example'), team] },
      { routes: [] },
      { routes: [at('zoo/z', 50, 'x.example'), at('team/b', 50, 'x.example')] },
    )
    assert.deepEqual(moved, [
      'x.example has come from namespace zoo (Route zoo/z) to namespace team (Route team/b): Route team/b was created in the same second as Route zoo/z and comes first by name',
    ])
  })

  test('is reported when a restore changes the order, at once or step by step', () => {
    const other = [at('shop/a', 51, 'x.example'), at('team/b', 50, 'x.example')]
    assert.match(
      told({ routes: [shop, team] }, { routes: other })[1]![0]!,
      /: Route team\/b is older than Route shop\/a$/,
    )
    const steps = told({ routes: [shop, team] }, { routes: [] }, { routes: [other[1]!] }, { routes: other })
    assert.match(steps[2]![0]!, /from namespace shop .* to namespace team .*has no Route or Ingress for it any more$/)
    assert.deepEqual(steps[3], [])
  })

  test('is reported for Ingresses, for names under a wildcard, and when a grant is withdrawn', () => {
    const web = ingress('shop/web', { rules: [{ host: 'x.example' }] }, { created: 1 })
    assert.match(
      told({ ingresses: [web], routes: [team] }, { routes: [team] })[1]![0]!,
      /\(Ingress shop\/web\) to namespace team/,
    )
    const wild = at('shop/wild', 1, '*.example')
    assert.match(told({ routes: [wild, team] }, { routes: [team] })[1]![0]!, /^x\.example has come from namespace shop/)
    const names = (...given: string[]) => ({ namespaces: { from: 'Names' as const, names: given }, names: ['*'] })
    const strict = (...given: string[]): Partial<SettingsObject> => ({
      tenancy: 'Strict',
      hostnames: [names(...given)],
    })
    const routes = [shop, team]
    const withdrawn = told({ routes, settings: strict('shop', 'team') }, { routes, settings: strict('team') })
    assert.match(withdrawn[1]![0]!, /: the settings do not grant it to namespace shop any more$/)
  })

  test('is not reported at the start, within a namespace, or when it is reverted before the report', () => {
    assert.deepEqual(told({ routes: [shop, team] }, { routes: [at('shop/other', 30, 'x.example')] }), [[], []])
    const memo = new CompileState()
    for (const routes of [[shop, team], [team], [shop, team]]) compiled(world({ routes }), memo)
    assert.deepEqual(memo.handovers.take(), { handovers: [], more: 0 })
  })

  test('is counted where there are too many, and what is forgotten is bounded', () => {
    const handovers = new Handovers()
    const claim = (namespace: string): HostnameClaim => ({
      key: `${namespace}/r`,
      created: 1,
      namespace,
      delegates: [],
      enforced: undefined,
      closed: false,
    })
    for (let i = 0; i < 1_500; i++)
      handovers.note(`h${i}.example`, claim('a'), claim('b'), () => ({
        reservation: false,
        granted: true,
        still: undefined,
      }))
    const { handovers: list, more } = handovers.take()
    assert.deepEqual([list.length, more], [1_024, 476])
    assert.deepEqual(handovers.take(), { handovers: [], more: 0 })
  })
})
