/** Filters that state what is not so, and filters that keep to back-pressure where nobody else does. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, it } from 'node:test'
import type { BodyControl, BodySink, BodyStepFactory } from '../../src/message/body.ts'
import { Fields } from '../../src/message/fields.ts'
import type { LocalResponse } from '../../src/message/local-response.ts'
import type { Filter, RequestBodyStep } from '../../src/policy/filter.ts'
import type { OutgoingRequest } from '../../src/policy/services.ts'
import { onHead, rawBackend } from '../feature/backends.ts'
import { inProcess } from '../worker/in-process.ts'

const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'
/** More than the system takes for a client that does not read. */
const LARGE = 8 << 20
const TARGET = { host: 'w.test', path: '/' }

/** Collects the whole body, then passes it on in pieces, as fast as the sink takes them. */
const collected: BodyStepFactory = (sink) => {
  let chunks: Uint8Array[] = []
  let ended = false
  const pass = (): void => {
    while (chunks.length > 0) if (!sink.write(chunks.shift()!)) return
    if (ended) sink.end(null)
  }
  return {
    data(chunk) {
      for (let at = 0; at < chunk.length; at += 4096) chunks.push(chunk.subarray(at, at + 4096))
      return true
    },
    end() {
      ended = true
      pass()
    },
    drained: pass,
    abort() {
      chunks = []
    },
  }
}

describe('a step of the request body', () => {
  it('that waits for its sink before there is a connection goes on once there is one', async (t) => {
    let received = 0
    const { port } = await rawBackend(t, (socket) => {
      socket.on('data', (chunk: Buffer) => {
        received += chunk.length
        if (received > 200_000) socket.write(OK)
      })
    })
    const filter: Filter = {
      name: 'collector',
      // The whole body has come when the request passes the filters.
      async onRequest(x) {
        await x.readBody(1 << 20)
        return undefined
      },
      requestBody: () => ({ step: collected, length: 'kept' }),
    }
    const gateway = await inProcess(t, { upstreams: [port], filters: [{ phase: 'plugin', filter }] })
    using client = await gateway.connect()
    const response = await client.request({ ...TARGET, method: 'POST', body: Buffer.alloc(200_000, 'x') })
    assert.equal(response.status, 200)
  })

  for (const length of [-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 60])
    it(`that announces ${length} bytes is a fault, and nothing is sent`, async (t) => {
      let bytes = ''
      const { port } = await rawBackend(t, (socket) => {
        socket.on('data', (chunk: Buffer) => {
          bytes += chunk.toString('latin1')
          socket.write(OK)
        })
      })
      const step: RequestBodyStep = { step: collected, length }
      const filter: Filter = { name: 'liar', requestBody: () => step }
      const gateway = await inProcess(t, { upstreams: [port], filters: [{ phase: 'plugin', filter }] })
      using client = await gateway.connect()
      const response = await client.request({ ...TARGET, method: 'POST', body: 'hello' })
      assert.deepEqual([response.status, bytes], [500, ''])
      assert.equal(gateway.errors.length, 1)
    })
})

/** As fields arrive from an upstream. */
function fetched(): Fields {
  const bytes = Buffer.from('content-length: 3\r\nx-a: b\r\n')
  const fields = new Fields()
  fields.clear(bytes)
  fields.push(0, 14, 16, 17)
  fields.push(19, 22, 24, 25)
  fields.end = bytes.length
  return fields
}

const half: BodyStepFactory = (sink, resume) => ({
  data: (chunk) => sink.write(chunk.subarray(0, chunk.length / 2)),
  end: (trailers) => sink.end(trailers),
  drained: resume,
  abort() {},
})

