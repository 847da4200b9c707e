/** A way to a server on which bytes are lost, or come one at a time: what hangs is not the server alone. */
import { connect, createServer, type Server, type Socket } from 'node:net'

export type WayFault =
  /** Nothing arrives, in neither direction, and no connection ends. */
  | 'black-hole'
  /** Of what the server sends, a byte a second arrives. */
  | 'drip'
  /** Of what the server sends on a connection, nothing arrives that is larger than {@link LARGE}. */
  | 'no-bodies'
  /** Of what the server sends, {@link NARROW} bytes arrive every 20 ms. */
  | 'narrow'
  /** Connections break, and new ones, too. */
  | 'broken'

const LARGE = 64 * 1_024
const NARROW = 32 * 1_024

export class FaultyWay {
  readonly #port: number
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  fault: WayFault | null = null
  /** Bytes that come from the server before its fault begins. */
  spared = 0

  private constructor(port: number, server: Server) {
    this.#port = port
    this.#server = server
  }

  /** @param port of the server, on 127.0.0.1 */
  static async open(port: number): Promise<FaultyWay> {
    const server = createServer()
    const way = new FaultyWay(port, server)
    server.on('connection', (socket) => way.#join(socket))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return way
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as { port: number }).port}`
  }

  /** In force for so many bytes of the server. */
  #faultFor(bytes: number): WayFault | null {
    if (this.fault !== null && bytes > 0 && this.spared > 0) this.spared -= bytes
    return this.spared > 0 ? null : this.fault
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
  }

  #join(down: Socket): void {
    if (this.#faultFor(0) === 'broken') return void down.destroy()
    const up = connect(this.#port, '127.0.0.1')
    for (const [from, to] of [
      [down, up],
      [up, down],
    ] as const) {
      this.#sockets.add(from)
      from.on('error', () => {})
      from.on('close', () => {
        this.#sockets.delete(from)
        if (this.fault === null) to.destroy()
      })
    }
    down.on('data', (chunk) => void (this.#faultFor(0) === 'black-hole' || up.write(chunk)))
    const behind: number[] = []
    const dripping = setInterval(() => {
      const byte = behind.shift()
      if (byte !== undefined && !down.destroyed) down.write(Buffer.of(byte))
    }, 1_000)
    let queued = Buffer.alloc(0)
    const flowing = setInterval(() => {
      if (queued.length > 0 && !down.destroyed) down.write(queued.subarray(0, NARROW))
      queued = queued.subarray(NARROW)
    }, 20)
    down.on('close', () => {
      clearInterval(dripping)
      clearInterval(flowing)
    })
    let lost = false
    up.on('data', (chunk: Buffer) => {
      const fault = this.#faultFor(chunk.length)
      if (fault === 'black-hole') return
      if (fault === 'broken') for (const socket of this.#sockets) socket.destroy()
      else if (fault === 'drip' || behind.length > 0) behind.push(...chunk)
      else if (fault === 'narrow' || queued.length > 0) queued = Buffer.concat([queued, chunk])
      else if (lost || (fault === 'no-bodies' && chunk.length >= LARGE)) lost = true
      else if (!down.destroyed) down.write(chunk)
    })
  }
}
