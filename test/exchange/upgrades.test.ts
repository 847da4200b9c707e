/** Which requests become tunnels, on sockets: what the handshake must have, and what an upstream must prove. */
import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { describe, it } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { AMBIENT_CREDENTIAL } from '../../src/policy/attribute.ts'
import type { Filter } from '../../src/policy/filter.ts'
import { onHead, rawBackend } from '../feature/backends.ts'
import { memoryRig } from '../lib/memory/rig.ts'
import { ACCEPT, AGREEING, ASKING, KEY, SWITCHES } from '../lib/websocket-lines.ts'
import type { ServedRequest } from '../suite/transport-rig.ts'
import { type InProcess, inProcess } from '../worker/in-process.ts'
import { type InProcessOptions, type Scope, toUp } from '../worker/test-plane.ts'

const GET = 'GET /up HTTP/1.1\r\nhost: w.test\r\n'

interface Rig {
  readonly gateway: InProcess
  /** Heads that came to the upstream. */
  readonly heads: string[]
  /** Bytes behind them. */
  readonly received: () => string
}

async function rig(
  t: Scope,
  answer: string | ((socket: Socket) => void),
  options: InProcessOptions = {},
): Promise<Rig> {
  const heads: string[] = []
  let received = ''
  const { port } = await rawBackend(t, (socket) =>
    onHead(socket, (head, rest) => {
      heads.push(head)
      received += rest.toString('latin1')
      socket.on('data', (chunk: Buffer) => (received += chunk.toString('latin1')))
      if (typeof answer === 'string') socket.write(answer)
      else answer(socket)
    }),
  )
  const gateway = await inProcess(t, { upstreams: [port], rules: toUp({ retry: { attempts: 0 } }), ...options })
  return { gateway, heads, received: () => received }
}

/** Sends a request and reads the status and reason of the response. */
async function asked(gateway: InProcess, request: string): Promise<readonly [status: number, reason: unknown]> {
  using client = await gateway.connect()
  client.send(request)
  const answer = await client.response()
  return [answer.status, answer.header('content-type')?.includes('json') ? answer.json().reason : undefined]
}

