/** What a rotation costs one turn of the loop: authorities and lists are parsed for one handshake, not for all. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { FairGate } from '../../src/limit/fair-gate.ts'
import { type HandshakeOwner, TlsHandshake } from '../../src/listener/tls-handshake.ts'
import { TlsServers } from '../../src/listener/tls-servers.ts'
import type { UnservedSocket } from '../../src/listener/unserved-socket.ts'
import { ContentStore } from '../../src/policy/contents.ts'
import { certificateRef, type HostTls, tlsOptions } from '../../src/snapshot/host-tls.ts'
import { keyPair, TestAuthority } from '../lib/certificates.ts'
import { clientHello, common, records, serverName } from '../tls/hello-writer.ts'

const HOSTS = 6
const authority = new TestAuthority()
const keys = keyPair()

it('handshakes that need authorities parsed begin one in a turn, others as many as are allowed', () => {
  const turns: (() => void)[] = []
  const gate = new FairGate({ all: 100, perSource: 100, perTurn: 4 }, (run) => turns.push(run))
  const contents = new ContentStore()
  const servers = new TlsServers({
    contents,
    wall: Date.now,
    events: { secured: () => assert.fail(), failed: () => assert.fail() },
    ticketMaster: Buffer.alloc(32, 1),
    problem: (message) => assert.fail(message),
  })
  const rotate = (): void => contents.apply([{ id: 'ca', bytes: Buffer.from(new TestAuthority('Clients').ca) }])
  const hosts = new Map<string, HostTls>()
  for (let i = 0; i < HOSTS; i++) {
    const name = `h${i}.test`
    const ref = certificateRef('shop', name)
    const { cert, key } = authority.issue({ names: { dns: [name] }, keys })
    contents.apply([
      { id: ref.chain, bytes: Buffer.from(cert) },
      { id: ref.key, bytes: Buffer.from(key) },
    ])
    const options = tlsOptions('TLSv1.2', { mode: 'Require', ca: 'ca' })
    hosts.set(name, { key: name, namespace: 'shop', mode: 'Terminate', certificates: [ref], http: 'Serve', options })
  }
  let started = 0
  const owner = {
    host: { tlsOf: (_frontend: unknown, name: string) => hosts.get(name) ?? null },
    servers,
    gate,
    sourceLimit: 1_000,
    start: () => `${started++}`,
    forget() {},
  } as unknown as HandshakeOwner
  const unserved = {
    address: '192.0.2.1',
    listener: { frontend: 0 },
    stopReading() {},
    socket: { unshift() {} },
    context: { timers: { now: 0, arm() {} }, options: { handshake: 10_000 } },
  } as unknown as UnservedSocket
  /** Handshakes for all hosts come in one turn. @returns what was parsed, and what was begun, in each turn */
  const flood = (): string[] => {
    const found: string[] = []
    let [parsed, begun] = [servers.parsed, started]
    const note = (): void => {
      found.push(`${servers.parsed - parsed} ${started - begun}`)
      parsed = servers.parsed
      begun = started
    }
    for (const name of hosts.keys())
      new TlsHandshake(owner, unserved).push(records(clientHello([serverName(name), ...common()])))
    note()
    for (let run = turns.shift(); run !== undefined; run = turns.shift()) {
      run()
      note()
    }
    return found.filter((turn) => turn !== '0 0')
  }

  rotate()
  assert.deepEqual(flood(), Array(HOSTS).fill('1 1'), 'after the start')
  assert.deepEqual(flood(), ['0 4', '0 2'], 'with what is parsed')
  rotate()
  assert.deepEqual(flood(), Array(HOSTS).fill('1 1'), 'after a rotation')
})
