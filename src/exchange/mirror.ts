/**
 * Copies of requests for other Backends (`mirror`): sent and forgotten, on connections of their own. A copy that finds
 * no room is dropped and counted; no request waits for one, or fails by it.
 */
import { NO_KEY } from '../balance/balancer.ts'
import type { LinkedBackend } from '../link/linked-tables.ts'
import { Fields } from '../message/fields.ts'
import { FRAMING_FIELDS } from '../message/framing-fields.ts'
import type { Exchange } from '../policy/exchange.ts'
import { REQUEST_ID_FIELD } from '../policy/request-id/request-id.ts'
import type { MirrorCopy, Mirrors, MirrorTarget } from '../policy/services.ts'
import type { ProxiedConnection } from '../proxy-protocol/header.ts'
import { namespaceOf } from '../snapshot/backend-id.ts'
import { HELD_BODIES } from '../transport/held-memory.ts'
import type { UpstreamRequest } from '../transport/upstream.ts'
import { allows } from './backend-grant.ts'
import { pickEndpoint } from './endpoint-pick.ts'
import { ProxyExchange } from './exchange.ts'
import type { ExchangeContext } from './exchange-context.ts'
import { HeldBytes } from './held-bytes.ts'
import { MirrorCall } from './mirror-call.ts'
import { proxiedConnection } from './upstream-request.ts'

/** Copies of one worker at a time. A namespace of Backends may have as many as are left for the others. */
export const MOST_MIRRORS = 256
/** Bytes of memory for the body of one copy; a request with a larger body is not copied. */
export const MIRROR_BYTES = 64 * 1024
/**
 * Bytes of memory for all bodies of the thread that are being copied, or wait to be sent. A namespace of Backends may
 * have as many as are left for the others.
 */
export const ALL_MIRROR_BYTES = 8 * 1024 * 1024

/** A request as it was when its copy was complete. */
interface Copied {
  readonly target: MirrorTarget
  readonly request: Omit<UpstreamRequest, 'host' | 'client'>
  /** Null: that of the endpoint. */
  readonly host: string | null
  readonly body: Uint8Array | null
  readonly client: (backend: LinkedBackend) => ProxiedConnection | null
}

export class MirrorClient implements Mirrors {
  readonly #context: ExchangeContext
  readonly #find: (id: string) => LinkedBackend | undefined
  readonly #nextTurn: (run: () => void) => void
  readonly #running = new Map<string, number>()
  #total = 0
  /** Bytes of memory of bodies. */
  readonly #heldFor = new Map<string, number>()
  #held = 0

  /**
   * @param find a Backend that tables name, by its id
   * @param nextTurn runs a function in the next turn of the event loop, behind the request that is copied
   */
  constructor(
    context: ExchangeContext,
    find: (id: string) => LinkedBackend | undefined,
    nextTurn: (run: () => void) => void,
  ) {
    this.#context = context
    this.#find = find
    this.#nextTurn = nextTurn
  }

  begin(cause: Exchange, target: MirrorTarget): MirrorCopy | null {
    if (!(cause instanceof ProxyExchange) || cause.opaque || cause.upgrade !== null || cause.finalResponse !== null)
      return null
    if ((cause.requestBodyLength ?? 0) > MIRROR_BYTES) {
      this.dropped()
      return null
    }
    return new BodyCopy(this, cause, target)
  }

  dropped(): void {
    this.#context.metrics.mirrorDropped()
  }

