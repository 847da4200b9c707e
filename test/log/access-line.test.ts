import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import type { AccessRecord, KeptLine } from '../../src/exchange/access-log.ts'
import { ACCESS_FIELDS, AccessLineWriter, type AccessLogSettings } from '../../src/log/access-line.ts'
import { LineReader, LineRing, LineWriter } from '../../src/shared-memory/line-ring.ts'

const NOON = Date.UTC(2026, 10, 23, 12, 0, 0, 7)
const CLOCK = { wall: () => NOON, monotonic: () => 0 }

const ENTRY: AccessRecord = {
  time: NOON,
  id: '0192f3a1-7c33-7aaa-8bbb-cccccccccccc',
  client: '203.0.113.9',
  listener: 'http',
  method: 'GET',
  host: 'shop.example.com',
  path: '/api/orders',
  query: undefined,
  protocol: 'HTTP/1.1',
  status: 200,
  grpcStatus: -1,
  reason: '',
  detail: '',
  note: '',
  dryRun: '',
  cache: '',
  consumer: '',
  route: 'shop/shop',
  rule: 'api',
  backend: 'shop/api',
  endpoint: '10.0.0.7:8080',
  attempts: 1,
  duration: 1.2344,
  upstreamDuration: 0.9876,
  bytesIn: 0,
  bytesOut: 1_234,
  userAgent: 'curl/8.5.0',
  kept: null,
}

const SETTINGS: AccessLogSettings = { enabled: true, sample: 100, fields: {} }

