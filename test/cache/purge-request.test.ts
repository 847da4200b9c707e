import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { labelOf, namespaceLabel, routeLabel, ruleLabel } from '../../src/cache/purge-labels.ts'
import { encodePurge } from '../../src/cache/purge-record.ts'
import { MAX_PURGED_NAMES, type PurgeRequest, purgedHosts, purgeRecords } from '../../src/cache/purge-request.ts'
import { PurgeLog } from '../../src/shared-memory/purge-log.ts'

const records = (request: PurgeRequest) => {
  const made = purgeRecords('shop', request)
  assert.ok(!('fault' in made), JSON.stringify(made))
  return made
}

suite('requests to purge', () => {
  test('a URL is brought into the form that requests have', () => {
    const label = labelOf('path', 'shop.example/a')
    for (const url of [
      'https://shop.example/a',
      'http://SHOP.example:8080/a',
      '//shop.example./a',
      'shop.example/b/../%61',
    ]) {
      const [record, ...more] = records({ urls: [url] })
      assert.deepEqual(more, [])
      assert.equal(record?.label, label, url)
      assert.equal(record.exact, labelOf('url', 'shop.example/a'))
      assert.equal(record.namespace, namespaceLabel('shop'))
      assert.equal(record.soft, false)
    }
    assert.equal(records({ urls: ['https://shop.example'] })[0]?.label, labelOf('path', 'shop.example/'))
    assert.equal(records({ urls: ['https://[2001:DB8::1]/a'] })[0]?.label, labelOf('path', '[2001:db8::1]/a'))
    const [query] = records({ urls: ['https://shop.example/a?b=%31&c'], soft: true })
    assert.deepEqual([query?.text.split(' ').length, query?.soft], [2, true])
    assert.equal(query?.text, records({ urls: ['https://shop.example/a?b=1&c'] })[0]?.text)
    assert.ok(!JSON.stringify(query).includes('b=') && !/%31/.test(query!.text), 'no word of it is kept')
    assert.equal(query?.exact, labelOf('url', 'shop.example/a?b=%31&c'))
  })

  test('a host and a path of another script are what clients send', () => {
    const label = labelOf('path', 'xn--bcher-kva.example/caf%C3%A9')
    for (const url of ['https://bücher.example/café', 'BÜCHER.example:81/café', 'xn--bcher-kva.example/caf%c3%a9'])
      assert.equal(records({ urls: [url] })[0]?.label, label, url)
  })

  test('what is no URL of a request is refused, with what is wrong', () => {
    const faults: Record<string, RegExp> = {
      'javascript:1': /may be of the scheme javascript: write \/\/javascript:1 where/,
      'mailto:1/a': /may be of the scheme mailto/,
      'ftp://shop.example/a': /has the scheme ftp/,
      'https://shop.example/a#top': /has a fragment/,
      '/a': /has no host/,
      'https://': /is no URL/,
      'https://user:word@shop.example/': /is no URL/,
      'https://shop.example:99999/': /is no URL/,
      'shop.example/a b': /is no URL/,
    }
    for (const [url, fault] of Object.entries(faults))
      for (const request of [{ urls: [url] }, { prefixes: [url] }]) {
        const made = purgeRecords('shop', request)
        assert.ok('fault' in made, url)
        assert.match(made.fault, fault, url)
      }
    assert.equal(records({ urls: ['//javascript:1'] })[0]?.label, labelOf('path', 'javascript/'))
    assert.equal(records({ urls: ['localhost:8080/a'] })[0]?.label, labelOf('path', 'localhost/a'))
  })

  test('a URL with more parameters than are kept is its path with any query', () => {
    const [record] = records({ urls: [`https://shop.example/a?${'x&'.repeat(33)}`] })
    assert.deepEqual([record?.kind, record?.label], ['label', labelOf('path', 'shop.example/a')])
    assert.equal(records({ urls: [`https://shop.example/a?${'x'.repeat(60_000)}`] })[0]?.kind, 'url')
  })

  test('all that one request may purge leaves room in the log for what others have not read', () => {
    for (const parameters of [1, 32, 33, 256, 1_000]) {
      const log = new PurgeLog(PurgeLog.allocate(1), 1)
      const names = Array.from({ length: MAX_PURGED_NAMES }, (_, i) => `shop.example/${i}?${'x&'.repeat(parameters)}`)
      for (let twice = 0; twice < 2; twice++)
        for (const record of records({ urls: names })) log.append(0, encodePurge(record))
      assert.equal(log.hasForgotten(0), false, `${parameters} parameters`)
    }
  })

  test('an escaped slash is purged as rules may keep it', () => {
    assert.equal(records({ urls: ['https://shop.example/a%2fb'] })[0]?.label, labelOf('path', 'shop.example/a%2Fb'))
  })

  test('a prefix has whole segments', () => {
    for (const prefix of ['https://shop.example/img', 'shop.example/img/', 'shop.example//img//'])
      assert.equal(records({ prefixes: [prefix] })[0]?.label, labelOf('prefix', 'shop.example/img'), prefix)
    for (const prefix of ['https://shop.example', 'shop.example/'])
      assert.equal(records({ prefixes: [prefix] })[0]?.label, labelOf('prefix', 'shop.example'), prefix)
  })

  test('tags, Routes, rules and all', () => {
    assert.deepEqual(
      records({ tags: ['a', 'b'] }).map(({ label }) => label),
      [labelOf('tag', 'a'), labelOf('tag', 'b')],
    )
    assert.equal(records({ route: 'web' })[0]?.label, routeLabel('shop/web'))
    assert.equal(records({ route: 'shop/web', rule: 'images' })[0]?.label, ruleLabel('shop/web', 'images'))
    assert.equal(records({ all: true })[0]?.kind, 'all')
  })

  const long = Array.from({ length: MAX_PURGED_NAMES + 1 }, (_, i) => `t${i}`)
  for (const request of [
    {},
    { urls: [] },
    { tags: long },
    { all: false },
    { urls: ['https://shop.example/'], all: true },
    { rule: 'images' },
    { route: 'other/web' },
    { tags: ['two words'] },
    { tags: ['a,b'] },
    { tags: ['ü'] },
    { tags: ['x'.repeat(257)] },
    { urls: ['/only/a/path'] },
    { urls: ['https://shop.example/a b'] },
    { urls: ['https://shop.example/a#b'] },
    { urls: ['ftp://shop.example/a'] },
    { urls: ['https://user@shop.example/a'] },
    { urls: ['https://shop.example/%00'] },
    { urls: ['https://shop.example/..;/a'] },
    { prefixes: ['https://shop.example/a?b'] },
    { prefixes: ['*.example/a'] },
  ] satisfies PurgeRequest[])
    test(`refuses ${JSON.stringify(request).slice(0, 60)}`, () => {
      const made = purgeRecords('shop', request)
      assert.ok('fault' in made)
      assert.ok(made.fault.length < 250)
    })

  test('says of a rule alone that its route is missing', () => {
    const made = purgeRecords('shop', { rule: 'images' })
    assert.match('fault' in made ? made.fault : '', /state the route/)
  })

  test('says whose hosts are meant', () => {
    assert.deepEqual(
      [...purgedHosts({ urls: ['https://A.example/', 'b.example/x', 'c d'] })],
      ['a.example', 'b.example'],
    )
    assert.deepEqual([...purgedHosts({ tags: ['x'] })], [])
  })
})
