/**
 * Each part of the process has its share of memory: what exceeds it is refused by name, and everything else goes on.
 */
import assert from 'node:assert/strict'
import { connect, type Socket } from 'node:net'
import { describe, it } from 'node:test'
import { data, headers, PREFACE, settings } from '../http/raw-frames.ts'
import { onHead, rawBackend } from './backends.ts'
import {
  backend as backendManifest,
  eventually as eventuallyWithin,
  type Gateway,
  route,
  type Scope,
  startGateway,
} from './harness.ts'
import { request } from './raw-client.ts'

const ANSWER = { name: 'all', respond: { statusCode: 200, contentType: 'text/plain', body: 'here' } }
/** So little that every bound is met soon. */
const SMALL = { limits: { memory: '288Mi' } }

/** With 200 and 100 it takes ten seconds. */
const CONNECTIONS = 60
const STREAMS = 40

/** A client of HTTP/2 that opens no window for what it asks for, and uploads what nobody reads. */
function flood(scope: Scope, port: number): Socket {
  const socket = connect({ port, host: '127.0.0.1', localAddress: '127.0.0.2' })
  scope.after(() => void socket.destroy())
  socket.resume().on('error', () => {})
  const fields = (method: string) =>
    [
      [':method', method],
      [':scheme', 'http'],
      [':authority', 'slow.example'],
      [':path', '/'],
    ] as const
  const frames = [PREFACE, settings(4, 0)]
  for (let i = 0; i < STREAMS; i++)
    if (i % 2 === 0) frames.push(headers(2 * i + 1, fields('GET')))
    else frames.push(headers(2 * i + 1, fields('POST'), { end: false }), data(2 * i + 1, 'u'.repeat(16_000), false))
  socket.write(Buffer.concat(frames))
  return socket
}

/** Builds near the limit are many, and a machine may have other work: only what never comes fails. */
const eventually = (attempt: () => void | Promise<void>): Promise<void> => eventuallyWithin(attempt, 60_000)

/** 2,048 matches in the tables: close to a megabyte. */
function large(name: string): string {
  const namespace = name.slice(0, name.indexOf('/'))
  const hostnames = Array.from({ length: 16 }, (_, i) => `${name.replace('/', '-')}-${i}.${namespace}.example`)
  const rules = Array.from({ length: 16 }, (_, rule) => ({
    ...ANSWER,
    name: `rule-${rule}`,
    matches: Array.from({ length: 8 }, (_, i) => ({ path: { type: 'PathPrefix', value: `/${rule}/${i}` } })),
  }))
  return route(name, hostnames, rules)
}

const some = (count: number, from: number): string =>
  Array.from({ length: count }, (_, i) => large(`greedy/large-${from + i}`)).join('')

async function metric(gateway: Gateway, name: string): Promise<number> {
  const { text } = await request(gateway.signalsPort, { path: '/metrics', host: 'localhost' })
  const line = text.split('\n').find((one) => one.startsWith(`${name} `))
  return Number(line?.slice(line.lastIndexOf(' ') + 1))
}

const asks = async (gateway: Gateway, host: string, path = '/') => (await request(gateway.port, { host, path })).status

