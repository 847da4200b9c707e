/** gRPC pods and WebSockets: served by what a Service's port says it speaks, and through rolling updates. */
import assert from 'node:assert/strict'
import { connect } from 'node:http2'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { WebSocket } from 'ws'
import { figure } from '../lib/figures.ts'
import { type Entrance, entrance, install, RELEASE, SYSTEM } from '../lib/headgate.ts'
import { apply, freshNamespace, kubectl, tryKubectl } from '../lib/kubernetes.ts'
import { protocolPods } from '../lib/protocol-pods.ts'
import { rolledOut, route } from '../lib/service.ts'
import { tlsSecret } from '../lib/tls-secret.ts'
import { podNames } from '../lib/under-load.ts'
import { until } from '../lib/wait.ts'

const NAMESPACE = 'protocols'
const NAME = 'echo'
const WEBSOCKET_HOST = 'sockets.example'
const GRPC_HOST = 'grpc.example'
const DRAIN = { delay: 2, timeout: 8 }

let door: Entrance
let tlsDoor: Entrance

before(async () => {
  const values = { 'drain.delaySeconds': `${DRAIN.delay}`, 'drain.timeoutSeconds': `${DRAIN.timeout}` }
  await install({ values })
  ;[door, tlsDoor] = [await entrance(), await entrance(undefined, undefined, 443)]
  await freshNamespace(NAMESPACE)
  const backend = (name: string, port: number) => ({
    apiVersion: 'headgate.dev/v1alpha1',
    kind: 'Backend',
    metadata: { name, namespace: NAMESPACE },
    spec: { service: { name: NAME, port } },
  })
  const tls = { certificates: [{ secretName: 'grpc-tls' }], http: 'Serve' }
  await apply(
    ...protocolPods({ namespace: NAMESPACE, name: NAME, replicas: 2 }),
    ...[backend('sockets', 80), route(NAMESPACE, 'sockets', WEBSOCKET_HOST)],
    ...[backend('grpc', 81), route(NAMESPACE, 'grpc', GRPC_HOST, undefined, { tls })],
    tlsSecret(NAMESPACE, 'grpc-tls', GRPC_HOST),
  )
  await rolledOut(NAMESPACE, NAME)
})

after(async () => {
  door?.close()
  tlsDoor?.close()
  await kubectl('delete', 'namespace', NAMESPACE, '--ignore-not-found', '--wait=false')
})

const MESSAGE = Buffer.from([0, 0, 0, 0, 5, ...Buffer.from('hello')])

/** One call with so many messages, one after the other. @returns its `grpc-status`, or what came in its place */
async function call(url: string, messages = 1): Promise<string> {
  const session = connect(url, { servername: GRPC_HOST, rejectUnauthorized: false })
  session.on('error', () => {})
  try {
    const stream = session.request({
      ':method': 'POST',
      ':path': '/echo.Echo/Both',
      ':authority': GRPC_HOST,
      'content-type': 'application/grpc',
      te: 'trailers',
    })
    stream.setTimeout(10_000, () => stream.destroy(new Error('no answer')))
    let status: string | undefined
    let httpStatus: number | undefined
    stream.on('response', (head) => {
      httpStatus = head[':status']
      status = head['grpc-status'] as string | undefined
    })
    stream.on('trailers', (trailers) => (status = trailers['grpc-status'] as string | undefined))
    let received = 0
    stream.write(MESSAGE)
    for await (const chunk of stream) {
      received += (chunk as Buffer).length
      if (received === messages * MESSAGE.length) stream.end()
      else if (received % MESSAGE.length === 0) stream.write(MESSAGE)
    }
    return status === '0' && received === messages * MESSAGE.length ? '0' : `${httpStatus}, grpc-status ${status}`
  } catch (error) {
    return String(error)
  } finally {
    session.close()
  }
}

