/**
 * `x-request-id`: one name for an exchange in the client's, the gateway's and the upstream's logs.
 *
 * An id made here is 100 bits of the injected chance in 20 letters and digits. It names, it does not authorise: it is
 * unique (two equal ones are expected after some 10^15) and shows neither time, count nor worker, but chance that is
 * not cryptographic may be predicted by someone who sees many ids. Nothing may be guarded by knowing one.
 */

import type { Random } from '../../lib/clock.ts'
import type { Fields } from '../../message/fields.ts'

export const REQUEST_ID_FIELD = 'x-request-id'

/** Crockford's base 32 in lower case: no letters that are read as digits. */
const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz'
/** Ten bits as two characters: half the look-ups, and strings that exist already. */
const PAIRS = Array.from({ length: 1024 }, (_, i) => ALPHABET.charAt(i >> 5) + ALPHABET.charAt(i & 31))

/**
 * What is taken over: characters that need no escape in JSON, in a URI reference or in a log, and no colon or slash, so
 * that the id as `instance` of a problem document can never be read as another host or scheme.
 */
const ACCEPTABLE = /^[A-Za-z0-9._~+=-]{1,128}$/

/** A fresh id. */
export function makeRequestId(random: Random): string {
  return half(random()) + half(random())
}

const CODES = Buffer.from(ALPHABET)
/** Characters of an id made here. */
export const ID_LENGTH = 20

/** A fresh id, as ASCII into the first {@link ID_LENGTH} bytes. */
export function fillRequestId(random: Random, into: Uint8Array): void {
  for (let start = 0; start < ID_LENGTH; start += ID_LENGTH / 2) {
    const scaled = random() * 0x100000
    const high = scaled | 0
    const low = ((scaled - high) * 0x40000000) | 0
    for (let i = 0; i < 4; i++) into[start + i] = CODES[(high >> (15 - 5 * i)) & 31]!
    for (let i = 0; i < 6; i++) into[start + 4 + i] = CODES[(low >> (25 - 5 * i)) & 31]!
  }
}

/** Fifty bits of a number in [0, 1): twenty and thirty, since shifts work on 32. */
function half(chance: number): string {
  const scaled = chance * 0x100000
  const high = scaled | 0
  const low = ((scaled - high) * 0x40000000) | 0
  return PAIRS[high >> 10]! + PAIRS[high & 1023]! + PAIRS[low >> 20]! + PAIRS[(low >> 10) & 1023]! + PAIRS[low & 1023]!
}

/**
 * The id of an exchange, for whoever implements `Exchange.id`: what a trusted proxy sent, where it sent exactly one
 * that is acceptable, else a fresh one.
 */
export function requestIdOf(request: Fields, trusted: boolean, random: Random): string {
  if (trusted) {
    const sent = request.allApart(REQUEST_ID_FIELD)
    if (sent.length === 1 && isRequestId(sent[0]!)) return sent[0]!
  }
  return makeRequestId(random)
}

/** Whether one that a trusted proxy sent is taken over. */
export function isRequestId(text: string): boolean {
  return ACCEPTABLE.test(text)
}