describe('a step that is lent the bytes of a response', () => {
  for (const broken of ['lend', 'end'] as const)
    it(`and throws in \`${broken}\` is a fault, and lets go`, async (t) => {
      const { port } = await rawBackend(t, (socket) => socket.on('data', () => socket.write(OK)))
      let aborted = 0
      const fault = () => {
        throw new Error('no')
      }
      const filter: Filter = {
        name: 'thrower',
        responseBody: () => ({
          tee: (sink, source) => ({
            data: (chunk) => sink.write(chunk),
            lend: (bytes, start, end) => sink.lend(bytes, start, end),
            end: (trailers) => sink.end(trailers),
            drained: () => source.wake(),
            abort: () => void aborted++,
            [broken]: fault,
          }),
        }),
      }
      const gateway = await inProcess(t, { upstreams: [port], filters: [{ phase: 'plugin', filter }] })
      using client = await gateway.connect()
      // Behind the end of the attempt there is nothing to take the place of the response.
      if (broken === 'lend') assert.equal((await client.request(TARGET)).status, 500)
      else await assert.rejects(client.request(TARGET), /ECONNRESET/)
      assert.ok(aborted > 0)
      const [line] = gateway.log()
      assert.deepEqual([line!.reason, line!.detail], ['InternalError', 'a body step threw: no'])
    })

  it('has bytes of its own where another step stands behind it', async (t) => {
    const { port } = await rawBackend(t, (socket) => socket.on('data', () => socket.write(OK)))
    const tee: Filter = {
      name: 'tee',
      responseBody: () => ({
        tee: (sink, source) => ({
          data: (chunk) => sink.lend(Buffer.from(chunk), 0, chunk.length),
          lend: () => assert.fail('lent'),
          end: (trailers) => sink.end(trailers),
          drained: () => source.wake(),
          abort() {},
        }),
      }),
    }
    const outer: Filter = { name: 'outer', responseBody: () => collected }
    const gateway = await inProcess(t, {
      upstreams: [port],
      filters: [
        { phase: 'plugin', filter: outer },
        { phase: 'plugin', filter: tee },
      ],
    })
    using client = await gateway.connect()
    assert.equal((await client.request(TARGET)).text, 'ok')
  })
})

describe('a response of a filter', () => {
  const body = Buffer.from('0123456789')
  for (const [what, filter] of [
    ['fields that came from elsewhere', {}],
    [
      'a step that states another length',
      {
        responseBody: (_x, head) => {
          head.bodyLength = 5
          return half
        },
      },
    ],
  ] as const satisfies readonly (readonly [string, Omit<Filter, 'name'>])[])
    for (const parsed of [true, false])
      it(`has the length that is sent, whatever its fields say: ${what}, ${parsed ? 'parsed' : 'added'}`, async (t) => {
        const outer: Filter = { name: 'outer', ...filter }
        const inner: Filter = {
          name: 'inner',
          onRequest() {
            const fields = parsed ? fetched() : Fields.from({ 'content-length': '3', 'x-a': 'b' })
            return { type: 'respond', response: { status: 200, fields, body } }
          },
        }
        const gateway = await inProcess(t, {
          filters: [
            { phase: 'plugin', filter: outer },
            { phase: 'plugin', filter: inner },
          ],
        })
        using client = await gateway.connect()
        for (let i = 0; i < 2; i++) {
          const response = await client.request(TARGET)
          assert.equal(response.text, 'responseBody' in filter ? '01234' : '0123456789')
          assert.deepEqual(
            [response.header('content-length'), response.header('x-a')],
            [`${response.text.length}`, 'b'],
          )
        }
      })

  for (const status of [0, 99, 100, 101, 600, 1000, 200.5, Number.NaN])
    it(`has no status ${status}`, async (t) => {
      const filter: Filter = {
        name: 'odd',
        onRequest: () => ({ type: 'respond', response: { status, fields: new Fields(), body } }),
      }
      const gateway = await inProcess(t, { filters: [{ phase: 'plugin', filter }] })
      using client = await gateway.connect()
      assert.equal((await client.request(TARGET)).status, 500)
      assert.equal(gateway.errors.length, 1)
    })

  for (const status of [0, 101, 199, 1000, Number.NaN])
    it(`of the upstream gets no status ${status} by a filter`, async (t) => {
      const { port } = await rawBackend(t, (socket) => onHead(socket, () => void socket.write(OK)))
      const filter: Filter = {
        name: 'odd',
        onResponse(_x, head, local) {
          if (local === null) head.status = status
          return undefined
        },
      }
      const gateway = await inProcess(t, { upstreams: [port], filters: [{ phase: 'plugin', filter }] })
      using client = await gateway.connect()
      assert.equal((await client.request(TARGET)).status, 500)
      assert.equal(gateway.errors.length, 1)
    })

  it('that is large is not copied for a client that reads nothing', async (t) => {
    const response: LocalResponse = { status: 404, fields: new Fields(), body: Buffer.alloc(LARGE, 'x') }
    const filter: Filter = { name: 'large', onRequest: () => ({ type: 'respond', response }) }
    const gateway = await inProcess(t, { filters: [{ phase: 'plugin', filter }] })
    const before = process.memoryUsage().arrayBuffers
    const clients = await Promise.all(Array.from({ length: 4 }, () => gateway.connect()))
    for (const client of clients) {
      client.socket.pause()
      client.send('GET / HTTP/1.1\r\nhost: w.test\r\n\r\n')
    }
    // They are answered by then.
    using other = await gateway.connect()
    await other.request({ ...TARGET, method: 'HEAD' })
    const held = process.memoryUsage().arrayBuffers - before
    assert.ok(held < LARGE, `${held} bytes`)
    clients[0]!.socket.resume()
    assert.equal((await clients[0]!.response()).body.length, LARGE)
    other.end()
    for (const client of clients) client.socket.destroy()
    await gateway.nothingLeft()
  })
})

