/** A cache in a real Redis, to which a way leads that fails: what clients get over real sockets. */
import assert from 'node:assert/strict'
import { connect as connectH2 } from 'node:http2'
import { get as getTls } from 'node:https'
import { before, describe, it } from 'node:test'
import { TestAuthority } from '../lib/certificates.ts'
import { FaultyWay, type WayFault } from '../lib/faulty-way.ts'
import { NO_REDIS, RedisServer } from '../lib/redis-server.ts'
import { closedPort, httpBackend } from './backends.ts'
import { backend, eventually, type Gateway, route, secret, startGateway, suiteScope } from './harness.ts'

const MIB = 2 ** 20
const SIZE = 6 * MIB
const HOST = 'long.test'
const authority = new TestAuthority()

interface Got {
  readonly body: Buffer
  /** The client has seen the end that the protocol says. */
  readonly whole: boolean
}

/** Of its own for each page. */
const bodyOf = (path: string): Buffer => Buffer.alloc(SIZE, `${path} `)

describe('a long body of a cache whose Redis goes away in the middle of it', { skip: NO_REDIS }, () => {
  const scope = suiteScope()
  /** Paths, and the ranges of what is asked for in part. */
  const asked: string[] = []
  let way: FaultyWay
  let gateway: Gateway
  let https: number

  /** Pages below `/tagged` have an entity tag and are given in parts, others have neither. */
  async function origin(): Promise<number> {
    const { port } = await httpBackend(scope, ({ url = '', headers }, response) => {
      const { range } = headers
      asked.push(range === undefined ? url : `${url} ${range}`)
      const tag = `"${url}"`
      const from = headers['if-range'] === tag ? Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0) : 0
      response.setHeader('cache-control', 'max-age=600')
      response.setHeader('content-length', SIZE - from)
      if (url.startsWith('/tagged')) response.setHeader('etag', tag)
      if (from > 0) response.writeHead(206, { 'content-range': `bytes ${from}-${SIZE - 1}/${SIZE}` })
      response.end(bodyOf(url).subarray(from))
    })
    return port
  }

  before(async () => {
    const redis = await RedisServer.of(scope)
    way = await FaultyWay.open(redis.port)
    scope.after(() => way.close())
    https = await closedPort()
    const http = await closedPort()
    const { cert, key } = authority.server(HOST)
    const rule = { name: 'all', backendRefs: [{ name: 'up' }], policies: { cache: { store: 'Redis' } } }
    const manifests =
      backend('up', [await origin()]) +
      route('long', [HOST], [rule], { tls: { certificates: [{ secretName: 'pair' }] } }) +
      secret('pair', 'kubernetes.io/tls', { 'tls.crt': cert, 'tls.key': key })
    const listeners = [
      { name: 'http', address: '127.0.0.1', port: http },
      { name: 'https', address: '127.0.0.1', port: https, tls: {} },
    ]
    gateway = await startGateway(
      scope,
      { 'all.yaml': manifests },
      { settings: { listeners, redis: { addresses: [way.address] }, cache: { memory: '64Mi' } } },
    )
  })

  /** Over TLS. */
  function overH1(path: string): Promise<Got> {
    return new Promise((resolve, reject) => {
      const options = {
        host: '127.0.0.1',
        port: https,
        path,
        servername: HOST,
        ca: authority.ca,
        headers: { host: HOST },
      }
      getTls(options, (response) => {
        const parts: Buffer[] = []
        response.on('data', (part: Buffer) => void parts.push(part))
        response.on('error', () => {})
        response.on('close', () => resolve({ body: Buffer.concat(parts), whole: response.complete }))
      }).on('error', reject)
    })
  }

  function overH2(path: string): Promise<Got> {
    return new Promise((resolve, reject) => {
      const session = connectH2(`https://127.0.0.1:${https}`, { servername: HOST, ca: authority.ca })
      session.on('error', reject)
      const stream = session.request({ ':path': path, ':authority': HOST })
      const parts: Buffer[] = []
      let ended = false
      stream.on('data', (part: Buffer) => void parts.push(part))
      stream.on('end', () => (ended = true))
      stream.on('error', () => {})
      stream.on('close', () => {
        session.close()
        resolve({ body: Buffer.concat(parts), whole: ended && stream.rstCode === 0 })
      })
    })
  }

  /** Fetched, put, and found by a request whose Redis fails once it has sent a part of the body. */
  async function cut(path: string, fault: WayFault, get: (path: string) => Promise<Got>): Promise<Got> {
    for (;;) {
      await eventually(async () => {
        const before = asked.length
        const { body, whole } = await get(path)
        assert.ok(whole && body.equals(bodyOf(path)))
        assert.equal(asked.length, before, 'found in Redis')
      }, 30_000)
      way.spared = 2 * MIB
      way.fault = fault
      asked.length = 0
      const got = await get(path)
      way.fault = null
      way.spared = 0
      // Else it was not found in time, on a machine that is busy.
      if (!asked.includes(path)) return got
    }
  }

  for (const [protocol, get, fault] of [
    ['HTTP/1.1', overH1, 'broken'],
    ['HTTP/2', overH2, 'black-hole'],
  ] as const) {
    it(`gets its rest from the origin (${protocol}, ${fault})`, { timeout: 60_000 }, async () => {
      const path = `/tagged/${protocol}/${fault}`
      const { body, whole } = await cut(path, fault, get)
      assert.ok(whole && body.equals(bodyOf(path)), `${body.length} bytes`)
      assert.equal(asked.length, 1, asked.join())
      assert.match(asked[0]!, / bytes=\d{6,}-$/)
    })

    it(`is seen to be cut where it has no tag (${protocol}, ${fault})`, { timeout: 60_000 }, async () => {
      const path = `/plain/${protocol}/${fault}`
      const { body, whole } = await cut(path, fault, get)
      assert.equal(whole, false)
      assert.ok(body.length < SIZE && body.equals(bodyOf(path).subarray(0, body.length)))
      const line = await gateway.logged(({ reason, path: of }) => reason === 'UpstreamTruncated' && of === path)
      assert.match(String(line.detail), /the archive gives no more of it, and it has no strong entity tag/)
      assert.deepEqual(asked, [])
    })
  }
})
