import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ErrorCode, LAST_STREAM_ID, Setting } from '../../src/http/frames.ts'
import { ANSWER, BETWEEN_PINGS, SILENCE } from '../../src/http2/liveness.ts'
import { FieldBlock } from '../../src/message/field-block.ts'
import { Fields } from '../../src/message/fields.ts'
import { data, headers, reset, settings, windowUpdate } from '../http/raw-frames.ts'
import { listening, until } from '../socket/sockets.ts'
import { echo, type FramePeer } from './frame-server.ts'
import { H2World } from './h2-dispatch.ts'

const OK = [[':status', '200']] as const

describe('a request over HTTP/2', () => {
  it('has pseudo-header fields for its line and its Host, and no field of a connection', async (t) => {
    const world = await H2World.open(t)
    const fields = new Fields()
    const bytes = Buffer.from('Host: other.test\r\nAccept: */*\r\nCookie: a=1; b=2\r\nX-Mixed: Case\r\n', 'latin1')
    fields.clear(bytes)
    for (const [start, end, value, valueEnd] of [
      [0, 4, 6, 16],
      [18, 24, 26, 29],
      [31, 37, 39, 47],
      [49, 56, 58, 62],
    ] as const)
      fields.push(start, end, value, valueEnd)
    fields.end = bytes.length
    const blocks = {
      forwarding: new FieldBlock(['x-forwarded-for', '10.0.0.1']),
      passed: new FieldBlock(['cdn-loop', 'x']),
    }
    for (let round = 0; round < 3; round++) {
      const { seen } = await world.asked({ fields, target: '/a?b=c', ...blocks, acceptsTrailers: round === 2 })
      assert.equal(seen.ended, true)
      assert.deepEqual(seen.fields, [
        [':method', 'GET'],
        [':scheme', 'http'],
        [':authority', 'h.test'],
        [':path', '/a?b=c'],
        ['accept', '*/*'],
        ['cookie', 'a=1; b=2'],
        ['x-mixed', 'Case'],
        ['x-forwarded-for', '10.0.0.1'],
        ['cdn-loop', 'x'],
        ['x-request-id', 'id'],
        ...(round === 2 ? [['te', 'trailers']] : []),
      ])
    }
    const own = await world.asked({ fields, host: undefined })
    assert.deepEqual(own.seen.fields[2], [':authority', 'other.test'])
  })

  it('has its head in several frames where it is large', async (t) => {
    const world = await H2World.open(t)
    const fields = new Fields()
    for (let i = 0; i < 60; i++) fields.add(`x-${i}`, String(i).repeat(500))
    const { it: one, seen } = await world.asked({ fields })
    assert.equal(seen.fields.length, 65)
    for (let i = 0; i < 60; i++) assert.deepEqual(seen.fields[4 + i], [`x-${i}`, String(i).repeat(500)])
    world.peer.respond(seen.stream, 'fine')
    await until(() => one.over)
    assert.equal(one.body, 'fine')
  })

  it('carries body and trailers, and ends with its last frame', async (t) => {
    const world = await H2World.open(t)
    const { it: one, seen } = await world.asked({ method: 'POST', bodyLength: -1 })
    assert.equal(one.stream!.write(Buffer.from('abc')), true)
    one.stream!.write(new Uint8Array([0x64]))
    one.stream!.end(Fields.from({ 'x-sum': '4' }))
    await until(() => seen.ended)
    assert.deepEqual([seen.body, seen.trailers], ['abcd', [['x-sum', '4']]])
    const two = await world.asked({ method: 'POST', bodyLength: 3 })
    two.it.stream!.write(Buffer.from('abc'))
    two.it.stream!.end(null)
    await until(() => two.seen.ended)
    assert.equal(two.seen.body, 'abc')
    assert.deepEqual(
      world.peer.lines.filter((line) => line.startsWith('data ')),
      [],
    )
  })

  it('waits for the windows of its stream and of the connection', async (t) => {
    const begin = (peer: FramePeer): void => {
      peer.reads = false
      peer.greet(Setting.INITIAL_WINDOW_SIZE, 10)
    }
    const world = await H2World.open(t, () => {}, begin)
    const { it: one, seen } = await world.asked({ method: 'POST', bodyLength: -1 })
    assert.equal(one.stream!.write(Buffer.from('0123456789abcdef')), false)
    await until(() => seen.body === '0123456789')
    world.peer.send(windowUpdate(seen.stream, 2))
    await until(() => seen.body === '0123456789ab')
    // The initial window counts for open streams, too, and may make theirs negative (RFC 9113 §6.9.2).
    world.peer.send(settings(Setting.INITIAL_WINDOW_SIZE, 0), windowUpdate(seen.stream, 11))
    await until(() => seen.body === '0123456789abc')
    world.peer.send(settings(Setting.INITIAL_WINDOW_SIZE, 100_000))
    await until(() => seen.body === '0123456789abcdef' && one.events.includes('drain'))
    // 65,535 bytes of the connection, of which 16 are used.
    one.stream!.write(Buffer.alloc(80_000, 'x'))
    await until(() => seen.body.length === 65_535)
    await world.peer.heard()
    assert.equal(seen.body.length, 65_535)
    world.peer.send(windowUpdate(0, 100_000))
    await until(() => seen.body.length === 80_016)
    one.stream!.end(null)
    await until(() => seen.ended)
  })

  it('gets its turn where the window of the connection is short', async (t) => {
    const begin = (peer: FramePeer): void => {
      peer.reads = false
      peer.greet(Setting.INITIAL_WINDOW_SIZE, 1_000_000)
    }
    const world = await H2World.open(t, () => {}, begin)
    const all: Awaited<ReturnType<H2World['asked']>>[] = []
    for (let i = 0; i < 3; i++) all.push(await world.asked({ method: 'POST', bodyLength: -1 }))
    for (const { it: each } of all) each.stream!.write(Buffer.alloc(100_000, 'x'))
    await until(() => all[0]!.seen.body.length === 65_535)
    world.peer.send(windowUpdate(0, 400_000))
    await until(() => all.every(({ seen }) => seen.body.length === 100_000))
  })

  it('goes out in one write with others of its turn', async (t) => {
    const world = await H2World.open(t, echo)
    const first = await world.asked()
    await until(() => first.it.over)
    let reads = 0
    world.peer.socket.on('data', () => reads++)
    const all = Array.from({ length: 20 }, () => world.dispatch())
    await until(() => all.every((each) => each.over))
    // Acknowledgements of windows may come by themselves.
    assert.ok(reads <= 2, `${reads} reads`)
  })
})

