/**
 * Endpoints that fail as they are told to: HTTP servers on the given ports (0: any), each with its name in
 * `x-served-by`. {@link FaultMode}s come as messages of the program that started this one, and the answer is the list
 * of ports once it behaves so; or as the path of a request to the control port.
 *
 * This file is mounted into pods as it is (e2e), so it stands alone.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export type FaultMode = 'well' | 'refuses' | 'resets' | 'fails' | 'slow'

export interface FaultEndpointOptions {
  readonly name: string
  readonly ports: readonly number[]
  /** Default: loopback. */
  readonly address?: string
  readonly control?: number
}

/** Longer than what the gateway waits for. */
const SLOW_MS = 2_000

async function run({ name, ports, address = '127.0.0.1', control }: FaultEndpointOptions): Promise<void> {
  let mode: FaultMode = 'well'
  const answer = (response: ServerResponse, status = 200): void => {
    response.writeHead(status, { 'content-length': 2, 'x-served-by': name }).end('ok')
  }
  const serve = (request: IncomingMessage, response: ServerResponse): void => {
    request.resume()
    if (mode === 'resets') request.socket.resetAndDestroy()
    else if (mode === 'slow') setTimeout(answer, SLOW_MS, response)
    else answer(response, mode === 'fails' ? 503 : 200)
  }
  const listen = async (server: Server, port: number): Promise<void> => {
    server.listen(port, address)
    await once(server, 'listening')
  }
  const servers: Server[] = []
  for (const port of ports) {
    const server = createServer({ keepAliveTimeout: 600_000 }, serve)
    await listen(server, port)
    servers.push(server)
  }
  const opened = servers.map((server) => (server.address() as AddressInfo).port)
  const change = async (next: FaultMode): Promise<void> => {
    if (next === 'refuses')
      for (const server of servers) {
        server.close()
        server.closeAllConnections()
      }
    else if (mode === 'refuses') for (const [index, server] of servers.entries()) await listen(server, opened[index]!)
    mode = next
  }
  if (control !== undefined)
    createServer((request, response) => {
      void change(request.url!.slice(1) as FaultMode).then(() => response.end())
    }).listen(control, address)
  process.on('message', (next: FaultMode) => void change(next).then(() => process.send?.(opened)))
  process.on('disconnect', () => process.exit())
  process.send?.(opened)
}

await run(JSON.parse(process.argv[2]!) as FaultEndpointOptions)
