/**
 * Hits that are given again to a request in the same bytes, on real sockets: they are what reading the request would
 * have given, to the byte, in the log and in the metrics, and stop as soon as anything is different.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http'
import { connect } from 'node:net'
import { describe, it, type TestContext } from 'node:test'
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises'
import { namespaceLabel } from '../../src/cache/purge-labels.ts'
import { PLAIN } from '../../src/cache/purge-record.ts'
import type { TimerClock } from '../../src/lib/clock.ts'
import { systemTimers } from '../../src/thread/system-timers.ts'
import { httpBackend } from '../feature/backends.ts'
import { RawClient, type RawResponse } from '../feature/raw-client.ts'
import { type InProcess, inProcess } from './in-process.ts'
import { settingsWith, toUp } from './test-plane.ts'

interface World {
  readonly gateway: InProcess
  readonly client: RawClient
  /** Port of the origin. */
  readonly upstream: number
  /** Of the origin: fields of its next responses, and what it was asked. */
  fields: OutgoingHttpHeaders
  body: string
  readonly asked: string[]
  /** Bytes of a GET. */
  get(path?: string, more?: string): Promise<RawResponse>
}

/** Of the longest that are given again as text. */
const BODY = 'x'.repeat(3_900)
/** Whose responses are more than sockets hold. */
const REQUESTS = 6_000

async function world(
  t: TestContext,
  cache: object = {},
  policies: object = {},
  clock: TimerClock = systemTimers,
): Promise<World> {
  const asked: string[] = []
  const serve = (request: IncomingMessage): string => {
    asked.push(request.url!)
    return `${request.url} number ${asked.length} ${w.body}`
  }
  const { port } = await httpBackend(t, (request, response) => {
    response.writeHead(200, w.fields)
    response.end(serve(request))
  })
  const rules = toUp({ retry: { attempts: 0 }, ...policies, cache } as never)
  const gateway = await inProcess(t, { upstreams: [port], rules, clock })
  const client = await gateway.connect()
  t.after(() => client.reset())
  const w: World = {
    gateway,
    client,
    upstream: port,
    fields: { 'cache-control': 'max-age=600' },
    body: BODY,
    asked,
    get: (path = '/a', more = '') => client.send(bytesOf(path, more)).response(),
  }
  return w
}

const bytesOf = (path: string, more = '') => `GET ${path} HTTP/1.1\r\nHost: page.test\r\n${more}\r\n`

/** A world whose gateway takes the word of these on their clients. */
async function behindProxies(
  t: TestContext,
  trustedCIDRs: readonly string[],
  header = 'x-forwarded-for',
): Promise<World> {
  const w = await world(t)
  const settings = settingsWith([{ name: 'http', address: '127.0.0.1', port: 0 }])
  await w.gateway.use({ ...settings, clientAddress: { header, trustedCIDRs, trustedHops: 0 } })
  return w
}

/** Until it is given again: fetched, found, found again. */
async function repeated(w: World, path = '/a', more = ''): Promise<RawResponse> {
  for (let i = 0; i < 3; i++) await w.get(path, more)
  const before = w.gateway.repeats
  const response = await w.get(path, more)
  assert.equal(w.gateway.repeats, before + 1, 'it is given again')
  return response
}

async function isRead(w: World, path = '/a', more = ''): Promise<void> {
  for (let i = 0; i < 5; i++) await w.get(path, more)
  assert.equal(w.gateway.repeats, 0, 'the request is read each time')
}

const ageless = ({ status, fields, text }: RawResponse) => ({
  status,
  text,
  fields: fields.filter(([name]) => name !== 'age' && name !== 'cache-status'),
})

