/**
 * A gateway whose listeners change while it runs, with one Route kept to each name: a body tells for which listener a
 * request was matched. Every name has the same host and path, so nothing but the listener decides.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { closedPort } from './backends.ts'
import { eventually, type Gateway, route, type Scope, startGateway } from './harness.ts'
import { RawClient, type RawResponse, request } from './raw-client.ts'

/** Listeners as settings list them: name, and which of the rig's ports. */
export type Places = readonly (readonly [name: string, port: number])[]

export const HOST = 'a.test'
/** Longest an open connection of the rig waits between two requests: a machine with much to do shall do it all. */
const PAUSE_MS = 2
/** Fresh connections in a row that must find the new state: with SO_REUSEPORT each goes to a worker by chance. */
const SURE = 8

export interface RigOptions {
  readonly workers?: number
  readonly settings?: Readonly<Record<string, unknown>>
}

export class ListenerRig {
  readonly gateway: Gateway
  readonly #settings: Readonly<Record<string, unknown>>
  /** As the settings say now. */
  places: Places

  constructor(gateway: Gateway, places: Places, settings: Readonly<Record<string, unknown>>) {
    this.gateway = gateway
    this.places = places
    this.#settings = settings
  }

  /** Writes the settings without waiting for anything. */
  async write(places: Places): Promise<void> {
    await this.gateway.configure({ ...this.#settings, listeners: listenersOf(places) })
  }

  /** Writes the settings and waits until every worker listens as they say. */
  async use(places: Places): Promise<void> {
    const gone = this.places.filter(([, port]) => !places.some(([, other]) => other === port))
    await this.write(places)
    this.places = places
    await eventually(() => this.settled())
    for (const [, port] of gone)
      await eventually(async () => {
        const open = await RawClient.connect(port).catch(() => undefined)
        open?.[Symbol.dispose]()
        if (open !== undefined) throw new Error(`${port} still accepts connections`)
      })
  }

  async settled(): Promise<void> {
    for (const [name, port] of this.places)
      for (let i = 0; i < SURE; i++) {
        const { status, text } = await request(port, { host: HOST })
        if (text !== name) throw new Error(`port ${port} says ${status} ${text} instead of ${name}`)
      }
  }

  portOf(name: string): number {
    const place = this.places.find(([other]) => other === name)
    if (place === undefined) throw new Error(`no listener ${name} in the settings`)
    return place[1]
  }
}

/** @param names of all listeners that will ever be, each of which gets a Route of its own */
export async function listenerRig(
  scope: Scope,
  names: readonly string[],
  places: Places,
  { workers = 2, settings = {} }: RigOptions = {},
): Promise<ListenerRig> {
  const manifests = Object.fromEntries(
    names.map((name) => [
      `${name}.yaml`,
      route(name, [HOST], [{ name: 'all', respond: { statusCode: 200, body: name } }], { listeners: [name] }),
    ]),
  )
  const gateway = await startGateway(scope, manifests, {
    workers,
    settings: { ...settings, listeners: listenersOf(places) },
  })
  const rig = new ListenerRig(gateway, places, settings)
  await eventually(() => rig.settled())
  return rig
}

function listenersOf(places: Places): unknown[] {
  return places.map(([name, port]) => ({ name, address: '127.0.0.1', port }))
}

export async function freePorts(count: number): Promise<number[]> {
  return await Promise.all(Array.from({ length: count }, () => closedPort()))
}

export interface Load {
  /** Answers so far. */
  readonly answered: number
  /** Ends it; what went wrong is the result, one line each. */
  stop(): Promise<readonly string[]>
}

/**
 * One connection to a listener, asked again and again: every answer must be its own, and none may end the connection.
 */
export function keptLoad(port: number, name: string): Load {
  return repeat(async (look) => {
    using client = await RawClient.connect(port)
    while (look.running) {
      const fault = faultOf(await client.request({ host: HOST }), [name], true)
      if (fault !== undefined) look.failures.push(fault)
      look.answered++
      await delay(PAUSE_MS)
    }
  })
}

/** A new connection for each request: each must be accepted and answered for one of these names. */
export function freshLoad(port: number, names: readonly string[]): Load {
  return repeat(async (look) => {
    while (look.running) {
      const fault = faultOf(await request(port, { host: HOST }), names, false)
      if (fault !== undefined) look.failures.push(fault)
      look.answered++
      await delay(PAUSE_MS)
    }
  })
}

interface Look {
  running: boolean
  answered: number
  readonly failures: string[]
}

function repeat(work: (look: Look) => Promise<void>): Load {
  const look: Look = { running: true, answered: 0, failures: [] }
  const done = work(look).catch((error: unknown) => void look.failures.push(String(error)))
  return {
    get answered() {
      return look.answered
    },
    async stop() {
      look.running = false
      await done
      return look.failures
    },
  }
}

function faultOf(answer: RawResponse, names: readonly string[], kept: boolean): string | undefined {
  if (answer.status !== 200 || !names.includes(answer.text)) return `${answer.status} ${answer.text}`
  if (kept && answer.header('connection') !== undefined) return `connection: ${answer.header('connection')}`
  return undefined
}