describe('a large response to a request whose body is still coming', () => {
  it('reaches a client that sends all of it before it reads', async (t) => {
    const response: LocalResponse = { status: 413, fields: new Fields(), body: Buffer.alloc(LARGE, 'x') }
    const filter: Filter = { name: 'large', onRequest: () => ({ type: 'respond', response }) }
    const gateway = await inProcess(t, { filters: [{ phase: 'plugin', filter }] })
    const client = await gateway.connect()
    client.socket.pause()
    // Each more than the system takes.
    client.send(`POST / HTTP/1.1\r\nhost: w.test\r\ncontent-length: ${2 * LARGE}\r\n\r\n`)
    await new Promise<void>((resolve) => void client.socket.write(Buffer.alloc(2 * LARGE, 'y'), () => resolve()))
    client.socket.resume()
    const { status, body } = await client.response()
    assert.deepEqual([status, body.length], [413, LARGE])
    client.end()
    await gateway.nothingLeft()
  })
})

describe('a request that a filter makes', () => {
  const cases: Readonly<Record<string, Partial<OutgoingRequest>>> = {
    'a second request in its path': { path: '/ HTTP/1.1\r\nhost: x\r\n\r\nGET /smuggled' },
    'a line end above Latin-1 in its path': { path: '/\u010d\u010aGET' },
    'a space in its path': { path: '/a b' },
    'no path': { path: '' },
    'another form': { path: 'http://x/' },
    'a path in its method': { method: 'GET /smuggled' },
    'no method': { method: '' },
  }
  for (const [what, wrong] of Object.entries(cases))
    it(`is not sent with ${what}`, async (t) => {
      let bytes = ''
      const { port } = await rawBackend(t, (socket) =>
        onHead(socket, (head) => {
          bytes += head
          socket.write(OK)
        }),
      )
      let failure: unknown
      const gateway = await inProcess(t, {
        upstreams: [port],
        definitions: [
          {
            name: 'caller',
            phase: 'plugin',
            create: (_policy, { client }) => ({
              name: 'caller',
              async onRequest(x) {
                const request = { backend: 'default/up', method: 'GET', path: '/', fields: new Fields(), timeout: 1000 }
                await client.request({ ...request, cause: x, ...wrong }).catch((error: unknown) => (failure = error))
                return { type: 'respond', response: { status: 204, fields: new Fields(), body: null } }
              },
            }),
          },
        ],
      })
      using client = await gateway.connect()
      assert.equal((await client.request(TARGET)).status, 204)
      assert.ok(failure instanceof TypeError, String(failure))
      assert.equal(bytes, '')
      client.end()
      await gateway.nothingLeft()
    })
})

describe('a promise that a filter does not look at', () => {
  it('ends no thread when the client goes, or the call fails', async (t) => {
    const unhandled: unknown[] = []
    const note = (error: unknown): void => void unhandled.push(error)
    process.prependListener('unhandledRejection', note)
    t.after(() => process.off('unhandledRejection', note))
    const entered = Promise.withResolvers<void>()
    const gateway = await inProcess(t, {
      definitions: [
        {
          name: 'careless',
          phase: 'plugin',
          create: (_policy, { client }) => ({
            name: 'careless',
            onRequest(x) {
              void x.readBody(100)
              void x.readBody(1)
              void client.request({ backend: 'no/such', method: 'GET', path: '/', fields: new Fields(), timeout: 1 })
              entered.resolve()
              return new Promise(() => {})
            },
          }),
        },
      ],
    })
    const client = await gateway.connect()
    client.send('POST / HTTP/1.1\r\nhost: w.test\r\ncontent-length: 5\r\n\r\nhe')
    await entered.promise
    client.socket.destroy()
    await gateway.nothingLeft()
    assert.deepEqual(unhandled, [])
  })
})

/** The rest of a large body comes when the client has room, and there the source throws. */
const sources: Readonly<Record<string, (sink: BodySink) => BodyControl>> = {
  start() {
    throw new Error('start')
  },
  resume(sink) {
    sink.write(Buffer.alloc(LARGE, 'x'))
    return {
      resume() {
        throw new Error('resume')
      },
      abort() {},
    }
  },
  abort(sink) {
    sink.write(Buffer.from('part'))
    return {
      resume() {},
      abort() {
        throw new Error('abort')
      },
    }
  },
}

