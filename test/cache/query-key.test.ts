import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { type QueryKeyPlan, queryKeyReader } from '../../src/cache/query-key.ts'

/** What is sent upstream and stands in the key; `bypass` where the request is not cached. */
function keyed(plan: Partial<QueryKeyPlan> | undefined, query: string | undefined): string | undefined {
  const key = queryKeyReader(plan === undefined ? undefined : { others: 'Drop', ...plan })(query)
  if (key === null) return query
  return key.bypass ? 'bypass' : key.query
}
const include = (query: string | undefined, ...names: string[]): string | undefined => keyed({ include: names }, query)
const exclude = (query: string | undefined, ...names: string[]): string | undefined => keyed({ exclude: names }, query)

describe('the query of a key', () => {
  it('is the whole query as it was sent where nothing is chosen', () => {
    for (const query of [undefined, '', 'b=2&a=1', 'a=1&a=2&&', 'q=%41', 'q=A', 'q=a+b'])
      for (const plan of [undefined, {}]) assert.equal(keyed(plan, query), query)
  })

  it('has the chosen parameters, by name in a fixed order, as they were sent', () => {
    assert.equal(include('page=2&utm=x&q=a+b', 'q', 'page'), 'page=2&q=a+b')
    assert.equal(include('q=a+b&page=2', 'q', 'page'), 'page=2&q=a+b')
    assert.equal(include('q=%41&q=b&q', 'q'), 'q=%41&q=b&q')
    assert.equal(include('q=b&q=a', 'q'), 'q=b&q=a', 'the order of one name has a meaning')
  })

  it('is none where no parameter is chosen', () => {
    for (const query of [undefined, '', 'utm=1', '&', '=', '=x']) assert.equal(include(query, 'q'), undefined)
  })

  it('is without the excluded parameters, the rest as it was sent', () => {
    assert.equal(exclude('b=2&utm_source=x&a=1&fbclid=y', 'utm_*', 'fbclid'), 'b=2&a=1')
    assert.equal(exclude('utm_source=x', 'utm_*'), undefined)
    assert.equal(exclude('b=2&&a=1', 'utm_*'), 'b=2&&a=1')
    assert.equal(exclude('', 'utm_*'), '')
    assert.equal(exclude('UTM_x=1&utm=2', 'utm_*'), 'UTM_x=1&utm=2', 'names are compared with their case')
    assert.equal(exclude('a=1', '*'), undefined)
  })

  it('finds names whatever their encoding', () => {
    assert.equal(include('%71=1&q%00=2&Q=3&q[]=4&q.x=5', 'q'), '%71=1')
    assert.equal(include('a+b=1&a%20b=2', 'a b'), 'a+b=1&a%20b=2')
    assert.equal(exclude('%75tm_x=1&a=1', 'utm_*'), 'a=1')
    assert.equal(include('%C3%A9=1', 'é'), '%C3%A9=1')
  })

  it('keeps or drops a parameter with all that an origin may find in it', () => {
    assert.equal(exclude('utm_content=1;q=evil&a=1', 'utm_*'), 'a=1')
    assert.equal(include('x=1;q=evil', 'q'), undefined)
    assert.equal(include('q=1;x=evil', 'q'), 'q=1;x=evil', 'what is sent is in the key')
    assert.equal(include('q=1&amp;q=evil', 'q'), 'q=1')
    assert.equal(include('q=1%26q=evil', 'q'), 'q=1%26q=evil')
    assert.equal(include('q=1?q=evil', 'q'), 'q=1?q=evil')
  })

  it('passes requests by that have other parameters, where that is stated', () => {
    const plan = { include: ['q'], others: 'Bypass' } as const
    assert.equal(keyed(plan, 'q=1&x=2'), 'bypass')
    assert.equal(keyed(plan, 'q=1&;q=2'), 'bypass')
    assert.equal(keyed(plan, 'q=1&&'), 'q=1')
    assert.equal(keyed(plan, 'q=1'), 'q=1')
    assert.equal(keyed({ exclude: ['utm_*'], others: 'Bypass' }, 'utm_x=1&q=1'), 'bypass')
    assert.equal(keyed({ exclude: ['utm_*'], others: 'Bypass' }, 'q=1'), 'q=1')
    assert.deepEqual(queryKeyReader(plan)('x=2'), { query: 'x=2', bypass: true })
  })

  it('takes include and exclude for alternatives', () => {
    assert.throws(() => queryKeyReader({ include: ['a'], exclude: ['b'], others: 'Drop' }), TypeError)
  })

  const NAMES = ['q', 'page', 'utm_x', 'Q', 'q;utm_x', 'amp;q', '%71', '%75tm_y', '', 'q%5B%5D', 'a%zz']
  const parameter = fc
    .tuple(fc.constantFrom(...NAMES), fc.constantFrom('', '=', '=1', '=2', '=1;q=2', '=%26q'))
    .map((pair) => pair.join(''))
  const queryText = fc.array(parameter, { maxLength: 6 }).map((parameters) => parameters.join('&'))
  /** Names as WHATWG URL decodes them. */
  const namesOf = (query: string): string[] => [...new URLSearchParams(query).keys()]

  it('has no parameter that is not chosen, all that are, and is its own normal form', () => {
    fc.assert(
      fc.property(queryText, fc.boolean(), (query, chosen) => {
        const names = ['q', 'page']
        const plan = chosen ? { include: names } : { exclude: ['utm_*', 'amp;q'] }
        const isKept = (name: string): boolean =>
          chosen ? names.includes(name) : !name.startsWith('utm_') && name !== 'amp;q'
        const sent = keyed(plan, query) ?? ''
        const kept = namesOf(query).filter(isKept)
        assert.deepEqual(namesOf(sent), chosen ? kept.toSorted() : kept)
        assert.equal(keyed(plan, sent) ?? '', sent)
        // Nothing is made up: each parameter is one that was sent, as it was.
        const pieces = query.split('&')
        for (const piece of sent.split('&')) assert.ok(sent === '' || pieces.includes(piece))
        const bypassed = queryKeyReader({ ...plan, others: 'Bypass' })(query)?.bypass === true
        const others = query.split('&').filter((piece) => piece !== '' && namesOf(piece).every((name) => !isKept(name)))
        assert.equal(bypassed, others.length > 0)
      }),
      { numRuns: 2_000 },
    )
  })
})
