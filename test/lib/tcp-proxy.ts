/** A TCP proxy of a test, in front of a server: it is cut off, and it swallows what it gets, as a network does. */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

const HOST = '127.0.0.1'

export class TcpProxy {
  readonly #target: number
  readonly #sockets = new Set<Socket>()
  #server: Server
  #port = 0
  #swallows = false

  private constructor(target: number) {
    this.#target = target
    this.#server = this.#serverOf()
  }

  /** @param target port on this machine */
  static async start(target: number): Promise<TcpProxy> {
    const proxy = new TcpProxy(target)
    await proxy.open()
    return proxy
  }

  get address(): string {
    return `${HOST}:${this.#port}`
  }

  get connections(): number {
    return this.#sockets.size / 2
  }

  /** Takes connections (again), at the same port. */
  async open(): Promise<void> {
    this.#server = this.#serverOf()
    await once(this.#server.listen(this.#port, HOST), 'listening')
    this.#port = (this.#server.address() as AddressInfo).port
  }

  /** Ends all connections, and refuses new ones. */
  async cut(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    // One that was accepted and not announced yet comes behind it.
    this.#server.on('connection', () => this.drop())
    this.drop()
    await closed
  }

  /** Ends all connections; new ones are taken. */
  drop(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  /** From now on nothing of what comes is passed on, by old and new connections, and none of them is told. */
  swallow(): void {
    this.#swallows = true
    for (const socket of this.#sockets) socket.unpipe()
    for (const socket of this.#sockets) socket.resume()
  }

  /** New connections are passed on again; older ones stay as they are. */
  pass(): void {
    this.#swallows = false
  }

  async stop(): Promise<void> {
    if (this.#server.listening) await this.cut()
  }

  #serverOf(): Server {
    return createServer((client) => {
      const add = (socket: Socket): void => {
        this.#sockets.add(socket)
        socket.on('error', () => {})
        socket.on('close', () => this.#sockets.delete(socket))
      }
      add(client)
      if (this.#swallows) return void client.resume()
      const server = connect(this.#target, HOST)
      add(server)
      client.pipe(server)
      server.pipe(client)
      client.on('close', () => server.destroy())
      server.on('close', () => client.destroy())
    })
  }
}