describe('a response over HTTP/2', () => {
  it('may have interim ones before it, and trailers behind it', async (t) => {
    const world = await H2World.open(t)
    const { it: one, seen } = await world.asked()
    world.peer.send(
      headers(
        seen.stream,
        [
          [':status', '103'],
          ['link', '</a>'],
        ],
        { end: false },
      ),
      headers(seen.stream, [...OK, ['server', 'x']], { end: false }),
      data(seen.stream, 'abc'),
      data(seen.stream, 'def'),
      headers(seen.stream, [
        ['grpc-status', '0'],
        ['content-length', '7'],
      ]),
    )
    await until(() => one.over)
    assert.equal(one.story, '103 link=</a>, head 200 undefined server=x, end grpc-status=0')
    assert.equal(one.body, 'abcdef')
    assert.equal(world.world.pool.idleCount, 1)
  })

  it('may end before the request, the rest of which is taken or not', async (t) => {
    const world = await H2World.open(t)
    const one = await world.asked({ method: 'POST', bodyLength: -1 })
    world.peer.respond(one.seen.stream, 'early')
    await until(() => one.it.over)
    assert.equal(one.it.stream!.sending, true)
    one.it.stream!.write(Buffer.from('rest'))
    one.it.stream!.end(null)
    await until(() => one.seen.ended)
    assert.deepEqual([one.seen.body, one.it.stream!.sending, world.world.pool.idleCount], ['rest', false, 1])
    const two = await world.asked({ method: 'POST', bodyLength: -1 })
    world.peer.respond(two.seen.stream, 'early')
    world.peer.send(reset(two.seen.stream, ErrorCode.NO_ERROR))
    await until(() => two.it.error !== null)
    assert.equal(two.it.story, 'head 200 5 content-length=5, end, error UpstreamTruncated')
    assert.equal(world.world.pool.idleCount, 1)
  })

  it('that a client does not read stops at its window, and no other', async (t) => {
    const world = await H2World.open(t)
    const slow = await world.asked()
    const quick = await world.asked()
    slow.it.pauseAtHead = true
    const part = 'x'.repeat(16_000)
    world.peer.send(headers(slow.seen.stream, OK, { end: false }), headers(quick.seen.stream, OK, { end: false }))
    for (let i = 0; i < 4; i++) world.peer.send(data(slow.seen.stream, part), data(quick.seen.stream, part))
    await until(() => quick.it.body.length === 64_000)
    assert.deepEqual([slow.it.body, slow.it.story], ['', 'head 200 undefined '])
    const given = (stream: number): number =>
      world.peer.windowUpdates.reduce((sum, update) => (update.stream === stream ? sum + update.increment : sum), 0)
    await until(() => given(quick.seen.stream) > 32_000)
    assert.equal(given(slow.seen.stream), 0)
    world.peer.send(data(slow.seen.stream, 'end', true), data(quick.seen.stream, 'end', true))
    await until(() => quick.it.over)
    slow.it.onBody = () => slow.it.stream!.pause()
    slow.it.stream!.resume()
    await until(() => slow.it.body.length === 64_003)
    assert.equal(slow.it.body.slice(-4), 'xend')
    await until(() => slow.it.over)
    assert.equal(slow.it.story, 'head 200 undefined , end')
  })

  it('that waits for its client outlives its connection', async (t) => {
    const world = await H2World.open(t)
    const { it: one, seen } = await world.asked()
    one.pauseAtHead = true
    world.peer.respond(seen.stream, 'all of it')
    await world.peer.heard()
    world.peer.socket.destroy()
    await until(() => world.world.pool.open === 0)
    assert.equal(one.story, 'head 200 9 content-length=9')
    one.stream!.resume()
    await until(() => one.over)
    assert.deepEqual([one.body, one.error], ['all of it', null])
  })

  it('gets a wider window while its client keeps up', async (t) => {
    const world = await H2World.open(t)
    const { it: one, seen } = await world.asked()
    world.peer.send(headers(seen.stream, OK, { end: false }))
    let sent = 0
    let window = 65_535
    for (let turn = 0; turn < 200 && window < 200_000; turn++) {
      const length = Math.min(16_000, window)
      world.peer.send(data(seen.stream, Buffer.alloc(length, 'x')))
      sent += length
      await until(() => one.body.length === sent)
      await world.peer.heard()
      window = 65_535 - sent
      for (const { stream, increment } of world.peer.windowUpdates) if (stream === seen.stream) window += increment
    }
    assert.ok(window >= 200_000, `${window}`)
    one.stream!.abort()
    await until(() => seen.reset !== null)
    assert.equal(seen.reset, ErrorCode.CANCEL)
  })
})

