/** Ports for the example: those that the manifests name, or free ones where these are taken. */
import { once } from 'node:events'
import { cpSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** @returns the port, or another one that is free now */
export async function freePort(wanted: number, host = '127.0.0.1'): Promise<number> {
  return (await bound(wanted, host)) ?? (await bound(0, host))!
}

/** Without SO_REUSEPORT: a gateway that listens there already is in the way too. */
async function bound(port: number, host: string): Promise<number | undefined> {
  const server = createServer()
  try {
    server.listen({ port, host })
    await once(server, 'listening')
    return (server.address() as AddressInfo).port
  } catch {
    return undefined
  } finally {
    server.close()
  }
}

/**
 * A copy of the manifests in which ports are replaced, for when the ports they name are taken by other programs.
 *
 * @param ports as written → to be used, of the endpoints, and of the gateway in what is written for people
 * @returns the folder, to be removed by the caller
 */
export function copyWithPorts(folder: string, ports: ReadonlyMap<number, number>): string {
  const copy = mkdtempSync(join(tmpdir(), 'headgate-example-'))
  cpSync(folder, copy, { recursive: true })
  for (const file of readdirSync(copy)) {
    if (!file.endsWith('.yaml')) continue
    const path = join(copy, file)
    const text = readFileSync(path, 'utf8')
    const replaced = text
      .replace(/\bport: (\d+)/g, (_, port) => `port: ${ports.get(Number(port)) ?? port}`)
      .replace(/(localhost|127\.0\.0\.1):(\d+)/g, (_, host, port) => `${host}:${ports.get(Number(port)) ?? port}`)
    writeFileSync(path, replaced)
  }
  return copy
}
