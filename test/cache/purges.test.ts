import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import {
  labelOf,
  MAX_LABELS,
  namespaceLabel,
  type QueryMatch,
  routeLabel,
  ruleLabel,
  urlText,
  writeLabels,
} from '../../src/cache/purge-labels.ts'
import {
  decodePurge,
  encodePurge,
  labelsPurge,
  MAX_PURGE_TEXT,
  PLAIN,
  type PurgeRecord,
} from '../../src/cache/purge-record.ts'
import { HARD, KEPT, Purges, type PurgeVerdict, SOFT } from '../../src/cache/purges.ts'
import { urlPurge } from '../../src/cache/url-purge.ts'
import { PurgeLog } from '../../src/shared-memory/purge-log.ts'

interface Stored {
  readonly namespace: string
  readonly host: string
  readonly path: string
  readonly query?: string | undefined
  readonly match?: QueryMatch
  readonly route?: string
  readonly rule?: string
  readonly tags?: readonly string[]
}

type Purge =
  | { readonly what: 'url'; readonly host: string; readonly path: string; readonly query?: string | undefined }
  | { readonly what: 'prefix'; readonly host: string; readonly path: string }
  | { readonly what: 'tag'; readonly tag: string }
  | { readonly what: 'rule'; readonly route: string; readonly rule: string }
  | { readonly what: 'route'; readonly route: string }
  | { readonly what: 'all' | 'everything' }

const SHOP: Stored = { namespace: 'shop', host: 'shop.example', path: '/img/a.png', tags: ['product-1', 'hero'] }

function recordOf(namespace: string, purge: Purge, soft = false): PurgeRecord {
  const base = { ...PLAIN, soft, namespace: namespaceLabel(namespace) }
  switch (purge.what) {
    case 'url': {
      const { host, path, query } = purge
      return { ...base, ...urlPurge(host, path, query) }
    }
    case 'prefix':
      return { ...base, kind: 'prefix', label: labelOf('prefix', purge.host + purge.path) }
    case 'tag':
      return { ...base, kind: 'label', label: labelOf('tag', purge.tag) }
    case 'rule':
      return { ...base, kind: 'label', label: ruleLabel(purge.route, purge.rule) }
    case 'route':
      return { ...base, kind: 'label', label: routeLabel(purge.route) }
    default:
      return { ...base, kind: purge.what }
  }
}

function judge(purges: Purges, checked: number, stored: Stored): PurgeVerdict {
  const { namespace, host, path, query, match = 'exact', route = 'shop/web', rule = 'images', tags = [] } = stored
  const labels = new Float64Array(MAX_LABELS)
  const own = { namespace: namespaceLabel(namespace), host, path, query, match, route, rule }
  const count = writeLabels(
    labels,
    own,
    tags.map((tag) => labelOf('tag', tag)),
  )
  return purges.judge(checked, labels, count, () => urlText(host, path, query))
}

function rig(ringBytes?: number) {
  const buffer = PurgeLog.allocate(2, ringBytes)
  const log = new PurgeLog(buffer, 2)
  return { log, writer: new Purges(log, 1), purges: new Purges(log, 0) }
}

