/** What a service that decides has answered, in whichever protocol, and how its body is read. */
import { GatewayError } from '../../lib/error.ts'
import type { BodyControl, BodySource } from '../../message/body.ts'
import type { Fields } from '../../message/fields.ts'
import type { LocalResponse } from '../../message/local-response.ts'
import type { Exchange } from '../exchange.ts'
import type { OutgoingRequest, OutgoingResponse } from '../services.ts'
import type { Field, Identity } from './method.ts'

/** What the service is told of a request, whatever it is told by. */
export interface Told {
  /** As the client names it, with its port: '' where it names none. */
  readonly authority: string
  /** Path and query. */
  readonly target: string
  /** Those of `requestHeaders` that the client has sent. */
  readonly headers: readonly Field[]
}

export type ExternalAnswer =
  | { readonly type: 'allowed'; readonly identity: Identity }
  | { readonly type: 'denied'; readonly response: LocalResponse }
  /** `detail`: for the access log. `isDown`, by default: this is what `failOpen` is for. */
  | { readonly type: 'failed'; readonly detail: string; readonly isDown?: boolean }

/** One way to ask. */
export interface ExternalProtocol {
  request(x: Exchange, told: Told): Pick<OutgoingRequest, 'method' | 'path' | 'fields' | 'body' | 'trailers'>
  /** @throws rejects with a `GatewayError` where the response breaks off */
  read(response: OutgoingResponse): ExternalAnswer | Promise<ExternalAnswer>
}

/** Of a response that lets a request pass, or that says that the service has failed. */
const MAX_DROPPED = 65_536

/** Reads what is left of a body, so that its connection can be used again, and drops it. */
export function dropBody(body: BodySource): void {
  let control: BodyControl | undefined
  let read = 0
  control = body.start({
    write(chunk) {
      read += chunk.length
      if (read <= MAX_DROPPED) return true
      control?.abort()
      return false
    },
    end() {},
    fail() {},
  })
  if (read > MAX_DROPPED) control.abort()
}

export interface WholeBody {
  readonly bytes: Uint8Array
  readonly trailers: Fields | null
}

/** @throws rejects with a `GatewayError` where it breaks off, or is longer than `most` bytes */
export function wholeBody(body: BodySource, most: number): Promise<WholeBody> {
  return new Promise((resolve, reject) => {
    const chunks: Uint8Array[] = []
    let read = 0
    let control: BodyControl | undefined
    const tooLong = (): void => {
      control?.abort()
      reject(new GatewayError('UpstreamProtocolError', `a response of more than ${most} bytes`))
    }
    control = body.start({
      write(chunk) {
        read += chunk.length
        if (read <= most) chunks.push(chunk)
        else tooLong()
        return read <= most
      },
      end: (trailers) => resolve({ bytes: Buffer.concat(chunks, Math.min(read, most)), trailers }),
      fail: reject,
    })
    if (read > most) control.abort()
  })
}

/** The fields of these names. */
export function fieldsNamed(fields: Fields, names: readonly string[]): Field[] {
  return names.flatMap((name) => fields.all(name).map((value) => [name, value] as const))
}

/** By name a text, or a list where a field stands several times: what rules of `authorization` ask for. */
export function claimsOf(fields: readonly Field[]): Readonly<Record<string, unknown>> {
  const claims: Record<string, string | string[]> = Object.create(null)
  for (const [name, value] of fields) {
    const before = claims[name]
    if (before === undefined) claims[name] = value
    else if (typeof before === 'string') claims[name] = [before, value]
    else before.push(value)
  }
  return claims
}

/** A status with which the service refuses: others say that it has failed. */
export function isRefusal(status: number, fields: Fields): boolean {
  return (status >= 300 && status < 400 && fields.has('location')) || (status >= 400 && status < 500)
}

/** A client does not take a refusal of ours for one of a proxy of its own (RFC 9110 §15.5.8). */
export function statusForClient(status: number): number {
  return status === 407 ? 403 : status
}