describe('a connection over HTTP/2', () => {
  it('that says GOAWAY finishes what it has begun, and refuses the rest', async (t) => {
    const world = await H2World.open(t)
    const one = await world.asked()
    const two = await world.asked({ method: 'POST', bodyLength: -1 })
    const three = await world.asked()
    world.peer.goaway(one.seen.stream, 0, 'bye \x1b[31m')
    await until(() => two.it.over && three.it.over)
    assert.deepEqual([two.it.error!.reason, three.it.error!.reason], ['StreamRefused', 'StreamRefused'])
    assert.equal(two.it.error!.detail, 'GOAWAY NO_ERROR bye ?[31m')
    assert.equal(world.world.pool.open, 1)
    // A frame for one of them may have been on its way.
    world.peer.send(reset(two.seen.stream, ErrorCode.CANCEL))
    const four = await world.asked()
    assert.equal(world.server.peers.length, 2)
    world.peer.respond(one.seen.stream, 'last')
    await until(() => one.it.over && world.peer.closed)
    assert.deepEqual([one.it.body, four.it.error, world.world.pool.open], ['last', null, 1])
  })

  it('that lies idle is closed by GOAWAY', async (t) => {
    const world = await H2World.open(t, echo)
    const { it: one } = await world.asked()
    await until(() => one.over)
    world.peer.goaway(LAST_STREAM_ID)
    await until(() => world.world.pool.open === 0 && world.peer.closed)
    assert.deepEqual(world.peer.goaways, [{ code: ErrorCode.NO_ERROR, debug: '' }])
  })

  it('that refuses a stream gets no others before one ends', async (t) => {
    const world = await H2World.open(t)
    const one = await world.asked()
    const two = await world.asked()
    world.peer.send(reset(two.seen.stream, ErrorCode.REFUSED_STREAM))
    await until(() => two.it.over)
    assert.equal(two.it.error!.reason, 'StreamRefused')
    const three = await world.asked()
    assert.equal(world.server.peers.length, 2)
    world.peer.respond(one.seen.stream, 'fine')
    await until(() => one.it.over)
    world.server.peers[1]!.respond(three.seen.stream, 'fine')
    await until(() => three.it.over)
    assert.equal(world.world.pool.idleCount, 2)
  })

  it('that breaks has truncated what has begun, and no more', async (t) => {
    const world = await H2World.open(t)
    const begun = await world.asked()
    const waiting = await world.asked()
    world.peer.send(headers(begun.seen.stream, OK, { end: false }))
    await until(() => begun.it.story !== '')
    world.peer.socket.resetAndDestroy()
    await until(() => begun.it.over && waiting.it.over)
    assert.deepEqual([begun.it.error!.reason, waiting.it.error!.reason], ['UpstreamTruncated', 'ResetBeforeResponse'])
    assert.equal(world.world.pool.open, 0)
  })

  it('is told which requests were not processed also while it sends', async (t) => {
    const world = await H2World.open(t)
    const { it: one } = await world.asked({ method: 'POST', bodyLength: -1 })
    world.peer.socket.pause()
    world.peer.goaway(0)
    world.peer.socket.end()
    one.stream!.write(Buffer.alloc(60_000))
    await until(() => one.over)
    assert.equal(one.error!.reason, 'StreamRefused')
  })

  it('follows the number of streams that the peer allows', async (t) => {
    const world = await H2World.open(
      t,
      () => {},
      (peer) => peer.greet(Setting.MAX_CONCURRENT_STREAMS, 1),
    )
    world.world.maxConnections = 1
    const one = await world.asked()
    const two = world.dispatch()
    const three = world.dispatch()
    assert.equal(two.stream, null)
    world.peer.send(settings(Setting.MAX_CONCURRENT_STREAMS, 2))
    await until(() => two.stream !== null)
    assert.equal(three.stream, null)
    world.peer.send(settings(Setting.MAX_CONCURRENT_STREAMS, 1))
    await world.peer.heard()
    world.peer.respond(one.seen.stream, '')
    await until(() => one.it.over)
    await world.peer.heard()
    assert.equal(three.stream, null)
    world.peer.respond(3, '')
    await until(() => three.stream !== null)
  })

  it('must begin with SETTINGS that allow a stream, before any request is sent', async (t) => {
    const answers: readonly [string, (peer: FramePeer) => void][] = [
      ['HTTP/1.1', (peer) => void peer.socket.write('HTTP/1.1 400 Bad Request\r\n\r\n')],
      ['no stream', (peer) => peer.greet(Setting.MAX_CONCURRENT_STREAMS, 0)],
      ['push', (peer) => peer.greet(Setting.ENABLE_PUSH, 1)],
      ['GOAWAY', (peer) => peer.goaway(0)],
      ['its end', (peer) => void peer.socket.end()],
      ['a reset', (peer) => void peer.socket.resetAndDestroy()],
    ]
    for (const [what, begin] of answers) {
      const world = await H2World.open(t, () => {}, begin)
      const one = world.dispatch()
      await until(() => one.over, what)
      assert.equal(one.error!.reason, 'ConnectFailure', what)
      if (what !== 'a reset') assert.match(one.error!.detail, /no HTTP\/2/, what)
      assert.deepEqual([world.world.pool.open, world.peer.requests.length, world.world.counts.failed], [0, 0, 1], what)
    }
  })

  it('that says nothing is given up with the time to connect', async (t) => {
    const world = await H2World.open(
      t,
      () => {},
      (peer) => void peer.socket.pause(),
    )
    world.world.pool.options = { connectTimeout: 50, idleTimeout: 0, maxRequestsPerConnection: 0 }
    const one = world.dispatch()
    await until(() => one.over)
    assert.equal(one.error!.reason, 'ConnectTimeout')
    world.peer.socket.resume()
    await until(() => world.peer.closed)
  })

  it('that does not read gets no more requests, until it does', async (t) => {
    const world = await H2World.open(
      t,
      () => {},
      (peer) => {
        peer.greet(Setting.INITIAL_WINDOW_SIZE, 0x7fff_ffff)
        peer.send(windowUpdate(0, 0x7000_0000))
      },
    )
    world.world.maxConnections = 1
    const { it: one, seen } = await world.asked({ method: 'POST', bodyLength: -1 })
    await world.peer.heard()
    world.peer.socket.pause()
    // What the two ends of the socket hold, and more than may wait behind it.
    const large = Buffer.alloc(24 * 1024 * 1024)
    one.stream!.write(large)
    const fields = new Fields()
    for (let i = 0; i < 60; i++) fields.add(`x-${i}`, String(i % 10).repeat(900))
    const others: ReturnType<H2World['dispatch']>[] = []
    for (let i = 0; i < 99; i++) others.push(world.dispatch({ fields }))
    const waiting = others.filter((other) => other.stream === null).length
    assert.ok(waiting > 50, `${waiting} of 99 wait`)
    world.peer.socket.resume()
    await until(() => seen.body.length === large.length)
    await until(() => others.every((other) => other.stream !== null))
    one.stream!.end(null)
  })

  it('is dead when it does not answer a PING in a silence', async (t) => {
    const world = await H2World.open(t)
    const { it: one, seen } = await world.asked()
    world.pass(SILENCE)
    await until(() => world.peer.pings === 1)
    await world.peer.heard()
    // Answered: the next one is far away, because servers of gRPC count them.
    world.pass(BETWEEN_PINGS - 1_000)
    await world.peer.heard()
    assert.equal(world.peer.pings, 1)
    world.peer.socket.pause()
    world.pass(SILENCE + 1_000)
    await new Promise((resolve) => setTimeout(resolve, 60))
    world.pass(ANSWER)
    await until(() => one.over)
    assert.deepEqual([one.error!.reason, one.error!.detail], ['ResetBeforeResponse', 'it does not answer a PING'])
    assert.equal(seen.reset, null)
  })

  it('carries an upgrade as extended CONNECT where the peer knows that, and refuses it elsewhere', async (t) => {
    const plain = await H2World.open(t)
    const refused = plain.dispatch({ upgrade: 'websocket' })
    await until(() => refused.over)
    assert.equal(refused.error!.reason, 'UpgradeNotSupported')
    assert.equal(plain.world.pool.idleCount, 1)
    // However many wait for one connection.
    const many = await H2World.open(t)
    const all = Array.from({ length: 20_000 }, () => many.dispatch({ upgrade: 'websocket' }))
    await until(() => all.every((each) => each.over))
    assert.ok(all.every((each) => each.error!.reason === 'UpgradeNotSupported'))
    const world = await H2World.open(
      t,
      () => {},
      (peer) => peer.greet(Setting.ENABLE_CONNECT_PROTOCOL, 1),
    )
    const fields = Fields.from({ 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' })
    const { it: one, seen } = await world.asked({ upgrade: 'websocket', fields, target: '/chat' })
    assert.deepEqual(seen.fields, [
      [':method', 'CONNECT'],
      [':scheme', 'http'],
      [':authority', 'h.test'],
      [':path', '/chat'],
      [':protocol', 'websocket'],
      ['x-request-id', 'id'],
    ])
    assert.equal(seen.ended, false)
    world.peer.send(headers(seen.stream, OK, { end: false }), data(seen.stream, 'early'))
    await until(() => one.duplex !== null)
    assert.equal(one.story, 'upgrade 101 ')
    const heard: string[] = []
    one.duplex!.start({
      onData: (bytes) => void heard.push(Buffer.from(bytes).toString()),
      onEnd: () => void heard.push('end'),
      onDrain: () => {},
      onClose: () => void heard.push('close'),
    })
    await until(() => heard.join() === 'early')
    one.duplex!.write(Buffer.from('hello'))
    await until(() => seen.body === 'hello')
    world.peer.send(data(seen.stream, '', true))
    await until(() => heard.join() === 'early,end')
    one.duplex!.end()
    await until(() => heard.join() === 'early,end,close')
    // Our side hears of the end as soon as it is said, the peer once it has read it.
    await until(() => seen.ended)
    assert.equal(world.world.pool.idleCount, 1)
  })

  it('to a port that nobody listens on is no connection', async (t) => {
    const world = await H2World.open(t)
    const { port, server } = await listening(t, () => {})
    server.close()
    world.server.server.close()
    assert.notEqual(port, 0)
    const one = world.dispatch()
    await until(() => one.over)
    assert.equal(one.error!.reason, 'ConnectFailure')
  })
})
