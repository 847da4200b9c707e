/** Clients that come back to their endpoint: over drains, restarts and replicas. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { SLOT_STATE } from '../../src/shared-memory/endpoint-table.ts'
import { wholeSet } from '../../src/thread/endpoint-rows.ts'
import { onHead, rawBackend } from '../feature/backends.ts'
import { type InProcess, inProcess } from '../worker/in-process.ts'
import { type Scope, settingsWith } from '../worker/test-plane.ts'

const COOKIE = /^hg=([\w-]{24}); Path=\/; HttpOnly; SameSite=Strict$/
const UP = 'default/up'

async function upstreams(scope: Scope): Promise<number[]> {
  const ports: number[] = []
  for (const name of ['a', 'b', 'c']) {
    const { port } = await rawBackend(scope, (socket) =>
      onHead(socket, () => socket.write(`HTTP/1.1 200 OK\r\nx-backend: ${name}\r\ncontent-length: 0\r\n\r\n`)),
    )
    ports.push(port)
  }
  return ports
}

interface Seen {
  readonly backend: string
  /** The token that came, if one did. */
  readonly token: string | undefined
}

class Replica {
  readonly gateway: InProcess
  readonly #ports: readonly number[]

  constructor(gateway: InProcess, ports: readonly number[]) {
    this.gateway = gateway
    this.#ports = ports
  }

  static async start(scope: Scope, ports: readonly number[], seed = 'seed'): Promise<Replica> {
    const gateway = await inProcess(scope, {
      upstreams: ports,
      backend: { sessionAffinity: { cookie: { name: 'hg', sameSite: 'Strict' } } },
    })
    await gateway.use({ ...settingsWith([{ name: 'http', address: '127.0.0.1', port: 0 }]), sessionSeed: seed })
    return new Replica(gateway, ports)
  }

  async ask(cookie?: string): Promise<Seen> {
    using client = await this.gateway.connect()
    const headers: Record<string, string> = cookie === undefined ? {} : { cookie }
    const answer = await client.request({ host: 'w.test', path: '/', headers })
    assert.equal(answer.status, 200)
    const set = answer.header('set-cookie')
    return { backend: answer.header('x-backend')!, token: set === undefined ? undefined : COOKIE.exec(set)![1]! }
  }

  /** Control sends the endpoint set with other states. */
  states(states: readonly ('ready' | 'draining' | 'gone')[]): void {
    const rows = states.flatMap((state, i) =>
      state === 'gone' ? [] : [{ address: '127.0.0.1', port: this.#ports[i]!, weight: 1, state, slot: i + 1 }],
    )
    const { connects } = this.gateway.plane.backends.find(UP) as unknown as { connects: string }
    this.gateway.plane.messages.accept(wholeSet(UP, rows, connects))
  }
}

describe('a client with a session', () => {
  for (const state of ['draining', 'gone'] as const)
    it(`moves on once when its endpoint is ${state}, with a new token, and stays there`, async (t) => {
      const replica = await Replica.start(t, await upstreams(t))
      const first = await replica.ask()
      const at = 'abc'.indexOf(first.backend)
      replica.states([0, 1, 2].map((i) => (i === at ? state : 'ready')))
      const second = await replica.ask(`hg=${first.token}`)
      assert.notEqual(second.backend, first.backend)
      for (let i = 0; i < 5; i++)
        assert.deepEqual(await replica.ask(`hg=${second.token}`), { backend: second.backend, token: undefined })
      // Whoever has not been there meanwhile finds its endpoint again.
      replica.states(['ready', 'ready', 'ready'])
      assert.deepEqual(await replica.ask(`hg=${first.token}`), { backend: first.backend, token: undefined })
      assert.deepEqual(await replica.ask(`hg=${second.token}`), { backend: second.backend, token: undefined })
    })

  it('moves on in the same instant when its endpoint is out, and comes back with it', async (t) => {
    const replica = await Replica.start(t, await upstreams(t))
    const first = await replica.ask()
    const slot = 'abc'.indexOf(first.backend) + 1
    replica.gateway.endpoints.mark(slot, SLOT_STATE.unhealthy, true)
    assert.notEqual((await replica.ask(`hg=${first.token}`)).backend, first.backend)
    replica.gateway.endpoints.mark(slot, SLOT_STATE.unhealthy, false)
    assert.equal((await replica.ask(`hg=${first.token}`)).backend, first.backend)
  })

  it('comes back to its endpoint at every replica and after a restart, where they share the key', async (t) => {
    const ports = await upstreams(t)
    const [one, two, foreign] = [
      await Replica.start(t, ports, 'installation'),
      // Its endpoints come in another order.
      await Replica.start(t, ports.toReversed(), 'installation'),
      await Replica.start(t, ports, 'another installation'),
    ]
    for (let i = 0; i < 10; i++) {
      const { backend, token } = await one!.ask()
      assert.deepEqual(await two!.ask(`hg=${token}`), { backend, token: undefined })
      const elsewhere = await foreign!.ask(`hg=${token}`)
      assert.notEqual(elsewhere.token, undefined, 'it is nobody’s there')
      assert.notEqual(elsewhere.token, token)
    }
  })

  it('has the first cookie of the name that it sends, and anything else is replaced', async (t) => {
    const replica = await Replica.start(t, await upstreams(t))
    const { backend, token } = await replica.ask()
    assert.deepEqual(await replica.ask(`other=1; hg=${token}; hg=x`), { backend, token: undefined })
    for (const value of ['', `${token}x`, token!.slice(1), token!.toLowerCase().replace(/.$/, '-'), 'y'.repeat(8_000)])
      assert.notEqual((await replica.ask(`hg=${value}`)).token, undefined, value.slice(0, 30))
  })
})