suite('access log line', () => {
  test('a plain exchange is one line of JSON, members in the documented order', () => {
    assert.equal(
      raw(ENTRY),
      '{"time":"2026-11-23T12:00:00.007Z","id":"0192f3a1-7c33-7aaa-8bbb-cccccccccccc","client":"203.0.113.9",' +
        '"listener":"http","method":"GET","host":"shop.example.com","path":"/api/orders","protocol":"HTTP/1.1",' +
        '"status":200,"route":"shop/shop","rule":"api","backend":"shop/api","endpoint":"10.0.0.7:8080","attempts":1,' +
        '"duration":1.234,"upstreamDuration":0.988,"bytesIn":0,"bytesOut":1234}\n',
    )
  })

  test('a line says the same whatever the lines before it said', () => {
    const few = <T>(...values: T[]) => fc.constantFrom(...values)
    const record = fc.record({
      ...{ client: few('', '203.0.113.9', '203.0.113.90'), listener: few('', 'http'), method: few('', 'GET', 'G"T') },
      ...{ host: few('', 'a.example', 'b.example'), protocol: few('HTTP/1.1', 'HTTP/2'), status: few(0, 200, 404) },
      ...{ cache: few('', 'hit Memory', 'miss NotStored'), route: few('', 'shop/shop'), rule: few('', 'a', 'b') },
      ...{ backend: few('', 'shop/api'), grpcStatus: few(-1, -1, 5), reason: few('', '', 'ClientGone') },
      ...{
        detail: few('', 'closed'),
        note: few('', '', 'a "note"'),
        dryRun: few('', '', 'x'),
        consumer: few('', '', 'me'),
      },
    })
    fc.assert(
      fc.property(fc.array(record, { maxLength: 20 }), (records) => {
        const ring = LineRing.create(1 << 16)
        const writer = new AccessLineWriter(new LineWriter(ring), SETTINGS, CLOCK)
        for (const one of records) writer.write({ ...ENTRY, ...one })
        let together = ''
        new LineReader(ring).drain((bytes) => {
          together += bytes.toString('latin1')
          return bytes.length
        })
        assert.equal(together, records.map((one) => raw({ ...ENTRY, ...one })).join(''))
      }),
      { seed: 58, numRuns: 200 },
    )
  })

  test('a record that comes again, from any client, says the same with what was made of it before', () => {
    const settings = { ...SETTINGS, query: true, userAgent: true, fields: { site: 'x' } }
    const ring = LineRing.create(1 << 12)
    const writer = new LineWriter(ring)
    const reader = new LineReader(ring)
    const taken = (): string => {
      let line = ''
      reader.drain((bytes) => {
        line += bytes.toString('latin1')
        return bytes.length
      })
      return line
    }
    const kept: KeptLine = { log: null, rest: Buffer.alloc(0), durationAt: 0 }
    const record = { ...ENTRY, path: '/"', query: 'a="b', attempts: 0, upstreamDuration: -1, userAgent: '"', kept }
    let fast = 0
    let slow = 0
    for (const own of [settings, { ...settings, query: false }, { ...settings, sample: 50 }, SETTINGS]) {
      const log = new AccessLineWriter(writer, own, CLOCK, () => 0)
      const expected = (changed: object) => raw({ ...record, ...changed, kept: null }, { ...own, sample: 100 })
      assert.equal(log.again(kept, ENTRY.client, NOON, 1, Buffer.from('a'.repeat(20))), false, 'it is of another log')
      log.write(record)
      assert.equal(taken(), expected({}))
      for (const client of ['203.0.113.9', '2001:db8::1', '"\n', '203.0.113.9', 'x'.repeat(65)])
        for (const time of [NOON, NOON + 1, NOON + 1_500, Date.UTC(12_000, 1)])
          for (const duration of [0, 0.0004, 0.0005, 0.001, 1.2344, 9.9994, 9.9996, 10, 1e9, -1, Number.NaN]) {
            const id = `${fast}`.padStart(20, 'z')
            const changed = { client, time, duration, id }
            if (log.again(kept, client, time, duration, Buffer.from(id))) fast++
            else {
              slow++
              assert.equal(taken(), '')
              log.write({ ...record, ...changed })
            }
            assert.equal(taken(), expected(changed))
          }
    }
    assert.ok(fast > 100 && slow > 100, `${fast} and ${slow}`)
  })

  test('a record that comes again and finds no room is left to be written as a whole, and none is when nothing is', () => {
    const writer = new LineWriter(LineRing.create(1 << 12))
    const kept: KeptLine = { log: null, rest: Buffer.alloc(0), durationAt: 0 }
    const id = Buffer.from('a'.repeat(20))
    const log = new AccessLineWriter(writer, SETTINGS, CLOCK, () => 0)
    log.write({ ...ENTRY, upstreamDuration: -1, kept })
    let written = 0
    while (log.again(kept, ENTRY.client, NOON, 1, id)) written++
    assert.ok(written > 5 && written < 20, `${written}`)
    assert.equal(new AccessLineWriter(writer, { ...SETTINGS, enabled: false }, CLOCK).again(kept, '', 0, 0, id), true)
  })

  test('what did not happen is left out', () => {
    const refused = {
      ...ENTRY,
      ...{ status: 404, reason: 'HostNotFound', route: '', rule: '', backend: '', endpoint: '' },
      ...{ attempts: 0, upstreamDuration: -1, userAgent: '' },
    }
    const line = parsed(refused, { ...SETTINGS, userAgent: true })
    assert.equal(line.reason, 'HostNotFound')
    assert.equal(parsed({ ...refused, detail: 'it "broke"' }).detail, 'it "broke"')
    assert.equal('detail' in parsed({ ...ENTRY, detail: 'of no refusal' }), false)
    for (const name of [
      'route',
      'rule',
      'backend',
      'endpoint',
      'attempts',
      'upstreamDuration',
      'userAgent',
      'query',
      'detail',
    ])
      assert.equal(name in line, false, name)
  })

  test('a query may hold secrets: only that there was one is told, unless settings want its text', () => {
    const entry = { ...ENTRY, query: 'access_token=abc&q="x"' }
    assert.equal(parsed(entry).query, true)
    assert.equal(raw(entry).includes('abc'), false)
    assert.equal(parsed(entry, { ...SETTINGS, query: true }).query, 'access_token=abc&q="x"')
    assert.equal(parsed({ ...ENTRY, query: '' }).query, true, '/a? is not /a')
  })

  test('constant members of the settings stand at the end of every line', () => {
    const line = raw(ENTRY, { ...SETTINGS, fields: { site: 'Zürich "1"', 'a\nb': 'c' } })
    assert.ok(line.endsWith(',"site":"Z\\u00fcrich \\"1\\"","a\\u000ab":"c"}\n'), line)
  })

  test('a constant member cannot take the place of a built-in one', () => {
    for (const name of ACCESS_FIELDS)
      assert.throws(() => raw(ENTRY, { ...SETTINGS, fields: { [name]: 'forged' } }), TypeError)
  })

  test('no bytes of a client break the line, forge another, or come back changed', () => {
    // What a codec hands over: bytes as Latin-1 characters; and worse, any string at all.
    const bytes = fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)) })
    const wild = fc.oneof(
      bytes,
      fc.string({ unit: 'binary' }),
      fc.constantFrom('"', '\\', '\n', '\r\n{"status":200}', '\u2028', '\x7f'),
    )
    const entry = fc.record({
      id: wild,
      client: wild,
      method: wild,
      host: wild,
      path: wild,
      query: wild,
      userAgent: wild,
    })
    const names = fc.record({ listener: wild, protocol: wild, route: wild, rule: wild, backend: wild, endpoint: wild })
    fc.assert(
      fc.property(entry, names, (client, config) => {
        const line = raw({ ...ENTRY, ...client, ...config }, { ...SETTINGS, query: true, userAgent: true })
        assert.match(line, /^[ -~]+\n$/)
        const shown = JSON.parse(line)
        for (const [name, value] of Object.entries({ ...client, ...config }))
          if (value !== '' && !(name === 'rule' && config.route === '')) assert.equal(shown[name], value, name)
      }),
    )
  })

  test('what a client makes too long is cut, and says so', () => {
    const line = parsed({ ...ENTRY, path: `/${'ü'.repeat(20_000)}`, host: 'h'.repeat(1_000) })
    assert.equal(line.path, `/${'ü'.repeat(2_047)}…`)
    assert.equal(line.host, `${'h'.repeat(256)}…`)
  })

  test('durations keep three decimals, and odd ones break nothing', () => {
    const duration = (value: number) => parsed({ ...ENTRY, duration: value }).duration
    assert.deepEqual(
      [0, 0.0004, 0.0005, 0.999, 0.9996, 12.3456, 59_999.9999, 3e6, 1e12, -1, Number.NaN, Number.POSITIVE_INFINITY].map(
        duration,
      ),
      [0, 0, 0.001, 0.999, 1, 12.346, 60_000, 3e6, 1e12, 0, 0, 0],
    )
  })

  test('time is right across seconds and for moments before 1970', () => {
    const log = lines(SETTINGS)
    for (const time of [NOON, NOON + 992, NOON + 993, NOON, NOON + 0.9, -1, 0]) log.write({ ...ENTRY, time })
    assert.deepEqual(
      log.read().map((line) => line.slice(9, 33)),
      ['12:00:00.007', '12:00:00.999', '12:00:01.000', '12:00:00.007', '12:00:00.007', '', '12:00:00.007'].map(
        (time) => (time === '' ? '1969-12-31T23:59:59.999Z' : `2026-11-23T${time}Z`),
      ),
    )
  })

  test('sampling drops well-ended exchanges only, in the share asked for', () => {
    let chance = 0
    const log = lines({ ...SETTINGS, sample: 25 }, () => (chance = (chance + 0.1) % 1))
    for (let i = 0; i < 100; i++) log.write(ENTRY)
    const sampled = log.read().length
    assert.ok(sampled >= 20 && sampled <= 30, `${sampled} of 100`)
    for (let i = 0; i < 100; i++) log.write({ ...ENTRY, status: 503, reason: 'NoEndpoint' })
    assert.equal(log.read().length, 100)
    const none = lines({ ...SETTINGS, sample: 0 }, () => 0)
    none.write(ENTRY)
    assert.equal(none.read().length, 0)
    const off = lines({ ...SETTINGS, enabled: false })
    off.write({ ...ENTRY, reason: 'NoEndpoint' })
    assert.equal(off.read().length, 0)
  })

  test('more names than are remembered are still written right', () => {
    const log = lines(SETTINGS)
    for (let i = 0; i < 10_000; i++) {
      log.write({ ...ENTRY, endpoint: `"${i}` })
      assert.equal(JSON.parse(log.read()[0]!).endpoint, `"${i}`)
    }
  })

  test('docs/logs.md lists every member, and no other', () => {
    const page = readFileSync(new URL('../../docs/logs.md', import.meta.url), 'utf8')
    const table = page.slice(page.indexOf('## Access log'), page.indexOf('## Process log'))
    assert.deepEqual(
      Array.from(table.matchAll(/^\| `(\w+)` \|/gm), (row) => row[1]),
      [...ACCESS_FIELDS],
    )
  })
})

function lines(settings: AccessLogSettings, random?: () => number) {
  const ring = LineRing.create()
  const log = new AccessLineWriter(new LineWriter(ring), settings, CLOCK, random)
  const reader = new LineReader(ring)
  const read = () => {
    let text = ''
    reader.drain((bytes) => {
      text += bytes.toString('latin1')
      return bytes.length
    })
    return text.split('\n').slice(0, -1)
  }
  return { write: (entry: AccessRecord) => log.write(entry), read }
}

function raw(entry: AccessRecord, settings = SETTINGS): string {
  const log = lines(settings)
  log.write(entry)
  const read = log.read()
  assert.equal(read.length, 1)
  return `${read[0]}\n`
}

function parsed(entry: AccessRecord, settings = SETTINGS): Record<string, unknown> {
  return JSON.parse(raw(entry, settings))
}
