/** An upgraded connection: bytes both ways until either side ends, or neither has sent any for too long. */
import type { Socket } from 'node:net'
import type { ResponseHead } from '../filter/exchange.ts'
import type { UpstreamTunnel } from '../proxy/upstream.ts'
import type { ProxyExchange } from './exchange.ts'

export function openTunnel(x: ProxyExchange, head: ResponseHead, tunnel: UpstreamTunnel, early: Buffer | null): void {
  head.fields.set('connection', 'upgrade')
  head.fields.set('upgrade', x.incoming.upgrade!)
  const { socket: client, early: pipelined, release } = x.downstream.takeOver(head)
  const upstream = tunnel.socket
  let over = false
  const idle = x.policy.timeouts.tunnelIdle
  const finish = (): void => {
    if (over) return
    over = true
    client.destroy()
    upstream.destroy()
    release()
    x.flow.finish(x)
  }
  x.cutTunnel = finish
  if (early !== null) {
    x.bytesOut += early.length
    client.write(early)
  }
  if (pipelined !== null) upstream.write(pipelined)
  client.on('data', (chunk: Buffer) => {
    if (!upstream.write(chunk)) client.pause()
  })
  tunnel.onBytes((chunk) => {
    x.bytesOut += chunk.length
    if (!client.write(chunk)) upstream.pause()
  })
  join(client, upstream, finish)
  join(upstream, client, finish)
  client.resume()
  upstream.resume()
  // Either side's bytes count for both: a socket's timeout watches its reads and its writes.
  if (idle > 0) client.setTimeout(idle, finish)
}

/** What the end of one side means for the other. */
function join(from: Socket, to: Socket, finish: () => void): void {
  to.on('drain', () => from.resume())
  from.on('end', () => to.end())
  from.on('error', finish)
  from.on('close', finish)
}