  /** @param by bytes. @returns whether there is room for them */
  hold(namespace: string, by: number): boolean {
    const own = (this.#heldFor.get(namespace) ?? 0) + by
    if (own === 0) this.#heldFor.delete(namespace)
    else this.#heldFor.set(namespace, own)
    this.#held += by
    HELD_BODIES.countDroppable(by)
    return own <= ALL_MIRROR_BYTES - this.#held && !HELD_BODIES.pressed
  }

  /** @param size bytes of memory that its body holds */
  send(x: ProxyExchange, target: MirrorTarget, body: Uint8Array | null, size: number): void {
    const namespace = namespaceOf(target.backend)
    // What was decoded on the way is no copy of what the client has sent.
    const isDecoded = x.call?.bridged === true && x.call.type.form === 'web-text'
    if (isDecoded || !this.#enter(namespace)) {
      this.hold(namespace, -size)
      return this.dropped()
    }
    const over = (): void => {
      this.hold(namespace, -size)
      this.#leave(namespace)
    }
    const copied = copyOf(x, target, body)
    this.#nextTurn(() => this.#start(copied, over))
  }

  #start(copied: Copied, over: () => void): void {
    const context = this.#context
    const backend = this.#find(copied.target.backend)
    const isAllowed = backend !== undefined && allows(backend, copied.target.from)
    // Copies leave half of what the Backend may have at a time to its own requests.
    if (!isAllowed || !backend.requestPlaces.takeOfHalf()) {
      over()
      return this.dropped()
    }
    const end = (): void => {
      backend.requestPlaces.give()
      over()
    }
    const endpoint = pickEndpoint(context.observer, backend, NO_KEY, null)
    if (endpoint === undefined) {
      end()
      return this.dropped()
    }
    const host = copied.host ?? endpoint.authority
    const request = { ...copied.request, host, client: copied.client(backend) }
    new MirrorCall(context, { backend, endpoint }, request, copied.body, end).begin(false)
  }

  #enter(namespace: string): boolean {
    const own = this.#running.get(namespace) ?? 0
    if (own >= MOST_MIRRORS - this.#total) return false
    this.#running.set(namespace, own + 1)
    this.#total++
    return true
  }

  #leave(namespace: string): void {
    const own = this.#running.get(namespace)! - 1
    if (own === 0) this.#running.delete(namespace)
    else this.#running.set(namespace, own)
    this.#total--
  }
}

/** The copy of a body, until it is complete. */
class BodyCopy implements MirrorCopy {
  readonly #client: MirrorClient
  readonly #x: ProxyExchange
  readonly #target: MirrorTarget
  readonly #namespace: string
  #bytes: HeldBytes | null = null
  #size = 0
  #over = false

  constructor(client: MirrorClient, x: ProxyExchange, target: MirrorTarget) {
    this.#client = client
    this.#x = x
    this.#target = target
    this.#namespace = namespaceOf(target.backend)
  }

  add(chunk: Uint8Array): void {
    if (this.#over) return
    this.#bytes ??= new HeldBytes()
    const size = this.#bytes.add(chunk)
    const hasRoom = this.#client.hold(this.#namespace, size - this.#size)
    this.#size = size
    if (hasRoom && size <= MIRROR_BYTES) return
    this.drop()
    this.#client.dropped()
  }

  end(): void {
    if (this.#over) return
    this.#over = true
    const body = this.#bytes === null ? null : this.#bytes.joined()
    this.#bytes = null
    this.#client.send(this.#x, this.#target, body, this.#size)
  }

  drop(): void {
    if (this.#over) return
    this.#over = true
    this.#bytes = null
    this.#client.hold(this.#namespace, -this.#size)
  }
}

function copyOf(x: ProxyExchange, target: MirrorTarget, body: Uint8Array | null): Copied {
  const fields = new Fields()
  x.request.forEach((name, value) => {
    if (!UNSENT.includes(name)) fields.add(name, value)
  })
  // An empty body that came in chunks is sent as none.
  if (body !== null) fields.add('content-length', `${body.length}`)
  const { clientAddress } = x
  const { peer } = x.downstream
  return {
    target,
    request: {
      method: x.method,
      target: x.query === undefined ? x.path : `${x.path}?${x.query}`,
      fields,
      bodyLength: body?.length ?? 0,
      forwarding: x.forwarding.block,
      passed: x.context.loops.block(x.ruleView!),
      id: x.id,
      acceptsTrailers: x.incoming.acceptsTrailers || x.call?.spoken === true,
      upgrade: null,
    },
    // As the client wrote it, where an attempt has not taken it out already.
    host: x.upstreamHost ?? x.request.get('host') ?? (x.authority === '' ? null : x.authority),
    body,
    client: ({ plan }) => (plan.proxyProtocol === undefined ? null : proxiedConnection(peer, clientAddress)),
  }
}

/** Of one connection, of the framing or of ours. */
const UNSENT: readonly string[] = [REQUEST_ID_FIELD, 'host', 'expect', ...FRAMING_FIELDS]
