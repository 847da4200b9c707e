/** The origin of the soak: serves the world as it is, and misbehaves now and then. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Causes } from './causes.ts'
import { type Thing, VARIANTS, versionAt, type World } from './world.ts'

/** Says that an error is this origin's own. */
export const ERROR_FIELD = 'x-origin-error'
/** Of a hundred requests. */
const ERRORS = 1
const CUT = 1
const SLOW = 2

export class SoakOrigin {
  readonly #world: World
  readonly #server: Server
  readonly #things = new Map<string, Thing>()
  readonly #clock: () => number
  readonly #chance: () => number
  readonly #causes: Causes
  requests = 0
  validated = 0
  cut = 0
  errors = 0

  private constructor(world: World, clock: () => number, causes: Causes, chance: () => number) {
    this.#chance = chance
    this.#world = world
    this.#clock = clock
    this.#causes = causes
    for (const thing of world.things) this.#things.set(`${thing.host}${thing.path}`, thing)
    this.#server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => this.#serve(request, response))
  }

  /** @param chance whether it misbehaves; from 0 to 1, and with 1 it never does */
  static async start(world: World, clock: () => number, causes: Causes, chance = Math.random): Promise<SoakOrigin> {
    const origin = new SoakOrigin(world, clock, causes, chance)
    origin.#server.listen(0, '127.0.0.1')
    await once(origin.#server, 'listening')
    return origin
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  stop(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    this.requests++
    const host = String(request.headers['x-forwarded-host'] ?? request.headers.host)
    const thing = this.#things.get(`${host}${request.url!.split('?', 1)[0]}`)
    request.resume()
    if (thing === undefined) {
      response.writeHead(404, { 'cache-control': 'no-store' }).end()
      return
    }
    if (request.method === 'POST') {
      thing.began.push(this.#clock())
      response.writeHead(204, { 'x-version': String(thing.began.length - 1) }).end()
      return
    }
    const luck = this.#chance() * 100
    if (luck < ERRORS) {
      this.errors++
      response.writeHead(503, { 'cache-control': 'no-store', [ERROR_FIELD]: 'yes' }).end('an error of the origin')
      return
    }
    this.#send(thing, request, response, luck - ERRORS)
  }

  #send(thing: Thing, request: IncomingMessage, response: ServerResponse, luck: number): void {
    const version = versionAt(thing, this.#clock())
    const variant = thing.varies ? variantOf(request) : ''
    const etag = this.#world.etag(thing, variant, version)
    const lifetime = [`max-age=${thing.maxAge}`]
    if (thing.staleWhileRevalidate > 0) lifetime.push(`stale-while-revalidate=${thing.staleWhileRevalidate}`)
    const head: Record<string, string> = {
      etag,
      'cache-control': lifetime.join(', '),
      'surrogate-key': `${thing.tag} all`,
    }
    if (thing.varies) head.vary = 'x-variant'
    if (request.headers['if-none-match'] === etag) {
      this.validated++
      response.writeHead(304, head).end()
      return
    }
    const body = this.#world.body(thing, variant, version)
    if ((thing.index + version) % 2 === 0) head['content-length'] = String(body.length)
    response.writeHead(200, head)
    const half = body.length >> 1
    if (request.method === 'HEAD') response.end()
    else if (luck < CUT) {
      this.cut++
      this.#causes.cut(thing)
      response.write(body.subarray(0, half), () => response.destroy())
    } else if (luck < CUT + SLOW) {
      response.write(body.subarray(0, half))
      setTimeout(() => response.end(body.subarray(half)), Math.random() * 800)
    } else response.end(body)
  }
}

export function variantOf(request: IncomingMessage): string {
  const asked = request.headers['x-variant']
  return VARIANTS.find((variant) => variant === asked) ?? VARIANTS[0]
}
