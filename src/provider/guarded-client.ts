/**
 * The client of identity providers. A call has a connection of its own: it is judged by the guard that is in force now,
 * nothing is left over, and calls are rare. TLS is verified against the authorities of Node and NODE_EXTRA_CA_CERTS.
 */
import { isIP } from 'node:net'
import type { Dispatcher } from 'undici'
import type { Milliseconds, TimerClock } from '../lib/clock.ts'
import { FairQueue } from '../lib/fair-queue.ts'
import {
  type ProviderClient,
  ProviderError,
  type ProviderFault,
  type ProviderRequest,
  type ProviderResponse,
} from '../policy/provider-client.ts'
import { GuardedLookup, type NameLookup } from './guarded-lookup.ts'

export interface GuardedClientOptions {
  readonly time: TimerClock
  /** Why an address must not be dialled, as the end of a sentence: the dial guard in force. */
  readonly refuses: (address: string, port: number) => string | undefined
  /** Why an owner must not name a host, as a clause; absent: every owner may name every host. */
  readonly refusesHost?: (owner: string, host: string, port: number) => string | undefined
  /** Tests have names of their own. */
  readonly lookup?: NameLookup
  /** Certificates of authorities in PEM instead of those of Node. */
  readonly ca?: string
}

const TIMEOUT: Milliseconds = 10_000
const MAX_BYTES = 262_144
const MAX_HEAD_BYTES = 16_384
/** Calls under way, of all owners and of one. */
const AT_ONCE = 32
const AT_ONCE_OF_OWNER = 8
/** Calls of one owner that wait for a turn. */
const MAX_WAITING = 256

export class GuardedClient implements ProviderClient {
  readonly #options: GuardedClientOptions
  readonly #lookup: GuardedLookup
  readonly #queue = new FairQueue()
  readonly #waiting = new Map<string, () => void>()
  readonly #running = new Map<string, number>()
  #total = 0
  #next = 0

  constructor(options: GuardedClientOptions) {
    this.#options = options
    this.#lookup = new GuardedLookup(options.refuses, options.lookup)
  }

  /** Calls under way. */
  get running(): number {
    return this.#total
  }

  async request(request: ProviderRequest): Promise<ProviderResponse> {
    const { owner, timeout = TIMEOUT, signal } = request
    const target = this.#targetOf(request)
    const ends = new AbortController()
    const giveUp = (): void => ends.abort(new ProviderError('aborted', 'the call was given up'))
    const late = (): void =>
      ends.abort(new ProviderError('timeout', `it did not answer completely within ${timeout / 1_000} s`))
    const cancel = this.#options.time.after(timeout, late)
    if (signal?.aborted === true) giveUp()
    else signal?.addEventListener('abort', giveUp)
    try {
      await this.#turn(owner, ends.signal)
      try {
        return await this.#call(request, target, ends.signal)
      } finally {
        this.#leave(owner)
      }
    } catch (error) {
      throw ends.signal.aborted ? ends.signal.reason : asProviderError(error)
    } finally {
      cancel()
      signal?.removeEventListener('abort', giveUp)
    }
  }