describe('gRPC pods whose port says kubernetes.io/h2c', () => {
  it('are called over TLS, and in clear text', async () => {
    for (const url of [`https://${tlsDoor.address}`, `http://${door.address}`]) {
      await until(`a call by ${url}`, async () => (await call(url)) === '0')
      assert.equal(await call(url, 50), '0')
    }
  })

  it('are rolled without a call that fails', async () => {
    const results = new Map<string, number>()
    let over = false
    const lanes = Array.from({ length: 4 }, async () => {
      while (!over) {
        const result = await call(`https://${tlsDoor.address}`, 3)
        results.set(result, (results.get(result) ?? 0) + 1)
        await sleep(20)
      }
    })
    await kubectl('rollout', 'restart', `deployment/${NAME}`, '-n', NAMESPACE)
    await rolledOut(NAMESPACE, NAME)
    await until('the old pods are gone', async () => (await podNames(NAMESPACE, `app=${NAME}`)).length === 2)
    over = true
    await Promise.all(lanes)
    figure('gRPC pods rolled: calls', [...results.values()].reduce((sum, count) => sum + count, 0).toString())
    assert.deepEqual([...results.keys()], ['0'])
  })
})

interface Socket {
  readonly echoes: number
  readonly openings: number
  /** What should not be: a handshake that fails, an echo that does not come while the socket is open. */
  readonly faults: readonly string[]
  stop(): void
}

/** Sends a message whenever the one before has come back; opens anew when the socket is closed. */
function keptSocket(): Socket {
  const state = { echoes: 0, openings: 0, faults: [] as string[] }
  let socket: WebSocket | undefined
  let over = false
  const open = (): void => {
    socket = new WebSocket(`ws://${door.address}/`, { headers: { host: WEBSOCKET_HOST }, handshakeTimeout: 10_000 })
    let opened = false
    const send = () => void setTimeout(() => socket?.readyState === WebSocket.OPEN && socket.send('hello'), 20)
    socket.on('open', () => {
      opened = true
      state.openings++
      send()
    })
    socket.on('message', (data) => {
      if (String(data) !== 'hello') state.faults.push(`got ${String(data)}`)
      state.echoes++
      send()
    })
    socket.on('error', (error) => {
      if (!opened) state.faults.push(error.message)
    })
    socket.on('close', () => {
      if (!over) setTimeout(open, 50)
    })
  }
  open()
  return {
    get echoes() {
      return state.echoes
    },
    get openings() {
      return state.openings
    },
    faults: state.faults,
    stop: () => {
      over = true
      socket?.terminate()
    },
  }
}

async function withSockets(what: string, work: () => Promise<void>): Promise<void> {
  const sockets = Array.from({ length: 20 }, keptSocket)
  try {
    await until('every socket echoes', () => sockets.every(({ echoes }) => echoes > 0))
    await work()
    const echoes = sockets.map((socket) => socket.echoes)
    await until('every socket goes on', () => sockets.every((socket, i) => socket.echoes > echoes[i]! + 3))
    const openings = sockets.reduce((sum, socket) => sum + socket.openings, 0)
    figure(`${what}: 20 sockets, opened`, `${openings} times`)
    assert.deepEqual(
      sockets.flatMap(({ faults }) => faults),
      [],
    )
    assert.ok(openings > 20, 'they were opened anew')
  } finally {
    for (const socket of sockets) socket.stop()
  }
}

describe('WebSockets', () => {
  it('are served by the port that says kubernetes.io/ws, and open anew when its pods are rolled', async () => {
    await withSockets('WebSocket pods rolled', async () => {
      await kubectl('rollout', 'restart', `deployment/${NAME}`, '-n', NAMESPACE)
      await rolledOut(NAMESPACE, NAME)
      await until('the old pods are gone', async () => (await podNames(NAMESPACE, `app=${NAME}`)).length === 2)
    })
  })

  it('end inside the grace period when Headgate is rolled, and open anew on its new pods', async () => {
    await withSockets('Headgate rolled under WebSockets', async () => {
      const pods = () => podNames(SYSTEM, `app.kubernetes.io/instance=${RELEASE}`)
      // Until the pod's end: killed at the end of the grace period it would not say how its drain ended.
      const logs = (await pods()).map((pod) => tryKubectl(['logs', '-f', '--tail=1', pod, '-n', SYSTEM]))
      await kubectl('rollout', 'restart', `deployment/${RELEASE}`, '-n', SYSTEM)
      await rolledOut(SYSTEM, RELEASE)
      const ready = performance.now()
      await until('the old pods are gone', async () => (await pods()).length === 2, { every: 200, seconds: 60 })
      const took = (performance.now() - ready) / 1_000
      figure('Headgate rolled under WebSockets: until the old pods were gone', `${took.toFixed(1)} s`)
      for (const { stdout } of await Promise.all(logs))
        assert.match(stdout, /drain: (the deadline closed \d+ connections|all exchanges finished)/)
    })
  })
})
