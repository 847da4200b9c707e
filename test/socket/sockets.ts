/** Real sockets for tests of what stands on them. */

import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { systemTimers } from '../../src/thread/system-timers.ts'
import { Timers } from '../../src/transport/timers.ts'

const UNTIL_MS = 20_000

/** What an object is ended with. */
export interface Scope {
  after(end: () => void | Promise<void>): void
}

export interface Listening {
  readonly port: number
  readonly sockets: Set<Socket>
  readonly server: Server
}

/** A server on 127.0.0.1 that ends with the test. */
export async function listening(scope: Scope, serve: (socket: Socket) => void): Promise<Listening> {
  const sockets = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => {})
    serve(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  scope.after(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return { port: (server.address() as AddressInfo).port, sockets, server }
}

/** A port on which connecting takes for ever. */
export async function deafPort(scope: Scope): Promise<number> {
  const thread = new Worker(new URL('deaf-listener.ts', import.meta.url))
  scope.after(async () => void (await thread.terminate()))
  const [port] = (await once(thread, 'message')) as [number]
  // Whoever is in the queue counts as connected; the first that is not shows that it is full.
  for (;;) {
    const socket = connect({ port, host: '127.0.0.1' })
    socket.on('error', () => {})
    scope.after(() => void socket.destroy())
    const entered = await Promise.race([once(socket, 'connect').then(() => true), delay(100).then(() => false)])
    if (!entered) return port
  }
}

/** Two ends of one connection. */
export async function pair(scope: Scope): Promise<{ readonly near: Socket; readonly far: Socket }> {
  const accepted = Promise.withResolvers<Socket>()
  const { port } = await listening(scope, (socket) => accepted.resolve(socket))
  const far = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  far.on('error', () => {})
  scope.after(() => void far.destroy())
  await once(far, 'connect')
  return { near: await accepted.promise, far }
}

/** All bytes until the other side closes, as Latin-1 text. */
export async function everything(socket: Socket): Promise<string> {
  const parts: Buffer[] = []
  socket.on('data', (part: Buffer) => parts.push(part))
  await once(socket, 'close')
  return Buffer.concat(parts).toString('latin1')
}

export function realTimers(): Timers {
  return new Timers(systemTimers)
}

/** Waits until it holds; fails after twenty seconds, which a busy machine may need. */
export async function until(holds: () => boolean, what = 'it'): Promise<void> {
  const deadline = performance.now() + UNTIL_MS
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`${what} did not happen within ${UNTIL_MS / 1_000} s`)
    await delay(2)
  }
}