suite('purges', () => {
  const here = { host: 'shop.example' }
  const cases: readonly [what: string, purge: Purge, stored: Partial<Stored>, purged: boolean][] = [
    ['its URL', { what: 'url', ...here, path: '/img/a.png' }, {}, true],
    ['its URL with another query', { what: 'url', ...here, path: '/img/a.png', query: 'v=2' }, { query: 'v=1' }, false],
    ['its URL without its query', { what: 'url', ...here, path: '/img/a.png' }, { query: 'v=1' }, false],
    ['its URL with an empty query', { what: 'url', ...here, path: '/img/a.png', query: '' }, {}, false],
    [
      'the same with another order',
      { what: 'url', ...here, path: '/a', query: 'b=1&a=2' },
      { path: '/a', query: 'a=2&b=1' },
      false,
    ],
    [
      'a URL with what the key leaves out',
      { what: 'url', ...here, path: '/a', query: 'utm=x&q=%31' },
      { path: '/a', query: 'q=1', match: 'chosen' },
      true,
    ],
    [
      'a URL without a chosen parameter',
      { what: 'url', ...here, path: '/a', query: 'utm=x' },
      { path: '/a', query: 'q=1', match: 'chosen' },
      false,
    ],
    [
      'its path where the query is another one upstream',
      { what: 'url', ...here, path: '/a', query: 'x=9' },
      { path: '/a', query: 'y=1', match: 'any' },
      true,
    ],
    ['another host', { what: 'url', host: 'x.example', path: '/img/a.png' }, {}, false],
    ['a prefix by segments', { what: 'prefix', ...here, path: '/img' }, {}, true],
    ['a prefix that is the path', { what: 'prefix', ...here, path: '/img/a.png' }, {}, true],
    ['a prefix of a segment', { what: 'prefix', ...here, path: '/im' }, {}, false],
    ['a prefix of the host', { what: 'prefix', host: 'shop.exam', path: '' }, {}, false],
    ['all of a host', { what: 'prefix', ...here, path: '' }, { query: 'a=/b' }, true],
    ['a prefix that stands in the query', { what: 'prefix', ...here, path: '/img/a.png?u=' }, { query: 'u=/x' }, false],
    ['a tag', { what: 'tag', tag: 'hero' }, {}, true],
    ['a tag in another case', { what: 'tag', tag: 'Hero' }, {}, false],
    ['a tag that is a part', { what: 'tag', tag: 'product' }, {}, false],
    ['its rule', { what: 'rule', route: 'shop/web', rule: 'images' }, {}, true],
    ['another rule', { what: 'rule', route: 'shop/web', rule: 'pages' }, {}, false],
    ['its Route', { what: 'route', route: 'shop/web' }, {}, true],
    ['all', { what: 'all' }, {}, true],
  ]
  for (const [what, purge, stored, purged] of cases)
    test(`${what} ${purged ? 'purges' : 'does not purge'} an object, hard or soft`, () => {
      for (const soft of [false, true]) {
        const { log, writer, purges } = rig()
        const begun = log.last
        writer.append(recordOf('shop', purge, soft))
        const verdict = judge(purges, begun, { ...SHOP, ...stored })
        assert.equal(verdict, purged ? (soft ? SOFT : HARD) : KEPT)
        assert.equal(judge(purges, purges.last, { ...SHOP, ...stored }), KEPT, 'what is fetched behind it stays')
        assert.equal(judge(purges, begun, { ...SHOP, ...stored, namespace: 'other' }), KEPT, 'in its namespace only')
      }
    })

  test('what no thread can know counts as purged in every namespace', () => {
    const { writer, purges } = rig()
    writer.append(recordOf('', { what: 'everything' }, true))
    assert.equal(judge(purges, 0, SHOP), SOFT)
    writer.append(recordOf('', { what: 'everything' }))
    assert.equal(judge(purges, 0, SHOP), HARD)
    assert.equal(judge(purges, 2, SHOP), KEPT)
  })

  test('a reader that the ring has overtaken takes all for purged that was judged before', () => {
    const { log, writer, purges } = rig(1_024)
    assert.equal(judge(purges, log.last, SHOP), KEPT)
    for (let i = 0; i < 100; i++) writer.append(recordOf('other', { what: 'tag', tag: `t${i}` }))
    assert.equal(judge(purges, 0, SHOP), HARD)
    assert.equal(judge(purges, log.last, SHOP), KEPT)
    // One that comes later, as a replacement of a thread does.
    const later = new Purges(log, 0)
    assert.equal(judge(later, 0, SHOP), HARD)
    assert.equal(judge(later, log.last, SHOP), KEPT)
  })

  test('one that comes later knows what the rings still hold', () => {
    const { log, writer } = rig()
    writer.append(recordOf('shop', { what: 'tag', tag: 'hero' }))
    const later = new Purges(log, 0)
    assert.equal(judge(later, 0, SHOP), HARD)
    assert.equal(judge(later, 1, SHOP), KEPT)
  })

  test('names beyond those that are remembered purge objects of their own namespace that were not judged since', () => {
    const { log, writer, purges } = rig()
    writer.append(recordOf('shop', { what: 'tag', tag: 'first' }))
    for (let i = 0; i < 5_000; i++) {
      writer.append(recordOf('shop', { what: 'tag', tag: `t${i}` }))
      if (i % 100 === 0) purges.refresh()
    }
    assert.equal(judge(purges, 0, SHOP), HARD)
    assert.equal(judge(purges, log.last - 4_000, SHOP), KEPT, 'judged not long ago')
    assert.equal(judge(purges, log.last - 4_000, { ...SHOP, tags: ['t4000'] }), HARD)
    assert.equal(judge(purges, 0, { ...SHOP, namespace: 'other' }), KEPT)
  })

  test('the namespace that purges the most forgets first when there are too many names', () => {
    const { writer, purges } = rig()
    writer.append(recordOf('small', { what: 'tag', tag: 'one' }))
    for (let i = 0; i < 40_000; i++) {
      writer.append(recordOf(`n${i % 9}`, { what: 'tag', tag: `t${i}` }))
      if (i % 100 === 0) purges.refresh()
    }
    assert.equal(judge(purges, 0, { ...SHOP, namespace: 'small' }), KEPT)
    assert.equal(judge(purges, 0, { ...SHOP, namespace: 'small', tags: ['one'] }), HARD)
  })

  test('one record purges by each of many labels, and by no other', () => {
    const { writer, purges } = rig()
    const labels = Array.from({ length: 128 }, (_, i) => labelOf('tag', `t${i}`))
    const record = { ...PLAIN, ...labelsPurge(labels), namespace: namespaceLabel('shop') }
    assert.deepEqual(decodePurge(encodePurge(record)), record)
    assert.ok(encodePurge(record).length < 2_048)
    writer.append(record)
    for (const tag of ['t0', 't77', 't127']) assert.equal(judge(purges, 0, { ...SHOP, tags: ['x', tag] }), HARD)
    assert.equal(judge(purges, 0, { ...SHOP, tags: ['t128'] }), KEPT)
    assert.equal(judge(purges, 0, { ...SHOP, namespace: 'other', tags: ['t0'] }), KEPT)
  })

  test('clients of a namespace that change very much purge all of it, and nothing of others that read late', () => {
    const { log, writer } = rig()
    const late = new Purges(log, 0)
    late.refresh()
    const labels = Array.from({ length: 128 }, (_, i) => labelOf('tag', `t${i}`))
    // Some 1.6 KiB each, 3.2 MiB in half a second.
    for (let i = 0; i < 2_000; i++)
      writer.appendOfClient({ ...PLAIN, ...labelsPurge(labels), namespace: namespaceLabel('flood') }, i / 4)
    assert.equal(judge(late, 0, SHOP), KEPT)
    assert.equal(judge(late, 0, { ...SHOP, namespace: 'flood', tags: ['none of them'] }), HARD)
    // A second later there is room again.
    const since = log.last
    writer.appendOfClient({ ...PLAIN, ...labelsPurge(labels), namespace: namespaceLabel('flood') }, 1_500)
    assert.equal(judge(late, since, { ...SHOP, namespace: 'flood', tags: ['none of them'] }), KEPT)
    assert.equal(judge(late, since, { ...SHOP, namespace: 'flood', tags: ['t5'] }), HARD)
  })

  test('a record survives its encoding, and nothing else is taken for one', () => {
    const record = recordOf('shop', { what: 'url', host: 'h', path: '/ü', query: 'q=ä' }, true)
    assert.deepEqual(decodePurge(encodePurge({ ...record, id: 5, position: 2 ** 52 })), {
      ...record,
      id: 5,
      position: 2 ** 52,
    })
    assert.throws(() => encodePurge({ ...record, text: 'x'.repeat(MAX_PURGE_TEXT + 1) }), RangeError)
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        const decoded = decodePurge(bytes)
        if (decoded !== undefined) assert.deepEqual(decodePurge(encodePurge(decoded)), decoded)
      }),
    )
    const foreign = encodePurge(record)
    foreign[2] = 99
    assert.equal(decodePurge(foreign), undefined)
  })

  test('a record of another version counts as a purge of everything', () => {
    const { log, purges } = rig()
    const foreign = encodePurge(recordOf('shop', { what: 'tag', tag: 'x' }))
    foreign[2] = 99
    log.append(1, foreign)
    assert.equal(judge(purges, 0, { ...SHOP, namespace: 'other' }), HARD)
  })

  test('agrees with a list of all purges, whenever objects were judged before', () => {
    const word = fc.constantFrom('a', 'b', 'c')
    const path = fc.array(word, { maxLength: 3 }).map((words) => `/${words.join('/')}`)
    const prefix = fc.array(word, { maxLength: 3 }).map((words) => words.map((segment) => `/${segment}`).join(''))
    const query = fc.option(
      fc.array(fc.constantFrom('x=1', 'y=2', 'z=3'), { maxLength: 2 }).map((parameters) => parameters.join('&')),
      { nil: undefined },
    )
    const host = fc.constantFrom('h.example', 'i.example')
    const namespace = fc.constantFrom('one', 'two')
    const tag = fc.constantFrom('t', 'u', 'v')
    const rule = fc.constantFrom('r', 's')
    const route = fc.constantFrom('one/web', 'one/api')
    const purge: fc.Arbitrary<Purge> = fc.oneof(
      fc.record({ what: fc.constant('url' as const), host, path, query }),
      fc.record({ what: fc.constant('prefix' as const), host, path: prefix }),
      fc.record({ what: fc.constant('tag' as const), tag }),
      fc.record({ what: fc.constant('rule' as const), route, rule }),
      fc.record({ what: fc.constant('route' as const), route }),
      fc.record({ what: fc.constant('all' as const) }),
    )
    const stored = fc.record({
      namespace,
      host,
      path,
      query,
      match: fc.constantFrom('exact' as const, 'chosen' as const, 'any' as const),
      route,
      rule,
      tags: fc.uniqueArray(tag),
    })
    const purgesOfAll = fc.array(fc.record({ namespace, purge, soft: fc.boolean() }), { maxLength: 12 })
    fc.assert(
      fc.property(purgesOfAll, stored, fc.nat(12), fc.array(fc.nat(12)), (list, object, begun, looks) => {
        const { writer, purges } = rig()
        for (const [i, { namespace, purge, soft }] of list.entries()) {
          writer.append(recordOf(namespace, purge, soft))
          if (looks.includes(i)) purges.refresh()
        }
        const since = list.slice(Math.min(begun, list.length))
        const matching = since.filter(({ namespace, purge }) => namespace === object.namespace && meets(purge, object))
        const expected = matching.some(({ soft }) => !soft) ? HARD : matching.length > 0 ? SOFT : KEPT
        assert.equal(judge(purges, Math.min(begun, list.length), object), expected)
      }),
      { numRuns: 500 },
    )
  })
})

/** By the words of the documentation, over the texts. */
function meets(purge: Purge, stored: Stored): boolean {
  switch (purge.what) {
    case 'url': {
      if (purge.host !== stored.host || purge.path !== stored.path) return false
      if (stored.match === 'any') return true
      if (stored.match !== 'chosen') return purge.query === stored.query
      const parameters = (query: string | undefined): string[] => (query ?? '').split('&').filter((one) => one !== '')
      return parameters(stored.query).every((one) => parameters(purge.query).includes(one))
    }
    case 'prefix':
      return stored.host === purge.host && `${stored.path}/`.startsWith(`${purge.path}/`)
    case 'tag':
      return stored.tags?.includes(purge.tag) === true
    case 'rule':
      return stored.route === purge.route && stored.rule === purge.rule
    case 'route':
      return stored.route === purge.route
    default:
      return true
  }
}
