/** Memory of idle connections: what a server's resident memory grows by, divided by their number. */
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { residentKiB } from './cpu-time.ts'
import { startClient } from './load-client.ts'
import { type ProtocolServer, TLS_HOST } from './protocol-servers.ts'

/** Until buffers of the handshakes have been given back. */
const SETTLED_MS = 8_000

export interface IdleFigures {
  readonly server: string
  readonly connections: number
  readonly tls: boolean
  readonly kibEach: number
}

export async function idleConnections(
  server: ProtocolServer,
  cpu: number | undefined,
  plan: { readonly count: number; readonly tls: boolean },
): Promise<IdleFigures> {
  // Code that the first connection loads is no part of the figures.
  await connected(server, cpu, { ...plan, count: 200 }, () => Promise.resolve())
  await delay(SETTLED_MS)
  const before = residentKiB(server.pid)
  let after = before
  const connections = await connected(server, cpu, plan, async () => {
    await delay(SETTLED_MS)
    after = residentKiB(server.pid)
  })
  return { server: server.name, connections, tls: plan.tls, kibEach: (after - before) / connections }
}

/** @returns how many were answered and are open while `during` runs */
async function connected(
  server: ProtocolServer,
  cpu: number | undefined,
  { count, tls }: { readonly count: number; readonly tls: boolean },
  during: () => Promise<void>,
): Promise<number> {
  const options = { port: tls ? server.tlsPort : server.port, host: TLS_HOST, count, tls }
  const child = startClient('idle-connections', cpu, options)
  const [line] = await once(child.stdout!, 'data')
  await during()
  const closed = once(child, 'close')
  child.stdin!.end()
  await closed
  return Number(String(line))
}