describe('a hit that is given again', () => {
  it('is the one that the request would have had, in bytes, log and metrics', async (t) => {
    const w = await world(t)
    await w.get()
    const read = await w.get()
    assert.equal(w.gateway.repeats, 0)
    const again = await repeated(w)
    assert.deepEqual(ageless(again), ageless(read))
    assert.match(again.header('cache-status')!, /^headgate;hit;ttl=5\d\d$/)
    assert.equal(w.asked.length, 1)
    const [, second, ...others] = w.gateway.log()
    const last = others.at(-1)!
    assert.deepEqual(Object.keys(last), Object.keys(second!))
    const { time, id, duration, ...said } = last
    const { time: _time, id: other, duration: _duration, ...saidBefore } = second!
    assert.deepEqual(said, saidBefore)
    assert.deepEqual([said.cache, said.status, said.path, said.bytesOut], ['hit Memory', 200, '/a', again.body.length])
    assert.notEqual(id, other)
    assert.ok(typeof duration === 'number' && duration < 1_000 && Date.now() - Date.parse(String(time)) < 10_000)
    assert.equal(w.gateway.bytesOut, w.gateway.log().length * again.body.length)
    const { exchanges, counted } = w.gateway.holdings
    assert.deepEqual([exchanges, counted], [0, 0])
  })

  it('tells its age, and ends with its lifetime', async (t) => {
    let now = Math.floor(Date.now() / 1_000) * 1_000
    const w = await world(t, {}, {}, { ...systemTimers, wall: () => now })
    w.fields = { 'cache-control': 'max-age=2' }
    const first = await repeated(w)
    now += 1_100
    const later = await w.get()
    assert.equal(Number(later.header('age')), Number(first.header('age')) + 1)
    assert.equal(later.header('cache-status'), `headgate;hit;ttl=${1 - Number(later.header('age'))}`)
    now += 1_100
    const { repeats } = w.gateway
    assert.match((await w.get()).text, /number 2/)
    assert.equal(w.gateway.repeats, repeats)
  })

  it('is given on another connection, and to clients of another one in turn', async (t) => {
    const w = await world(t)
    const first = await repeated(w)
    const other = await w.gateway.connect()
    t.after(() => other.reset())
    const { repeats } = w.gateway
    for (let i = 0; i < 3; i++) assert.equal((await other.send(bytesOf('/a')).response()).text, first.text)
    assert.equal(w.gateway.repeats, repeats + 3)
  })

  it('is not given where a byte differs', async (t) => {
    const w = await world(t)
    await repeated(w)
    const { repeats } = w.gateway
    assert.match((await w.get('/b')).text, /^\/b number 2/)
    assert.match((await w.get('/a', 'X-Host: other.test\r\n')).text, /^\/a number /)
    w.client.send(bytesOf('/a').replace('GET', 'HEAD'))
    assert.equal((await w.client.response('HEAD')).body.length, 0)
    assert.equal(w.gateway.repeats, repeats)
  })

  it('is a 304 where the client has it, and the whole where it has another one', async (t) => {
    const w = await world(t)
    const changed = 'Fri, 01 Jan 2027 00:00:00 GMT'
    w.fields = { 'cache-control': 'max-age=600', etag: '"1"', 'last-modified': changed, 'x-field': 'y' }
    // One that is longer than what is given again of bodies: nothing of it is sent.
    w.body = 'x'.repeat(100_000)
    await w.get()
    const { repeats } = w.gateway
    for (const [more, status] of [
      ['If-None-Match: "1"\r\n', 304],
      [`If-None-Match: W/"1", "7"\r\nIf-Modified-Since: ${changed}\r\n`, 304],
      [`If-Modified-Since: ${changed}\r\nUser-Agent: {n}\r\n`, 304],
    ] as const) {
      const before = w.gateway.repeats
      const ask = (n: number) => w.get('/a', more.replace('{n}', String(n)))
      const first = await ask(0)
      assert.equal(first.status, status)
      assert.equal(first.header('etag'), '"1"')
      for (let i = 1; i < 5; i++) assert.deepEqual(ageless(await ask(i)), ageless(first))
      assert.equal(w.gateway.repeats, before + 3)
      const [one, other] = w.gateway.log().slice(-2)
      const said = (line: typeof one) => ({ ...line, time: 0, id: 0, duration: 0 })
      assert.deepEqual(said(other), said(one))
      assert.deepEqual([one!.status, one!.bytesOut, one!.cache], [304, 0, 'hit Memory'])
    }
    for (const more of [
      'If-None-Match: "2"\r\n',
      `If-None-Match: "2"\r\nIf-Modified-Since: ${changed}\r\n`,
      'If-Modified-Since: Thu, 31 Dec 2026 23:59:59 GMT\r\nUser-Agent: 1\r\n',
    ])
      assert.equal((await w.get('/a', more)).status, 200)
    assert.equal(w.gateway.repeats, repeats + 9)
    assert.equal(w.asked.length, 1)
    assert.equal(
      w.gateway.bytesOut,
      w.gateway.log().reduce((sum, { bytesOut }) => sum + Number(bytesOut), 0),
    )
  })

  it('ends where what is stored has another tag', async (t) => {
    const w = await world(t)
    w.fields = { 'cache-control': 'max-age=600', etag: '"1"' }
    await w.get()
    for (let i = 0; i < 4; i++) assert.equal((await w.get('/a', 'If-None-Match: "1"\r\n')).status, 304)
    assert.equal(w.gateway.repeats, 2)
    w.fields = { 'cache-control': 'max-age=600', etag: '"2"' }
    w.gateway.purges.append({ ...PLAIN, kind: 'all', namespace: namespaceLabel('default') })
    assert.match((await w.get('/a', 'If-None-Match: "1"\r\n')).text, /number 2/)
    assert.equal((await w.get('/a', 'If-None-Match: "2"\r\n')).status, 304)
  })

  it('has a body of up to 64 KiB, which is copied from where it is stored', async (t) => {
    const w = await world(t)
    for (const length of [4_097, 20_000, 65_400]) {
      w.body = Buffer.alloc(length, '0123456789abcdef', 'latin1').toString('latin1')
      const path = `/${length}`
      await w.get(path)
      const first = await w.get(path)
      const again = await repeated(w, path)
      assert.deepEqual(ageless(again), ageless(first))
      const line = w.gateway.log().at(-1)!
      assert.equal(line.bytesOut, again.body.length)
      // Many at once, whose clients take them later than they are given.
      const clients = await Promise.all(Array.from({ length: 8 }, () => w.gateway.connect()))
      t.after(() => clients.forEach((client) => void client.reset()))
      const { repeats } = w.gateway
      for (let i = 0; i < 5; i++) {
        for (const client of clients) client.send(bytesOf(path))
        for (const client of clients) assert.equal((await client.response()).text, first.text)
      }
      assert.equal(w.gateway.repeats, repeats + 40)
    }
    assert.equal(w.asked.length, 3)
  })

  it('comes in its turn among requests that are sent together or in pieces', async (t) => {
    const w = await world(t)
    const { text } = await repeated(w)
    w.client.send(bytesOf('/a') + bytesOf('/b') + bytesOf('/a'))
    assert.equal((await w.client.response()).text, text)
    assert.match((await w.client.response()).text, /^\/b/)
    assert.equal((await w.client.response()).text, text)
    const bytes = bytesOf('/a')
    for (const cut of [1, 10, bytes.length - 1]) {
      w.client.send(bytes.slice(0, cut))
      await delay(20)
      w.client.send(bytes.slice(cut))
      assert.equal((await w.client.response()).text, text)
    }
    // One behind a request whose response is still to come.
    w.client.send(bytesOf('/c'))
    w.client.send(bytesOf('/a'))
    assert.match((await w.client.response()).text, /^\/c/)
    assert.equal((await w.client.response()).text, text)
  })

  it('ends with a purge, hard or soft, of its namespace', async (t) => {
    for (const soft of [false, true]) {
      const w = await world(t)
      await repeated(w)
      const { repeats } = w.gateway
      w.gateway.purges.append({ ...PLAIN, kind: 'all', soft, namespace: namespaceLabel('default') })
      assert.match((await w.get()).text, /number 2/)
      assert.equal(w.gateway.repeats, repeats)
      assert.match((await repeated(w)).text, /number 2/)
    }
  })

  it('goes on where another namespace is purged', async (t) => {
    const w = await world(t)
    await repeated(w)
    const { repeats } = w.gateway
    w.gateway.purges.append({ ...PLAIN, kind: 'all', namespace: namespaceLabel('other') })
    await w.get()
    assert.equal(w.gateway.repeats, repeats + 1)
  })

  it('ends when an unsafe method succeeds', async (t) => {
    const w = await world(t)
    await repeated(w)
    await w.client.send('POST /a HTTP/1.1\r\nHost: page.test\r\nContent-Length: 0\r\n\r\n').response()
    assert.match((await w.get()).text, /number 3/)
  })

  it('ends with the tables and the settings that it came by', async (t) => {
    const w = await world(t)
    await repeated(w)
    const { repeats } = w.gateway
    const rules = toUp({ responseHeaders: { set: [{ name: 'x-version', value: '2' }] }, cache: {} } as never)
    await w.gateway.link({ rules })
    assert.equal((await w.get()).header('x-version'), '2')
    assert.equal(w.gateway.repeats, repeats)
    await w.gateway.link({ rules: toUp({ cache: {} } as never) })
    await repeated(w)
    const settings = settingsWith([{ name: 'http', address: '127.0.0.1', port: 0 }])
    const { debugCIDRs: _, ...cache } = settings.cache
    await w.gateway.use({ ...settings, cache: { ...cache, debugCIDRs: ['127.0.0.0/8'] } })
    for (let i = 0; i < 4; i++) assert.match((await w.get()).header('cache-status')!, /detail=/)
  })

  it('is none for a request whose response depends on more', async (t) => {
    const ip = await world(t, { key: { by: ['client.ip'] } })
    await isRead(ip)
    const bypass = await world(t, { bypass: ['client.ip'] })
    await isRead(bypass)
    const headers = await world(t, {}, { responseHeaders: { set: [{ name: 'x-id', value: '%{request.id}' }] } })
    await isRead(headers)
    const limited = await world(t, {}, { access: { allow: ['127.0.0.0/8'] } })
    await isRead(limited)
    const plain = await world(t)
    await isRead(plain, '/a', 'Cache-Control: max-age=100\r\n')
    await isRead(plain, '/a', 'Range: bytes=0-1\r\n')
    await isRead(plain, '/a', 'If-Match: "other"\r\n')
    await isRead(plain, '/a', 'If-None-Match: "other"\r\nRange: bytes=0-1\r\n')
    // Its year of two digits is another one in fifty years.
    await isRead(plain, '/a', 'If-Modified-Since: Friday, 15-Jan-27 08:00:00 GMT\r\n')
    await isRead(plain, '/a', `X-Long: ${'x'.repeat(4_096)}\r\n`)
    plain.body = 'x'.repeat(65_536)
    await isRead(plain, '/large')
    const long = await world(t)
    for (let i = 0; i < 5; i++) await long.client.send(bytesOf(`/${'y'.repeat(4_096)}`)).response()
    assert.equal(long.gateway.repeats, 0)
  })

  it('is given where fields differ that nobody reads, as browsers and proxies send them', async (t) => {
    const w = await world(t)
    let sent = 0
    const fields = (more = '') =>
      [
        `User-Agent: Mozilla/5.0 (${'x'.repeat(sent)})`,
        `Accept-Language: ${sent % 2 === 0 ? 'de' : 'en, fr;q=0.8'}`,
        `Cookie: session=${sent}; theme=dark`,
        `X-Request-Id: ${sent * 7}`,
        `X-Forwarded-For: 192.0.2.${++sent}`,
        `Traceparent: 00-${'0'.repeat(31)}${sent % 10}-0000000000000001-01`,
        'Connection: keep-alive',
        more,
      ].join('\r\n')
    await w.get('/a', fields())
    const first = await w.get('/a', fields())
    for (let i = 0; i < 20; i++) assert.deepEqual(ageless(await w.get('/a', fields())), ageless(first))
    assert.ok(w.gateway.repeats >= 19, `${w.gateway.repeats} of 20 were given again`)
    const log = w.gateway.log().map((line) => ({ ...line, time: 0, id: 0, duration: 0 }))
    for (const line of log.slice(2)) assert.deepEqual(line, log[1])
    assert.equal(w.asked.length, 1)
  })

  it('is one of several for one URL, where they differ in what is read', async (t) => {
    const w = await world(t, { key: { by: ['header:x-kind'] } })
    const ask = (kind: number, other: number) => w.get('/a', `X-Kind: ${kind}\r\nX-Other: ${other}\r\n`)
    for (let i = 0; i < 40; i++)
      for (let kind = 1; kind <= 3; kind++)
        assert.match((await ask(kind, i)).text, new RegExp(`number ${kind} `), `kind ${kind}, time ${i}`)
    assert.equal(w.asked.length, 3)
    assert.ok(w.gateway.repeats > 80, `${w.gateway.repeats} of 120`)
  })

  it('is that of its variant, as long as responses vary by the same fields', async (t) => {
    const w = await world(t)
    w.fields = { 'cache-control': 'max-age=600', vary: 'accept-language' }
    const ask = (language: string, other: number) =>
      w.get('/a', `Accept-Language: ${language}\r\nX-Other: ${other}\r\n`)
    for (let i = 0; i < 40; i++)
      for (const [at, language] of ['de', 'en', 'fr'].entries())
        assert.match((await ask(language, i)).text, new RegExp(`number ${at + 1} `), `${language}, time ${i}`)
    assert.equal(w.asked.length, 3)
    const { repeats } = w.gateway
    assert.ok(repeats > 80, `${repeats} of 120`)
    // From another client: another variant, behind which the record has more names.
    w.fields = { 'cache-control': 'max-age=600', vary: 'accept-language, x-other' }
    const other = await w.gateway.connect()
    t.after(() => other.reset())
    await other.send(bytesOf('/a', 'Accept-Language: it\r\nX-Other: 1\r\n')).response()
    assert.equal(w.asked.length, 4)
    assert.match((await ask('de', 1)).text, /number 5 /)
    assert.match((await ask('de', 2)).text, /number 6 /)
    assert.match((await ask('de', 1)).text, /number 5 /)
    assert.equal(w.gateway.repeats, repeats)
  })

  it('is not kept for ever other values of what is read', async (t) => {
    const w = await world(t, { key: { by: ['header:x-kind'] } })
    await repeated(w)
    for (let i = 1; i <= 50; i++) assert.match((await w.get('/a', `X-Kind: ${i}\r\n`)).text, /number/)
    assert.equal(w.asked.length, 51)
    const { repeats } = w.gateway
    await w.get()
    assert.equal(w.gateway.repeats, repeats + 1, 'another request of its URL has its own place')
  })

  it('is none where a value that nobody has read makes the head another one, or none', async (t) => {
    const w = await world(t, {}, {}, systemTimers)
    for (let i = 0; i < 4; i++) await w.get('/a', `X-Number: ${i}\r\n`)
    const { repeats } = w.gateway
    assert.equal(repeats, 1)
    for (const [more, status] of [
      ['X-Number: \0\r\n', 400],
      ['X-Number: 1\n\r\n', 400],
      ['X-Number: 1\r\r\n', 400],
      ['X-Number: 1\r\n 2\r\n', 400],
      ['X-Number : 1\r\n', 400],
      ['X-Number: 1\r\nHost: other.test\r\n', 400],
      ['X-Number: 1\r\nContent-Length: 1, 1\r\n', 400],
      ['X-Number: 1\r\nTransfer-Encoding: identity\r\n', 400],
    ] as const) {
      const client = await w.gateway.connect()
      t.after(() => client.reset())
      assert.equal((await client.send(bytesOf('/a', more)).response()).status, status, JSON.stringify(more))
    }
    const chunked = await w.gateway.connect()
    t.after(() => chunked.reset())
    const body = 'Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n'
    chunked.send(`GET /a HTTP/1.1\r\nHost: page.test\r\n${body}`.repeat(2))
    for (let i = 0; i < 2; i++) assert.match((await chunked.response()).text, /number/)
    // Two in one read: the second one is none of the first one's values.
    w.client.send(bytesOf('/a', 'X-Number: 5\r\n') + bytesOf('/b', 'X-Number: 6\r\n'))
    for (const path of ['/a', '/b']) assert.match((await w.client.response()).text, new RegExp(`^${path} `))
    assert.equal(w.gateway.repeats, repeats)
  })

  it('is read again where a value makes it longer than a head may be', async (t) => {
    const w = await world(t)
    const settings = settingsWith([{ name: 'http', address: '127.0.0.1', port: 0 }])
    await w.gateway.use({ ...settings, limits: { ...settings.limits, head: 1_000 } })
    for (let i = 0; i < 4; i++) await w.get('/a', `X-Number: ${i}\r\n`)
    const { repeats } = w.gateway
    assert.ok(repeats > 0)
    const before = bytesOf('/a', 'X-Number: \r\n').length
    assert.equal((await w.get('/a', `X-Number: ${'x'.repeat(1_000 - before)}\r\n`)).status, 200)
    assert.equal(w.gateway.repeats, repeats + 1)
    assert.equal((await w.get('/a', `X-Number: ${'x'.repeat(1_001 - before)}\r\n`)).status, 431)
    assert.equal(w.gateway.repeats, repeats + 1)
  })

  it('is none where the network of the client has a say in which rule the request belongs to', async (t) => {
    const w = await world(t)
    const [inner, outer] = ['127.0.0.2', '127.0.0.1']
    const rules = {
      ...toUp({ cache: {} } as never),
      inner: { ...toUp({ cache: {} } as never).all, matches: [{ sourceCIDRs: [`${inner}/32`] }] },
    }
    await w.gateway.link({ upstreams: [w.upstream], rules })
    const clients: RawClient[] = []
    for (const from of [inner, outer]) clients.push(await RawClient.connect(w.gateway.port, '127.0.0.1', from))
    t.after(() => clients.forEach((client) => void client.reset()))
    for (let i = 0; i < 4; i++)
      for (const [of, client] of clients.entries())
        assert.match((await client.send(bytesOf('/a')).response()).text, of === 0 ? /number 1/ : /number 2/)
    assert.deepEqual(
      new Set(w.gateway.log().map(({ client, rule }) => `${client} ${rule}`)),
      new Set([`${inner} inner`, `${outer} all`]),
    )
    assert.equal(w.gateway.repeats, 0)
  })

  it('is logged with the client and the id that a trusted proxy tells, other ones each time', async (t) => {
    const w = await behindProxies(t, ['127.0.0.1/32', '10.0.0.0/8'])
    const fields = (address: string, id: string, more = '') =>
      `X-Forwarded-For: ${address}\r\nX-Forwarded-Proto: http\r\nX-Request-Id: ${id}\r\n${more}`
    const log = () => w.gateway.log().at(-1)!
    for (let i = 0; i < 20; i++) {
      // As long as our own ones, and not.
      const id = `${i % 2 === 0 ? 'abcdefghijklmnopqr' : 'id-'}${10 + i}`
      await w.get('/a', fields(`1.1.1.1, 192.0.2.${i}, 10.0.0.${i}`, id))
      assert.deepEqual([log().client, log().id], [`192.0.2.${i}`, id])
    }
    assert.equal(w.gateway.repeats, 17)
    await w.get('/a', fields('10.0.0.1, 2001:db8::1, 10.0.0.3', 'not an id'))
    assert.equal(log().client, '2001:db8::1')
    assert.match(String(log().id), /^[0-9a-z]{20}$/)
    assert.equal(w.gateway.repeats, 18)
    // As many addresses are not believed, or another field is there that says more.
    await w.get('/a', fields('192.0.2.7', 'id'))
    assert.equal(log().client, '192.0.2.7')
    await w.get('/a', fields('10.0.0.1, 10.0.0.2, 10.0.0.3', 'id'))
    assert.equal(log().client, '10.0.0.1')
    await w.get('/a', fields('192.0.2.8, 10.0.0.3', 'id', 'X-Forwarded-For: 192.0.2.9\r\n'))
    assert.equal(log().client, '192.0.2.9')
    await w.get('/a', fields('192.0.2.8, 10.0.0.3', 'id', 'Connection: x-forwarded-for, x-request-id\r\n'))
    assert.equal(w.gateway.repeats, 18)
    const said = w.gateway.log().map((line) => ({ ...line, time: 0, id: 0, duration: 0, client: '' }))
    for (const line of said.slice(2)) assert.deepEqual(line, said[1])
  })

  it('is that of the scheme and the host that a trusted proxy tells', async (t) => {
    const w = await behindProxies(t, ['127.0.0.1/32'])
    for (let i = 0; i < 12; i++)
      for (const [at, scheme] of ['http', 'https'].entries()) {
        const { text } = await w.get('/a', `X-Forwarded-For: 192.0.2.${i}\r\nX-Forwarded-Proto: ${scheme}\r\n`)
        assert.match(text, new RegExp(`number ${at + 1} `))
      }
    assert.equal(w.asked.length, 2)
    assert.ok(w.gateway.repeats >= 16, `${w.gateway.repeats} of 24`)
  })

  it('is another one for who is no trusted proxy, whatever he says', async (t) => {
    const w = await behindProxies(t, ['127.0.0.2/32'])
    const proxy = await RawClient.connect(w.gateway.port, '127.0.0.1', '127.0.0.2')
    t.after(() => proxy.reset())
    for (let i = 0; i < 10; i++) {
      const bytes = bytesOf('/a', `X-Forwarded-For: 192.0.2.${i}\r\n`)
      await w.client.send(bytes).response()
      await proxy.send(bytes).response()
    }
    const clients = w.gateway.log().map(({ client }) => client)
    assert.deepEqual(
      clients,
      Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? '127.0.0.1' : `192.0.2.${(i - 1) / 2}`)),
    )
    assert.ok(w.gateway.repeats >= 14, `${w.gateway.repeats} of 20`)
    assert.equal(w.asked.length, 1)
  })

  it('tells the key to a client of debugCIDRs alone, behind a proxy too', async (t) => {
    const w = await world(t)
    const settings = settingsWith([{ name: 'http', address: '127.0.0.1', port: 0 }])
    const clientAddress = { header: 'x-forwarded-for', trustedCIDRs: ['127.0.0.1/32'], trustedHops: 0 }
    await w.gateway.use({ ...settings, clientAddress, cache: { ...settings.cache, debugCIDRs: ['192.0.2.7/32'] } })
    for (let i = 0; i < 5; i++) {
      const ask = (address: string) => w.get('/a', `X-Forwarded-For: ${address}\r\n`)
      if (i > 0) assert.doesNotMatch((await ask('192.0.2.8')).header('cache-status')!, /detail=/)
      else await ask('192.0.2.8')
      assert.match((await ask('192.0.2.7')).header('cache-status')!, /detail=/)
    }
    assert.ok(w.gateway.repeats > 0)
  })

  it('is none where proxies say who the client is by more than a list of addresses', async (t) => {
    const w = await world(t)
    const settings = settingsWith([{ name: 'http', address: '127.0.0.1', port: 0 }])
    for (const header of ['forwarded', 'x-real-ip']) {
      const clientAddress = { header, trustedCIDRs: ['127.0.0.0/8'], trustedHops: 0 }
      await w.gateway.use({ ...settings, clientAddress })
      await isRead(w, '/a', header === 'forwarded' ? 'Forwarded: for=192.0.2.1\r\n' : 'X-Real-IP: 192.0.2.1\r\n')
    }
  })

  it('tells the client that its connection ends, where it does', async (t) => {
    const w = await world(t)
    await repeated(w)
    const { repeats } = w.gateway
    assert.equal((await w.get('/a', 'Connection: close\r\n')).header('connection'), 'close')
    await w.client.closed()
    assert.equal(w.gateway.repeats, repeats)
  })

  it('is the first request of its connection as any is, which speaks HTTP/1.1 from then on', async (t) => {
    const w = await world(t)
    await repeated(w)
    const { repeats } = w.gateway
    const other = await w.gateway.connect()
    t.after(() => other.reset())
    await other.send(bytesOf('/a')).response()
    assert.equal(w.gateway.repeats, repeats + 1)
    assert.equal((await other.send('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n').response()).status, 505)
  })

  it('is that of the port that a PROXY header has: the origin is told it', async (t) => {
    const w = await world(t)
    const proxyProtocol = { trusted: ['127.0.0.1/32'] }
    await w.gateway.use(settingsWith([{ name: 'http', address: '127.0.0.1', port: 0, proxyProtocol }]))
    const at = async (port: number, times: number): Promise<Set<string>> => {
      const client = await w.gateway.connect()
      t.after(() => client.reset())
      client.send(`PROXY TCP4 192.0.2.1 192.0.2.2 50000 ${port}\r\n`)
      const texts = new Set<string>()
      for (let i = 0; i < times; i++) texts.add((await client.send(bytesOf('/a')).response()).text)
      return texts
    }
    const texts: string[] = []
    for (const port of [80, 443, 8443]) {
      const before = w.gateway.repeats
      texts.push(...(await at(port, 16)))
      assert.ok(w.gateway.repeats > before, 'the last ones are given again')
    }
    assert.equal(texts.length, 3)
    assert.equal(w.asked.length, 3)
    for (const [i, port] of [80, 443, 8443].entries()) assert.deepEqual([...(await at(port, 2))], [texts[i]])
    // Of a balancer that does not know it the port counts that the client names.
    assert.deepEqual([...(await at(0, 2))], [texts[0]])
    assert.equal(w.asked.length, 3)
  })

  it('is that of the spelling of the host that a trusted proxy reports', async (t) => {
    const w = await behindProxies(t, ['127.0.0.1/32'])
    const client = await w.gateway.connect()
    t.after(() => client.reset())
    const ask = async (host: string): Promise<string> =>
      (await client.send(bytesOf('/a', `X-Forwarded-Host: ${host}\r\n`)).response()).text
    const first = await ask('page.test')
    assert.notEqual(await ask('page.test.'), first)
    // Of capitals and of the own port of the scheme the origin is told nothing.
    for (const host of ['page.test', 'PAGE.test', 'page.tesT', 'page.test:80']) assert.equal(await ask(host), first)
    assert.equal(w.asked.length, 2)
  })

  it('is that of the host with or without the port that a trusted proxy reports', async (t) => {
    const w = await behindProxies(t, ['127.0.0.1/32'])
    const client = await w.gateway.connect()
    t.after(() => client.reset())
    const ask = async (host: string, reported?: string): Promise<string> => {
      const more = reported === undefined ? '' : `X-Forwarded-Host: ${reported}\r\n`
      const request = bytesOf('/a', `X-Forwarded-Port: 8443\r\n${more}`).replace('Host: page.test', `Host: ${host}`)
      return (await client.send(request).response()).text
    }
    // Host and X-Forwarded-Host, as the origin gets them, are another pair each time.
    const texts = [
      await ask('page.test'),
      await ask('page.test:8443'),
      await ask('page.test', 'page.test:8443'),
      await ask('page.test:8443', 'page.test'),
      await ask('page.test.'),
      await ask('page.test.', 'page.test'),
      await ask('page.test.', 'page.test:8443'),
    ]
    assert.equal(new Set(texts).size, texts.length)
    assert.equal(w.asked.length, texts.length)
    assert.equal(await ask('page.test'), texts[0])
    assert.equal(await ask('page.test:8443', 'page.test:8443'), texts[1])
    assert.equal(w.asked.length, texts.length)
  })

  it('waits for a client that does not read, and gives it all when it does', async (t) => {
    const w = await world(t)
    const { text } = await repeated(w)
    const socket = connect({ port: w.gateway.port, host: '127.0.0.1', noDelay: true }).pause()
    await once(socket, 'connect')
    t.after(() => void socket.destroy())
    const before = w.gateway.repeats
    for (let sent = 1; sent < REQUESTS; sent++) {
      socket.write(bytesOf('/a'))
      // Each by itself, as far as the gateway reads.
      await nextTurn()
    }
    await delay(100)
    const given = w.gateway.repeats - before
    assert.ok(given > 10 && given < REQUESTS, `${given} before it has read anything`)
    const all: Buffer[] = []
    socket.on('data', (bytes: Buffer) => void all.push(bytes))
    socket.resume()
    // The last one, behind which the gateway closes the connection.
    socket.write(bytesOf('/a', 'Connection: close\r\n'))
    await once(socket, 'close', { signal: AbortSignal.timeout(60_000) })
    const received = Buffer.concat(all).toString('latin1')
    assert.equal(received.split('HTTP/1.1 200 OK\r\n').length - 1, REQUESTS)
    assert.equal(received.split(text).length - 1, REQUESTS)
  })
})
