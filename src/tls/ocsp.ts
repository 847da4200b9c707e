/** Reads of a response of OCSP (RFC 6960 §4.2.1) what decides whether it is worth sending. */
import { DerReader, GENERALIZED_TIME, SEQUENCE } from './der-reader.ts'

const ENUMERATED = 0x0a
const OBJECT_IDENTIFIER = 0x06
const OCTET_STRING = 0x04
const EXPLICIT_0 = 0xa0
/** `good`, which carries nothing. */
const GOOD = 0x80
/** id-pkix-ocsp-basic. */
const BASIC = '2b0601050507300101'

export interface OcspResponse {
  /** Milliseconds since the epoch; infinity = newer information is available at any time. */
  readonly nextUpdate: number
}

/** @returns undefined where it does not say that a certificate is good */
export function readOcspResponse(der: Uint8Array): OcspResponse | undefined {
  try {
    const response = new DerReader(der).enter(SEQUENCE)
    const status = response.next(ENUMERATED).content
    if (status.length !== 1 || status[0] !== 0) return undefined
    const bytes = response.enter(EXPLICIT_0).enter(SEQUENCE)
    if (Buffer.from(bytes.next(OBJECT_IDENTIFIER).content).toString('hex') !== BASIC) return undefined
    const data = new DerReader(bytes.next(OCTET_STRING).content).enter(SEQUENCE).enter(SEQUENCE)
    if (data.peek() === EXPLICIT_0) data.next()
    // Responder, by name or by key.
    data.next()
    data.next(GENERALIZED_TIME)
    return firstOf(data.enter(SEQUENCE))
  } catch {
    return undefined
  }
}

function firstOf(responses: DerReader): OcspResponse | undefined {
  const single = responses.enter(SEQUENCE)
  // Which certificate.
  single.next(SEQUENCE)
  if (single.next().tag !== GOOD) return undefined
  single.time()
  if (single.peek() !== EXPLICIT_0) return { nextUpdate: Number.POSITIVE_INFINITY }
  return { nextUpdate: single.enter(EXPLICIT_0).time() }
}
