/** An upgraded connection: bytes both ways until either side ends, or neither has sent any for too long. */
import type { Socket } from 'node:net'
import type { Reason } from '../lib/reason.ts'
import type { ResponseHead } from '../message/head.ts'
import type { UpstreamTunnel } from '../transport/upstream.ts'
import type { ProxyExchange } from './exchange.ts'

/** Milliseconds without progress after which the side that is left is not waited for any more. */
const LAST_BYTES = 10_000

export function openTunnel(x: ProxyExchange, head: ResponseHead, tunnel: UpstreamTunnel, early: Buffer | null): void {
  head.fields.set('connection', 'upgrade')
  head.fields.set('upgrade', x.incoming.upgrade!)
  const upstream = tunnel.socket
  let over = false
  const idle = x.policy.timeouts.tunnelIdle
  const finish = (reason: Reason | null): void => {
    if (over) return
    over = true
    x.reason ??= reason
    client.destroy()
    upstream.destroy()
    x.bytesOut = Math.max(0, x.bytesOut - lost())
    release()
    x.flow.finish(x)
  }
  const cut = (): void => finish('ShuttingDown')
  const { socket: client, onBytes, early: pipelined, halfClosed, lost, release } = x.downstream.takeOver(head, cut)
  if (early !== null) {
    x.bytesOut += early.length
    client.write(early)
  }
  if (pipelined !== null) {
    x.bytesIn += pipelined.length
    upstream.write(pipelined)
  }
  onBytes((chunk) => {
    x.bytesIn += chunk.length
    if (!upstream.write(chunk)) client.pause()
  })
  tunnel.onBytes((chunk) => {
    x.bytesOut += chunk.length
    if (!client.write(chunk)) upstream.pause()
  })
  const closed = (): void => {
    if (client.destroyed && upstream.destroyed) finish(null)
  }
  join(client, upstream, closed)
  join(upstream, client, closed)
  if (halfClosed) upstream.end()
  client.resume()
  upstream.resume()
  // Either side's bytes count for both: a socket's timeout watches its reads and its writes.
  if (idle > 0) client.setTimeout(idle)
  client.on('timeout', () => finish(upstream.destroyed ? null : 'IdleTimeout'))
  upstream.on('timeout', () => finish(null))
}

/** What the end of one side means for the other: it gets what is still on its way, then its end. */
function join(from: Socket, to: Socket, closed: () => void): void {
  to.on('drain', () => from.resume())
  from.on('end', () => to.end())
  from.on('error', () => to.destroySoon())
  from.on('close', () => {
    to.setTimeout(LAST_BYTES)
    to.destroySoon()
    closed()
  })
}
