/**
 * Fuzzer of the ClientHello: `node test/fuzz/client-hello.ts [seconds]`. Hellos of real clients are changed in some
 * bytes, and read by ours and by OpenSSL (a server of node:tls): where ours takes one, OpenSSL must have seen the same
 * name and the same protocols, or have refused it. What it finds goes into client-hello.seeds.json, which
 * client-hello.test.ts runs for ever.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type AddressInfo, connect } from 'node:net'
import { createServer, type Server, type TLSSocket } from 'node:tls'
import fc from 'fast-check'
import { ClientHelloReader, HelloFault } from '../../src/tls/client-hello.ts'
import { TestAuthority } from '../lib/certificates.ts'

const read = (name: string): readonly Buffer[] =>
  (JSON.parse(readFileSync(new URL(name, import.meta.url), 'utf8')) as string[]).map((hex) => Buffer.from(hex, 'hex'))

/** First flights of node:tls, `openssl s_client` and curl, then what was found. */
export const seeds = read('client-hello.seeds.json')

interface Change {
  readonly kind: 'set' | 'delete' | 'insert' | 'copy'
  /** Parts of the message, 0 … 1. */
  readonly at: number
  readonly from: number
  readonly length: number
  readonly bytes: Uint8Array
}

// Not more often at the ends, as fast-check would have it: there is but the header.
const anywhere = fc.noBias(fc.nat(9_999)).map((part) => part / 10_000)

const change: fc.Arbitrary<Change> = fc.record({
  kind: fc.constantFrom('set' as const, 'set' as const, 'set' as const, 'delete', 'insert', 'copy'),
  at: anywhere,
  from: anywhere,
  length: fc.integer({ min: 1, max: 40 }),
  bytes: fc.uint8Array({ minLength: 1, maxLength: 3 }),
})

function changed(bytes: Buffer, { kind, at, from, length, bytes: own }: Change): Buffer {
  const place = Math.floor(at * bytes.length)
  const other = Math.floor(from * bytes.length)
  const before = bytes.subarray(0, place)
  switch (kind) {
    case 'set':
      return Buffer.concat([before, own, bytes.subarray(place + own.length)])
    case 'delete':
      return Buffer.concat([before, bytes.subarray(place + length)])
    case 'insert':
      return Buffer.concat([before, own, bytes.subarray(place)])
    case 'copy':
      return Buffer.concat([before, bytes.subarray(other, other + length), bytes.subarray(place)])
  }
}

/** The lengths of record and message say what there is, so that the change is read and not the end missed. */
function fitted(bytes: Buffer): Buffer {
  if (bytes.length < 9) return bytes
  const copy = Buffer.from(bytes)
  copy.writeUInt16BE((copy.length - 5) & 0xffff, 3)
  copy.writeUIntBE(copy.length - 9, 6, 3)
  return copy
}

/** Of one record. */
export const hello = fc
  .tuple(fc.constantFrom(...seeds), fc.array(change, { minLength: 1, maxLength: 3 }), fc.boolean())
  .map(([seed, changes, fit]) => {
    const bytes = changes.reduce(changed, seed)
    return fit ? fitted(bytes) : bytes
  })

interface Seen {
  serverName: string | null
  protocols: readonly string[] | null
}

/** Reads with OpenSSL. */
export class HelloOracle {
  readonly #server: Server
  #seen: Seen = { serverName: null, protocols: null }

  constructor() {
    const { cert, key } = new TestAuthority().server('a.example')
    this.#server = createServer({
      cert,
      key,
      SNICallback: (name, done) => {
        this.#seen.serverName = name
        done(null)
      },
      ALPNCallback: ({ protocols }) => {
        this.#seen.protocols = protocols
        return protocols[0]
      },
    })
    this.#server.on('tlsClientError', (_, socket: TLSSocket) => {
      socket.destroy()
    })
  }

  async listen(): Promise<void> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
  }

  close(): void {
    this.#server.close()
  }

  async read(bytes: Buffer): Promise<Seen> {
    this.#seen = { serverName: null, protocols: null }
    const { port } = this.#server.address() as AddressInfo
    const client = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    client.on('error', () => {})
    // Either an answer comes, or the connection is closed.
    const heard = new Promise<void>((resolve) => {
      client.once('data', () => resolve())
      client.once('end', resolve)
      client.once('close', () => resolve())
    })
    client.end(bytes)
    await heard
    client.destroy()
    return this.#seen
  }
}

/** As Node decodes what is no ASCII. */
function ascii(protocol: string): string {
  return Buffer.from(protocol, 'latin1').toString('ascii')
}

export async function checkHello(bytes: Buffer, oracle: HelloOracle): Promise<boolean> {
  const ours = new ClientHelloReader().push(bytes)
  if (ours === null || ours instanceof HelloFault) return false
  const { serverName, protocols } = await oracle.read(bytes)
  const text = bytes.toString('hex')
  // Node decodes others in its own way; with us what is no hostname counts as no name.
  const comparable = /^[ -~]*$/.test(ours.serverName)
  if (serverName !== null && comparable) assert.equal(ours.serverName, serverName, `another name: ${text}`)
  if (protocols !== null) assert.deepEqual(ours.protocols.map(ascii), protocols, `other protocols: ${text}`)
  return serverName !== null || protocols !== null
}

if (import.meta.main) {
  const oracle = new HelloOracle()
  await oracle.listen()
  const end = Date.now() + Number(process.argv[2] ?? 60) * 1_000
  let read = 0
  let both = 0
  while (Date.now() < end)
    await fc.assert(
      fc.asyncProperty(hello, async (bytes) => {
        read++
        if (await checkHello(bytes, oracle)) both++
      }),
    )
  process.stdout.write(`${read} hellos, ${both} of them taken by both\n`)
  oracle.close()
}
