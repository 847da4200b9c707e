/** A response of unknown length that turns out longer than the memory of the cache takes, asked for by many at once. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type IncomingMessage, request, type ServerResponse } from 'node:http'
import { connect } from 'node:http2'
import type { Readable } from 'node:stream'
import { before, describe, it } from 'node:test'
import { httpBackend } from './backends.ts'
import { backend, type Gateway, route, startGateway, suiteScope } from './harness.ts'

const HOST = 'long.example'
const MiB = 1_024 * 1_024
/** More than the memory has, and than sockets take of one that reads nothing. */
const BYTES = 32 * MiB
const PIECE = 65_536

/** Each piece says of which fetch it is, and where. */
function pieceOf(fetch: number, at: number): Buffer {
  return Buffer.alloc(PIECE, `fetch ${fetch} at ${at}; `)
}

interface Client {
  readonly body: Readable
  readonly status: string
  /** @returns of which fetch it is; undefined: it has ended early */
  read(): Promise<number | undefined>
  leave(): void
}

/** Compares every byte with what it should be. */
async function readAll(body: Readable): Promise<number | undefined> {
  let [fetch, at, rest] = [0, 0, Buffer.alloc(0)]
  try {
    for await (const chunk of body) {
      rest = Buffer.concat([rest, chunk as Buffer])
      for (; rest.length >= PIECE; rest = rest.subarray(PIECE), at += PIECE) {
        if (at === 0) fetch = Number(/^fetch (\d+) /.exec(rest.latin1Slice(0, 20))?.[1])
        if (!rest.subarray(0, PIECE).equals(pieceOf(fetch, at))) throw new assert.AssertionError({ message: `${at}` })
      }
    }
  } catch (error) {
    if (error instanceof assert.AssertionError) throw error
    return undefined
  }
  assert.equal(at + rest.length, BYTES, 'it is whole')
  return fetch
}

describe('a response that outgrows the memory, of many who ask at once', () => {
  const scope = suiteScope()
  let gateway: Gateway
  let fetches = 0
  /** Of the origin, which has sent the first piece and waits. */
  let goOn = (): void => {}

  before(async () => {
    const { port } = await httpBackend(scope, (_, response) => {
      const fetch = ++fetches
      response.setHeader('cache-control', 'max-age=600')
      response.write(pieceOf(fetch, 0))
      goOn = () => send(response, fetch)
    })
    gateway = await startGateway(
      scope,
      { 'all.yaml': backend('up', [port]) + route('long', [HOST], [RULE]) },
      { workers: 2, settings: { cache: { memory: '6Mi', collapseTimeout: '8s' } } },
    )
  })

  const RULE = { name: 'all', backendRefs: [{ name: 'up' }], policies: { cache: {}, timeouts: { request: '2m' } } }

  function send(response: ServerResponse, fetch: number): void {
    let at = PIECE
    const more = (): void => {
      while (at < BYTES) {
        const piece = pieceOf(fetch, at)
        at += PIECE
        if (!response.write(piece)) return void response.once('drain', more)
      }
      response.end()
    }
    more()
  }

  async function http1(path: string): Promise<Client> {
    const sent = request({ host: '127.0.0.1', port: gateway.port, path, headers: { host: HOST }, agent: false }).end()
    const [response] = (await once(sent, 'response')) as [IncomingMessage]
    // It may come before somebody reads.
    for (const part of [sent, response]) part.on('error', () => {})
    return {
      body: response,
      status: String(response.headers['cache-status']),
      read: () => readAll(response),
      leave: () => void sent.destroy(),
    }
  }

  async function http2(path: string): Promise<Client> {
    const session = connect(`http://127.0.0.1:${gateway.port}`)
    const stream = session.request({ ':path': path, ':authority': HOST })
    const [fields] = await once(stream, 'response')
    for (const part of [session, stream]) part.on('error', () => {})
    return {
      body: stream,
      status: String(fields['cache-status']),
      read: () => readAll(stream).finally(() => session.close()),
      leave: () => session.destroy(),
    }
  }

  /** The one whose fetch it is, and those who wait for it: all have the head, and the most of the body has not come. */
  async function begin(path: string, followers: number): Promise<readonly [Client, readonly Client[]]> {
    const leader = await http1(path)
    const opened = Array.from({ length: followers }, (_, i) => (i % 2 === 0 ? http1(path) : http2(path)))
    const others = await Promise.all(opened)
    for (const { status } of others) assert.match(status, /;collapsed/)
    return [leader, others]
  }

  const readEach = (clients: readonly Client[]) => Promise.all(clients.map((client) => client.read()))

  it('comes whole to each of them, from one fetch', async () => {
    const [leader, others] = await begin('/all', 7)
    goOn()
    const read = await readEach([leader, ...others])
    assert.deepEqual(new Set(read), new Set([fetches]))
  })

  it('goes on when the one has left whose fetch it is', async () => {
    const [leader, others] = await begin('/left', 3)
    leader.leave()
    goOn()
    assert.deepEqual(new Set(await readEach(others)), new Set([fetches]))
  })

  for (const which of ['whose fetch it is', 'who has waited for it'])
    it(`does not wait for one that reads nothing: ${which}`, async () => {
      const [leader, others] = await begin(`/nothing/${which.length}`, 4)
      const all = [leader, ...others]
      const [idle] = which === 'whose fetch it is' ? all : all.slice(2)
      goOn()
      const read = await readEach(all.filter((client) => client !== idle))
      assert.deepEqual(new Set(read), new Set([fetches]))
      // It sees that what it has is not all.
      assert.equal(await idle!.read(), undefined)
    })
})
