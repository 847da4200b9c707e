/** What `npm run bench` compares besides plain HTTP/1.1: one row for each protocol, with what the issue asks of it. */
import { connect } from 'node:http2'
import type { Scenario } from './compare.ts'
import { h2load } from './h2-load.ts'
import { type LoadResult, load } from './load.ts'
import { runClient } from './load-client.ts'
import { GRPC_PATH, type ProtocolServer, TLS_HOST } from './protocol-servers.ts'

export interface ProtocolRow extends Scenario<ProtocolServer> {
  /** What one of `requests` is. */
  readonly unit: string
  /** Servers it is compared with, and the most processor time a unit, by theirs, that is wanted. */
  readonly peers: Readonly<Record<string, number | undefined>>
  /** Whether an answer is what it should be, where the load client does not look. @returns what is wrong */
  readonly check?: (server: ProtocolServer) => Promise<string | undefined>
}

/** A message of 20 bytes, as gRPC frames it. */
const MESSAGE = Buffer.concat([Buffer.from([0, 0, 0, 0, 20]), Buffer.alloc(20, 'x')])
const GRPC_HEADERS = ['content-type: application/grpc', 'te: trailers']
const ON_H2 = { host: TLS_HOST, connections: 8, streams: 16 }
const ON_H1 = { host: TLS_HOST, connections: 64, tls: true }

/** @param scratch folder for the files of load clients @param cpu theirs */
export function protocolRows(scratch: string, cpu: number | undefined): ProtocolRow[] {
  const client = <T>(name: string, options: object): Promise<T> => runClient(name, cpu, options)
  const handshakes = (resume: boolean) => (server: ProtocolServer, seconds: number) =>
    client<LoadResult>('handshake-load', { port: server.tlsPort, hosts: [TLS_HOST], seconds, lanes: 8, resume })
  return [
    {
      name: 'tls',
      shows: 'TLS: keep-alive GET, 600 bytes, HTTP/1.1',
      unit: 'request',
      peers: { nginx: 1.25, haproxy: undefined },
      run: ({ tlsPort: port }, seconds) => load(scratch, cpu, { ...ON_H1, port, path: '/api/x', seconds }),
    },
    {
      name: 'handshakes',
      shows: 'TLS: full handshakes (P-256, TLS 1.3)',
      unit: 'handshake',
      // At least 0.7 times as many a second.
      peers: { nginx: 1 / 0.7, haproxy: undefined },
      run: handshakes(false),
    },
    {
      name: 'resumed',
      shows: 'TLS: resumed handshakes (TLS 1.3)',
      unit: 'handshake',
      // At least 0.45 times as many a second.
      peers: { nginx: 1 / 0.45, haproxy: undefined },
      run: handshakes(true),
    },
    {
      name: 'h2',
      shows: 'HTTP/2 over TLS: GET, 600 bytes, 8 connections with 16 streams each',
      unit: 'request',
      peers: { nginx: 0.9, haproxy: 1.1 },
      run: ({ tlsPort: port }, seconds) => h2load(scratch, cpu, { ...ON_H2, port, path: '/api/x', seconds }),
    },
    {
      name: 'grpc',
      shows: 'gRPC: unary calls over TLS, 8 connections with 16 streams each',
      unit: 'call',
      peers: { nginx: 0.9, haproxy: undefined },
      check: checkCall,
      run: ({ tlsPort: port }, seconds) =>
        h2load(scratch, cpu, { ...ON_H2, port, path: GRPC_PATH, seconds, headers: GRPC_HEADERS, body: MESSAGE }),
    },
    {
      name: 'websocket',
      shows: 'WebSocket: messages of 125 bytes and back, 64 connections',
      unit: 'message',
      // At least 0.7 times as many a second.
      peers: { relay: 1 / 0.7, nginx: undefined, haproxy: undefined },
      run: async ({ port }, seconds) => {
        const options = { port, host: TLS_HOST, path: '/ws', seconds, connections: 64, bytes: 125, depth: 1 }
        const { messages, ...rest } = await client<{ messages: number; perSecond: number; failed: number }>(
          'websocket-load',
          options,
        )
        return { ...rest, requests: messages, p50: Number.NaN, p99: Number.NaN }
      },
    },
    {
      name: 'download',
      shows: 'Bodies of 10 MiB, clear text',
      unit: 'download',
      peers: { nginx: 1.25, haproxy: undefined },
      run: ({ port }, seconds) => load(scratch, cpu, { host: TLS_HOST, connections: 16, port, path: '/huge', seconds }),
    },
    {
      name: 'download-tls',
      shows: 'Bodies of 10 MiB, TLS',
      unit: 'download',
      peers: { nginx: 1.25, haproxy: undefined },
      run: ({ tlsPort: port }, seconds) =>
        load(scratch, cpu, { ...ON_H1, connections: 16, port, path: '/huge', seconds }),
    },
  ]
}

/** A call that fails is status 200 too. */
async function checkCall({ tlsPort }: ProtocolServer): Promise<string | undefined> {
  const session = connect(`https://${TLS_HOST}:${tlsPort}`, { rejectUnauthorized: false })
  session.on('error', () => {})
  try {
    const headers = Object.fromEntries(GRPC_HEADERS.map((header) => header.split(': ')))
    const call = session.request({ ':method': 'POST', ':path': GRPC_PATH, ...headers })
    let status: string | undefined
    call.on('response', (head) => (status ??= head['grpc-status'] as string | undefined))
    call.on('trailers', (trailers) => (status = trailers['grpc-status'] as string | undefined))
    call.end(MESSAGE)
    const chunks: Buffer[] = []
    for await (const chunk of call) chunks.push(chunk as Buffer)
    if (status === '0' && Buffer.concat(chunks).equals(MESSAGE)) return undefined
    return `a call ended with grpc-status ${status}`
  } catch (error) {
    return String(error)
  } finally {
    session.close()
  }
}