async function until(holds: () => boolean): Promise<void> {
  const deadline = performance.now() + 5_000
  while (!holds()) {
    if (performance.now() > deadline) throw new Error('it did not happen')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

describe('a WebSocket handshake', () => {
  const WITHOUT_KEY = ASKING.replace(/sec-websocket-key.*\r\n/, '')
  for (const [what, request] of [
    ['without a key', `${GET}${WITHOUT_KEY}\r\n`],
    ['with an empty key', `${GET}${WITHOUT_KEY}sec-websocket-key: \r\n\r\n`],
    ['with a key of 15 bytes', `${GET}${WITHOUT_KEY}sec-websocket-key: ${'A'.repeat(20)}\r\n\r\n`],
    ['with a key that is not base64', `${GET}${WITHOUT_KEY}sec-websocket-key: ${'*'.repeat(22)}==\r\n\r\n`],
    ['with two keys', `${GET}${ASKING}sec-websocket-key: ${KEY}\r\n\r\n`],
    ['with a body', `${GET}${ASKING}content-length: 1\r\n\r\nx`],
    ['with a body in chunks', `${GET}${ASKING}transfer-encoding: chunked\r\n\r\n0\r\n\r\n`],
    ['by POST', `POST /up HTTP/1.1\r\nhost: w.test\r\n${ASKING}content-length: 0\r\n\r\n`],
    ['by HEAD', `HEAD /up HTTP/1.1\r\nhost: w.test\r\n${ASKING}\r\n`],
  ] as const)
    it(`${what} is 400, and nobody is asked`, async (t) => {
      const { gateway, heads } = await rig(t, SWITCHES)
      using client = await gateway.connect()
      client.send(request)
      const answer = await client.response(request.slice(0, 4).trim())
      assert.equal(answer.status, 400)
      await gateway.nothingLeft()
      assert.deepEqual([heads.length, gateway.log()[0]!.reason], [0, 'BadRequest'])
      assert.match(String(gateway.log()[0]!.detail), /^a WebSocket handshake /)
    })

  it('that the rule does not let pass is not looked at: the request is a plain one', async (t) => {
    const { gateway, heads } = await rig(t, 'HTTP/1.1 204 x\r\n\r\n', { rules: toUp({ upgrades: [] }) })
    assert.deepEqual(await asked(gateway, `${GET}${WITHOUT_KEY}\r\n`), [204, undefined])
    assert.doesNotMatch(heads[0]!, /^(upgrade|connection):/im)
  })

  for (const [what, lines] of [
    ['has no accept', 'connection: upgrade\r\nupgrade: websocket\r\n'],
    ['has another accept', AGREEING.replace(ACCEPT, `${'A'.repeat(27)}=`)],
    ['has the accept in other letters', AGREEING.replace(ACCEPT, ACCEPT.toLowerCase())],
    ['has two accepts', `${AGREEING}sec-websocket-accept: ${ACCEPT}\r\n`],
    ['is for another protocol', AGREEING.replace('websocket\r\n', 'other\r\n')],
    ['is for a list of protocols', AGREEING.replace('websocket\r\n', 'websocket, other\r\n')],
    ['has no Connection', AGREEING.replace('connection: upgrade\r\n', '')],
    ['announces a body', `${AGREEING}content-length: 5\r\n`],
  ] as const)
    it(`whose 101 ${what} opens no tunnel`, async (t) => {
      const { gateway, received } = await rig(t, `HTTP/1.1 101 x\r\n${lines}\r\n`)
      using client = await gateway.connect()
      // What would be a request of its own to an upstream that has switched to nothing.
      client.send(`${GET}${ASKING}\r\nGET /admin HTTP/1.1\r\nhost: w.test\r\n\r\n`)
      const answer = await client.response()
      assert.deepEqual([answer.status, answer.json().reason], [502, 'UpstreamProtocolError'])
      assert.doesNotMatch(received(), /admin/)
    })

  it('is proved by the accept in any spelling of the names around it', async (t) => {
    const { gateway } = await rig(
      t,
      `HTTP/1.1 101 x\r\nCONNECTION: keep-alive, UPGRADE\r\nUpGrade: WebSocket\r\nSec-WebSocket-ACCEPT:  ${ACCEPT} \r\n\r\n`,
    )
    assert.equal((await asked(gateway, `${GET}${ASKING}\r\n`))[0], 101)
  })

  it('is given up when its client goes away before the answer', async (t) => {
    const { gateway, heads } = await rig(t, () => {})
    const client = await gateway.connect()
    client.send(`${GET}${ASKING}\r\n`)
    await until(() => heads.length === 1)
    client.end()
    await gateway.nothingLeft()
    assert.equal(gateway.log()[0]!.reason, 'ClientGone')
    client.reset()
  })
})

describe('an upgrade to a protocol that the rule names', () => {
  const rules = toUp({ upgrades: ['tcp'], retry: { attempts: 0 } })
  const POST = 'POST /exec HTTP/1.1\r\nhost: w.test\r\nconnection: upgrade\r\nupgrade: tcp\r\n'
  const AGREED = 'HTTP/1.1 101 x\r\nconnection: upgrade\r\nupgrade: tcp\r\n\r\n'

  it('goes by any method, and behind a body', async (t) => {
    let body = ''
    const { gateway, heads } = await rig(
      t,
      (socket) => {
        socket.on('data', (chunk: Buffer) => {
          body += chunk.toString()
          if (body === '{"tty":true}') socket.write(`${AGREED}ready`)
          else socket.write(`you said ${chunk.toString()}`)
        })
      },
      { rules },
    )
    using client = await gateway.connect()
    client.send(`${POST}content-length: 12\r\n\r\n`)
    await until(() => heads.length === 1)
    client.send('{"tty":true}')
    assert.equal((await client.response()).status, 101)
    client.send('ls')
    await until(() => client.unread.toString() === 'readyyou said ls')
    client.end()
    assert.equal(gateway.holdings.exchanges, 1)
  })

  it('is refused where the upstream switches within the body', async (t) => {
    const { gateway, heads } = await rig(t, AGREED, { rules })
    using client = await gateway.connect()
    client.send(`${POST}content-length: 100\r\n\r\nfirst`)
    await until(() => heads.length === 1)
    const answer = await client.response()
    assert.deepEqual([answer.status, answer.json().reason], [502, 'UpstreamProtocolError'])
  })

  it('is none that was not named', async (t) => {
    const { gateway, heads } = await rig(t, 'HTTP/1.1 204 x\r\n\r\n', { rules })
    for (const token of ['websocket', 'tcp, websocket', 'h2c', 'TLS/1.0'])
      assert.deepEqual(await asked(gateway, `${GET}connection: upgrade\r\nupgrade: ${token}\r\n\r\n`), [204, undefined])
    for (const head of heads) assert.doesNotMatch(head, /upgrade/i)
  })
})

describe('an extended CONNECT', () => {
  it('is refused with 501 where its protocol may not pass: a plain request would open a tunnel by any 200', async (t) => {
    let asked = 0
    const gateway = await memoryRig(1).gateway(t, { upstreams: [() => void asked++] })
    const answer = await gateway.ask({ upgrade: 'connect-udp' }).response()
    assert.deepEqual([answer.status, JSON.parse(answer.body).reason, asked], [501, 'ProtocolNotAllowed', 0])
  })

  it('is not opened by a 200 of an upstream that did not agree', async (t) => {
    const gateway = await memoryRig(1).gateway(t, { upstreams: [(request) => request.respond(200, 'plain')] })
    const answer = await gateway.ask({ upgrade: 'websocket' }).response()
    assert.deepEqual([answer.status, JSON.parse(answer.body).reason], [502, 'UpstreamProtocolError'])
  })

  it('leaves the key to the connection to the upstream', async (t) => {
    const served = Promise.withResolvers<ServedRequest>()
    const gateway = await memoryRig(1).gateway(t, { upstreams: [(request) => served.resolve(request)] })
    gateway.ask({ upgrade: 'websocket', fields: { 'sec-websocket-key': 'mine', 'sec-websocket-version': '13' } })
    await gateway.until(() => true)
    const { fields } = await served.promise
    assert.deepEqual([fields['sec-websocket-key'], fields['sec-websocket-version']], [undefined, '13'])
  })
})

describe('the Origin of an upgrade', () => {
  /** Accepts a cookie as a credential, as filters of `auth` do. */
  const cookies: Filter = {
    name: 'cookies',
    onRequest(x) {
      if (x.request.has('cookie')) x.set(AMBIENT_CREDENTIAL, true)
      return undefined
    },
  }
  const OWN = ['https://w.test', 'http://w.test', 'http://W.test:80', 'https://w.test:443']
  const FOREIGN = [
    'https://evil.test',
    'https://w.test.evil.test',
    'https://evil.test/w.test',
    'https://w.test@evil.test',
    'https://w.test:8443',
    'https://sub.w.test',
    'null',
    'w.test',
    'file://w.test',
    '',
  ]

  it('is that of the gateway where the gateway has accepted a cookie', async (t) => {
    const { gateway, heads } = await rig(t, SWITCHES, { filters: [{ phase: 'auth', filter: cookies }] })
    for (const origin of FOREIGN) {
      const [status, reason] = await asked(gateway, `${GET}cookie: s=1\r\norigin: ${origin}\r\n${ASKING}\r\n`)
      assert.deepEqual([status, reason], [403, 'OriginNotAllowed'], origin)
    }
    const twice = `${GET}cookie: s=1\r\norigin: https://w.test\r\norigin: https://w.test\r\n${ASKING}\r\n`
    assert.deepEqual(await asked(gateway, twice), [403, 'OriginNotAllowed'])
    assert.equal(heads.length, 0)
    for (const origin of OWN) {
      const request = `${GET}cookie: s=1\r\norigin: ${origin}\r\n${ASKING}\r\n`
      assert.equal((await asked(gateway, request))[0], 101, origin)
    }
  })

  it('makes no difference to whoever sends none, to other credentials and to plain requests', async (t) => {
    const { gateway } = await rig(t, SWITCHES, { filters: [{ phase: 'auth', filter: cookies }] })
    assert.equal((await asked(gateway, `${GET}cookie: s=1\r\n${ASKING}\r\n`))[0], 101)
    const token = `${GET}authorization: Bearer x\r\norigin: https://evil.test\r\n${ASKING}\r\n`
    assert.equal((await asked(gateway, token))[0], 101)
    const plain = await rig(t, 'HTTP/1.1 204 x\r\n\r\n', { filters: [{ phase: 'auth', filter: cookies }] })
    assert.equal((await asked(plain.gateway, `${GET}cookie: s=1\r\norigin: https://evil.test\r\n\r\n`))[0], 204)
  })
})

describe('a tunnel', () => {
  it('keeps neither the tables of its generation nor the head of its request', async (t) => {
    setFlagsFromString('--expose-gc')
    const collect = runInNewContext('gc') as () => void
    const { gateway, heads } = await rig(t, SWITCHES)
    using client = await gateway.connect()
    client.send(`${GET}x-large: ${'x'.repeat(60_000)}\r\n${ASKING}\r\n`)
    assert.equal((await client.response()).status, 101)
    assert.ok(heads[0]!.length > 60_000)
    const before = new WeakRef(gateway.plane.context.tables!)
    await gateway.link({ rules: toUp({ retry: { attempts: 3 } }) })
    assert.notEqual(gateway.plane.context.tables, before.deref())
    await until(() => {
      collect()
      return before.deref() === undefined
    })
    client.send('still open')
    assert.equal(gateway.holdings.exchanges, 1)
  })
})