describe('memory', () => {
  it('is refused to the configuration of one namespace before others, and before traffic, and given when there is room', async (t) => {
    const gateway = await startGateway(
      t,
      { 'good.yaml': route('shop/good', ['good.example'], [ANSWER]) },
      { settings: SMALL },
    )
    for (let file = 0; file < 8; file++) await gateway.write(`greedy-${file}.yaml`, some(8, file * 8))
    await eventually(async () => assert.ok((await metric(gateway, 'headgate_config_memory_waiting')) > 20))

    // What is over is named, and what was served is served.
    await eventually(async () => {
      const { text } = await request(gateway.adminPort, { path: '/api/v1/problems', host: 'localhost' })
      assert.match(text, /"reason":"MemoryBudget"/)
      assert.match(text, /namespace \\"greedy\\" alone [0-9]+ MiB/)
      assert.ok((await metric(gateway, 'headgate_config_problems{kind="Route",reason="MemoryBudget"}')) > 20)
    })
    const used = await metric(gateway, 'headgate_config_memory_bytes')
    const limit = await metric(gateway, 'headgate_config_memory_limit_bytes')
    assert.ok(used > 0 && used <= limit, `${used} of ${limit} bytes`)
    assert.equal(await asks(gateway, 'good.example'), 200)
    await eventually(async () => assert.equal(await asks(gateway, 'greedy-large-0-0.greedy.example', '/0/0'), 200))
    assert.equal((await request(gateway.signalsPort, { path: '/readyz', host: 'localhost' })).status, 200)

    // Another namespace's change acts.
    await gateway.write('other.yaml', route('other/new', ['new.example'], [ANSWER]))
    await eventually(async () => assert.equal(await asks(gateway, 'new.example'), 200))

    // A version that needs no more than the one before has room.
    await gateway.write('greedy-0.yaml', some(8, 0).replaceAll('/0/0', '/changed'))
    await eventually(async () => assert.equal(await asks(gateway, 'greedy-large-0-0.greedy.example', '/changed'), 200))

    // Room: what waits is taken in without being told again.
    for (let file = 0; file < 5; file++) await gateway.remove(`greedy-${file}.yaml`)
    await eventually(async () => {
      assert.equal(await asks(gateway, 'greedy-large-63-0.greedy.example', '/0/0'), 200)
      assert.equal(await metric(gateway, 'headgate_config_memory_waiting'), 0)
    })
    const restarts = await metric(gateway, 'headgate_control_restarts_total')
    assert.equal(restarts, 0, gateway.processLog.filter((line) => !line.includes('MemoryBudget')).join('\n'))
  })

  it('keeps the last good version of an object that has become too large', async (t) => {
    const filler = Array.from({ length: 33 }, (_, i) => large(`greedy/filler-${i}`)).join('')
    const small = route('greedy/grows', ['grows.example'], [ANSWER])
    const gateway = await startGateway(t, { 'filler.yaml': filler, 'grows.yaml': small }, { settings: SMALL })
    await gateway.write('grows.yaml', large('greedy/grows'))
    await eventually(async () => {
      const { text } = await request(gateway.adminPort, { path: '/api/v1/problems', host: 'localhost' })
      assert.match(
        text,
        /greedy\/grows.*MemoryBudget.*last good version serves on|last good version serves on.*greedy\/grows/s,
      )
    })
    assert.equal(await asks(gateway, 'grows.example'), 200)
  })

  it('is refused to a file that would be too large to parse, while the rest is read', async (t) => {
    const gateway = await startGateway(
      t,
      { 'good.yaml': route('shop/good', ['good.example'], [ANSWER]) },
      { settings: SMALL },
    )
    await gateway.write('huge.yaml', `# ${'x'.repeat(3 * 1024 * 1024)}\n`)
    await gateway.write('next.yaml', route('shop/next', ['next.example'], [ANSWER]))
    await eventually(async () => assert.equal(await asks(gateway, 'next.example'), 200))
    await eventually(() => assert.match(gateway.processLog.join('\n'), /huge\.yaml.*too large/))
    assert.equal(await metric(gateway, 'headgate_control_restarts_total'), 0)
  })

  it('is refused to heads that come in part, and never to those that come whole', async (t) => {
    const gateway = await startGateway(
      t,
      { 'good.yaml': route('shop/good', ['good.example'], [ANSWER]) },
      { settings: SMALL },
    )
    const begun = `GET / HTTP/1.1\r\nHost: good.example\r\nX-Fill: ${'a'.repeat(60_000)}`
    const answers: string[] = []
    const slow: Socket[] = []
    t.after(() => {
      for (const socket of slow) socket.destroy()
    })
    for (let i = 0; i < 80; i++) {
      const socket = connect(gateway.port, '127.0.0.1')
      socket
        .setEncoding('latin1')
        .on('data', (text: string) => answers.push(text.slice(0, 12)))
        .on('error', () => {})
      socket.write(begun)
      slow.push(socket)
    }
    await eventually(() => assert.ok(answers.length > 10, `${answers.length} were refused`))
    assert.ok(answers.length < 80 && answers.every((status) => status === 'HTTP/1.1 503'), answers.join())
    for (let i = 0; i < 20; i++) assert.equal(await asks(gateway, 'good.example'), 200)
    await gateway.logged((line) => line.reason === 'MemoryLimit')

    // Once they are gone, a head may take its time again.
    for (const socket of slow) socket.destroy()
    await eventually(async () => assert.equal(await metric(gateway, 'headgate_connections_open{listener="http"}'), 0))
    const patient = connect(gateway.port, '127.0.0.1')
    t.after(() => patient.destroy())
    let answer = ''
    patient.setEncoding('latin1').on('data', (text: string) => (answer += text))
    patient.write(begun)
    await eventually(async () => assert.equal(await metric(gateway, 'headgate_connections_open{listener="http"}'), 1))
    patient.write('\r\n\r\n')
    await eventually(() => assert.match(answer, /^HTTP\/1\.1 200 /))
  })

  it('is refused to bodies of the client that has most of them waiting, and to no other client', async (t) => {
    const large = Buffer.alloc(256 * 1024, 'x')
    const backend = await rawBackend(t, (socket) =>
      onHead(socket, (head) => {
        // Uploads are never read.
        if (head.startsWith('POST')) return void socket.pause()
        socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${large.length}\r\nconnection: close\r\n\r\n`)
        socket.end(large)
      }),
    )
    const limits = { maxConnections: 10_000, maxPending: 10_000, maxConcurrentRequests: 10_000 }
    const gateway = await startGateway(
      t,
      {
        'good.yaml':
          route('default/good', ['good.example'], [{ name: 'all', backendRefs: [{ name: 'good' }] }]) +
          backendManifest('good', [backend.port]),
        'slow.yaml':
          route('slow/slow', ['slow.example'], [{ name: 'all', backendRefs: [{ name: 'slow' }] }]) +
          backendManifest('slow/slow', [backend.port], { limits }),
      },
      { settings: SMALL },
    )
    const hostile = Array.from({ length: CONNECTIONS }, () => flood(t, gateway.port))
    let highest = 0
    for (let i = 0; i < 8; i++) {
      const { status, body } = await request(gateway.port, { host: 'good.example' })
      assert.deepEqual([status, body.length], [200, large.length], body.toString('latin1', 0, 300))
      highest = Math.max(highest, await metric(gateway, 'process_resident_memory_bytes'))
    }
    // Resident memory follows collections late where the machine has other work.
    assert.ok(highest < 1.25 * 288 * 2 ** 20, `${highest} bytes`)
    await gateway.logged((line) => line.reason === 'MemoryLimit')
    for (const socket of hostile) socket.destroy()
    assert.equal((await request(gateway.port, { host: 'good.example' })).status, 200)
  })

  it('has room for so many workers', async (t) => {
    const options = { settings: SMALL, workers: 4 }
    const gateway = await startGateway(t, { 'good.yaml': route('shop/good', ['good.example'], [ANSWER]) }, options)
    assert.equal(await asks(gateway, 'good.example'), 200)
    assert.match(gateway.processLog.join('\n'), /288 MiB of memory \(settings\) have room for 1 of 4 workers/)
    assert.equal(await metric(gateway, 'headgate_memory_limit_bytes'), 288 * 2 ** 20)
    const heap = await metric(gateway, 'headgate_thread_heap_limit_bytes{thread="worker-0"}')
    assert.ok(heap > 40 * 2 ** 20 && heap < 120 * 2 ** 20, `${heap}`)
  })
})
