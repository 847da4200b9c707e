/** Fetches a response anew while its stale one is served (RFC 5861 §3): nobody waits for it. */
import { rangeText } from '../../cache/asked-range.ts'
import { addValidators, dropConditions } from '../../cache/preconditions.ts'
import { StoredHead } from '../../cache/stored-head.ts'
import type { Milliseconds } from '../../lib/clock.ts'
import type { BodyWaker, LentSink } from '../../message/body.ts'
import type { ResponseHead } from '../../message/head.ts'
import type { BackgroundExchange, BackgroundSink } from '../background.ts'
import type { Exchange } from '../exchange.ts'
import type { FilterServices } from '../services.ts'
import type { Fetch } from './fetch.ts'
import { FillStep } from './fill-step.ts'

/** For all of it; the time-outs of the rule hold as well. */
const TIMEOUT: Milliseconds = 120_000

/** @param content of the request, null where it has none */
export function fetchInBackground(
  x: Exchange,
  fetch: Fetch,
  content: Uint8Array | null,
  { background }: Pick<FilterServices, 'background'>,
): void {
  const sink = new FetchSink(fetch)
  const begun = background.begin(
    x,
    {
      // A HEAD is answered by what is stored of a GET.
      method: x.method === 'HEAD' ? 'GET' : x.method,
      edit(fields) {
        const { stale, request } = fetch
        if (stale === null) dropConditions(fields)
        else {
          const { entry } = stale.hold
          addValidators(fields, new StoredHead().at(entry.bytes, entry.headAt), stale.numbers)
        }
        const { part } = request
        if (part !== null) fields.set('range', `bytes=${rangeText(part.asked)}`)
        if (part?.tag !== undefined) fields.set('if-range', part.tag)
      },
      ...(content === null ? {} : { body: content }),
      timeout: TIMEOUT,
    },
    sink,
  )
  if (begun === null) fetch.release()
  else sink.exchange = begun
}

const NOBODY: LentSink = {
  write: () => true,
  lend: () => true,
  flush() {},
  end() {},
  fail() {},
}

class FetchSink implements BackgroundSink, BodyWaker {
  readonly #fetch: Fetch
  #step: FillStep | null = null
  exchange: BackgroundExchange | null = null

  constructor(fetch: Fetch) {
    this.#fetch = fetch
    fetch.unattended = true
  }

  head(head: ResponseHead): void {
    try {
      this.#head(head)
    } catch (error) {
      this.#end()
      throw error
    }
  }

  #head({ status, fields, bodyLength }: ResponseHead): void {
    const outcome = this.#fetch.onHead(status, fields, bodyLength)
    if (outcome.type === 'stored') this.#step = new FillStep(this.#fetch, NOBODY, this)
    else this.#end()
  }

  data(bytes: Buffer, start: number, end: number): boolean {
    const goesOn = this.#step?.lend(bytes, start, end) ?? true
    if (this.#fetch.open) return goesOn
    // What is too large to be stored is of no use to anybody.
    this.#end()
    return true
  }

  wake(): void {
    if (this.#fetch.open) this.exchange?.resume()
    else this.#end()
  }

  end(): void {
    this.#step?.end(null)
    this.#fetch.release()
  }

  fail(): void {
    this.#step?.abort()
    this.#fetch.release()
  }

  #end(): void {
    this.#fetch.release()
    this.exchange?.abort()
  }
}
