/**
 * What tests of the wire have in common: an upstream that does what the path says, and a look at what a gateway still
 * holds.
 */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import type { Socket } from 'node:net'
import { rawBackend } from './backends.ts'
import { backend, eventually, type Gateway, type GatewayOptions, route, type Scope, startGateway } from './harness.ts'
import { request } from './raw-client.ts'

/** What an upstream got on one connection, and the connection. */
export interface Arrived {
  readonly socket: Socket
  /** Latin-1 text of everything so far. */
  text: string
}

export interface Scripted {
  readonly port: number
  /** In the order of their connections. */
  readonly arrived: Arrived[]
  readonly sockets: Set<Socket>
}

/** A whole request head; behind a chunked body, which is not read, at the beginning of a line. */
const HEAD = /^[A-Z]+ \/([a-z0-9-]*)[^\r\n]* HTTP\/1\.1\r\n(?:[^\r\n]+\r\n)*\r\n/m
/** Characters of what arrived on a connection that are kept. */
const MOST_KEPT = 1_000_000

/**
 * An upstream that calls `answers[name]` for the first head that arrives for `/name…`, and for each further one of the
 * same connection; bodies are left to the test.
 */
export async function scripted(
  scope: Scope,
  answers: Readonly<Record<string, (socket: Socket, arrived: Arrived, head: string) => void>>,
): Promise<Scripted> {
  const arrived: Arrived[] = []
  const { port, sockets } = await rawBackend(scope, (socket) => {
    const own: Arrived = { socket, text: '' }
    arrived.push(own)
    /** What was not yet read as a head, and how much of a body of known length is still to come before the next one. */
    let pending = ''
    let body = 0
    socket.setNoDelay(true)
    socket.on('data', (bytes: Buffer) => {
      const text = bytes.toString('latin1')
      if (own.text.length < MOST_KEPT) own.text += text
      const skipped = Math.min(body, text.length)
      body -= skipped
      pending += text.slice(skipped)
      for (let head = HEAD.exec(pending); head !== null; head = HEAD.exec(pending)) {
        const length = Number(/^content-length: *(\d+)/im.exec(head[0])?.[1] ?? 0)
        pending = pending.slice(head.index + head[0].length)
        const here = Math.min(length, pending.length)
        pending = pending.slice(here)
        body = length - here
        answers[head[1]!]?.(socket, own, head[0])
      }
    })
    socket.on('end', () => socket.end())
  })
  return { port, arrived, sockets }
}

/**
 * A gateway for the host `wire.test` whose only rule leads to one upstream; no retries, so that each failure is seen.
 */
export async function wireGateway(
  scope: Scope,
  port: number,
  policies: object = {},
  options: GatewayOptions = {},
  spec: Readonly<Record<string, unknown>> = {},
): Promise<Gateway> {
  const rule = { name: 'all', backendRefs: [{ name: 'up' }], policies: { retry: { attempts: 0 }, ...policies } }
  return startGateway(
    scope,
    { 'all.yaml': backend('up', [port], spec) + route('wire', ['wire.test'], [rule]) },
    options,
  )
}

/** What a gateway holds open and counts as running. */
export interface Holdings {
  /** Open sockets of the process, those to upstreams left out. */
  readonly sockets: number
  readonly exchanges: number
  readonly clients: number
  readonly upstream: number
  readonly inFlight: number
}

export async function holdings(gateway: Gateway): Promise<Holdings> {
  const answer = await request(gateway.signalsPort, { path: '/metrics', host: 'localhost' })
  const sum = (name: string): number => {
    let total = 0
    for (const [, value] of answer.text.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'gm')))
      total += Number(value)
    return total
  }
  const upstream = sum('headgate_upstream_connections_open')
  return {
    sockets: openSockets(gateway.process.pid!) - upstream,
    exchanges: sum('headgate_requests_active'),
    clients: sum('headgate_connections_open'),
    upstream,
    inFlight: sum('headgate_backend_requests_active'),
  }
}

function openSockets(pid: number): number {
  let count = 0
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    try {
      if (readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith('socket:')) count++
    } catch {
      // Closed since it was listed.
    }
  }
  return count
}

/** Waits until nothing runs any more and no socket is open that was not at first. */
export async function nothingLeft(gateway: Gateway, before: Holdings): Promise<void> {
  await eventually(async () => {
    const { sockets, exchanges, clients, inFlight, upstream } = await holdings(gateway)
    assert.deepEqual({ exchanges, clients, inFlight }, { exchanges: 0, clients: 0, inFlight: 0 })
    assert.ok(upstream >= 0, `${upstream} upstream connections`)
    assert.ok(sockets <= before.sockets, `${sockets} sockets, at first ${before.sockets}`)
  })
}

/** Resident memory of the gateway, MiB. */
export function residentMiB(gateway: Gateway): number {
  const status = readFileSync(`/proc/${gateway.process.pid!}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)![1]) / 1024
}

/** The Host field of {@link wireGateway}. */
export const HOST = 'host: wire.test\r\n'
