/** An upgraded connection: bytes both ways until either side ends, or neither has sent any for too long. */
import type { Socket } from 'node:net'
import type { ResponseHead } from '../filter/exchange.ts'
import type { UpstreamTunnel } from '../proxy/upstream.ts'
import type { ProxyExchange } from './exchange.ts'

export function openTunnel(x: ProxyExchange, head: ResponseHead, tunnel: UpstreamTunnel, early: Buffer | null): void {
  head.fields.set('connection', 'upgrade')
  head.fields.set('upgrade', x.incoming.upgrade!)
  const { socket: client, early: pipelined, release } = x.downstream.takeOver(head)
  const upstream = tunnel.onward
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
  relay(client, upstream, finish, () => {})
  relay(upstream, client, finish, (bytes) => {
    x.bytesOut += bytes
  })
  if (idle > 0) {
    // Either side's bytes count for both: setTimeout of a socket watches its reads and its writes.
    client.setTimeout(idle, finish)
  }
}

function relay(from: Socket, to: Socket, finish: () => void, count: (bytes: number) => void): void {
  from.on('data', (chunk: Buffer) => {
    count(chunk.length)
    if (!to.write(chunk)) from.pause()
  })
  to.on('drain', () => from.resume())
  from.on('end', () => to.end())
  from.on('error', finish)
  from.on('close', finish)
  from.resume()
}
