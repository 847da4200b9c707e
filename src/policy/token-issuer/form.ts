/** The body of a request to an endpoint: application/x-www-form-urlencoded, each parameter once (RFC 6749 §3.2). */
import { decodeFormText } from '../../pattern/query.ts'
import type { Exchange } from '../exchange.ts'
import { OAuthRefusal } from './oauth-response.ts'

/** Bytes: two tokens of the largest size, and some. */
export const MAX_FORM_BYTES = 49_152
const MAX_PARAMETERS = 64

/** That may be there several times (RFC 8707 §2). */
const REPEATED: ReadonlySet<string> = new Set(['resource', 'audience'])

export class Form {
  readonly #values = new Map<string, string[]>()

  /** @throws {OAuthRefusal} */
  constructor(text: string) {
    const parts = text.split('&', MAX_PARAMETERS + 1).filter((part) => part !== '')
    if (parts.length > MAX_PARAMETERS)
      throw new OAuthRefusal('invalid_request', `a request has at most ${MAX_PARAMETERS} parameters`)
    for (const part of parts) {
      const equals = part.indexOf('=')
      const name = decodeFormText(equals === -1 ? part : part.slice(0, equals))
      const value = equals === -1 ? '' : decodeFormText(part.slice(equals + 1))
      // RFC 6749 §3.2: without a value it is as if it were not there.
      if (value === '') continue
      const known = this.#values.get(name)
      if (known === undefined) this.#values.set(name, [value])
      else if (REPEATED.has(name)) known.push(value)
      else throw new OAuthRefusal('invalid_request', 'a parameter is there more than once', 'a parameter is repeated')
    }
  }

  get(name: string): string | undefined {
    return this.#values.get(name)?.[0]
  }

  all(name: string): readonly string[] {
    return this.#values.get(name) ?? []
  }

  /** @throws {OAuthRefusal} where it is missing */
  need(name: string): string {
    const value = this.get(name)
    if (value === undefined) throw new OAuthRefusal('invalid_request', `${name} is missing`)
    return value
  }
}

const FORM_TYPE = /^application\/x-www-form-urlencoded[ \t]*(;|$)/i

/** @throws {OAuthRefusal} for what is no form; a GatewayError for a body that is too large */
export async function readForm(x: Exchange): Promise<Form> {
  // Credentials in a URL stand in logs (RFC 6749 §2.3.1).
  if (x.query !== undefined)
    throw new OAuthRefusal('invalid_request', 'parameters go into the body, not into the query')
  const types = x.request.all('content-type')
  if (types.length !== 1 || !FORM_TYPE.test(types[0]!))
    throw new OAuthRefusal('invalid_request', 'the body has to be application/x-www-form-urlencoded')
  const body = await x.readBody(MAX_FORM_BYTES)
  return new Form(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8'))
}