describe('a body source of a filter', () => {
  for (const [what, start] of Object.entries(sources))
    it(`that throws in ${what} costs its own exchange and nothing else`, async (t) => {
      const filter: Filter = {
        name: 'source',
        onRequest: ({ path }) => {
          const body = path === '/' ? { length: undefined, start } : Buffer.from('ok')
          return { type: 'respond', response: { status: 200, fields: new Fields(), body } }
        },
      }
      const gateway = await inProcess(t, { filters: [{ phase: 'plugin', filter }] })
      const client = await gateway.connect()
      client.send('GET / HTTP/1.1\r\nhost: w.test\r\n\r\n')
      if (what === 'abort') {
        await once(client.socket, 'data')
        client.socket.resetAndDestroy()
      } else await new Promise((resolve) => client.socket.once('close', resolve))
      await gateway.nothingLeft()
      assert.deepEqual(
        gateway.errors.map((error) => (error as Error).message),
        [what],
      )
      using other = await gateway.connect()
      assert.equal((await other.request({ ...TARGET, path: '/other' })).text, 'ok')
    })
})

describe('a reader of a response that a filter has asked for', () => {
  const READERS: Readonly<Record<string, string>> = {
    write: 'HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab',
    end: OK,
    fail: 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n',
  }
  for (const [what, bytes] of Object.entries(READERS))
    it(`that throws in ${what} ends its call and nothing else`, async (t) => {
      const reading = Promise.withResolvers<void>()
      const { port } = await rawBackend(t, (socket) =>
        onHead(socket, () => {
          // The head first, so that the body is read when it comes.
          const head = bytes.indexOf('\r\n\r\n') + 4
          socket.write(bytes.slice(0, head))
          void reading.promise.then(() => socket.write(what === 'fail' ? 'zz' : bytes.slice(head)))
        }),
      )
      const broken = (here: string) => {
        if (here === what) throw new Error(what)
        return true
      }
      const sink: BodySink = { write: () => broken('write'), end: () => broken('end'), fail: () => broken('fail') }
      const gateway = await inProcess(t, {
        upstreams: [port],
        definitions: [
          {
            name: 'reader',
            phase: 'plugin',
            create: (_policy, { client }) => ({
              name: 'reader',
              async onRequest() {
                const request = { backend: 'default/up', method: 'GET', path: '/', fields: new Fields(), timeout: 5000 }
                const { body } = await client.request(request)
                body.start(sink)
                reading.resolve()
                return { type: 'respond', response: { status: 204, fields: new Fields(), body: null } }
              },
            }),
          },
        ],
      })
      using client = await gateway.connect()
      assert.equal((await client.request(TARGET)).status, 204)
      client.end()
      await gateway.nothingLeft()
      assert.deepEqual(
        gateway.errors.map((error) => (error as Error).message),
        [what],
      )
    })
})

describe('fields of framing', () => {
  const LIES = {
    'content-length': '1',
    'transfer-encoding': 'chunked',
    connection: 'x-a',
    trailer: 'x',
    te: 'trailers',
  }
  const state = (fields: Fields): void => {
    for (const [name, value] of Object.entries(LIES)) fields.set(name, value)
  }
  const forms: Readonly<Record<string, Filter>> = {
    'states all of them': {
      name: 'liar',
      onRequest: (x) => void state(x.request),
      onResponse: (_x, head) => void state(head.fields),
    },
    'removes the length': {
      name: 'remover',
      onRequest: (x) => void x.request.remove('content-length'),
      onResponse: (_x, head) => void head.fields.remove('content-length'),
    },
  }
  for (const [what, filter] of Object.entries(forms))
    for (const [how, request, body, framing] of [
      ['of a length', 'content-length: 5\r\n\r\nhello', 'hello', ['content-length: 5']],
      [
        'in chunks',
        'transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
        '5\r\nhello\r\n0\r\n\r\n',
        ['transfer-encoding: chunked'],
      ],
      ['of none', '\r\n', '', []],
    ] as const)
      it(`are the gateway's own where a filter ${what}: a body ${how}`, async (t) => {
        let bytes = ''
        const { port } = await rawBackend(t, (socket) => {
          socket.on('data', (chunk: Buffer) => {
            bytes += chunk.toString('latin1')
            if (bytes.endsWith(`\r\n\r\n${body}`)) socket.write(OK)
          })
        })
        const gateway = await inProcess(t, { upstreams: [port], filters: [{ phase: 'plugin', filter }] })
        using client = await gateway.connect()
        client.send(`POST / HTTP/1.1\r\nhost: w.test\r\n${request}`)
        const response = await client.response()
        assert.deepEqual([response.status, response.text, response.header('connection')], [200, 'ok', undefined])
        assert.deepEqual(
          bytes.match(/(content-length|transfer-encoding|connection|trailer|te): [^\r]*/g) ?? [],
          framing,
        )
      })
})