  #targetOf({ owner, url }: ProviderRequest): Target {
    if (!URL.canParse(url)) throw new ProviderError('url', 'its address is no URL')
    const { protocol, hostname, port: written, origin, pathname, search, username, password } = new URL(url)
    if (protocol !== 'http:' && protocol !== 'https:') throw new ProviderError('url', 'its address is not of https')
    if (username !== '' || password !== '') throw new ProviderError('url', 'its address has a user or a password in it')
    const host = hostname.replace(/^\[(.*)\]$/, '$1')
    const port = written === '' ? (protocol === 'https:' ? 443 : 80) : Number(written)
    const refused =
      this.#options.refusesHost?.(owner, host, port) ??
      (isIP(host) === 0 ? undefined : prefixed(host, this.#options.refuses(host, port)))
    if (refused !== undefined) throw new ProviderError('address', refused)
    return { origin, host, port, path: pathname + search }
  }

  /** Waits for a turn among all owners. */
  async #turn(owner: string, signal: AbortSignal): Promise<void> {
    if (signal.aborted) throw signal.reason
    if (this.#queue.sizeOf(owner) >= MAX_WAITING) throw new ProviderError('busy', 'too many calls to providers wait')
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const id = String(this.#next++)
    const abort = (): void => {
      if (!this.#queue.delete(owner, id)) return
      this.#waiting.delete(id)
      reject(signal.reason)
    }
    signal.addEventListener('abort', abort)
    this.#waiting.set(id, resolve)
    this.#queue.add(owner, id)
    this.#start()
    await promise
  }

  #start(): void {
    while (this.#total < AT_ONCE) {
      const next = this.#queue.take(1, (owner) => (this.#running.get(owner) ?? 0) >= AT_ONCE_OF_OWNER)
      if (next === undefined) return
      this.#total++
      this.#running.set(next.group, (this.#running.get(next.group) ?? 0) + 1)
      const begin = this.#waiting.get(next.key)!
      this.#waiting.delete(next.key)
      begin()
    }
  }

  #leave(owner: string): void {
    this.#total--
    const left = this.#running.get(owner)! - 1
    if (left === 0) this.#running.delete(owner)
    else this.#running.set(owner, left)
    this.#start()
  }

  async #call(request: ProviderRequest, target: Target, signal: AbortSignal): Promise<ProviderResponse> {
    const { owner, method, headers, body = null, timeout = TIMEOUT, maxBytes = MAX_BYTES } = request
    const { origin, host, port, path } = target
    // Rejects before anything is connected where no address may be; the connection is made to these and no others.
    const addresses = isIP(host) === 0 ? await within(this.#lookup.addresses(owner, host, port), signal) : []
    // Loaded with the first call: most workers never make one.
    const { buildConnector, Client } = await import('undici')
    const client = new Client(origin, {
      connect: buildConnector({
        timeout,
        autoSelectFamily: true,
        lookup: (_, { all }, done) => {
          if (all === true) done(null, [...addresses])
          else done(null, addresses[0]!.address, addresses[0]!.family)
        },
        ...(this.#options.ca === undefined ? {} : { ca: this.#options.ca }),
      }),
      allowH2: false,
      pipelining: 1,
      maxHeaderSize: MAX_HEAD_BYTES,
      headersTimeout: timeout,
      bodyTimeout: timeout,
    })
    try {
      const response = await client.request({
        method,
        path,
        headers: { accept: 'application/json', 'accept-encoding': 'identity', 'user-agent': 'headgate', ...headers },
        body,
        signal,
      })
      // The body ends with the connection, and that is no error of anybody.
      response.body.on('error', () => {})
      return await readResponse(response, maxBytes)
    } finally {
      void client.destroy().catch(() => {})
    }
  }
}

interface Target {
  readonly origin: string
  readonly host: string
  readonly port: number
  readonly path: string
}

function prefixed(host: string, refusal: string | undefined): string | undefined {
  return refusal === undefined ? undefined : `its address ${host} ${refusal}`
}

async function readResponse(
  { statusCode: status, headers: given, body }: Dispatcher.ResponseData,
  maxBytes: number,
): Promise<ProviderResponse> {
  const headers: Record<string, string> = Object.create(null)
  for (const [name, value] of Object.entries(given))
    if (value !== undefined) headers[name] = typeof value === 'string' ? value : value.join(', ')
  if (status >= 300 && status < 400)
    throw new ProviderError(
      'redirect',
      `it redirects (status ${status}), which is not followed; name the final address`,
    )
  const { 'content-encoding': encoding = 'identity', 'content-length': length } = headers
  if (encoding.toLowerCase() !== 'identity')
    throw new ProviderError('encoding', `it compresses its answer (${encoding.slice(0, 32)}) without being asked to`)
  const large = (): ProviderError => new ProviderError('too-large', `its answer is larger than ${maxBytes} bytes`)
  if (Number(length ?? 0) > maxBytes) throw large()
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of body as AsyncIterable<Uint8Array>) {
    size += chunk.length
    if (size > maxBytes) throw large()
    chunks.push(chunk)
  }
  return { status, headers, body: Buffer.concat(chunks) }
}

async function within<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const abort = (): void => reject(signal.reason)
  // Given up while another part of the call was awaited.
  if (signal.aborted) abort()
  signal.addEventListener('abort', abort)
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

const TIMEOUTS: ReadonlySet<string> = new Set([
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
  'ETIMEDOUT',
])
const BROKEN: ReadonlySet<string> = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE', 'ECONNREFUSED', 'EHOSTUNREACH'])

function asProviderError(error: unknown): ProviderError {
  if (error instanceof ProviderError) return error
  const code = codeOf(error)
  const [fault, message] = explain(code)
  return new ProviderError(fault, message, { cause: error })
}

function explain(code: string): readonly [ProviderFault, string] {
  if (TIMEOUTS.has(code)) return ['timeout', `it did not answer in time (${code})`]
  if (BROKEN.has(code)) return ['connect', `it refuses or ends the connection (${code})`]
  if (code.startsWith('HPE_') || code.startsWith('UND_ERR_HEADERS') || code.startsWith('UND_ERR_RES'))
    return ['malformed', `its answer is no HTTP that can be read (${code})`]
  if (/^(ERR_SSL|ERR_TLS|CERT|CRL|UNABLE|INVALID|DEPTH|SELF|HOSTNAME)_/.test(code))
    return ['tls', `TLS with it fails (${code}); its certificate has to be of an authority that Node knows`]
  return ['connect', `it cannot be reached (${code === '' ? 'no connection' : code})`]
}

/** Of several addresses that failed the first. */
function codeOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return codeOf(error.errors[0])
  const { code, name } = error as { readonly code?: unknown; readonly name?: unknown }
  // undici gives the error of its parser a code only where that has one.
  return typeof code === 'string' ? code : name === 'HTTPParserError' ? 'HPE_INVALID' : ''
}
